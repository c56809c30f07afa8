//! Answers requests: reads here, writes in the sibling module.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use serde_json::json;

use super::{Action, Inner, Recorded, auth, state, write};

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// An answer on its way, before faults touch it.
pub(super) struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
    /// For HEAD: a length without a body.
    length: Option<usize>,
}

impl Answer {
    pub(super) fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
            length: None,
        }
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    fn without_body(mut self) -> Self {
        self.length = Some(self.body.len());
        self.body = Bytes::new();
        self
    }
}

/// An error answer as the specification has it.
pub(super) fn refuse(status: u16, code: &str, message: &str) -> Answer {
    Answer::new(status).body(json!({"errors": [{"code": code, "message": message}]}).to_string())
}

/// What a request is about: `/v2/<repository>/<kind>/<rest>`.
pub(super) struct Route<'a> {
    pub(super) repository: &'a str,
    pub(super) kind: &'static str,
    pub(super) rest: &'a str,
}

impl<'a> Route<'a> {
    fn parse(path: &'a str) -> Option<Self> {
        let path = path.strip_prefix("/v2/")?;
        ["/blobs/uploads/", "/blobs/", "/manifests/", "/referrers/"]
            .into_iter()
            .find_map(|kind| {
                let (repository, rest) = path.rsplit_once(kind)?;
                Some(Self {
                    repository,
                    kind: kind.trim_matches('/'),
                    rest,
                })
            })
    }
}

/// The service: records, does, breaks.
pub(super) async fn answer(
    inner: Arc<Inner>,
    request: Request<Incoming>,
) -> Result<Response<Body>, io::Error> {
    let (parts, mut incoming) = request.into_parts();
    let (path, query) = (
        parts.uri.path().to_owned(),
        parts.uri.query().unwrap_or_default().to_owned(),
    );
    let action = {
        let mut state = inner.state();
        state
            .faults
            .iter_mut()
            .find_map(|fault| fault.hit(parts.method.as_str(), &path))
    };
    let limit = if let Some(Action::CutRequest(after)) = action {
        after
    } else {
        usize::MAX
    };
    let mut body = BytesMut::new();
    let mut broken = false;
    while body.len() < limit {
        match incoming.frame().await {
            None => break,
            Some(Ok(frame)) => body.extend(frame.into_data().ok()),
            Some(Err(_)) => {
                broken = true;
                break;
            }
        }
    }
    body.truncate(limit);
    let body = body.freeze();
    let place = {
        let mut state = inner.state();
        state.requests.push(Recorded {
            method: parts.method.to_string(),
            path: path.clone(),
            query: query.clone(),
            headers: parts
                .headers
                .iter()
                .map(|(name, value)| {
                    (
                        name.to_string(),
                        String::from_utf8_lossy(value.as_bytes()).into_owned(),
                    )
                })
                .collect(),
            body: body.len(),
            status: None,
        });
        state.requests.len()
    };
    let cut = || Err(io::Error::other("scripted"));
    match &action {
        Some(Action::CutRequest(_)) => {
            write::keep_partial(&inner, &path, &body);
            return cut();
        }
        Some(Action::Stall) => {
            inner.stalled.notify_one();
            std::future::pending::<Infallible>().await;
        }
        _ if broken => {
            write::keep_partial(&inner, &path, &body);
            return cut();
        }
        _ => {}
    }
    let answer = match &action {
        Some(Action::Respond {
            status,
            headers,
            body,
        }) => {
            let answer = Answer {
                headers: headers.clone(),
                ..Answer::new(*status)
            }
            .body(body.clone());
            if parts.method == Method::HEAD {
                answer.without_body()
            } else {
                answer
            }
        }
        _ => route(&inner, &parts.method, &path, &query, &parts.headers, body),
    };
    if let Some(Action::CutAnswer) = action {
        return cut();
    }
    let mut state = inner.state();
    // A test may have taken the list meanwhile.
    if let Some(recorded) = state.requests.get_mut(place.saturating_sub(1)) {
        recorded.status = Some(answer.status);
    }
    drop(state);
    Ok(rendered(&inner, answer, action.as_ref()))
}

fn route(
    inner: &Inner,
    method: &Method,
    path: &str,
    query: &str,
    headers: &HeaderMap,
    body: Bytes,
) -> Answer {
    if path == "/token" {
        return auth::token(inner, method, query, headers, &body);
    }
    if let Some(bytes) = inner.state().files.get(path) {
        // As signed addresses of object stores do.
        return if headers.contains_key("authorization") {
            Answer::new(400).body("only one way to log in is allowed")
        } else {
            ranged(headers, bytes)
        };
    }
    let Some(route) = Route::parse(path) else {
        return refuse(404, "NOT_FOUND", "no such page");
    };
    let reads = matches!(*method, Method::GET | Method::HEAD) && route.kind != "blobs/uploads";
    if let Err(answer) = auth::check(
        inner,
        headers,
        route.repository,
        if reads { "pull" } else { "push" },
    ) {
        return if *method == Method::HEAD {
            answer.without_body()
        } else {
            answer
        };
    }
    let answer = match (route.kind, method.as_str()) {
        ("blobs", "GET" | "HEAD") => blob(inner, method, &route, headers),
        ("manifests", "GET" | "HEAD") => manifest(inner, &route, headers),
        ("referrers", "GET") => referrers(inner, &route, query),
        _ => write::handle(inner, method, &route, query, headers, body),
    };
    if *method == Method::HEAD {
        answer.without_body()
    } else {
        answer
    }
}

fn blob(inner: &Inner, method: &Method, route: &Route<'_>, headers: &HeaderMap) -> Answer {
    let state = inner.state();
    let found = state
        .repositories
        .get(route.repository)
        .and_then(|contents| contents.blobs.get(route.rest));
    match (found, &inner.options.redirect_blobs) {
        (None, _) => refuse(404, "BLOB_UNKNOWN", "blob unknown to registry"),
        (Some(_), Some(target)) => {
            Answer::new(307).header("location", &format!("{target}/{}", route.rest))
        }
        (Some(bytes), None) if method == Method::HEAD => Answer::new(200).body(bytes.clone()),
        (Some(bytes), None) => ranged(headers, bytes).header("docker-content-digest", route.rest),
    }
}

/// Answers with all bytes, or from where the request wants them.
fn ranged(headers: &HeaderMap, bytes: &Bytes) -> Answer {
    let start = headers.get("range").and_then(|value| {
        value
            .to_str()
            .ok()?
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse::<usize>()
            .ok()
    });
    match start {
        None => Answer::new(200).body(bytes.clone()),
        Some(start) if start < bytes.len() => Answer::new(206)
            .header(
                "content-range",
                &format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len()),
            )
            .body(bytes.slice(start..)),
        Some(_) => Answer::new(416),
    }
}

fn manifest(inner: &Inner, route: &Route<'_>, headers: &HeaderMap) -> Answer {
    let state = inner.state();
    let found = state
        .repositories
        .get(route.repository)
        .and_then(|contents| contents.manifest(route.rest));
    let Some((media_type, bytes)) = found else {
        return refuse(404, "MANIFEST_UNKNOWN", "manifest unknown");
    };
    let accepted = headers
        .get("accept")
        .and_then(|value| value.to_str().ok())
        .unwrap_or("*/*");
    if !accepted.contains(media_type.as_str())
        && !accepted.contains("*/*")
        && media_type.starts_with("application/vnd.oci")
    {
        return refuse(
            404,
            "MANIFEST_UNKNOWN",
            "not in a form that the client accepts",
        );
    }
    let answer = Answer::new(200)
        .header("content-type", media_type)
        .body(bytes.clone());
    if inner.options.content_digest {
        return answer.header("docker-content-digest", &state::digest(bytes));
    }
    answer
}

fn referrers(inner: &Inner, route: &Route<'_>, query: &str) -> Answer {
    let Some(page) = inner.options.referrers else {
        return refuse(404, "NOT_FOUND", "no such page");
    };
    let all = inner
        .state()
        .repositories
        .get(route.repository)
        .map(|contents| contents.referrers(route.rest));
    let all = all.unwrap_or_default();
    let start = auth::parameters(query)
        .get("from")
        .and_then(|from| from.first()?.parse::<usize>().ok())
        .unwrap_or(0);
    let shown: Vec<_> = all.iter().skip(start).take(page).collect();
    let body = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": shown,
    });
    let answer = Answer::new(200)
        .header("content-type", "application/vnd.oci.image.index.v1+json")
        .body(body.to_string());
    if start + page < all.len() {
        let next = format!(
            "</v2/{}/referrers/{}?from={}>; rel=\"next\"",
            route.repository,
            route.rest,
            start + page
        );
        return answer.header("link", &next);
    }
    answer
}

/// Makes the real answer, with the faults that are about bytes.
fn rendered(inner: &Inner, mut answer: Answer, action: Option<&Action>) -> Response<Body> {
    let mut body = answer.body;
    let length = answer.length.unwrap_or(body.len());
    let whole = |bytes: Bytes| {
        Full::new(bytes)
            .map_err(|never: Infallible| match never {})
            .boxed_unsync()
    };
    let broken =
        |bytes: Bytes, end: stream::BoxStream<'static, Result<Frame<Bytes>, io::Error>>| {
            let start = stream::once(async move { Ok(Frame::data(bytes)) });
            StreamBody::new(start.chain(end)).boxed_unsync()
        };
    let body = match action {
        Some(Action::WrongBody) if !body.is_empty() => {
            let mut changed = body.to_vec();
            changed[0] ^= 1;
            body = changed.into();
            whole(body)
        }
        Some(&Action::CutBody(after)) => {
            // Yields once, so that what came before is sent.
            let end = stream::once(async {
                tokio::task::yield_now().await;
                Err(io::Error::other("scripted"))
            });
            broken(body.slice(..after.min(body.len())), end.boxed())
        }
        Some(&Action::StallBody(after)) => {
            let stalled = Arc::clone(&inner.stalled);
            let end = stream::once(async move {
                stalled.notify_one();
                std::future::pending().await
            });
            broken(body.slice(..after.min(body.len())), end.boxed())
        }
        Some(Action::WrongDigestHeader) => {
            answer
                .headers
                .retain(|(name, _)| name != "docker-content-digest");
            answer.headers.push((
                "docker-content-digest".to_owned(),
                state::digest(b"something else"),
            ));
            whole(body)
        }
        Some(Action::WithoutHeaders(names)) => {
            answer
                .headers
                .retain(|(name, _)| !names.contains(&name.as_str()));
            whole(body)
        }
        _ => whole(body),
    };
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = answer
        .headers
        .into_iter()
        .chain((answer.status != 204).then(|| ("content-length".to_owned(), length.to_string())));
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (
            http::HeaderName::try_from(name),
            http::HeaderValue::try_from(value),
        ) {
            response.headers_mut().append(name, value);
        }
    }
    response
}
