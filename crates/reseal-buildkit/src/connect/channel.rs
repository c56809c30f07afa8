//! One open byte stream, turned into one gRPC connection that has proved to be `BuildKit`.

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use reseal_proto::control::InfoRequest;
use reseal_proto::control::control_client::ControlClient;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};

use super::address::Address;
use super::error::{ConnectError, causes};
use super::stdio::Child;
use super::watched::{End, Watched};

/// Largest message in either direction, in bytes: `BuildKit`'s own limit. To be set on every generated client.
pub const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// Largest header list, in bytes: `BuildKit`'s errors carry stack traces in trailers, far above HTTP/2's usual 16 KiB.
const MAX_HEADER_LIST_BYTES: u32 = 16 << 20;

/// Flow control windows, in bytes: exported layers come in over one stream, and 64 KiB would make each wait for a round trip.
const STREAM_WINDOW_BYTES: u32 = 2 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// A byte stream to a daemon.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// Any of the transports' streams.
pub(super) type BoxIo = Box<dyn Io>;

/// A connection to a daemon that has answered at least once.
///
/// There is exactly one byte stream behind it. When that ends, calls fail; a new one is never opened silently, because
/// the daemon behind it would know nothing of the session. Clones share the stream; the child process of a process
/// transport is ended when the last clone is dropped, so keep one as long as the channel is in use.
#[derive(Debug, Clone)]
pub struct Connection {
    /// For the generated clients; set their message limits to [`MAX_MESSAGE_BYTES`].
    pub channel: Channel,
    address: Address,
    end: End,
    child: Option<Arc<Child>>,
}

impl Connection {
    /// Returns where the daemon was reached.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Returns what is known about the end of the connection: that of the child process behind it and the last it wrote
    /// to standard error, else that of the byte stream.
    ///
    /// `None` while all is well; a child process that has warned of something is no longer well.
    pub fn diagnostics(&self) -> Option<String> {
        let child = self.child.as_ref().and_then(|child| child.diagnostics());
        child.or_else(|| self.end.get())
    }
}

/// The end of the time for one connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    pub(super) fn after(limit: Duration) -> Self {
        // An hour stands in for the times that overflow: nobody waits that long for a connection.
        let at = Instant::now()
            .checked_add(limit)
            .unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
        Self { at, limit }
    }

    /// A deadline after `part` of the time that is left; its errors name the whole time.
    pub(super) fn share(&self, part: f64) -> Self {
        let left = self.at.saturating_duration_since(Instant::now());
        Self {
            at: Instant::now() + left.mul_f64(part),
            limit: self.limit,
        }
    }

    /// Waits for `work`, at most until the deadline.
    pub(super) async fn wait<T>(
        &self,
        address: &Address,
        stage: &str,
        work: impl Future<Output = T>,
    ) -> Result<T, ConnectError> {
        tokio::time::timeout_at(self.at, work)
            .await
            .map_err(|_| ConnectError::Timeout {
                address: address.to_string(),
                limit: self.limit,
                stage: stage.to_owned(),
            })
    }
}

/// Speaks HTTP/2 over `io` and asks the daemon for a sign of life.
pub(super) async fn establish(
    address: &Address,
    authority: &str,
    io: BoxIo,
    child: Option<Arc<Child>>,
    deadline: Deadline,
) -> Result<Connection, ConnectError> {
    let (io, end) = Watched::new(io);
    let work = open(address, authority, io, end.clone(), child.as_ref());
    let result = deadline
        .wait(address, "waiting for an HTTP/2 answer", work)
        .await;
    let failure = match result {
        Ok(Ok(channel)) => {
            return Ok(Connection {
                channel,
                address: address.clone(),
                end,
                child,
            });
        }
        Ok(Err(why)) => ConnectError::unreachable(address, with_end(why, &end)),
        Err(timeout) => timeout,
    };
    let Some(child) = child else {
        return Err(failure);
    };
    Err(child.explain(failure).await)
}

async fn open(
    address: &Address,
    authority: &str,
    io: Watched,
    end: End,
    child: Option<&Arc<Child>>,
) -> Result<Channel, String> {
    let uri: Uri = format!("http://{authority}")
        .parse()
        .map_err(|error| format!("`{authority}` cannot be an HTTP authority: {error}"))?;
    let endpoint = Endpoint::from(uri)
        .http2_max_header_list_size(MAX_HEADER_LIST_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    let slot = Arc::new(Mutex::new(Some(io)));
    let ended = format!("the connection to `{address}` has ended");
    // Weak, or the channel would keep the child alive that the connection is to end.
    let child = child.map(Arc::downgrade);
    let connector = tower::service_fn(move |_: Uri| {
        let io = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        let child = child.as_ref().and_then(Weak::upgrade);
        let words = child.and_then(|child| child.diagnostics());
        let message = match words {
            Some(words) => format!("{ended}: {words}"),
            None => with_end(ended.clone(), &end),
        };
        std::future::ready(
            io.map(TokioIo::new)
                .ok_or_else(|| io::Error::new(io::ErrorKind::NotConnected, message)),
        )
    });
    let channel = endpoint
        .connect_with_connector(connector)
        .await
        .map_err(|error| causes(&error))?;
    prove(channel.clone()).await?;
    Ok(channel)
}

/// Adds why the stream ended, unless that was said already.
fn with_end(why: String, end: &End) -> String {
    match end.get() {
        Some(end) if !why.contains(&end) => format!("{why}: {end}"),
        _ => why,
    }
}

/// Calls `Control.Info`. A daemon before 0.11 does not know it and is up nevertheless.
async fn prove(channel: Channel) -> Result<(), String> {
    let mut client = ControlClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
    match client.info(InfoRequest {}).await {
        Ok(_) => Ok(()),
        Err(status) if status.code() == tonic::Code::Unimplemented && !is_made_up(&status) => {
            Ok(())
        }
        Err(status) => Err(describe(&status)),
    }
}

/// Whether tonic derived the status from a bare HTTP 404: then some other HTTP/2 server answered. tonic gives no other
/// sign of it than the message.
fn is_made_up(status: &tonic::Status) -> bool {
    status.message().contains("mapped from HTTP status code")
}

fn describe(status: &tonic::Status) -> String {
    match std::error::Error::source(status) {
        Some(source) => causes(source),
        None if is_made_up(status) => "an HTTP/2 server answered that is not BuildKit".to_owned(),
        None if status.message().is_empty() => {
            format!("the server answered with gRPC status {:?}", status.code())
        }
        None => status.message().to_owned(),
    }
}
