//! Fetches files: small ones into memory, content that is known by its digest into the cache.

mod client;
mod login;
mod retry;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{
    ETAG, HeaderMap, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, LOCATION, RANGE,
    RETRY_AFTER,
};
use reqwest::{Response, Url};
use reseal_net::Again;
use tokio::sync::{Semaphore, mpsc};

use crate::cache::{Cache, Note};
use crate::digest::{ContentDigest, Hasher};
use crate::error::RepoError;
use crate::settings::{Counters, Counts, HttpSettings, Login, ProxyRule};

const REDIRECTS: usize = 10;

/// Fetches by address, within one run's settings.
pub struct Downloads {
    settings: HttpSettings,
    clients: client::Clients,
    cache: Cache,
    logins: Vec<Login>,
    permits: Semaphore,
    counters: Arc<Counters>,
}

/// A small file as it came.
pub(crate) struct Small {
    pub(crate) bytes: Vec<u8>,
    pub(crate) etag: Option<String>,
    pub(crate) last_modified: Option<String>,
}

impl Downloads {
    /// Makes the client of one run; connections are opened when they are needed.
    pub fn new(settings: HttpSettings, cache: Cache) -> Self {
        Self::for_image(settings, cache, Vec::new(), Vec::new())
    }

    pub(crate) fn for_image(
        settings: HttpSettings,
        cache: Cache,
        proxies: Vec<ProxyRule>,
        logins: Vec<Login>,
    ) -> Self {
        Self {
            clients: client::Clients::new(&settings, proxies),
            cache,
            logins: settings.auth.iter().cloned().chain(logins).collect(),
            permits: Semaphore::new(settings.parallel.max(1)),
            counters: Arc::default(),
            settings,
        }
    }

    /// Returns what fetching cost so far.
    pub fn counts(&self) -> Counts {
        self.counters.snapshot()
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.cache
    }

    pub(crate) fn allow_expired(&self) -> bool {
        self.settings.allow_expired
    }

    pub(crate) fn count_cached(&self) {
        Counters::add(&self.counters.cached, 1);
    }

    /// Returns the path of content with this digest and size: from the cache, or fetched into it.
    ///
    /// At most [`HttpSettings::parallel`] of these run at once; two callers who want the same content fetch it once.
    pub async fn content(
        &self,
        url: &str,
        size: u64,
        digest: ContentDigest,
    ) -> Result<PathBuf, RepoError> {
        let _turn = self.cache.turn(digest).await;
        if let Some(path) = self.cached(size, digest).await? {
            return Ok(path);
        }
        let _permit = self
            .permits
            .acquire()
            .await
            .expect("the semaphore is never closed");
        self.download(url, Some(size), u64::MAX, Some(digest))
            .await
            .map(|(path, ..)| path)
    }

    /// Fetches content that nothing vouches for into the cache and returns its digest and size.
    pub(crate) async fn unverified(
        &self,
        url: &str,
        limit: u64,
    ) -> Result<(ContentDigest, u64), RepoError> {
        let (_, digest, size) = self.download(url, None, limit, None).await?;
        Ok((digest, size))
    }

    async fn cached(&self, size: u64, digest: ContentDigest) -> Result<Option<PathBuf>, RepoError> {
        let cache = self.cache.clone();
        let found = blocking(move || cache.get(digest, Some(size))).await?;
        if found.is_some() {
            self.count_cached();
        }
        Ok(found)
    }

    /// Fetches a file into memory; `None` if it is still what `known` says. Cut answers are fetched again from the start.
    pub(crate) async fn small(
        &self,
        url: &str,
        limit: u64,
        known: Option<&Note>,
    ) -> Result<Option<Small>, RepoError> {
        let mut headers = HeaderMap::new();
        if let Some(note) = known {
            for (name, value) in [
                (IF_NONE_MATCH, &note.etag),
                (IF_MODIFIED_SINCE, &note.last_modified),
            ] {
                if let Some(value) = value.as_ref().and_then(|v| HeaderValue::try_from(v).ok()) {
                    headers.insert(name, value);
                }
            }
        }
        let mut attempt = 0;
        loop {
            match self.small_once(url, limit, &headers).await {
                Ok(small) => return Ok(small),
                Err(error) => {
                    if !retry::pause(&self.settings, &self.counters, &error, attempt).await {
                        return Err(error);
                    }
                    attempt += 1;
                }
            }
        }
    }

    async fn small_once(
        &self,
        url: &str,
        limit: u64,
        headers: &HeaderMap,
    ) -> Result<Option<Small>, RepoError> {
        let mut response = self.get(url, headers).await?;
        if response.status() == 304 {
            return Ok(None);
        }
        let text = |name| {
            let value = response.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let (etag, last_modified) = (text(ETAG), text(LAST_MODIFIED));
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk(url, &mut response).await? {
            if bytes.len() as u64 + chunk.len() as u64 > limit {
                return Err(RepoError::TooLarge {
                    what: url.to_owned(),
                    limit,
                });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Some(Small {
            bytes,
            etag,
            last_modified,
        }))
    }

    /// Streams a file into the cache. A connection that breaks is taken up where it broke.
    async fn download(
        &self,
        url: &str,
        size: Option<u64>,
        limit: u64,
        digest: Option<ContentDigest>,
    ) -> Result<(PathBuf, ContentDigest, u64), RepoError> {
        let mut sink = Sink::open(&self.cache)?;
        let (mut offset, mut attempt) = (0, 0);
        while let Err(error) = self.pour(url, size, limit, &mut offset, &mut sink).await {
            if sink.is_broken() {
                break;
            }
            if !retry::pause(&self.settings, &self.counters, &error, attempt).await {
                return Err(error);
            }
            attempt += 1;
        }
        let (file, found) = sink.close().await?;
        if let Some(expected) = size
            && expected != offset
        {
            return Err(RepoError::SizeMismatch {
                what: url.to_owned(),
                expected,
                found: offset,
            });
        }
        if let Some(expected) = digest
            && expected != found
        {
            return Err(RepoError::DigestMismatch {
                what: url.to_owned(),
                expected: expected.to_string(),
                found: found.to_string(),
            });
        }
        let cache = self.cache.clone();
        let path = blocking(move || cache.store(file, found)).await?;
        Ok((path, found, offset))
    }

    async fn pour(
        &self,
        url: &str,
        size: Option<u64>,
        limit: u64,
        offset: &mut u64,
        sink: &mut Sink,
    ) -> Result<(), RepoError> {
        let mut headers = HeaderMap::new();
        if *offset > 0 {
            let range = HeaderValue::try_from(format!("bytes={offset}-"))
                .expect("digits are valid in a header");
            headers.insert(RANGE, range);
        }
        let mut response = match self.get(url, &headers).await {
            // All was there, only the end of the answer was not.
            Err(RepoError::Refused { status: 416, .. }) if size == Some(*offset) => return Ok(()),
            answer => answer?,
        };
        // A server that does not know ranges sends all of it again.
        let mut skip = if response.status() == 206 { 0 } else { *offset };
        if let (Some(expected), Some(length)) = (size, response.content_length()) {
            let found = length.saturating_add(*offset - skip);
            if found != expected {
                return Err(RepoError::SizeMismatch {
                    what: url.to_owned(),
                    expected,
                    found,
                });
            }
        }
        while let Some(mut chunk) = self.chunk(url, &mut response).await? {
            let known = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
            let chunk = chunk.split_off(known);
            skip -= known as u64;
            if chunk.is_empty() {
                continue;
            }
            *offset += chunk.len() as u64;
            if let Some(expected) = size
                && *offset > expected
            {
                return Err(RepoError::SizeMismatch {
                    what: url.to_owned(),
                    expected,
                    found: *offset,
                });
            }
            if *offset > limit {
                return Err(RepoError::TooLarge {
                    what: url.to_owned(),
                    limit,
                });
            }
            sink.write(chunk).await;
        }
        if let Some(expected) = size
            && *offset < expected
        {
            // Without a length in the answer, a cut one looks like a whole one.
            return Err(RepoError::Transport {
                url: url.to_owned(),
                why: format!("the answer ended after {offset} of {expected} bytes"),
                advice: None,
                again: Again::Often,
            });
        }
        Ok(())
    }

    async fn chunk(
        &self,
        url: &str,
        response: &mut Response,
    ) -> Result<Option<bytes::Bytes>, RepoError> {
        let chunk = response
            .chunk()
            .await
            .map_err(|error| client::failure(url, error))?;
        if let Some(chunk) = &chunk {
            Counters::add(&self.counters.bytes_in, chunk.len() as u64);
        }
        Ok(chunk)
    }

    /// Sends one request, mirrors and redirects followed. Answers other than 200, 206 and 304 are errors.
    async fn get(&self, url: &str, headers: &HeaderMap) -> Result<Response, RepoError> {
        let mapped = mirrored(&self.settings.mirrors, url);
        let mut at = Url::parse(&mapped).map_err(|error| RepoError::Settings {
            why: format!("`{mapped}` is no address: {error}"),
        })?;
        for _ in 0..=REDIRECTS {
            let shown = shown(&at);
            let mut request = self
                .clients
                .for_url(&at)?
                .get(at.clone())
                .headers(headers.clone());
            let login = login::find(&self.logins, &at);
            if let Some(login) = login {
                request = request.basic_auth(&login.name, Some(login.password.expose()));
            }
            Counters::add(&self.counters.requests, 1);
            let response = request
                .send()
                .await
                .map_err(|error| client::failure(&shown, error))?;
            let status = response.status().as_u16();
            match status {
                200 | 304 => return Ok(response),
                206 if headers.contains_key(RANGE) && starts_where_asked(&response, headers) => {
                    return Ok(response);
                }
                301 | 302 | 303 | 307 | 308 => at = redirected(&at, &response, &shown)?,
                404 | 410 => return Err(RepoError::NotFound { url: shown }),
                401 | 403 | 407 => {
                    return Err(RepoError::Unauthorized {
                        url: shown,
                        status,
                        login: login.is_some(),
                    });
                }
                429 => {
                    return Err(RepoError::RateLimited {
                        url: shown,
                        retry_after: retry_after(&response),
                    });
                }
                _ => {
                    return Err(RepoError::Refused {
                        url: shown,
                        status,
                        retry_after: retry_after(&response),
                    });
                }
            }
        }
        Err(RepoError::Transport {
            url: shown(&at),
            why: format!("more than {REDIRECTS} redirects"),
            advice: None,
            again: Again::Never,
        })
    }
}

/// Runs file work where it does not hold up other requests.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RepoError> + Send + 'static,
) -> Result<T, RepoError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(RepoError::Settings {
                why: error.to_string(),
            }),
        },
    }
}

/// The thread that hashes and writes what a download brings.
struct Sink {
    send: mpsc::Sender<bytes::Bytes>,
    writer: tokio::task::JoinHandle<Result<(tempfile::NamedTempFile, ContentDigest), RepoError>>,
}

impl Sink {
    fn open(cache: &Cache) -> Result<Self, RepoError> {
        let mut file = cache.temporary()?;
        // A few chunks: enough to keep both sides busy, and memory stays flat.
        let (send, mut receive) = mpsc::channel::<bytes::Bytes>(2);
        let writer = tokio::task::spawn_blocking(move || {
            let mut hasher = Hasher::default();
            while let Some(chunk) = receive.blocking_recv() {
                std::io::Write::write_all(&mut hasher, &chunk)
                    .and_then(|()| std::io::Write::write_all(&mut file, &chunk))
                    .map_err(|error| RepoError::file("write", file.path(), &error))?;
            }
            Ok((file, hasher.finish()))
        });
        Ok(Self { send, writer })
    }

    async fn write(&mut self, chunk: bytes::Bytes) {
        // Fails only when the writer has ended early; `close` says why.
        let _ = self.send.send(chunk).await;
    }

    fn is_broken(&self) -> bool {
        self.send.is_closed()
    }

    async fn close(self) -> Result<(tempfile::NamedTempFile, ContentDigest), RepoError> {
        drop(self.send);
        match self.writer.await {
            Ok(result) => result,
            Err(error) => Err(RepoError::Settings {
                why: error.to_string(),
            }),
        }
    }
}

/// Replaces the longest prefix that a mirror is configured for.
fn mirrored(mirrors: &[(String, String)], url: &str) -> String {
    mirrors
        .iter()
        .filter(|(from, _)| !from.is_empty())
        .filter_map(|(from, to)| Some((from.len(), to, url.strip_prefix(from.as_str())?)))
        .max_by_key(|(length, ..)| *length)
        .map_or_else(|| url.to_owned(), |(_, to, rest)| format!("{to}{rest}"))
}

fn redirected(at: &Url, response: &Response, shown: &str) -> Result<Url, RepoError> {
    let refuse = |why: &str| RepoError::Transport {
        url: shown.to_owned(),
        why: why.to_owned(),
        advice: None,
        again: Again::Never,
    };
    let location = response
        .headers()
        .get(LOCATION)
        .and_then(|value| value.to_str().ok())
        .ok_or_else(|| refuse("a redirect without a target"))?;
    let next = at
        .join(location)
        .map_err(|_| refuse("a redirect to something that is no address"))?;
    match (at.scheme(), next.scheme()) {
        ("https", "http") => Err(refuse("a redirect from https to http")),
        (_, "http" | "https") => Ok(next),
        _ => Err(refuse("a redirect to something that is not HTTP")),
    }
}

/// Tells whether a partial answer starts at the byte that was asked for.
fn starts_where_asked(response: &Response, asked: &HeaderMap) -> bool {
    let text = |headers: &HeaderMap, name: &str| {
        let value = headers.get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let start = |value: Option<String>, prefix: &str| {
        let value = value?;
        let (start, _) = value.strip_prefix(prefix)?.split_once('-')?;
        start.trim().parse::<u64>().ok()
    };
    let wanted = start(text(asked, "range"), "bytes=");
    wanted.is_some() && wanted == start(text(response.headers(), "content-range"), "bytes ")
}

/// Reads `Retry-After` in seconds; a date is left alone, as the clock belongs to the caller.
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// The address without what may be secret in it.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_mirror_prefix_replaces_the_address() {
        let pair = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        let mirrors = [
            pair("http://deb.example/", "https://near.example/all/"),
            pair("http://deb.example/debian/", "https://snapshot.example/1/"),
            pair("", "https://never.example/"),
        ];
        for (url, expected) in [
            (
                "http://deb.example/debian/dists/x",
                "https://snapshot.example/1/dists/x",
            ),
            ("http://deb.example/other", "https://near.example/all/other"),
            ("http://else.example/x", "http://else.example/x"),
        ] {
            assert_eq!(mirrored(&mirrors, url), expected);
        }
    }

    #[test]
    fn what_is_secret_in_an_address_is_not_shown() {
        let url = Url::parse("https://me:secret@x.example/a?token=secret").unwrap();
        assert_eq!(shown(&url), "https://x.example/a");
    }
}
