//! Sends requests: logs in, follows redirects, notices silence, counts, repeats what may work later.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Method, Response, StatusCode, Url};
use reseal_net::Again;

use crate::auth::HostLogins;
use crate::auth::scope::Scopes;
use crate::connect::{self, Clients, authority};
use crate::error::StoreError;
use crate::settings::{RegistrySettings, Wait};
use crate::store::Counters;
use crate::{reply, retry};

const MOST_REDIRECTS: usize = 5;
/// What is read of an answer that is an error.
const ERROR_LIMIT: usize = 64 * 1024;

/// What all repositories of one run have in common.
pub(crate) struct Shared {
    pub(crate) settings: RegistrySettings,
    pub(crate) clients: Clients,
    pub(crate) totals: Counters,
    hosts: Mutex<BTreeMap<String, Arc<HostLogins>>>,
}

impl Shared {
    pub(crate) fn new(settings: RegistrySettings) -> Self {
        Self {
            clients: Clients::new(&settings),
            settings,
            totals: Counters::default(),
            hosts: Mutex::default(),
        }
    }

    pub(crate) fn logins(&self, host: &str) -> Arc<HostLogins> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(hosts.entry(host.to_owned()).or_default())
    }
}

/// A body that is made anew for every try.
#[async_trait]
pub(crate) trait Upload: Send + Sync {
    /// Opens it; `pulse` must move while bytes do.
    async fn open(&self, pulse: &Pulse) -> Result<reqwest::Body, StoreError>;
    /// How many bytes it has.
    fn length(&self) -> u64;
    /// Why reading it failed, if it did: the HTTP client only sees that it ended.
    fn failure(&self) -> Option<StoreError>;
}

/// Moves whenever bytes do.
#[derive(Clone, Default)]
pub(crate) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    pub(crate) fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) enum Payload<'a> {
    None,
    Bytes(Bytes),
    Upload(&'a dyn Upload),
}

/// One request, as often as it takes.
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Payload<'a>,
    pub(crate) scopes: &'a Scopes,
    /// Whether redirects are followed, or are an answer.
    pub(crate) follow: bool,
}

impl<'a> Call<'a> {
    pub(crate) fn new(method: Method, url: Url, scopes: &'a Scopes) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: Payload::None,
            scopes,
            follow: true,
        }
    }

    pub(crate) fn header(mut self, name: reqwest::header::HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    pub(crate) fn body(mut self, body: Payload<'a>) -> Self {
        self.body = body;
        self
    }
}

/// One repository's (or token service's) view of the shared client, with its own counters.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) shared: Arc<Shared>,
    pub(crate) registry: String,
    pub(crate) counts: Arc<Counters>,
}

impl Client {
    /// Repeats `try_once` while it fails in a way that may pass.
    pub(crate) async fn retrying<T, F, Fut>(&self, mut try_once: F) -> Result<T, StoreError>
    where
        F: FnMut() -> Fut + Send,
        Fut: Future<Output = Result<T, StoreError>> + Send,
    {
        let mut attempt = 0;
        loop {
            match try_once().await {
                Err(error) if self.pause(&error, attempt).await => attempt += 1,
                result => return result,
            }
        }
    }

    /// Waits before the next try; `false` at once if there must be none.
    pub(crate) async fn pause(&self, error: &StoreError, attempt: u32) -> bool {
        let settings = &self.shared.settings;
        let reached = self.counts.bytes_in.load(Ordering::Relaxed) > 0;
        if attempt >= error.again().retries(settings.retries, reached) {
            return false;
        }
        let wait = error
            .retry_after()
            .unwrap_or_else(|| reseal_net::back_off(attempt));
        if wait > retry::LONGEST_PAUSE {
            return false;
        }
        tracing::info!(%error, attempt, wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX), "will try again");
        settings.sleeper.sleep(Wait::Retry, wait).await;
        true
    }

    /// Sends a call, with retries; what comes back may be any answer that is final.
    pub(crate) async fn send(&self, call: &Call<'_>) -> Result<Response, StoreError> {
        self.retrying(|| self.attempt(call)).await
    }

    /// Sends a call once, logging in if the registry asks for it. Answers that may be better later are errors.
    pub(crate) async fn attempt(&self, call: &Call<'_>) -> Result<Response, StoreError> {
        let logins = self.shared.logins(&authority(&call.url));
        let mut scopes = call.scopes.clone();
        let mut sent = self.prepared(&logins, &scopes).await?;
        let mut round = 0;
        loop {
            let response = self.hop(call, sent.as_ref()).await?;
            // A redirect's target is another party: its challenge is not for our logins.
            if response.status() != StatusCode::UNAUTHORIZED
                || authority(response.url()) != authority(&call.url)
            {
                return self.sorted(call, response).await;
            }
            let headers = response.headers().clone();
            let message = self.error_text(response).await;
            sent = self
                .answered(&logins, &headers, &mut scopes, sent, round, message)
                .await?;
            round += 1;
        }
    }

    /// Follows redirects. The login goes only to the host that it is for.
    async fn hop(
        &self,
        call: &Call<'_>,
        login: Option<&HeaderValue>,
    ) -> Result<Response, StoreError> {
        let mut url = call.url.clone();
        let mut login = login;
        for _ in 0..=MOST_REDIRECTS {
            let response = self.once(call, &url, login).await?;
            let status = response.status().as_u16();
            let same_method = matches!(call.method, Method::GET | Method::HEAD);
            if !call.follow
                || !(matches!(status, 307 | 308) || same_method && matches!(status, 301..=303))
            {
                return Ok(response);
            }
            let next = response
                .headers()
                .get(LOCATION)
                .and_then(|value| value.to_str().ok());
            let next = next
                .and_then(|text| url.join(text).ok())
                .ok_or_else(|| self.nonsense("a redirect to nowhere"))?;
            if next.origin() != url.origin() {
                login = None;
            }
            self.refuse_downgrade(&url, &next)?;
            url = next;
        }
        Err(self.nonsense("too many redirects"))
    }

    /// Refuses to go from TLS to plain HTTP, unless the new host may be spoken to so.
    pub(crate) fn refuse_downgrade(&self, from: &Url, to: &Url) -> Result<(), StoreError> {
        let safe = to.scheme() == "https"
            || from.scheme() == "http"
            || self.shared.clients.is_plain(&authority(to));
        if safe && matches!(to.scheme(), "http" | "https") {
            return Ok(());
        }
        Err(self.nonsense(&format!(
            "it leads to {}://{}, which is not encrypted",
            to.scheme(),
            authority(to)
        )))
    }

    pub(crate) async fn once(
        &self,
        call: &Call<'_>,
        url: &Url,
        login: Option<&HeaderValue>,
    ) -> Result<Response, StoreError> {
        let client = self.shared.clients.for_url(url)?;
        let mut request = client
            .request(call.method.clone(), url.clone())
            .headers(call.headers.clone());
        if let Some(login) = login {
            request = request.header(AUTHORIZATION, login.clone());
        }
        let pulse = Pulse::default();
        request = match &call.body {
            Payload::None if matches!(call.method, Method::GET | Method::HEAD) => request,
            // Some proxies refuse an upload request that does not say its length.
            Payload::None => request.header(CONTENT_LENGTH, 0),
            Payload::Bytes(bytes) => {
                Counters::add(&self.counts.bytes_out, bytes.len());
                Counters::add(&self.shared.totals.bytes_out, bytes.len());
                request.body(bytes.clone())
            }
            Payload::Upload(upload) => request
                .header(CONTENT_LENGTH, upload.length())
                .body(upload.open(&pulse).await?),
        };
        Counters::add(&self.counts.requests, 1);
        Counters::add(&self.shared.totals.requests, 1);
        let result = tokio::select! {
            result = request.send() => result.map_err(|error| connect::failure(&authority(url), error)),
            error = self.silence(&pulse) => Err(error),
        };
        match (&result, &call.body) {
            (Err(_), Payload::Upload(upload)) => Err(upload
                .failure()
                .unwrap_or_else(|| result.err().unwrap_or_else(|| self.nonsense("no answer")))),
            _ => result,
        }
    }

    /// Ends when nothing has moved for as long as a server may be silent.
    async fn silence(&self, pulse: &Pulse) -> StoreError {
        let settings = &self.shared.settings;
        loop {
            let before = pulse.0.load(Ordering::Relaxed);
            settings.sleeper.sleep(Wait::Stall, settings.stall).await;
            if pulse.0.load(Ordering::Relaxed) == before {
                return StoreError::Transport {
                    registry: self.registry.clone(),
                    why: format!("it was silent for {} s", settings.stall.as_secs()),
                    advice: None,
                    again: Again::Often,
                };
            }
        }
    }

    /// Reads the next piece of an answer.
    pub(crate) async fn chunk(&self, response: &mut Response) -> Result<Option<Bytes>, StoreError> {
        let from = authority(response.url());
        let still = Pulse::default();
        let piece = tokio::select! {
            piece = response.chunk() => piece.map_err(|error| connect::failure(&from, error))?,
            error = self.silence(&still) => return Err(error),
        };
        if let Some(bytes) = &piece {
            Counters::add(&self.counts.bytes_in, bytes.len());
            Counters::add(&self.shared.totals.bytes_in, bytes.len());
        }
        Ok(piece)
    }

    /// Reads a whole small answer.
    pub(crate) async fn collect(
        &self,
        mut response: Response,
        what: &str,
        limit: u64,
    ) -> Result<Vec<u8>, StoreError> {
        let too_large = || StoreError::TooLarge {
            what: what.to_owned(),
            limit,
        };
        if response
            .content_length()
            .is_some_and(|length| length > limit)
        {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        while let Some(piece) = self.chunk(&mut response).await? {
            if (bytes.len() + piece.len()) as u64 > limit {
                return Err(too_large());
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// Reads what an error answer says. Reading it to its end also keeps the connection usable.
    pub(crate) async fn error_text(&self, mut response: Response) -> Option<String> {
        let mut bytes = Vec::new();
        while bytes.len() < ERROR_LIMIT
            && let Ok(Some(piece)) = self.chunk(&mut response).await
        {
            bytes.extend_from_slice(&piece[..piece.len().min(ERROR_LIMIT - bytes.len())]);
        }
        reply::error_message(&bytes)
    }

    async fn sorted(&self, call: &Call<'_>, response: Response) -> Result<Response, StoreError> {
        match response.status().as_u16() {
            408 | 429 | 500 | 502 | 503 | 504 => Err(self.refusal(call, response).await),
            _ => Ok(response),
        }
    }

    /// Makes an error of an answer that is not the one that was hoped for.
    pub(crate) async fn refusal(&self, call: &Call<'_>, response: Response) -> StoreError {
        let status = response.status().as_u16();
        let retry_after =
            reseal_net::retry_after(response.headers(), self.shared.settings.sleeper.now());
        let registry = self.registry.clone();
        if status == 429 {
            let limit = retry::quota(response.headers());
            // Only to keep the connection.
            self.error_text(response).await;
            return StoreError::RateLimited {
                registry,
                retry_after,
                limit,
            };
        }
        let message = self.error_text(response).await.map(Into::into);
        let (method, path) = (name(&call.method), call.url.path().to_owned());
        if status == 403 {
            let used = self.login_source(call.scopes).await.map(Into::into);
            return StoreError::Forbidden {
                registry,
                method,
                path,
                scope: call.scopes.to_string(),
                used,
                message,
            };
        }
        StoreError::Refused {
            registry,
            method,
            path,
            status,
            message,
            retry_after,
        }
    }

    pub(crate) fn nonsense(&self, why: &str) -> StoreError {
        StoreError::Protocol {
            registry: self.registry.clone(),
            why: why.to_owned(),
        }
    }
}

fn name(method: &Method) -> &'static str {
    match *method {
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        _ => "GET",
    }
}
