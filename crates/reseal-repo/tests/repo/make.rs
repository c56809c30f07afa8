//! Generates repositories, and opens them as an image would.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flate2::Compression;
use pgp::crypto::hash::HashAlgorithm;
use reseal_repo::deb::{Repositories, read_settings, read_sources};
use reseal_repo::{Cache, ContentDigest, HttpSettings, Sleeper};
use tempfile::TempDir;

use crate::key::{Key, NOW, Oddity};
use crate::server::Server;

pub(crate) const LIST: &str = "/debian/dists/stable/main/binary-amd64/";
pub(crate) const INLINE: &str = "/debian/dists/stable/InRelease";

/// A repository as files below `/debian`.
pub(crate) struct Repository {
    pub(crate) packages: Vec<(&'static str, &'static str, &'static str)>,
    pub(crate) suffixes: Vec<&'static str>,
    /// Lines of the release file.
    pub(crate) head: String,
    pub(crate) key: Key,
}

impl Repository {
    pub(crate) fn new() -> Self {
        Self {
            packages: vec![
                ("openssl", "3.0.1", "Depends: libssl3"),
                ("libssl3", "3.0.1", ""),
                ("exim4", "4.96", "Provides: mail-transport-agent, smtpd (= 1)"),
                ("openssl", "3.0.2", "Depends: libssl3"),
            ],
            suffixes: vec!["", ".xz"],
            head: "Origin: Shop\nLabel: Shop\nSuite: stable\nCodename: bookworm\nDate: Thu, 14 Jan 2027 08:00:00 UTC\n\
                   Valid-Until: Sat, 16 Jan 2027 08:00:00 UTC\nAcquire-By-Hash: yes\nArchitectures: amd64\nComponents: main\n"
                .to_owned(),
            key: Key::new(1, Oddity::None),
        }
    }

    /// The list, unpacked, and the files of the packages.
    pub(crate) fn list(&self) -> (String, BTreeMap<String, Vec<u8>>) {
        let (mut list, mut files) = (String::new(), BTreeMap::new());
        for (name, version, extra) in &self.packages {
            let content = format!("package {name} {version}")
                .repeat(1000)
                .into_bytes();
            let path = format!("pool/{name}_{version}_amd64.deb");
            let more = if extra.is_empty() {
                String::new()
            } else {
                format!("{extra}\n")
            };
            writeln!(
                list,
                "Package: {name}\nVersion: {version}\nArchitecture: amd64\n{more}Filename: {path}\nSize: {}\nSHA256: {}\n",
                content.len(),
                ContentDigest::of(&content)
            )
            .unwrap();
            files.insert(format!("/debian/{path}"), content);
        }
        (list, files)
    }

    /// The release file without signature, and every file that it names.
    pub(crate) fn release(&self) -> (String, BTreeMap<String, Vec<u8>>) {
        let (list, mut files) = self.list();
        let mut text = format!("{}SHA256:\n", self.head);
        for suffix in &self.suffixes {
            let bytes = packed(list.as_bytes(), suffix);
            let digest = ContentDigest::of(&bytes);
            writeln!(
                text,
                " {digest} {} main/binary-amd64/Packages{suffix}",
                bytes.len()
            )
            .unwrap();
            files.insert(format!("{LIST}by-hash/SHA256/{digest}"), bytes.clone());
            files.insert(format!("{LIST}Packages{suffix}"), bytes);
        }
        (text, files)
    }

    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let (text, mut files) = self.release();
        let signed = self.key.clear_sign(&text, HashAlgorithm::Sha256);
        files.insert(INLINE.to_owned(), signed.into_bytes());
        files
    }
}

pub(crate) fn packed(bytes: &[u8], suffix: &str) -> Vec<u8> {
    match suffix {
        ".xz" => {
            let mut writer = liblzma::write::XzEncoder::new(Vec::new(), 6);
            writer.write_all(bytes).unwrap();
            writer.finish().unwrap()
        }
        ".gz" => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), Compression::default());
            writer.write_all(bytes).unwrap();
            writer.finish().unwrap()
        }
        ".zst" => zstd::encode_all(bytes, 3).unwrap(),
        _ => bytes.to_vec(),
    }
}

/// An image's files, a cache, and how to fetch.
pub(crate) struct Image {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) folder: TempDir,
    pub(crate) http: HttpSettings,
    pub(crate) now: i64,
}

/// Time that does not take any.
struct NoTime;

#[async_trait]
impl Sleeper for NoTime {
    async fn sleep(&self, _: Duration) {}
}

impl Image {
    /// An image that trusts a key for the repository on a server.
    pub(crate) fn new(server: &Server, key: &Key) -> Self {
        let line = format!(
            "deb [signed-by=/usr/share/keyrings/shop.gpg] {}/debian stable main\n",
            server.url
        );
        Self {
            files: BTreeMap::from([
                ("etc/apt/sources.list".to_owned(), line.into_bytes()),
                ("usr/share/keyrings/shop.gpg".to_owned(), key.binary()),
            ]),
            folder: tempfile::tempdir().unwrap(),
            http: HttpSettings {
                retries: 2,
                sleeper: Arc::new(NoTime),
                ..HttpSettings::default()
            },
            now: NOW,
        }
    }

    pub(crate) fn source(&mut self, line: &str) {
        let line = format!("{line}\n").into_bytes();
        self.files.insert("etc/apt/sources.list".to_owned(), line);
    }

    pub(crate) fn cache(&self) -> Cache {
        Cache::open(self.folder.path(), 100 << 20).unwrap()
    }

    pub(crate) fn open(&self) -> Repositories {
        let sources = read_sources(&self.files, "amd64").unwrap();
        let settings = read_settings(&self.files);
        let http = self.http.clone();
        Repositories::open(sources, settings, &self.files, self.cache(), http, self.now)
    }
}

/// A server with a repository, and an image that trusts it.
pub(crate) async fn usual() -> (Server, Image) {
    let repository = Repository::new();
    let server = Server::start().await;
    server.with(|state| state.files = repository.files());
    let image = Image::new(&server, &repository.key);
    (server, image)
}

/// Names with versions of the candidates for some names.
pub(crate) async fn find(
    repositories: &Repositories,
    names: &[&str],
) -> Result<Vec<String>, reseal_repo::RepoError> {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let found = repositories.candidates(&names).await?;
    Ok(found
        .iter()
        .map(|c| format!("{} {}", c.name, c.version))
        .collect())
}
