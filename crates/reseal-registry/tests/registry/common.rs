//! What the tests of this binary share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use reseal_oci::{Descriptor, Digest, RawManifest, Repository};
use reseal_registry::{
    CredentialStore, Registries, RegistrySettings, Sleeper, Store, StoreError, Target, Wait,
};
use reseal_testkit::registry::FakeRegistry;
use tokio::io::AsyncReadExt as _;
use tokio::sync::Notify;

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Time that passes when it is told to: pauses are noted and over at once, silence is too long when a fake says that it stalls.
#[derive(Default)]
pub(crate) struct TestTime {
    pub(crate) pauses: Mutex<Vec<Duration>>,
    pub(crate) now: Mutex<Duration>,
    pub(crate) stalled: Option<Arc<Notify>>,
    /// Nothing moves since the fake said that it stalls, until the client tries again.
    pub(crate) still: Mutex<bool>,
}

impl TestTime {
    pub(crate) fn pauses(&self) -> Vec<u64> {
        self.pauses
            .lock()
            .unwrap()
            .iter()
            .map(Duration::as_secs)
            .collect()
    }

    pub(crate) fn pass(&self, seconds: u64) {
        *self.now.lock().unwrap() += Duration::from_secs(seconds);
    }
}

#[async_trait]
impl Sleeper for TestTime {
    async fn sleep(&self, why: Wait, duration: Duration) {
        match (why, &self.stalled) {
            (Wait::Retry, _) => {
                *self.still.lock().unwrap() = false;
                self.pauses.lock().unwrap().push(duration);
            }
            (Wait::Stall, Some(stalled)) => {
                if !*self.still.lock().unwrap() {
                    stalled.notified().await;
                }
                *self.still.lock().unwrap() = true;
            }
            (Wait::Stall, None) => std::future::pending().await,
        }
    }

    fn now(&self) -> SystemTime {
        // 1994-11-06 08:49:37, the date in every example of HTTP.
        SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777) + *self.now.lock().unwrap()
    }
}

/// A client of one fake, with its clock.
pub(crate) struct Setup {
    pub(crate) registries: Registries,
    pub(crate) time: Arc<TestTime>,
}

impl Setup {
    pub(crate) fn new(auth_json: Option<String>) -> Self {
        Self::with(auth_json, |_| {})
    }

    pub(crate) fn with(
        auth_json: Option<String>,
        change: impl FnOnce(&mut RegistrySettings),
    ) -> Self {
        Self::timed(TestTime::default(), auth_json, change)
    }

    pub(crate) fn timed(
        time: TestTime,
        auth_json: Option<String>,
        change: impl FnOnce(&mut RegistrySettings),
    ) -> Self {
        let vars: BTreeMap<String, String> = auth_json
            .into_iter()
            .map(|json| ("DOCKER_AUTH_CONFIG".to_owned(), json))
            .collect();
        let credentials = CredentialStore::from_environment(&vars, None).unwrap();
        let time = Arc::new(time);
        let mut settings = RegistrySettings {
            retries: 3,
            certificate_folders: Vec::new(),
            sleeper: Arc::clone(&time) as Arc<dyn Sleeper>,
            ..RegistrySettings::new(Arc::new(credentials))
        };
        change(&mut settings);
        Self {
            registries: Registries::new(settings).unwrap(),
            time,
        }
    }

    pub(crate) fn open(&self, fake: &FakeRegistry, path: &str) -> Arc<dyn Store> {
        self.registries.open(&repository(fake, path))
    }
}

pub(crate) fn repository(fake: &FakeRegistry, path: &str) -> Repository {
    format!("{}/{path}", fake.host()).parse().unwrap()
}

#[expect(clippy::unnecessary_wraps, reason = "it is what every setup takes")]
pub(crate) fn login(fake: &FakeRegistry, user: &str, password: &str) -> Option<String> {
    Some(format!(
        r#"{{"auths": {{"{}": {{"username": "{user}", "password": "{password}"}}}}}}"#,
        fake.host()
    ))
}

pub(crate) fn tag(name: &str) -> Target {
    Target::Tag(name.parse().unwrap())
}

pub(crate) fn digest(text: &str) -> Digest {
    text.parse().unwrap()
}

pub(crate) fn blob(bytes: &[u8]) -> Descriptor {
    Descriptor::new(
        "application/octet-stream",
        Digest::of(bytes),
        bytes.len() as u64,
    )
}

/// A small image: its config goes into the fake too.
pub(crate) fn image(fake: &FakeRegistry, path: &str, name: &str) -> RawManifest {
    let config = fake.put_blob(path, b"{}");
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":2}},"layers":[],"annotations":{{"name":"{name}"}}}}"#
    );
    RawManifest::new(MANIFEST, text.into_bytes())
}

pub(crate) async fn read_all(
    store: &dyn Store,
    descriptor: &Descriptor,
) -> Result<Vec<u8>, StoreError> {
    let mut reader = store.blob_stream(descriptor).await?;
    let mut bytes = Vec::new();
    match reader.read_to_end(&mut bytes).await {
        Ok(_) => Ok(bytes),
        Err(error) => Err(StoreError::from_read("blob", error)),
    }
}

/// Bytes that differ everywhere, so that a wrong offset shows.
pub(crate) fn big() -> Vec<u8> {
    (0..300_000_u32)
        .flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect()
}
