//! Uploads, mounts and manifests.

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;

use super::serve::{Answer, Route, refuse};
use super::state::{State, UploadSession, digest};
use super::{Inner, auth};

/// The largest manifest, in bytes.
const MANIFEST_LIMIT: usize = 4 * 1024 * 1024;

pub(super) fn handle(
    inner: &Inner,
    method: &Method,
    route: &Route<'_>,
    query: &str,
    headers: &HeaderMap,
    body: Bytes,
) -> Answer {
    let parameters = auth::parameters(query);
    let parameter = |name: &str| {
        parameters
            .get(name)
            .and_then(|values| values.first())
            .map(String::as_str)
    };
    match (route.kind, method.as_str()) {
        ("blobs/uploads", "POST") if route.rest.is_empty() => {
            if let (Some(wanted), Some(from)) = (parameter("mount"), parameter("from"))
                && inner.options.mounts
                && auth::covers(inner, headers, from, "pull")
            {
                let mut state = inner.state();
                let found = state
                    .repositories
                    .get(from)
                    .and_then(|contents| contents.blobs.get(wanted))
                    .cloned();
                if let Some(bytes) = found {
                    state
                        .repository(route.repository)
                        .blobs
                        .insert(wanted.to_owned(), bytes);
                    return stored(route.repository, "blobs", wanted);
                }
            }
            let mut state = inner.state();
            let (id, first) = (state.fresh("upload"), state.fresh("state"));
            let session = UploadSession {
                repository: route.repository.to_owned(),
                bytes: Vec::new(),
                state: first,
            };
            state.uploads.insert(id.clone(), session);
            located(inner, &state, 202, &id)
        }
        ("blobs/uploads", "GET" | "PATCH" | "PUT") => {
            upload(inner, method, route, headers, &body, &parameter)
        }
        ("manifests", "PUT") => put_manifest(inner, route, headers, body),
        _ => refuse(405, "UNSUPPORTED", "the operation is unsupported"),
    }
}

fn upload<'a>(
    inner: &Inner,
    method: &Method,
    route: &Route<'_>,
    headers: &HeaderMap,
    body: &[u8],
    parameter: &dyn Fn(&str) -> Option<&'a str>,
) -> Answer {
    let mut state = inner.state();
    let fresh = state.fresh("state");
    let id = route.rest;
    let Some(session) = state
        .uploads
        .get_mut(id)
        .filter(|session| session.repository == route.repository)
    else {
        return refuse(
            404,
            "BLOB_UPLOAD_UNKNOWN",
            "blob upload unknown to registry",
        );
    };
    if parameter("_state") != Some(&session.state) {
        return refuse(
            400,
            "BLOB_UPLOAD_INVALID",
            "the state is not the last one that was given out",
        );
    }
    if method == Method::GET {
        return located(inner, &state, 204, id);
    }
    let length = headers
        .get("content-length")
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if length != Some(body.len()) {
        return refuse(411, "SIZE_INVALID", "an upload must say its length");
    }
    if let Some(range) = headers
        .get("content-range")
        .and_then(|value| value.to_str().ok())
    {
        let expected = format!(
            "{}-{}",
            session.bytes.len(),
            (session.bytes.len() + body.len()).saturating_sub(1)
        );
        if range != expected {
            return refuse(
                416,
                "RANGE_INVALID",
                "the piece does not start where the last one ended",
            );
        }
    }
    session.bytes.extend_from_slice(body);
    if method == Method::PATCH {
        session.state = fresh;
        return located(inner, &state, 202, id);
    }
    let found = digest(&session.bytes);
    if parameter("digest") != Some(&found) {
        state.uploads.remove(id);
        return refuse(
            400,
            "DIGEST_INVALID",
            "provided digest did not match uploaded content",
        );
    }
    let bytes = state
        .uploads
        .remove(id)
        .map(|session| session.bytes)
        .unwrap_or_default();
    state
        .repository(route.repository)
        .blobs
        .insert(found.clone(), bytes.into());
    stored(route.repository, "blobs", &found)
}

/// Keeps what came before the connection broke, as registries do that write while they receive.
pub(super) fn keep_partial(inner: &Inner, path: &str, body: &[u8]) {
    let id = path.rsplit('/').next().unwrap_or_default();
    if let Some(session) = inner.state().uploads.get_mut(id) {
        session.bytes.extend_from_slice(body);
    }
}

fn located(inner: &Inner, state: &State, status: u16, id: &str) -> Answer {
    let Some(session) = state.uploads.get(id) else {
        return Answer::new(500);
    };
    let root = if inner.options.absolute_locations {
        format!("http://{}", inner.host)
    } else {
        String::new()
    };
    let location = format!(
        "{root}/v2/{}/blobs/uploads/{id}?_state={}",
        session.repository, session.state
    );
    // What real ones say of an empty session, and of one with a single byte.
    let last = session.bytes.len().saturating_sub(1);
    Answer::new(status)
        .header("location", &location)
        .header("range", &format!("0-{last}"))
}

fn stored(repository: &str, kind: &str, digest: &str) -> Answer {
    Answer::new(201)
        .header("location", &format!("/v2/{repository}/{kind}/{digest}"))
        .header("docker-content-digest", digest)
}

fn put_manifest(inner: &Inner, route: &Route<'_>, headers: &HeaderMap, body: Bytes) -> Answer {
    let invalid = |why: &str| refuse(400, "MANIFEST_INVALID", why);
    if body.len() > MANIFEST_LIMIT {
        return refuse(413, "SIZE_INVALID", "the manifest is too large");
    }
    let Some(media_type) = headers
        .get("content-type")
        .and_then(|value| value.to_str().ok())
    else {
        return invalid("a manifest must have a media type");
    };
    let Ok(document) = serde_json::from_slice::<Value>(&body) else {
        return invalid("the manifest is no JSON");
    };
    if let Some(subject) = document.get("subject")
        && (!is_digest(&subject["digest"])
            || !subject["mediaType"].is_string()
            || !subject["size"].is_u64())
    {
        return invalid("the subject is no descriptor");
    }
    if document["mediaType"]
        .as_str()
        .is_some_and(|own| own != media_type)
    {
        return invalid("the manifest says another media type than the request");
    }
    let own = digest(&body);
    let tag = if route.rest.contains(':') {
        if route.rest != own {
            return refuse(
                400,
                "DIGEST_INVALID",
                "provided digest did not match uploaded content",
            );
        }
        None
    } else {
        Some(route.rest)
    };
    if inner.options.referrers.is_some() && tag.is_some_and(is_fallback) {
        return invalid("there is the referrers API: nobody needs this tag");
    }
    let mut state = inner.state();
    if let Some(missing) = state.repository(route.repository).missing(&document) {
        return refuse(
            400,
            "MANIFEST_BLOB_UNKNOWN",
            &format!("{missing} is unknown to registry"),
        );
    }
    state.store_manifest(route.repository, media_type, body, tag);
    let answer = stored(route.repository, "manifests", &own);
    match document["subject"]["digest"].as_str() {
        Some(subject) if inner.options.referrers.is_some() && inner.options.oci_subject => {
            answer.header("oci-subject", subject)
        }
        _ => answer,
    }
}

fn is_digest(value: &Value) -> bool {
    value
        .as_str()
        .and_then(|text| text.strip_prefix("sha256:"))
        .is_some_and(is_hash)
}

/// Tells whether a tag is the place for referrers where there is no API.
fn is_fallback(tag: &str) -> bool {
    tag.strip_prefix("sha256-").is_some_and(is_hash)
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
