//! Chooses scheme and HTTP client for a host.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use reqwest::Url;
use reseal_net::{Again, causes, is_loopback, tls_errors};

use crate::error::StoreError;
use crate::settings::RegistrySettings;
use crate::tls::{self, HostFiles};

/// One connection pool for each kind of trust, made when it is first needed: reading the system's roots takes a while.
pub(crate) struct Clients {
    plain_http: BTreeSet<String>,
    ca_files: Vec<PathBuf>,
    certificate_folders: Vec<PathBuf>,
    user_agent: String,
    pools: Mutex<BTreeMap<String, reqwest::Client>>,
}

impl Clients {
    pub(crate) fn new(settings: &RegistrySettings) -> Self {
        Self {
            plain_http: settings.plain_http.clone(),
            ca_files: settings.ca_files.clone(),
            certificate_folders: settings.certificate_folders.clone(),
            user_agent: settings.user_agent.clone(),
            pools: Mutex::default(),
        }
    }

    /// Returns the root address of a registry's API.
    pub(crate) fn base(&self, registry: &str) -> Result<Url, StoreError> {
        let host = if registry == "docker.io" {
            "registry-1.docker.io"
        } else {
            registry
        };
        let scheme = if self.is_plain(host) { "http" } else { "https" };
        Url::parse(&format!("{scheme}://{host}/")).map_err(|error| StoreError::Settings {
            why: format!("`{registry}` is no host: {error}"),
        })
    }

    /// Tells whether a host may be spoken to without TLS.
    pub(crate) fn is_plain(&self, host: &str) -> bool {
        self.plain_http.contains(host)
            || is_loopback(host) && HostFiles::find(&self.certificate_folders, host).is_empty()
    }

    /// Returns the client for an address.
    pub(crate) fn for_url(&self, url: &Url) -> Result<reqwest::Client, StoreError> {
        let host = authority(url);
        let local = is_loopback(&host);
        let secure = url.scheme() == "https";
        let files = if secure {
            HostFiles::find(&self.certificate_folders, &host)
        } else {
            HostFiles::default()
        };
        let key = match (secure, local, files.is_empty()) {
            (false, false, _) => "http".to_owned(),
            (false, true, _) => "http loopback".to_owned(),
            (true, false, true) => "https".to_owned(),
            (true, _, _) => format!("https {host}"),
        };
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = pools.get(&key) {
            return Ok(client.clone());
        }
        let ca_files: &[PathBuf] = if secure { &self.ca_files } else { &[] };
        let tls = tls::configure(ca_files, &files, secure)?;
        let client = reseal_net::client(tls, &self.user_agent, local)
            .build()
            .map_err(|error| StoreError::Settings {
                why: causes(&error),
            })?;
        pools.insert(key, client.clone());
        Ok(client)
    }
}

/// Host with the port if the address has one.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Makes a store error of a failed exchange, with advice where the cause is a known one.
pub(crate) fn failure(registry: &str, error: reqwest::Error) -> StoreError {
    let error = error.without_url();
    let mut advice = error.is_connect().then(|| {
        format!(
            "check the name {registry}, and that this machine reaches it (HTTPS_PROXY, NO_PROXY)"
        )
    });
    for cause in tls_errors(&error) {
        match cause {
            rustls::Error::InvalidCertificate(_) => {
                advice = Some(format!(
                    "give the authority that signed its certificate with `--registry-ca FILE`, or put it in /etc/docker/certs.d/{registry}/ca.crt"
                ));
            }
            rustls::Error::InvalidMessage(_) => {
                advice = Some(format!(
                    "if {registry} speaks plain HTTP, say so with `--plain-http {registry}`"
                ));
            }
            _ => {}
        }
    }
    StoreError::Transport {
        registry: registry.to_owned(),
        again: Again::after(&error),
        why: causes(&error),
        advice,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_and_named_hosts_are_spoken_to_without_tls() {
        let certs = tempfile::tempdir().unwrap();
        let folder = certs.path().join("localhost:5443");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("ca.crt"), "x").unwrap();
        let clients = Clients::new(&RegistrySettings {
            plain_http: ["registry.test:5000".to_owned()].into(),
            certificate_folders: vec![certs.path().to_owned()],
            ..RegistrySettings::default()
        });
        for (registry, expected) in [
            ("docker.io", "https://registry-1.docker.io/"),
            ("registry.example", "https://registry.example/"),
            ("registry.test", "https://registry.test/"),
            ("registry.test:5000", "http://registry.test:5000/"),
            ("localhost:5000", "http://localhost:5000/"),
            ("localhost:5443", "https://localhost:5443/"),
            ("127.0.0.1:5000", "http://127.0.0.1:5000/"),
            ("127.9.9.9", "http://127.9.9.9/"),
            ("[::1]:5000", "http://[::1]:5000/"),
            ("127.0.0.1.example", "https://127.0.0.1.example/"),
            ("localhost.example:443", "https://localhost.example/"),
        ] {
            assert_eq!(clients.base(registry).unwrap().as_str(), expected);
        }
    }
}
