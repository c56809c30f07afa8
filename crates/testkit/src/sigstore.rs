//! Fulcio, Rekor (both protocols), a timestamp authority and a CI system's token service on loopback, in one server.
//!
//! They check what they are sent as strictly as the real ones, but what they sign is worth nothing: these are for requests,
//! faults and forms. Whether a signature verifies is tested against the real services.

mod der;
mod fulcio;
mod rekor;
mod tsa;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// HTTP method.
    pub method: String,
    /// Path without query.
    pub path: String,
    /// Query, as sent.
    pub query: String,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Asked {
    /// Returns the value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// What a fake answers.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Reply {
    /// An answer in JSON.
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self {
            status,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.to_string().into_bytes(),
        }
    }

    /// A refusal in the words that the real services use.
    pub fn refuse(status: u16, message: &str) -> Self {
        Self::json(
            status,
            &serde_json::json!({"code": status, "message": message}),
        )
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// How the fakes behave.
#[derive(Debug, Clone)]
pub struct Options {
    /// From when and until when certificates count, `20250615120000Z`.
    pub validity: (String, String),
    /// The identity that certificates name.
    pub identity: String,
    /// Whether the certificate is for another key than that of the request.
    pub other_key: bool,
    /// What `/api/v2/configuration` says of issuers, JSON.
    pub issuers: serde_json::Value,
    /// The token that the token service gives.
    pub token: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            validity: ("20250615120000Z".to_owned(), "20250615121000Z".to_owned()),
            identity: "https://github.com/acme/app/.github/workflows/ci.yml@refs/heads/main"
                .to_owned(),
            other_key: false,
            issuers: serde_json::json!([]),
            token: String::new(),
        }
    }
}

#[derive(Debug, Clone)]
enum Fault {
    Answer(Reply),
    Cut,
}

struct Planned {
    path: String,
    times: usize,
    fault: Fault,
}

#[derive(Default)]
struct State {
    asked: Vec<Asked>,
    faults: Vec<Planned>,
    entries: Vec<rekor::Entry>,
}

struct Inner {
    options: Options,
    state: Mutex<State>,
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The running fakes. They end when this is dropped.
pub struct FakeSigstore {
    base: String,
    inner: Arc<Inner>,
    task: JoinHandle<()>,
}

impl Drop for FakeSigstore {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeSigstore {
    /// Starts the fakes on a free port.
    ///
    /// # Panics
    /// If loopback has no port left.
    pub async fn start(options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let inner = Arc::new(Inner {
            options,
            state: Mutex::default(),
        });
        let serving = inner.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let inner = serving.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| serve(inner.clone(), request));
                    // An error here is a client that went away, or a cut that a test asked for.
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self {
            base: format!("http://{address}"),
            inner,
            task,
        }
    }

    /// Returns the address of a service: `fulcio`, `rekor`, `rekor2`, `tsa`, `token`.
    pub fn url(&self, service: &str) -> String {
        format!("{}/{service}", self.base)
    }

    /// Answers so many requests to a path (`/rekor/api/v1/log/entries`) with something else.
    pub fn answer(&self, path: &str, times: usize, reply: Reply) {
        self.plan(path, times, Fault::Answer(reply));
    }

    /// Does what so many requests to a path ask for, and breaks the connection instead of answering.
    pub fn cut(&self, path: &str, times: usize) {
        self.plan(path, times, Fault::Cut);
    }

    fn plan(&self, path: &str, times: usize, fault: Fault) {
        self.inner.state().faults.push(Planned {
            path: path.to_owned(),
            times,
            fault,
        });
    }

    /// Returns every request so far whose path begins so.
    pub fn asked(&self, path: &str) -> Vec<Asked> {
        let state = self.inner.state();
        let asked = state.asked.iter();
        asked
            .filter(|asked| asked.path.starts_with(path))
            .cloned()
            .collect()
    }
}

async fn serve(
    inner: Arc<Inner>,
    request: http::Request<Incoming>,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let (head, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map_err(std::io::Error::other)?
        .to_bytes();
    let asked = Asked {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| {
                let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.to_string(), text)
            })
            .collect(),
        body: body.to_vec(),
    };
    let fault = {
        let mut state = inner.state();
        state.asked.push(asked.clone());
        let planned = state
            .faults
            .iter_mut()
            .find(|planned| planned.times > 0 && planned.path == asked.path);
        planned.map(|planned| {
            planned.times -= 1;
            planned.fault.clone()
        })
    };
    let reply = match fault {
        Some(Fault::Answer(reply)) => reply,
        Some(Fault::Cut) => {
            route(&inner, &asked);
            return Err(std::io::Error::other("cut on purpose"));
        }
        None => route(&inner, &asked),
    };
    let mut response = Response::new(Full::new(Bytes::from(reply.body)));
    *response.status_mut() =
        StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in reply.headers {
        let name = http::HeaderName::try_from(name).map_err(std::io::Error::other)?;
        let value = http::HeaderValue::try_from(value).map_err(std::io::Error::other)?;
        response.headers_mut().append(name, value);
    }
    Ok(response)
}

fn route(inner: &Inner, asked: &Asked) -> Reply {
    let done: Result<Reply, String> = match (asked.method.as_str(), asked.path.as_str()) {
        ("POST", "/fulcio/api/v2/signingCert") => fulcio::certificate(&inner.options, &asked.body),
        ("GET", "/fulcio/api/v2/configuration") => Ok(Reply::json(
            200,
            &serde_json::json!({"issuers": inner.options.issuers}),
        )),
        ("POST", "/rekor/api/v1/log/entries") => rekor::enter_v1(&mut inner.state(), &asked.body),
        ("GET", path) if path.starts_with("/rekor/api/v1/log/entries/") => {
            Ok(rekor::read_v1(&inner.state(), path))
        }
        ("POST", "/rekor2/api/v2/log/entries") => rekor::enter_v2(&mut inner.state(), &asked.body),
        ("POST", "/tsa") => tsa::timestamp(asked),
        ("GET", "/token") if asked.header("authorization") == Some("Bearer bearer-secret") => {
            Ok(Reply::json(
                200,
                &serde_json::json!({"count": 1, "value": inner.options.token}),
            ))
        }
        ("GET", "/token") => Err("who asks".to_owned()),
        _ => return Reply::refuse(404, "no such path"),
    };
    done.unwrap_or_else(|why| Reply::refuse(400, &why))
}
