//! A `BuildKit` daemon in memory. It speaks the real protocol and is stricter than life: a session that does not answer
//! its health checks, a gateway call without its build, a second `Return`, data that does not have its digest, a graph
//! that is not in order – each is refused.
//!
//! What a gateway `Solve` gives is scripted with [`Answer`]s, taken one by one.

mod bridge;
mod control;
mod export;
mod session;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use reseal_proto::control::control_server::ControlServer;
use reseal_proto::control::{SolveRequest, StatusResponse};
use reseal_proto::gateway::llb_bridge_server::LlbBridgeServer;
use reseal_proto::{control as wire, gateway};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

const MESSAGE_LIMIT: usize = 16 << 20;

/// What one gateway `Solve` does.
pub enum Answer {
    /// A result with this layer (an uncompressed tar, or any bytes) and these files.
    Layer {
        /// The exported layer.
        layer: Vec<u8>,
        /// Readable files by absolute path.
        files: BTreeMap<String, Vec<u8>>,
    },
    /// A result without content, as of a diff of equal things.
    Empty,
    /// A failure; this status update follows it a moment later.
    Fails(Status, StatusResponse),
    /// No answer, ever.
    Hangs,
    /// The daemon dies: every connection is cut.
    Dies,
    /// The daemon ends the session and goes on.
    EndsSession,
    /// The answer to the first graph that has this text in one of its operations: builds of several platforms ask in any
    /// order.
    For(String, Box<Answer>),
}

impl Answer {
    /// A result with a layer and no readable files.
    pub fn layer(layer: &[u8]) -> Self {
        Self::Layer {
            layer: layer.to_vec(),
            files: BTreeMap::new(),
        }
    }

    fn fits(&self, graph: &[Vec<u8>]) -> bool {
        let Self::For(text, answer) = self else {
            return true;
        };
        let has = |op: &Vec<u8>| op.windows(text.len()).any(|part| part == text.as_bytes());
        graph.iter().any(has) && answer.fits(graph)
    }

    fn plain(self) -> Self {
        match self {
            Self::For(_, answer) => answer.plain(),
            answer => answer,
        }
    }
}

/// How a fake daemon behaves.
pub struct Script {
    /// The version that `Info` tells; without one the call is unknown, as before 0.11.
    pub version: Option<String>,
    /// Capabilities by id; the value is the reason for those that are switched off.
    pub capabilities: BTreeMap<String, Option<String>>,
    /// Behaves like `BuildKit` 0.12: ignores the list of exporters, and prefixes returned errors.
    pub old: bool,
    /// Stops checking the session's health, and everything else about it.
    pub silent: bool,
    /// What `Control.Solve` answers instead of waiting for the frontend.
    pub refuse: Option<Status>,
    /// The answers to gateway solves, in order.
    pub answers: Vec<Answer>,
}

impl Default for Script {
    fn default() -> Self {
        let known = [
            "constraints",
            "platform",
            "meta.description",
            "source.image",
            "source.ocilayout",
            "exec.meta.base",
            "exec.mount.bind",
            "exec.mount.tmpfs",
            "exec.mount.cache",
            "exec.mount.cache.sharing",
            "exec.mount.secret",
            "exec.mount.selector",
            "exec.mount.bind.readwrite-nooutput",
            "file.base",
            "mergeop",
            "diffop",
            "solve.base",
            "return",
            "returnmap",
        ];
        Self {
            version: Some("v0.32.2".to_owned()),
            capabilities: known.into_iter().map(|id| (id.to_owned(), None)).collect(),
            old: false,
            silent: false,
            refuse: None,
            answers: Vec::new(),
        }
    }
}

/// A running fake daemon.
pub struct FakeBuildkitd {
    daemon: Arc<Daemon>,
    channel: Channel,
}

impl FakeBuildkitd {
    /// Starts a daemon on an in-memory pipe.
    pub async fn start(script: Script) -> Self {
        let daemon = Arc::new(Daemon::new(script));
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        daemon.serve(ours);
        Self {
            channel: channel_over(theirs).await,
            daemon,
        }
    }

    /// Starts a daemon that listens on a Unix socket as well, for tests of the real way to connect.
    pub async fn listen(script: Script, socket: &Path) -> io::Result<Self> {
        let fake = Self::start(script).await;
        let listener = tokio::net::UnixListener::bind(socket)?;
        let daemon = Arc::clone(&fake.daemon);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                daemon.serve(connection);
            }
        });
        Ok(fake)
    }

    /// A client channel to the daemon.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// The calls so far, by method, in order of arrival; without health checks.
    pub fn calls(&self) -> Vec<String> {
        lock(&self.daemon.calls).clone()
    }

    /// The `Control.Solve` requests so far.
    pub fn solves(&self) -> Vec<SolveRequest> {
        lock(&self.daemon.solves).clone()
    }

    /// The graphs that were solved so far, with all that came with them, as they were on the wire.
    pub fn graphs(&self) -> Vec<Vec<u8>> {
        lock(&self.daemon.graphs).clone()
    }

    /// The `Return` requests so far.
    pub fn returns(&self) -> Vec<gateway::ReturnRequest> {
        lock(&self.daemon.returns).clone()
    }

    /// Digests that the session said it had already.
    pub fn skipped(&self) -> BTreeSet<String> {
        lock(&self.daemon.skipped).clone()
    }

    /// Waits until a client gave up a running `Control.Solve`.
    pub async fn cancelled(&self) {
        self.daemon.cancelled.notified().await;
    }

    /// Waits until a client's session ended.
    pub async fn session_ended(&self) {
        self.daemon.session_ended.notified().await;
    }

    /// Waits until a gateway solve hangs.
    pub async fn hanging(&self) {
        self.daemon.hanging.notified().await;
    }

    /// A channel into the session that is open now, as the daemon uses it.
    pub fn session(&self) -> Option<Channel> {
        lock(&self.daemon.sessions).values().next().cloned()
    }

    /// How many health checks were answered.
    pub fn health_checks(&self) -> usize {
        *lock(&self.daemon.health_checks)
    }

    /// Fetches a registry token through the session, as the daemon does after a 401: asks for the authority's key,
    /// has it prove the key, and only then asks for a token. `Ok(None)` means that the session has no authority.
    pub async fn fetch_token(&self, host: &str, scope: &str) -> Result<Option<String>, Status> {
        let channel = self
            .session()
            .ok_or_else(|| Status::unavailable("no session"))?;
        session::fetch_token(channel, host, scope).await
    }
}

/// Connects a client channel over one byte stream.
async fn channel_over(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Channel {
    let slot = Arc::new(Mutex::new(Some(TokioIo::new(io))));
    let connector = tower::service_fn(move |_: http::Uri| {
        let io = lock(&slot).take();
        std::future::ready(io.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)))
    });
    Endpoint::from_static("http://localhost")
        .http2_max_header_list_size(16 << 20)
        .connect_with_connector(connector)
        .await
        .expect("a pipe connects")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One build that a `Control.Solve` has registered.
struct Build {
    session: String,
    /// Results by ref id.
    results: Mutex<BTreeMap<String, Content>>,
    /// Where `Return` goes; taken by the first.
    returned: Mutex<Option<oneshot::Sender<gateway::ReturnRequest>>>,
    progress: Mutex<Vec<StatusResponse>>,
    changed: Notify,
    over: Mutex<bool>,
}

/// What a ref holds.
#[derive(Clone, Default)]
struct Content {
    layer: Option<Vec<u8>>,
    files: Arc<BTreeMap<String, Vec<u8>>>,
}

struct Daemon {
    version: Option<String>,
    capabilities: BTreeMap<String, Option<String>>,
    old: bool,
    silent: bool,
    refuse: Option<Status>,
    answers: Mutex<VecDeque<Answer>>,
    calls: Mutex<Vec<String>>,
    solves: Mutex<Vec<SolveRequest>>,
    graphs: Mutex<Vec<Vec<u8>>>,
    returns: Mutex<Vec<gateway::ReturnRequest>>,
    builds: Mutex<BTreeMap<String, Arc<Build>>>,
    sessions: Mutex<BTreeMap<String, Channel>>,
    session_tasks: Mutex<Vec<AbortHandle>>,
    skipped: Mutex<BTreeSet<String>>,
    health_checks: Mutex<usize>,
    arrived: Notify,
    cancelled: Notify,
    session_ended: Notify,
    hanging: Notify,
    connections: Mutex<Vec<AbortHandle>>,
}

impl Daemon {
    fn new(script: Script) -> Self {
        Self {
            version: script.version,
            capabilities: script.capabilities,
            old: script.old,
            silent: script.silent,
            refuse: script.refuse,
            answers: Mutex::new(script.answers.into()),
            calls: Mutex::default(),
            solves: Mutex::default(),
            graphs: Mutex::default(),
            returns: Mutex::default(),
            builds: Mutex::default(),
            sessions: Mutex::default(),
            session_tasks: Mutex::default(),
            skipped: Mutex::default(),
            health_checks: Mutex::default(),
            arrived: Notify::new(),
            cancelled: Notify::new(),
            session_ended: Notify::new(),
            hanging: Notify::new(),
            connections: Mutex::default(),
        }
    }

    fn serve(self: &Arc<Self>, io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        let mut routes = tonic::service::Routes::builder();
        routes
            .add_service(
                ControlServer::new(control::ControlService(Arc::clone(self)))
                    .max_decoding_message_size(MESSAGE_LIMIT)
                    .max_encoding_message_size(MESSAGE_LIMIT),
            )
            .add_service(
                LlbBridgeServer::new(bridge::BridgeService(Arc::clone(self)))
                    .max_decoding_message_size(MESSAGE_LIMIT)
                    .max_encoding_message_size(MESSAGE_LIMIT),
            );
        let service = TowerToHyperService::new(routes.routes().prepare());
        let connection = tokio::spawn(async move {
            // A client that goes away is no failure of the daemon.
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .max_header_list_size(1 << 20)
                .serve_connection(TokioIo::new(io), service)
                .await;
        });
        lock(&self.connections).push(connection.abort_handle());
    }

    fn called(&self, method: &str) {
        lock(&self.calls).push(method.to_owned());
    }

    fn die(&self) {
        lock(&self.connections)
            .drain(..)
            .for_each(|connection| connection.abort());
    }

    /// Waits for something to appear, as long as the real daemon would.
    async fn find<T>(&self, limit: std::time::Duration, look: impl Fn() -> Option<T>) -> Option<T> {
        let search = async {
            loop {
                let arrived = self.arrived.notified();
                tokio::pin!(arrived);
                arrived.as_mut().enable();
                if let Some(found) = look() {
                    return found;
                }
                arrived.await;
            }
        };
        tokio::time::timeout(limit, search).await.ok()
    }
}

impl Build {
    fn report(&self, update: StatusResponse) {
        lock(&self.progress).push(update);
        self.changed.notify_waiters();
    }

    fn end(&self) {
        *lock(&self.over) = true;
        self.changed.notify_waiters();
    }
}

/// A log line of an operation, then its failed end: what the daemon reports about a failed process.
pub fn failed_vertex(digest: &str, output: &str) -> StatusResponse {
    StatusResponse {
        vertexes: vec![wire::Vertex {
            digest: digest.to_owned(),
            name: "patch".to_owned(),
            started: Some(prost_types::Timestamp {
                seconds: 1,
                nanos: 500_000_000,
            }),
            completed: Some(prost_types::Timestamp {
                seconds: 2,
                nanos: 0,
            }),
            error: "process did not complete".to_owned(),
            ..Default::default()
        }],
        logs: vec![wire::VertexLog {
            vertex: digest.to_owned(),
            stream: 2,
            msg: output.as_bytes().to_vec(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// The status of a failed process with `BuildKit`'s typed details, and `padding` bytes of stack trace.
pub fn exec_failure(digest: &str, exit_code: u32, padding: usize) -> Status {
    use prost::Message;
    let message = format!(
        "process \"/bin/sh /run/patch.sh\" did not complete successfully: exit code: {exit_code}"
    );
    let detail = |kind: &str, value: String| prost_types::Any {
        type_url: format!("github.com/moby/buildkit/{kind}"),
        value: value.into_bytes(),
    };
    let details = vec![
        detail(
            "stack.Stack+json",
            serde_json::json!({ "frames": ["x".repeat(padding)] }).to_string(),
        ),
        detail(
            "gatewayapi.ExitMessage+json",
            serde_json::json!({ "Code": exit_code }).to_string(),
        ),
        detail(
            "errdefs.Vertex+json",
            serde_json::json!({ "digest": digest }).to_string(),
        ),
    ];
    let bytes = reseal_proto::rpc::Status {
        code: 2,
        message: message.clone(),
        details,
    }
    .encode_to_vec();
    Status::with_details(tonic::Code::Unknown, message, bytes.into())
}
