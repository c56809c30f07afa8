//! The distribution client against real registries: one with the referrers API, one without, one that wants a login.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reseal_oci::{
    Descriptor, Digest, ImageManifest, Index, Kind, RawManifest, Reference, Repository,
};
use reseal_registry::{
    BlobSource, Class, Copied, Credential, CredentialStore, Layout, Registries, RegistrySettings,
    Secret, Store, Target, copy_blob,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

struct Server {
    name: &'static str,
    host: String,
    login: Option<(String, String)>,
}

impl Server {
    fn registries(&self) -> Registries {
        registries(
            &self.host,
            self.login
                .as_ref()
                .map(|(user, password)| (user.as_str(), password.as_str())),
        )
    }

    fn repository(&self, path: &str) -> Repository {
        format!("{}/{path}", self.host)
            .parse()
            .expect("a valid name")
    }
}

fn registries(host: &str, login: Option<(&str, &str)>) -> Registries {
    let mut credentials =
        CredentialStore::from_environment(&BTreeMap::new(), None).expect("nothing to read");
    if let Some((user, password)) = login {
        credentials.insert(
            host,
            Credential {
                username: user.to_owned(),
                secret: Secret::new(password),
                identity_token: false,
                registry_token: false,
                source: "the test".to_owned(),
            },
        );
    }
    Registries::new(RegistrySettings::new(Arc::new(credentials))).expect("usable settings")
}

#[expect(clippy::print_stderr, reason = "a skipped test says why")]
fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok();
    if value.is_none() {
        eprintln!("skipped: {name} is not set");
    }
    value
}

fn servers() -> Vec<Server> {
    let open = ["RESEAL_IT_REGISTRY", "RESEAL_IT_REGISTRY_PLAIN"];
    let open = open.into_iter().filter_map(|name| {
        Some(Server {
            name,
            host: variable(name)?,
            login: None,
        })
    });
    open.chain(guarded()).collect()
}

fn guarded() -> Option<Server> {
    let host = variable("RESEAL_IT_REGISTRY_AUTH")?;
    let login = (
        variable("RESEAL_IT_REGISTRY_AUTH_USER")?,
        variable("RESEAL_IT_REGISTRY_AUTH_PASSWORD")?,
    );
    Some(Server {
        name: "RESEAL_IT_REGISTRY_AUTH",
        host,
        login: Some(login),
    })
}

/// Bytes that no earlier run has pushed, so that nothing is there already.
fn fresh(length: usize) -> Vec<u8> {
    use std::hash::{BuildHasher as _, RandomState};
    let seed = RandomState::new();
    (0..length / 8)
        .flat_map(|number| seed.hash_one(number).to_le_bytes())
        .collect()
}

fn described(media_type: &str, bytes: &[u8]) -> Descriptor {
    Descriptor::new(media_type, Digest::of(bytes), bytes.len() as u64)
}

async fn read(store: &dyn Store, descriptor: &Descriptor) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut reader = store
        .blob_stream(descriptor)
        .await
        .expect("the blob is there");
    reader
        .read_to_end(&mut bytes)
        .await
        .expect("size and digest are right");
    bytes
}

#[tokio::test]
async fn an_image_is_pushed_read_mounted_and_tagged() {
    for server in servers() {
        let name = server.name;
        let registries = server.registries();
        let store = registries.open(&server.repository("reseal-live/push"));
        let (config, layer) = (fresh(512), fresh(3_000_000));
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("layer");
        std::fs::write(&file, &layer).expect("a written file");
        let layer_descriptor = described("application/vnd.oci.image.layer.v1.tar", &layer);
        let config_descriptor = described(CONFIG, &config);
        assert!(
            !store
                .has_blob(&layer_descriptor.digest)
                .await
                .expect("an answer"),
            "{name}"
        );
        let before = store.counts().requests;
        store
            .put_blob(&layer_descriptor, &BlobSource::File(file))
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(store.counts().requests - before, 2, "{name}");
        store
            .put_blob(&config_descriptor, &BlobSource::Bytes(config.into()))
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{},"layers":[{}]}}"#,
            config_descriptor.to_json(),
            layer_descriptor.to_json()
        );
        let raw = RawManifest::new(MANIFEST, text.into_bytes());
        let by_digest = Target::Digest(raw.digest.clone());
        let tag = Target::Tag(
            format!("t{}", &raw.digest.hex()[..12])
                .parse()
                .expect("a valid tag"),
        );
        assert_eq!(
            store.resolve(&by_digest).await.expect("an answer"),
            None,
            "{name}"
        );
        store
            .put_manifest(&raw, &by_digest)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            store.resolve(&tag).await.expect("an answer"),
            None,
            "{name}"
        );
        store
            .put_manifest(&raw, &tag)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            store.resolve(&tag).await.expect("an answer"),
            Some(raw.descriptor()),
            "{name}"
        );
        assert_eq!(
            store.manifest(&tag).await.expect("a manifest"),
            raw,
            "{name}"
        );
        assert_eq!(read(&*store, &layer_descriptor).await, layer, "{name}");

        let other = registries.open(&server.repository("reseal-live/mounted"));
        let copied = copy_blob(&*store, &*other, &layer_descriptor)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        // The one with referrers does not mount, but keeps the blobs of all repositories in one place.
        let expected = if name == "RESEAL_IT_REGISTRY" {
            Copied::Present
        } else {
            Copied::Mounted
        };
        assert_eq!(copied, expected, "{name}");
        assert_eq!(other.counts().bytes_out, 0, "{name}");
        assert_eq!(read(&*other, &layer_descriptor).await, layer, "{name}");
    }
}

#[tokio::test]
async fn a_whole_image_goes_from_a_layout_to_each_registry_and_back() {
    let Some(path) = variable("RESEAL_IT_LAYOUT_BULLSEYE") else {
        return;
    };
    let source = Layout::open(path).expect("a layout");
    let target = Target::Tag("latest".parse().expect("a valid tag"));
    let top = source.manifest(&target).await.expect("an image");
    for server in servers() {
        let store = server
            .registries()
            .open(&server.repository("reseal-live/copy"));
        let folder = tempfile::tempdir().expect("a folder");
        let back = Layout::create(folder.path().join("back")).expect("a new layout");
        for (from, to) in [(&source as &dyn Store, &*store), (&*store, &back)] {
            let images = if top.kind() == Kind::Index {
                Index::parse(&top).expect("an index").children
            } else {
                vec![top.descriptor()]
            };
            for image in images {
                let by_digest = Target::Digest(image.digest);
                let raw = from.manifest(&by_digest).await.expect("a manifest");
                let parsed = ImageManifest::parse(&raw).expect("an image");
                for descriptor in parsed.layers.iter().chain([&parsed.config]) {
                    copy_blob(from, to, descriptor)
                        .await
                        .unwrap_or_else(|error| panic!("{}: {error}", server.name));
                }
                to.put_manifest(&raw, &by_digest)
                    .await
                    .unwrap_or_else(|error| panic!("{}: {error}", server.name));
            }
            to.put_manifest(&top, &target)
                .await
                .unwrap_or_else(|error| panic!("{}: {error}", server.name));
        }
        assert_eq!(
            back.manifest(&target).await.expect("an image"),
            top,
            "{}",
            server.name
        );
    }
}

#[tokio::test]
async fn an_upload_whose_connection_breaks_arrives_whole() {
    for server in servers() {
        let (proxy, cut) = breaking_proxy(server.host.clone(), 1_500_000).await;
        let login = server
            .login
            .as_ref()
            .map(|(user, password)| (user.as_str(), password.as_str()));
        let store = registries(&proxy, login).open(
            &format!("{proxy}/reseal-live/resume")
                .parse()
                .expect("a valid name"),
        );
        let bytes = fresh(4_000_000);
        let descriptor = described("application/octet-stream", &bytes);
        store
            .put_blob(&descriptor, &BlobSource::Bytes(bytes.clone().into()))
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", server.name));
        assert!(
            cut.load(Ordering::SeqCst),
            "{}: the connection was to break",
            server.name
        );
        let direct = server
            .registries()
            .open(&server.repository("reseal-live/resume"));
        assert_eq!(read(&*direct, &descriptor).await, bytes, "{}", server.name);
    }
}

/// Forwards to a registry, and breaks the first connection after so many bytes of requests.
async fn breaking_proxy(target: String, after: u64) -> (String, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let cut = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&cut);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (target, flag) = (target.clone(), Arc::clone(&flag));
            tokio::spawn(async move {
                let Ok(mut server) = TcpStream::connect(target).await else {
                    return;
                };
                let (mut from_client, mut to_client) = client.split();
                let (mut from_server, mut to_server) = server.split();
                let requests = async {
                    let limit = if flag.load(Ordering::SeqCst) {
                        u64::MAX
                    } else {
                        after
                    };
                    let mut limited = (&mut from_client).take(limit);
                    let count = tokio::io::copy(&mut limited, &mut to_server)
                        .await
                        .unwrap_or(0);
                    if count == limit {
                        flag.store(true, Ordering::SeqCst);
                    }
                    let _ = to_server.shutdown().await;
                };
                let answers = tokio::io::copy(&mut from_server, &mut to_client);
                tokio::select! { () = requests => {}, _ = answers => {} }
            });
        }
    });
    (address, cut)
}

#[tokio::test]
async fn referrers_are_found_by_the_api_and_by_the_tag_that_stands_in_for_it() {
    for server in servers() {
        let store = server
            .registries()
            .open(&server.repository("reseal-live/referrers"));
        let config = fresh(256);
        let config_descriptor = described("application/vnd.oci.empty.v1+json", &config);
        store
            .put_blob(&config_descriptor, &BlobSource::Bytes(config.into()))
            .await
            .expect("a stored blob");
        let write = |artifact: &str, subject: String| {
            let text = format!(
                r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","artifactType":"{artifact}","config":{},"layers":[]{subject}}}"#,
                config_descriptor.to_json()
            );
            RawManifest::new(MANIFEST, text.into_bytes())
        };
        let image = write("application/x-image", String::new());
        let signature = write(
            "application/x-signature",
            format!(r#","subject":{}"#, image.descriptor().to_json()),
        );
        for raw in [&image, &signature] {
            store
                .put_manifest(raw, &Target::Digest(raw.digest.clone()))
                .await
                .expect("a stored manifest");
        }
        let found = store
            .referrers(&image.digest)
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", server.name));
        let found: Vec<&Digest> = found.iter().map(|entry| &entry.digest).collect();
        assert_eq!(
            found,
            [&signature.digest],
            "{}: by the API, or by the tag that stands in for it",
            server.name
        );
    }
}

#[tokio::test]
async fn a_wrong_login_is_told_with_registry_scope_and_place() {
    let Some(server) = guarded() else { return };
    for (login, expected) in [
        (None, "it wants credentials and none were found"),
        (
            Some(("reseal", "wrong-one")),
            "the credentials from the test were not accepted",
        ),
    ] {
        let store = registries(&server.host, login).open(&server.repository("reseal-live/push"));
        let error = store
            .manifest(&Target::Tag("x".parse().expect("a valid tag")))
            .await
            .expect_err("no access");
        let text = error.to_string();
        assert_eq!(error.class(), Class::Auth);
        assert!(
            text.contains(expected)
                && text.contains(&server.host)
                && text.contains("repository:reseal-live/push:pull"),
            "{text}"
        );
        assert!(!text.contains("wrong-one"));
    }
}

#[tokio::test]
async fn the_test_images_have_the_digests_that_were_written_down() {
    for name in [
        "BULLSEYE",
        "BULLSEYE_MULTI",
        "BULLSEYE_DRESSED",
        "BULLSEYE_DOCKER",
        "BULLSEYE_DOCKER_LIST",
    ] {
        let (Some(image), Some(expected)) = (
            variable(&format!("RESEAL_IT_IMAGE_{name}")),
            variable(&format!("RESEAL_IT_DIGEST_{name}")),
        ) else {
            continue;
        };
        let image: Reference = image.parse().expect("a reference");
        let store = registries(image.repository.registry(), None).open(&image.repository);
        let target = Target::Tag(image.tag.expect("a tag"));
        let found = store
            .resolve(&target)
            .await
            .expect("an answer")
            .expect("an image");
        assert_eq!(found.digest.as_str(), expected, "{name}");
        let raw = store
            .manifest(&Target::Digest(found.digest.clone()))
            .await
            .expect("a manifest");
        assert_eq!(raw.descriptor(), found, "{name}");
        assert_eq!(store.counts().requests, 2, "{name}");
    }
}

#[tokio::test]
async fn trees_of_other_tools_are_readable_layouts() {
    let names = ["BULLSEYE", "BULLSEYE_MULTI", "BULLSEYE_DOCKER"];
    for path in names
        .iter()
        .filter_map(|name| variable(&format!("RESEAL_IT_LAYOUT_{name}")))
        .map(PathBuf::from)
    {
        let layout = Layout::open(&path).expect("a layout");
        let image = layout
            .only_image()
            .unwrap_or_else(|error| panic!("{error}"));
        let raw = layout
            .manifest(&Target::Digest(image.digest.clone()))
            .await
            .expect("a manifest");
        assert_eq!(raw.descriptor().digest, image.digest, "{}", path.display());
    }
}
