//! A server of files that can be told to misbehave.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use reseal_repo::ContentDigest;

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What goes wrong with one answer.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    Status(u16),
    /// The connection breaks after so many bytes.
    Cut(usize),
    Redirect(String),
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// For the next answers about a path, in order.
    pub(crate) faults: BTreeMap<String, Vec<Fault>>,
    /// Paths of requests, with `Authorization` and `Range` if they had one.
    pub(crate) requests: Vec<String>,
    /// Answers conditional requests.
    pub(crate) etags: bool,
    pub(crate) ranges: bool,
    /// What `Authorization` must be.
    pub(crate) login: Option<String>,
}

#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                let service = service_fn(move |request| {
                    let answer = answer(&mut state.lock().unwrap(), &request);
                    async move { Ok::<_, Infallible>(answer) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { url, state }
    }

    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.with(|state| std::mem::take(&mut state.requests))
    }
}

fn answer(state: &mut State, request: &Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let header = |name: &str| {
        let value = request.headers().get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let mut line = path.clone();
    for name in ["authorization", "range"] {
        if let Some(value) = header(name) {
            line = format!("{line} {value}");
        }
    }
    state.requests.push(line);
    let fault = state
        .faults
        .get_mut(&path)
        .filter(|faults| !faults.is_empty())
        .map(|faults| faults.remove(0));
    let status = |status: u16| Response::builder().status(status);
    let mut cut = None;
    match fault {
        Some(Fault::Status(code)) => return status(code).body(body(vec![])).unwrap(),
        Some(Fault::Redirect(to)) => {
            return status(302)
                .header("location", to)
                .body(body(vec![]))
                .unwrap();
        }
        Some(Fault::Cut(after)) => cut = Some(after),
        None => {}
    }
    if state.login.is_some() && state.login != header("authorization") {
        return status(401).body(body(vec![])).unwrap();
    }
    let Some(file) = state.files.get(&path) else {
        return status(404).body(body(vec![])).unwrap();
    };
    let etag = format!("\"{}\"", ContentDigest::of(file));
    if state.etags && header("if-none-match").as_deref() == Some(&etag) {
        return status(304).body(body(vec![])).unwrap();
    }
    let mut start = 0;
    if state.ranges
        && let Some(range) = header("range")
    {
        start = range["bytes=".len()..]
            .trim_end_matches('-')
            .parse()
            .unwrap();
    }
    let part = file[start..].to_vec();
    let mut response =
        status(if start > 0 { 206 } else { 200 }).header("content-length", part.len());
    if start > 0 {
        let range = format!("bytes {start}-{}/{}", file.len() - 1, file.len());
        response = response.header("content-range", range);
    }
    if state.etags {
        response = response.header("etag", etag);
    }
    let mut pieces: Vec<io::Result<Vec<u8>>> = match cut {
        Some(after) => vec![Ok(part[..after].to_vec()), Err(io::Error::other("cut"))],
        None => vec![Ok(part)],
    };
    pieces.retain(|piece| piece.as_ref().map_or(true, |bytes| !bytes.is_empty()));
    response.body(parts(pieces)).unwrap()
}

fn body(bytes: Vec<u8>) -> Body {
    parts(vec![Ok(bytes)])
}

fn parts(pieces: Vec<io::Result<Vec<u8>>>) -> Body {
    let frames = pieces
        .into_iter()
        .map(|piece| piece.map(|bytes| Frame::data(Bytes::from(bytes))));
    // A pause after each frame: what was given goes out before the connection breaks.
    let frames = stream::iter(frames).then(|frame| async {
        tokio::task::yield_now().await;
        frame
    });
    StreamBody::new(frames).boxed_unsync()
}
