//! The session: a gRPC server of ours inside a byte stream to the daemon, over which the daemon asks for credentials,
//! secrets and blobs and hands back what it exports.

mod auth;
mod authority;
mod content;
mod health;
mod secrets;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use reseal_proto::auth::auth_server::AuthServer;
use reseal_proto::content::content_server::ContentServer;
use reseal_proto::control::BytesMessage;
use reseal_proto::health::health_server::HealthServer;
use reseal_proto::secrets::secrets_server::SecretsServer;
use tokio::io::{AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use tokio_stream::StreamExt;
use tokio_util::io::ReaderStream;
use tonic::metadata::MetadataValue;
use tonic::service::Routes;

pub use auth::{AuthProvider, Credentials, Token, TokenRequest};
pub(crate) use authority::Authority;
pub use content::ContentSource;

use crate::client::{Control, MESSAGE_LIMIT};
use crate::export::ExportSink;
use crate::{BuildError, status};

/// Every method that the daemon may call. It compares these with what it needs before some calls.
const METHODS: [&str; 9] = [
    "/grpc.health.v1.Health/Check",
    "/moby.filesync.v1.Auth/Credentials",
    "/moby.filesync.v1.Auth/FetchToken",
    "/moby.filesync.v1.Auth/GetTokenAuthority",
    "/moby.filesync.v1.Auth/VerifyTokenAuthority",
    "/moby.buildkit.secrets.v1.Secrets/GetSecret",
    "/containerd.services.content.v1.Content/Info",
    "/containerd.services.content.v1.Content/Read",
    "/containerd.services.content.v1.Content/Write",
];

/// The pipe between the byte stream and our server; the size of one flow-control window.
const PIPE: usize = 256 << 10;
/// The size of the pieces that `BuildKit`'s own clients send.
const PIECE: usize = 32 << 10;
/// Flow-control windows for the layers that come in; HTTP/2's 64 KiB would make them wait for round trips.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;
/// Requests to us carry a few short headers, but trace headers and long scopes are not ours to limit.
const HEADER_LIMIT: u32 = 1 << 20;
/// How long the daemon may take to accept a session.
const OPEN_LIMIT: Duration = Duration::from_secs(30);
/// The daemon checks the session's health every 5 s. Twelve missing checks in a row mean that nobody is there.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);
/// How long a finished session may take to say goodbye.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// What one session serves.
pub(crate) struct Services {
    pub(crate) auth: Option<Arc<dyn AuthProvider>>,
    pub(crate) authority: Authority,
    pub(crate) secrets: BTreeMap<String, Vec<u8>>,
    pub(crate) source: Option<(String, Arc<dyn ContentSource>)>,
    pub(crate) export: Option<Arc<ExportSink>>,
}

/// A running session. Dropping it ends it at once.
pub(crate) struct Session {
    /// Our HTTP/2 server, the bytes towards it, and the watch over both; the first to end says why.
    tasks: JoinSet<String>,
    /// The tasks that do not end by themselves when the daemon has closed its half.
    ours: [AbortHandle; 2],
}

impl Session {
    /// Opens a session under `id`.
    pub(crate) async fn open(
        mut control: Control,
        id: &str,
        services: Services,
    ) -> Result<Self, BuildError> {
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let (outward, inward) = tokio::io::split(theirs);
        let mut tasks = JoinSet::new();
        let server = tasks.spawn(serve(ours, routes(services)));

        let opening =
            tokio::time::timeout(OPEN_LIMIT, control.session(request(id, outward)?)).await;
        let incoming = opening
            .map_err(|_| BuildError::Session {
                why: format!(
                    "the daemon did not accept it within {} s",
                    OPEN_LIMIT.as_secs()
                ),
            })?
            .map_err(|error| status::classify(&error))?
            .into_inner();

        let pulse = Arc::new(Notify::new());
        tasks.spawn(receive(incoming, inward, Arc::clone(&pulse)));
        let watch = tasks.spawn(watch(pulse));
        Ok(Self {
            tasks,
            ours: [server, watch],
        })
    }

    /// Waits until the session has ended, which it should not before [`Session::close`].
    pub(crate) async fn broken(&mut self) -> BuildError {
        let why = match self.tasks.join_next().await {
            Some(Ok(why)) => why,
            Some(Err(error)) => error.to_string(),
            None => "it has already ended".to_owned(),
        };
        BuildError::Session { why }
    }

    /// Ends the session in an orderly way: closes our half and lets the daemon close its own.
    pub(crate) async fn close(mut self) {
        self.ours.iter().for_each(AbortHandle::abort);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(CLOSE_LIMIT, all).await.is_err() {
            tracing::debug!("the session's tasks did not end in time");
        }
    }
}

fn request(
    id: &str,
    outward: ReadHalf<DuplexStream>,
) -> Result<tonic::Request<impl futures_util::Stream<Item = BytesMessage> + use<>>, BuildError> {
    let bytes = ReaderStream::with_capacity(outward, PIECE)
        // The pipe ends with our server; an error of it is that end.
        .map_while(|piece| piece.ok().map(|data| BytesMessage { data }));
    let mut request = tonic::Request::new(bytes);
    let headers = request.metadata_mut();
    let id: MetadataValue<_> = id.parse().map_err(|_| BuildError::Session {
        why: format!("`{id}` cannot be a header value"),
    })?;
    headers.insert("x-docker-expose-session-uuid", id);
    headers.insert(
        "x-docker-expose-session-sharedkey",
        MetadataValue::from_static(""),
    );
    for method in METHODS {
        headers.append(
            "x-docker-expose-session-grpc-method",
            MetadataValue::from_static(method),
        );
    }
    Ok(request)
}

fn routes(services: Services) -> Routes {
    let Services {
        auth,
        authority,
        secrets,
        source,
        export,
    } = services;
    let content = content::ContentService { source, export };
    let mut routes = Routes::builder();
    routes
        .add_service(HealthServer::new(health::HealthService))
        .add_service(AuthServer::new(auth::AuthService {
            provider: auth,
            authority,
        }))
        .add_service(SecretsServer::new(secrets::SecretsService { secrets }))
        .add_service(
            ContentServer::new(content)
                .max_decoding_message_size(MESSAGE_LIMIT)
                .max_encoding_message_size(MESSAGE_LIMIT),
        );
    routes.routes().prepare()
}

async fn serve(pipe: DuplexStream, routes: Routes) -> String {
    let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .max_header_list_size(HEADER_LIMIT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .serve_connection(TokioIo::new(pipe), TowerToHyperService::new(routes))
        .await;
    match served {
        Ok(()) => "the daemon closed it".to_owned(),
        Err(error) => format!(
            "the daemon's requests could not be served: {}",
            status::chain(&error)
        ),
    }
}

async fn receive(
    mut incoming: tonic::Streaming<BytesMessage>,
    mut inward: WriteHalf<DuplexStream>,
    pulse: Arc<Notify>,
) -> String {
    let mut served = true;
    loop {
        match incoming.message().await {
            Ok(Some(message)) => {
                pulse.notify_one();
                // Once our server is gone the rest is read and dropped, so that the call ends instead of being reset.
                served = served && inward.write_all(&message.data).await.is_ok();
            }
            Ok(None) => return "the daemon closed it".to_owned(),
            Err(error) => return status::describe(&error),
        }
    }
}

async fn watch(pulse: Arc<Notify>) -> String {
    while tokio::time::timeout(SILENCE_LIMIT, pulse.notified())
        .await
        .is_ok()
    {}
    format!(
        "no sign of life from the daemon for {} s",
        SILENCE_LIMIT.as_secs()
    )
}
