//! One request to a service: limits, retries, and no redirects, which could take a token elsewhere.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::header::LOCATION;
use reqwest::{Client, RequestBuilder, Url};
use reseal_net::{causes, retry_after, tls_errors};
use reseal_registry::{RealTime, Sleeper, Wait};

use super::error::{ServiceError, ServiceName, one_line};

/// Answers are a few kilobytes.
const ANSWER_LIMIT: usize = 4 << 20;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How services are talked to.
#[derive(Clone)]
pub struct HttpSettings {
    /// PEM files with authorities that are trusted besides the system's.
    pub ca_files: Vec<PathBuf>,
    /// How often a request is repeated after the first try.
    pub retries: u32,
    /// How long one exchange may take.
    pub timeout: Duration,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// Time.
    pub sleeper: Arc<dyn Sleeper>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            ca_files: Vec::new(),
            retries: 4,
            timeout: Duration::from_secs(60),
            user_agent: concat!("reseal/", env!("CARGO_PKG_VERSION")).to_owned(),
            sleeper: Arc::new(RealTime),
        }
    }
}

/// A client for all services. Proxies are those of the environment, but not for loopback.
#[derive(Clone)]
pub struct Http {
    remote: Client,
    local: Client,
    settings: HttpSettings,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http")
    }
}

/// An answer with a status that the caller said it takes.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// `Location`, resolved against the request's address.
    pub(crate) location: Option<Url>,
}

/// Which request, for messages and decisions.
pub(crate) struct Ask<'a> {
    pub(crate) service: ServiceName,
    pub(crate) url: &'a Url,
    /// Statuses besides those from 200 to 299 that are an answer and no failure.
    pub(crate) also: &'a [u16],
}

impl Http {
    /// Makes a client.
    pub fn new(settings: HttpSettings) -> Result<Self, ServiceError> {
        let authorities = settings.ca_files.iter().map(PathBuf::as_path);
        let tls = reseal_net::tls::configure(true, authorities, None)
            .map_err(|why| ServiceError::Settings { why })?;
        let build = |local: bool| {
            let builder = reseal_net::client(tls.clone(), &settings.user_agent, local)
                .timeout(settings.timeout);
            builder.build().map_err(|error| ServiceError::Settings {
                why: causes(&error),
            })
        };
        Ok(Self {
            remote: build(false)?,
            local: build(true)?,
            settings,
        })
    }

    /// Returns the time of day, in seconds of Unix time.
    pub(crate) fn now(&self) -> i64 {
        let since = self
            .settings
            .sleeper
            .now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }

    /// Sends a request until there is an answer. `build` makes it, every time anew.
    pub(crate) async fn send(
        &self,
        ask: &Ask<'_>,
        build: impl Fn(&Client) -> RequestBuilder,
    ) -> Result<Answer, ServiceError> {
        let client = if is_loopback(ask.url) {
            &self.local
        } else {
            &self.remote
        };
        let mut attempt = 0;
        loop {
            let (error, wait) = match self.once(ask, build(client)).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let Some(wait) = wait.filter(|_| attempt < self.settings.retries) else {
                return Err(error);
            };
            let pause = wait.max(FIRST_PAUSE.saturating_mul(1 << attempt.min(8)));
            if pause > LONGEST_PAUSE {
                return Err(error);
            }
            attempt += 1;
            tracing::debug!(%error, ?pause, attempt, "a signing service failed; the request is sent again");
            self.settings.sleeper.sleep(Wait::Retry, pause).await;
        }
    }

    /// Sends a request once. A failure comes with how long to wait if another try makes sense.
    async fn once(
        &self,
        ask: &Ask<'_>,
        request: RequestBuilder,
    ) -> Result<Answer, (ServiceError, Option<Duration>)> {
        let unreachable = |error: reqwest::Error| {
            let untrusted = tls_errors(&error)
                .any(|cause| matches!(cause, rustls::Error::InvalidCertificate(_)));
            let wait = (!untrusted && !error.is_builder()).then_some(Duration::ZERO);
            let error = ServiceError::Unreachable {
                service: ask.service,
                address: shown(ask.url),
                why: causes(&error.without_url()),
                untrusted,
            };
            (error, wait)
        };
        let mut response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let location = response
            .headers()
            .get(LOCATION)
            .and_then(|value| ask.url.join(value.to_str().ok()?).ok());
        let wait = retry_after(response.headers(), self.settings.sleeper.now());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > ANSWER_LIMIT {
                let error = ServiceError::Answer {
                    service: ask.service,
                    address: shown(ask.url),
                    why: format!("it is longer than {ANSWER_LIMIT} bytes"),
                };
                return Err((error, None));
            }
            body.extend_from_slice(&chunk);
        }
        let status = status.as_u16();
        if (200..300).contains(&status) || ask.also.contains(&status) {
            return Ok(Answer {
                status,
                body,
                location,
            });
        }
        let again = matches!(status, 408 | 425 | 429 | 500 | 502..=504);
        let error = ServiceError::Refused {
            service: ask.service,
            address: shown(ask.url),
            status,
            message: message(&body),
        };
        Err((error, again.then(|| wait.unwrap_or_default())))
    }
}

/// What a server says is wrong: `message` or `error` of JSON, or a few words of text. Pages for browsers say nothing.
fn message(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    if let Ok(json) = serde_json::from_str::<serde_json::Value>(text) {
        let said = ["message", "error_description", "error"]
            .iter()
            .find_map(|name| json.get(name)?.as_str())?;
        return one_line(said);
    }
    if text.trim_start().starts_with('<') {
        return None;
    }
    one_line(text)
}

/// Returns an address for messages: no login, no query.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Neither fails for an address that has a host, and only such ones are ever asked.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

/// Appends to the path of an address.
pub(crate) fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let joined = format!("{}/{path}", base.path().trim_end_matches('/'));
    url.set_path(&joined);
    url
}

/// Tells whether an address is this machine's, by its very name.
pub(crate) fn is_loopback(url: &Url) -> bool {
    reseal_net::is_loopback(url.host_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_secrets() {
        let url = Url::parse("https://user:pass@fulcio.example/base?token=secret#x").unwrap();
        assert_eq!(shown(&url), "https://fulcio.example/base");
        assert_eq!(below(&url, "api/v2/x").path(), "/base/api/v2/x");
        let bare = Url::parse("https://rekor.example").unwrap();
        assert_eq!(below(&bare, "api").as_str(), "https://rekor.example/api");
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for (text, expected) in [
            ("http://127.0.0.1:3000", true),
            ("http://[::1]:3000", true),
            ("http://localhost", true),
            ("http://127.0.0.1.example", false),
            ("https://fulcio.example", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(text).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn what_a_server_says_becomes_one_line() {
        for (body, expected) in [
            (r#"{"code":400,"message":"bad\n token"}"#, Some("bad token")),
            (
                r#"{"error":"invalid_grant","error_description":"expired"}"#,
                Some("expired"),
            ),
            (r#"{"status":400}"#, None),
            ("plain   words\n", Some("plain words")),
            ("<html><body>502", None),
            ("", None),
        ] {
            assert_eq!(message(body.as_bytes()).as_deref(), expected, "{body}");
        }
    }
}
