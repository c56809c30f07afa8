//! What the tests of this folder share.

mod bundle;
mod collect;
mod copy;
mod legacy;
mod racing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use reseal_oci::{Digest, RawManifest};
use reseal_registry::{Registries, RegistrySettings, Sleeper, Store, Wait};
use reseal_testkit::registry::{FakeRegistry, Options};

use super::*;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Time that does not pass.
struct NoTime;

#[async_trait]
impl Sleeper for NoTime {
    async fn sleep(&self, why: Wait, _: Duration) {
        if why == Wait::Stall {
            std::future::pending::<()>().await;
        }
    }

    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
}

async fn start(referrers: Option<usize>) -> FakeRegistry {
    FakeRegistry::start_with(Options {
        referrers,
        ..Options::default()
    })
    .await
}

/// Opens a repository of a fake; failures are final.
fn open(fake: &FakeRegistry, path: &str) -> Arc<dyn Store> {
    let settings = RegistrySettings {
        retries: 0,
        certificate_folders: Vec::new(),
        sleeper: Arc::new(NoTime),
        ..RegistrySettings::default()
    };
    let repository = format!("{}/{path}", fake.host()).parse().unwrap();
    Registries::new(settings).unwrap().open(&repository)
}

fn subject() -> Digest {
    Digest::of(b"an image")
}

/// The tag that is made of a digest.
fn named(digest: &Digest, suffix: &str) -> String {
    format!("{}{suffix}", digest.as_str().replace(':', "-"))
}

fn signature(payload: &str, signature: &str) -> LegacyEntry {
    LegacyEntry {
        media_type: SIMPLE_SIGNING,
        payload: payload.as_bytes().to_vec(),
        annotations: BTreeMap::from([(SIGNATURE_ANNOTATION.to_owned(), signature.to_owned())]),
    }
}

/// A layer as it is written in a manifest, in cosign's order.
fn layer(media_type: &str, bytes: &[u8], annotations: &str) -> String {
    format!(
        r#"{{"mediaType":"{media_type}","size":{},"digest":"{}","annotations":{annotations}}}"#,
        bytes.len(),
        Digest::of(bytes)
    )
}

fn pointer(media_type: &str, bytes: &[u8]) -> String {
    format!(
        r#"{{"mediaType":"{media_type}","size":{},"digest":"{}"}}"#,
        bytes.len(),
        Digest::of(bytes)
    )
}

/// Stores an artifact of one layer that belongs to a digest, as any tool might have done; the config is `{}`.
fn put_artifact(
    fake: &FakeRegistry,
    path: &str,
    kind: &str,
    content: &[u8],
    subject: &Digest,
) -> RawManifest {
    fake.put_blob(path, b"{}");
    fake.put_blob(path, content);
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","artifactType":"{kind}","config":{},"layers":[{}],"annotations":{{"dev.sigstore.bundle.predicateType":"p"}},"subject":{{"mediaType":"{MANIFEST}","digest":"{subject}","size":8}}}}"#,
        pointer(EMPTY, b"{}"),
        pointer(kind, content),
    );
    let raw = RawManifest::new(MANIFEST, text.into_bytes());
    fake.put_manifest(path, MANIFEST, &raw.bytes, None);
    raw
}

/// Writes the fallback index of a digest, as other tools do.
fn put_list(fake: &FakeRegistry, path: &str, subject: &Digest, entries: &[&RawManifest]) {
    let entries: Vec<String> = entries
        .iter()
        .map(|raw| raw.descriptor().to_json())
        .collect();
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#,
        entries.join(",")
    );
    fake.put_manifest(path, INDEX, text.as_bytes(), Some(&named(subject, "")));
}

/// Returns what is under a tag.
fn text_of(fake: &FakeRegistry, path: &str, reference: &str) -> String {
    let (_, bytes) = fake.manifest(path, reference).unwrap();
    String::from_utf8(bytes).unwrap()
}
