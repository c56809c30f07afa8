//! What the caller decided about fetching, and what a run has cost.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use reseal_net::Secret;

/// Time, as far as retries need it. Tests put in one that does not take any.
#[async_trait]
pub trait Sleeper: Send + Sync {
    /// Returns after `duration`.
    async fn sleep(&self, duration: Duration);
}

/// The real time.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealTime;

#[async_trait]
impl Sleeper for RealTime {
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// A name and password for all addresses that begin with a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// `https` or `http`; `None` is for `https` and never sent in the clear.
    pub scheme: Option<String>,
    /// Host, with the port if one is meant.
    pub host: String,
    /// Path prefix, empty or with a leading slash.
    pub path: String,
    /// The name.
    pub name: String,
    /// The password.
    pub password: Secret,
}

/// Settings of all fetching of one run.
#[derive(Clone)]
pub struct HttpSettings {
    /// `http://HOST:PORT` of the proxy for everything but loopback; `DIRECT` for none whatever the image or the environment
    /// say; `None` for what the image's settings say, and then the environment.
    pub proxy: Option<String>,
    /// PEM files with authorities that are trusted besides the system's.
    pub ca: Vec<PathBuf>,
    /// Address prefixes and what replaces them; the longest that fits counts. Trust is not affected: signatures decide.
    pub mirrors: Vec<(String, String)>,
    /// Logins; the first that fits counts.
    pub auth: Vec<Login>,
    /// Accept indexes whose `Valid-Until` has passed: for snapshots and for repeating a lock.
    pub allow_expired: bool,
    /// How often a request is repeated after the first try.
    pub retries: u32,
    /// How long a server may be silent.
    pub stall: Duration,
    /// How many packages are fetched at once.
    pub parallel: usize,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// Time.
    pub sleeper: Arc<dyn Sleeper>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            proxy: None,
            ca: Vec::new(),
            mirrors: Vec::new(),
            auth: Vec::new(),
            allow_expired: false,
            retries: 5,
            stall: Duration::from_secs(60),
            parallel: 4,
            user_agent: concat!("reseal/", env!("CARGO_PKG_VERSION")).to_owned(),
            sleeper: Arc::new(RealTime),
        }
    }
}

impl fmt::Debug for HttpSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSettings")
            .field("ca", &self.ca)
            .field("mirrors", &self.mirrors.len())
            .field("allow_expired", &self.allow_expired)
            .field("retries", &self.retries)
            .finish_non_exhaustive()
    }
}

/// What fetching cost so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// HTTP requests, with those that answered with a redirect.
    pub requests: u64,
    /// Bytes of content that came over the network.
    pub bytes_in: u64,
    /// Files that were in the cache or the folder and had the right digest.
    pub cached: u64,
}

/// The running form of [`Counts`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) cached: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Counts {
        Counts {
            requests: self.requests.load(Ordering::Relaxed),
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            cached: self.cached.load(Ordering::Relaxed),
        }
    }
}

/// What the image says about the way to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProxyRule {
    /// `http` or `https`, of the address that is asked for.
    pub(crate) scheme: String,
    /// The only host it is for; `None` for all.
    pub(crate) host: Option<String>,
    /// The proxy's address, or `DIRECT`.
    pub(crate) proxy: String,
}
