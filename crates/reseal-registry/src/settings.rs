//! What the user decided about registries, and the clock that tests replace.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use crate::credentials::CredentialStore;

/// Why somebody waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Before the same request is sent again.
    Retry,
    /// For a sign of life from the server; the wait ends early when there is one.
    Stall,
}

/// Time, as far as the client needs it. Tests put in one that does not take any.
#[async_trait]
pub trait Sleeper: Send + Sync {
    /// Returns after `duration`.
    async fn sleep(&self, why: Wait, duration: Duration);
    /// Returns the time of day: for `Retry-After` dates and for tokens that expire.
    fn now(&self) -> SystemTime;
}

/// The real time.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealTime;

#[async_trait]
impl Sleeper for RealTime {
    async fn sleep(&self, _why: Wait, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// Settings of all registry access of one run.
#[derive(Clone)]
pub struct RegistrySettings {
    /// The logins.
    pub credentials: Arc<CredentialStore>,
    /// Registries, `host` or `host:port`, that are spoken to without TLS. Loopback ones are, unless `certificate_folders`
    /// has certificates for them.
    pub plain_http: BTreeSet<String>,
    /// PEM files with authorities that are trusted besides the system's, for every registry.
    pub ca_files: Vec<PathBuf>,
    /// Folders in docker's `certs.d` layout: `HOST[:PORT]/*.crt` are authorities, `NAME.cert` with `NAME.key` a client certificate.
    pub certificate_folders: Vec<PathBuf>,
    /// Registry by registry (`docker.io`), where reads go first: `https://mirror.example[/prefix]`, or `mirror.example[/prefix]`.
    /// What no mirror has comes from the registry itself; writes always go there.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// How often a request is repeated after the first try.
    pub retries: u32,
    /// How long a server may be silent.
    pub stall: Duration,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// Time.
    pub sleeper: Arc<dyn Sleeper>,
}

impl RegistrySettings {
    /// Returns the usual settings with these credentials.
    pub fn new(credentials: Arc<CredentialStore>) -> Self {
        Self {
            credentials,
            plain_http: BTreeSet::new(),
            ca_files: Vec::new(),
            certificate_folders: ["/etc/docker/certs.d", "/etc/containers/certs.d"]
                .map(PathBuf::from)
                .to_vec(),
            mirrors: BTreeMap::new(),
            retries: 5,
            stall: Duration::from_secs(60),
            user_agent: concat!("reseal/", env!("CARGO_PKG_VERSION")).to_owned(),
            sleeper: Arc::new(RealTime),
        }
    }
}

impl Default for RegistrySettings {
    fn default() -> Self {
        Self::new(Arc::default())
    }
}

impl fmt::Debug for RegistrySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistrySettings")
            .field("plain_http", &self.plain_http)
            .field("ca_files", &self.ca_files)
            .field("mirrors", &self.mirrors)
            .field("retries", &self.retries)
            .finish_non_exhaustive()
    }
}
