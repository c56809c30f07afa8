//! A registry on loopback, in memory: stricter than real ones, and as broken as a test wants.
//!
//! It speaks the OCI distribution protocol, refuses what the specification lets it refuse, and records every request. Faults are
//! scripted with [`Fault`]. It never uses the project's own client.

mod auth;
mod fault;
mod serve;
mod state;
mod write;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

pub use auth::{Auth, User};
pub use fault::{Action, Fault};
use state::State;

/// How the fake behaves where registries differ.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a separate difference between real registries"
)]
pub struct Options {
    /// How it wants to be asked.
    pub auth: Auth,
    /// Whether it has the referrers API, and how many entries a page has.
    pub referrers: Option<usize>,
    /// Whether storing a manifest that has a subject is answered with `OCI-Subject`, where there is the referrers API.
    pub oci_subject: bool,
    /// Whether it mounts blobs of other repositories.
    pub mounts: bool,
    /// Whether upload locations are whole addresses or paths.
    pub absolute_locations: bool,
    /// Whether manifests are answered with `Docker-Content-Digest`.
    pub content_digest: bool,
    /// Where blob reads are sent instead, `http://127.0.0.1:PORT`: another fake, with [`FakeRegistry::serve_file`].
    pub redirect_blobs: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            auth: Auth::None,
            referrers: None,
            oci_subject: true,
            mounts: true,
            absolute_locations: false,
            content_digest: true,
            redirect_blobs: None,
        }
    }
}

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// HTTP method.
    pub method: String,
    /// Path without query.
    pub path: String,
    /// Query, as sent.
    pub query: String,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// How many bytes of the body were read.
    pub body: usize,
    /// The status that was answered; `None` if the connection was cut instead.
    pub status: Option<u16>,
}

impl Recorded {
    /// Returns the value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

pub(crate) struct Inner {
    pub(crate) host: String,
    pub(crate) options: Options,
    pub(crate) state: Mutex<State>,
    pub(crate) stalled: Arc<Notify>,
}

impl Inner {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Changes what a fake holds, from wherever a test needs to.
#[derive(Clone)]
pub struct Handle(Arc<Inner>);

impl Handle {
    /// As [`FakeRegistry::put_manifest`].
    pub fn put_manifest(
        &self,
        repository: &str,
        media_type: &str,
        bytes: &[u8],
        tag: Option<&str>,
    ) -> String {
        self.0
            .state()
            .store_manifest(repository, media_type, bytes.to_vec().into(), tag)
    }
}

/// A running fake. It ends when it is dropped.
pub struct FakeRegistry {
    inner: Arc<Inner>,
    task: JoinHandle<()>,
}

impl Drop for FakeRegistry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeRegistry {
    /// Starts an open registry without extras.
    pub async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    /// Starts a registry.
    pub async fn start_with(options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has free ports");
        let host = listener
            .local_addr()
            .expect("a bound socket has an address")
            .to_string();
        let inner = Arc::new(Inner {
            host,
            options,
            state: Mutex::default(),
            stalled: Arc::default(),
        });
        let shared = Arc::clone(&inner);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let inner = Arc::clone(&shared);
                tokio::spawn(async move {
                    let service =
                        service_fn(move |request| serve::answer(Arc::clone(&inner), request));
                    // How a connection ends is the client's business, or the script's.
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { inner, task }
    }

    /// Returns `127.0.0.1:PORT`.
    pub fn host(&self) -> &str {
        &self.inner.host
    }

    /// Puts a blob in, and returns its digest.
    pub fn put_blob(&self, repository: &str, bytes: &[u8]) -> String {
        let digest = state::digest(bytes);
        self.inner
            .state()
            .repository(repository)
            .blobs
            .insert(digest.clone(), bytes.to_vec().into());
        digest
    }

    /// Puts a manifest in without any check, and returns its digest.
    pub fn put_manifest(
        &self,
        repository: &str,
        media_type: &str,
        bytes: &[u8],
        tag: Option<&str>,
    ) -> String {
        self.handle()
            .put_manifest(repository, media_type, bytes, tag)
    }

    /// Returns a handle that does not keep the fake running.
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.inner))
    }

    /// Serves bytes at a path outside of the registry API, to requests that show no login.
    pub fn serve_file(&self, path: &str, bytes: &[u8]) {
        self.inner
            .state()
            .files
            .insert(path.to_owned(), bytes.to_vec().into());
    }

    /// Returns what a tag or digest stands for: media type and bytes.
    pub fn manifest(&self, repository: &str, reference: &str) -> Option<(String, Vec<u8>)> {
        let state = self.inner.state();
        let (media_type, bytes) = state.repositories.get(repository)?.manifest(reference)?;
        Some((media_type.clone(), bytes.to_vec()))
    }

    /// Returns a blob.
    pub fn blob(&self, repository: &str, digest: &str) -> Option<Vec<u8>> {
        Some(
            self.inner
                .state()
                .repositories
                .get(repository)?
                .blobs
                .get(digest)?
                .to_vec(),
        )
    }

    /// Returns a repository's tags with their digests, in order.
    pub fn tags(&self, repository: &str) -> Vec<(String, String)> {
        let state = self.inner.state();
        let tags = state
            .repositories
            .get(repository)
            .map(|found| found.tags.clone());
        tags.into_iter().flatten().collect()
    }

    /// Scripts a fault. Faults are looked through in the order of their making.
    pub fn fault(&self, fault: Fault) {
        self.inner.state().faults.push(fault);
    }

    /// Makes every token that was given out invalid.
    pub fn revoke_tokens(&self) {
        self.inner.state().tokens.clear();
    }

    /// Returns all requests so far.
    pub fn requests(&self) -> Vec<Recorded> {
        self.inner.state().requests.clone()
    }

    /// Returns all requests so far as `METHOD /path STATUS`, and forgets them. A cut connection has the status `cut`.
    pub fn take_lines(&self) -> Vec<String> {
        let requests = std::mem::take(&mut self.inner.state().requests);
        let line = |request: Recorded| {
            let status = request
                .status
                .map_or("cut".to_owned(), |status| status.to_string());
            format!("{} {} {status}", request.method, request.path)
        };
        requests.into_iter().map(line).collect()
    }

    /// Wakes whoever waits when a request runs into [`Action::Stall`].
    pub fn stalled(&self) -> Arc<Notify> {
        Arc::clone(&self.inner.stalled)
    }

    /// Takes back every fault.
    pub fn mend(&self) {
        self.inner.state().faults.clear();
    }

    /// Returns how many scripted faults have not happened yet.
    pub fn faults_left(&self) -> usize {
        self.inner.state().faults.iter().map(Fault::left).sum()
    }
}
