//! What the tests of a build against real daemons share.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use reseal_buildkit::{
    AuthProvider, BuildOptions, Client, ConnectOptions, ContentSource, Credentials, ExportSink,
    Exported, ExportedManifest, Ref, SolveEvent, Token, TokenRequest, dial,
};
use reseal_llb::{Exec, Graph, ImageOptions, Out, Platform, RootFs};
use tokio::sync::mpsc::UnboundedReceiver;

/// The daemons of this run, each with its own client.
pub(crate) struct Daemon {
    pub(crate) name: &'static str,
    pub(crate) client: Client,
}

/// Connects to every daemon that the environment names; says so when there is none.
pub(crate) async fn daemons() -> Vec<Daemon> {
    let mut found = Vec::new();
    for name in [
        "RESEAL_IT_BUILDKIT_NEW",
        "RESEAL_IT_BUILDKIT_OLD",
        "RESEAL_IT_DOCKER",
    ] {
        match std::env::var(name) {
            Ok(address) => {
                // A Docker engine keeps its daemon behind its own API.
                let docker = if name == "RESEAL_IT_DOCKER" {
                    "docker://"
                } else {
                    ""
                };
                let address = format!("{docker}{address}");
                let address = address
                    .parse()
                    .unwrap_or_else(|error| panic!("{name}={address}: {error}"));
                let connection = dial(&address, &ConnectOptions::default())
                    .await
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
                found.push(Daemon {
                    name,
                    client: Client::new(connection),
                });
            }
            Err(_) => skipped(name),
        }
    }
    found
}

#[expect(clippy::print_stderr, reason = "a skipped test says why")]
pub(crate) fn skipped(variable: &str) {
    eprintln!("skipped: {variable} is not set");
}

/// The test image's repository and digest.
pub(crate) fn image() -> Option<(String, String)> {
    let (Ok(image), Ok(digest)) = (
        std::env::var("RESEAL_IT_IMAGE_BULLSEYE"),
        std::env::var("RESEAL_IT_DIGEST_BULLSEYE"),
    ) else {
        skipped("RESEAL_IT_IMAGE_BULLSEYE");
        return None;
    };
    let (repository, _tag) = image.rsplit_once(':').expect("an image with a tag");
    Some((repository.to_owned(), digest))
}

pub(crate) fn amd64() -> Platform {
    Platform::new("linux", "amd64", "")
}

/// Something that no earlier run has used, so that nothing comes from a cache.
pub(crate) fn token() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!("{}-{:?}", std::process::id(), now.expect("after 1970"))
}

pub(crate) fn shell(script: &str, root: RootFs) -> Exec {
    let env = vec![
        (
            "PATH".to_owned(),
            "/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
        ),
        ("TOKEN".to_owned(), token()),
    ];
    Exec {
        env,
        ..Exec::new(["/bin/sh", "-ec", script], root, &amd64())
    }
}

/// A graph with the test image as its base.
pub(crate) fn with_base() -> Option<(Graph, Out)> {
    let (repository, digest) = image()?;
    let mut graph = Graph::new();
    let base = graph.image(
        &format!("{repository}@{digest}"),
        &amd64(),
        ImageOptions::default(),
    );
    Some((graph, base))
}

pub(crate) fn options() -> (BuildOptions, UnboundedReceiver<SolveEvent>) {
    let (sender, events) = tokio::sync::mpsc::unbounded_channel();
    (BuildOptions::new(sender), events)
}

pub(crate) struct Export {
    pub(crate) sink: Arc<ExportSink>,
    pub(crate) _dir: tempfile::TempDir,
}

pub(crate) fn exporting(options: &mut BuildOptions) -> Export {
    let dir = tempfile::tempdir().expect("a folder");
    let sink = ExportSink::new(dir.path().to_owned(), BTreeSet::new());
    options.export = Some(Arc::clone(&sink));
    options.exporter_attrs =
        BTreeMap::from([("compression".to_owned(), "uncompressed".to_owned())]);
    options.platforms = vec!["linux/amd64".to_owned()];
    Export { sink, _dir: dir }
}

pub(crate) fn output(id: &str, result: Ref) -> (String, Platform, Ref, Option<Vec<u8>>) {
    (id.to_owned(), amd64(), result, None)
}

pub(crate) fn only(exported: Exported) -> ExportedManifest {
    match exported {
        Exported::Index { mut manifests, .. } if manifests.len() == 1 => manifests.remove(0).1,
        other => panic!("not one manifest: {other:?}"),
    }
}

pub(crate) fn names_in(tar: &[u8]) -> BTreeSet<String> {
    // Enough of a tar reader for short names: the name, and the size to step over.
    let mut names = BTreeSet::new();
    let mut at = 0;
    while let Some(header) = tar
        .get(at..at + 512)
        .filter(|header| header.iter().any(|byte| *byte != 0))
    {
        let text = |range: std::ops::Range<usize>| {
            String::from_utf8_lossy(&header[range])
                .trim_matches(['\0', ' '])
                .to_owned()
        };
        let size = usize::from_str_radix(&text(124..136), 8).expect("an octal size");
        if matches!(header[156], b'0' | b'5' | b'2') {
            names.insert(text(0..100));
        }
        at += 512 + size.div_ceil(512) * 512;
    }
    names
}

/// The blobs of an OCI layout folder.
pub(crate) struct LayoutSource(pub(super) PathBuf);

impl LayoutSource {
    fn path(&self, digest: &str) -> PathBuf {
        self.0.join("blobs").join(digest.replace(':', "/"))
    }
}

#[async_trait]
impl ContentSource for LayoutSource {
    async fn size(&self, digest: &str) -> Option<u64> {
        self.path(digest).metadata().ok().map(|facts| facts.len())
    }

    async fn read(&self, digest: &str, offset: u64, len: u64) -> Result<Bytes, io::Error> {
        let mut file = std::fs::File::open(self.path(digest))?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(len).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }
}

pub(crate) struct Login(pub(super) Credentials);

#[async_trait]
impl AuthProvider for Login {
    async fn credentials(&self, _host: &str) -> Option<Credentials> {
        Some(self.0.clone())
    }

    async fn token(&self, request: TokenRequest) -> Result<Token, String> {
        Err(format!("{} has no token service", request.host))
    }
}
