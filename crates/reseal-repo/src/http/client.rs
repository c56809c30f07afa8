//! HTTP clients: who is trusted, and which way a request goes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Url;
use reseal_net::{Again, causes, is_loopback, tls_errors};

use crate::error::RepoError;
use crate::settings::{HttpSettings, ProxyRule};

/// One connection pool for each kind of trust, made when it is first needed: reading the system's roots takes a while.
pub(super) struct Clients {
    proxy: Option<String>,
    image_proxies: Arc<[ProxyRule]>,
    ca: Vec<PathBuf>,
    stall: Duration,
    user_agent: String,
    pools: Mutex<BTreeMap<(bool, bool), reqwest::Client>>,
}

impl Clients {
    pub(super) fn new(settings: &HttpSettings, image_proxies: Vec<ProxyRule>) -> Self {
        Self {
            proxy: settings.proxy.clone(),
            image_proxies: image_proxies.into(),
            ca: settings.ca.clone(),
            stall: settings.stall,
            user_agent: settings.user_agent.clone(),
            pools: Mutex::default(),
        }
    }

    /// Returns the client for an address.
    pub(super) fn for_url(&self, url: &Url) -> Result<reqwest::Client, RepoError> {
        let secure = url.scheme() == "https";
        let local = is_loopback(url.host_str().unwrap_or_default());
        let key = (secure, local);
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = pools.get(&key) {
            return Ok(client.clone());
        }
        let ca: &[PathBuf] = if secure { &self.ca } else { &[] };
        let builder =
            reseal_net::client(tls(ca, secure)?, &self.user_agent, local).read_timeout(self.stall);
        let builder = match &self.proxy {
            _ if local => builder,
            Some(direct) if direct.eq_ignore_ascii_case("direct") => builder.no_proxy(),
            Some(proxy) => {
                builder.proxy(reqwest::Proxy::all(proxy).map_err(|error| settings(&error))?)
            }
            None if self.image_proxies.is_empty() => builder,
            None => {
                let rules = Arc::clone(&self.image_proxies);
                builder.proxy(reqwest::Proxy::custom(move |url| proxy_of(&rules, url)))
            }
        };
        let client = builder.build().map_err(|error| settings(&error))?;
        pools.insert(key, client.clone());
        Ok(client)
    }
}

/// Returns the image's proxy for an address: that for its host, else that for all.
fn proxy_of(rules: &[ProxyRule], url: &Url) -> Option<Url> {
    let for_host = |host: Option<&str>| {
        rules
            .iter()
            .rev()
            .find(|rule| rule.scheme == url.scheme() && rule.host.as_deref() == host)
    };
    let rule = for_host(url.host_str()).or_else(|| for_host(None))?;
    if rule.proxy.eq_ignore_ascii_case("direct") {
        return None;
    }
    Url::parse(&rule.proxy).ok()
}

fn tls(ca: &[PathBuf], system_roots: bool) -> Result<rustls::ClientConfig, RepoError> {
    reseal_net::tls::configure(system_roots, ca.iter().map(PathBuf::as_path), None)
        .map_err(|why| RepoError::Settings { why })
}

fn settings(error: &reqwest::Error) -> RepoError {
    RepoError::Settings { why: causes(error) }
}

/// Makes an error of a failed exchange, with advice where the cause is a known one.
pub(super) fn failure(url: &str, error: reqwest::Error) -> RepoError {
    let error = error.without_url();
    let mut advice = error.is_connect().then(|| {
        "check the package sources of the image, and that this machine reaches them (HTTPS_PROXY, NO_PROXY)"
            .to_owned()
    });
    if tls_errors(&error).any(|cause| matches!(cause, rustls::Error::InvalidCertificate(_))) {
        advice = Some(
            "give the authority that signed the server's certificate with `--package-ca FILE`"
                .to_owned(),
        );
    }
    RepoError::Transport {
        url: url.to_owned(),
        again: Again::after(&error),
        why: causes(&error),
        advice,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_proxy_for_a_host_goes_before_the_one_for_all() {
        let rule = |scheme: &str, host: Option<&str>, proxy: &str| ProxyRule {
            scheme: scheme.to_owned(),
            host: host.map(str::to_owned),
            proxy: proxy.to_owned(),
        };
        let rules = [
            rule("http", None, "http://proxy.example:3128"),
            rule("http", Some("near.example"), "DIRECT"),
            rule("http", Some("far.example"), "http://other.example:80"),
        ];
        for (url, expected) in [
            ("http://x.example/", Some("http://proxy.example:3128/")),
            ("http://near.example/", None),
            ("http://far.example/a", Some("http://other.example/")),
            ("https://x.example/", None),
        ] {
            let found = proxy_of(&rules, &Url::parse(url).unwrap());
            assert_eq!(found.as_ref().map(Url::as_str), expected, "{url}");
        }
    }

    #[test]
    fn a_bad_authority_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, "not a certificate").unwrap();
        for path in [file, folder.path().join("missing.pem")] {
            let error = tls(std::slice::from_ref(&path), false).unwrap_err();
            assert!(
                error.to_string().contains(path.to_str().unwrap()),
                "{error}"
            );
        }
    }
}
