//! Which services sign: from a `signing_config.json` or from addresses that the user gave.

use reqwest::Url;
use sigstore_trust_root::{ServiceSelector, SigningConfig};

use super::ServiceError;

/// A transparency log and the protocol that it speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rekor {
    /// `POST /api/v1/log/entries`; the only kind that `.sig` and `.att` tags can hold an entry of.
    V1(Url),
    /// `POST /api/v2/log/entries`; says nothing about time, so that a timestamp authority has to.
    V2(Url),
}

impl Rekor {
    /// Returns the address.
    pub fn url(&self) -> &Url {
        match self {
            Self::V1(url) | Self::V2(url) => url,
        }
    }
}

/// Services of one kind, best first, and how many of them are needed. One that fails is passed over while enough are left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice<T> {
    /// Those that may be used.
    pub services: Vec<T>,
    /// How many must be.
    pub needed: usize,
}

impl<T> Default for Choice<T> {
    fn default() -> Self {
        Self {
            services: Vec::new(),
            needed: 0,
        }
    }
}

impl<T> Choice<T> {
    /// Needs every one of these.
    pub fn all(services: Vec<T>) -> Self {
        Self {
            needed: services.len(),
            services,
        }
    }

    /// Tells whether there is nothing to use.
    pub fn is_empty(&self) -> bool {
        self.needed == 0 || self.services.is_empty()
    }

    /// Asks one service after the other, until as many answered as are needed.
    pub(crate) async fn gather<A>(
        &self,
        ask: impl AsyncFn(&T) -> Result<A, ServiceError>,
    ) -> Result<Vec<A>, ServiceError> {
        let mut answers = Vec::with_capacity(self.needed);
        let mut spare = self.services.len().saturating_sub(self.needed);
        for service in &self.services {
            if answers.len() == self.needed {
                break;
            }
            match ask(service).await {
                Ok(answer) => answers.push(answer),
                Err(error) if spare > 0 && error.is_about_the_service() => {
                    spare -= 1;
                    tracing::warn!(%error, "another signing service is asked instead");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(answers)
    }
}

/// The services that sign.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Services {
    /// The certificate authority.
    pub fulcio: Option<Url>,
    /// The logs that bundles are entered in.
    pub rekor: Choice<Rekor>,
    /// The log of the first protocol that `.sig` and `.att` entries go to.
    pub rekor_v1: Option<Url>,
    /// Timestamp authorities: the whole address.
    pub tsa: Choice<Url>,
}

/// Why a signing configuration cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It is no signing configuration.
    #[error("it is no signing configuration of version 0.2: {why}")]
    Malformed {
        /// What is wrong.
        why: String,
    },
    /// It asks for more services than it has.
    #[error("it asks for {needed} {kind}, and {found} can be used today")]
    TooFew {
        /// `logs`, `timestamp authorities`
        kind: &'static str,
        /// How many it asks for.
        needed: usize,
        /// How many there are.
        found: usize,
    },
    /// It does not say how many services to use.
    #[error("it does not say how many {kind} to use")]
    NoSelector {
        /// `logs`, `timestamp authorities`
        kind: &'static str,
    },
}

struct Endpoint {
    url: Url,
    version: u32,
    start: i64,
    operator: String,
}

impl Services {
    /// Returns the services of a `signing_config.json` (version 0.2) that are valid at a time, in seconds of Unix time.
    pub fn from_signing_config(json: &[u8], now: i64) -> Result<Self, ConfigError> {
        let text = std::str::from_utf8(json).map_err(|error| ConfigError::Malformed {
            why: error.to_string(),
        })?;
        let config = SigningConfig::from_json(text).map_err(|error| ConfigError::Malformed {
            why: error.to_string(),
        })?;
        Self::select(&config, now)
    }

    /// Returns the services of the public instance, as this version of reseal knows them.
    pub fn public_good(now: i64) -> Result<Self, ConfigError> {
        Self::from_signing_config(
            sigstore_trust_root::SIGSTORE_PRODUCTION_SIGNING_CONFIG.as_bytes(),
            now,
        )
    }

    fn select(config: &SigningConfig, now: i64) -> Result<Self, ConfigError> {
        let fulcio = endpoints(&config.ca_urls, &[1], now)?;
        let rekor = endpoints(&config.rekor_tlog_urls, &[1, 2], now)?;
        let tsa = endpoints(&config.tsa_urls, &[1], now)?;
        let rekor_v1 = rekor
            .iter()
            .find(|endpoint| endpoint.version == 1)
            .map(|endpoint| endpoint.url.clone());
        let logs = choose(
            "logs",
            rekor,
            config.rekor_tlog_config.selector,
            config.rekor_tlog_config.count,
        )?;
        let tsa = choose(
            "timestamp authorities",
            tsa,
            config.tsa_config.selector,
            config.tsa_config.count,
        )?;
        Ok(Self {
            fulcio: fulcio.into_iter().next().map(|endpoint| endpoint.url),
            rekor: Choice {
                needed: logs.needed,
                services: logs
                    .services
                    .into_iter()
                    .map(|endpoint| match endpoint.version {
                        1 => Rekor::V1(endpoint.url),
                        _ => Rekor::V2(endpoint.url),
                    })
                    .collect(),
            },
            rekor_v1,
            tsa: Choice {
                needed: tsa.needed,
                services: tsa
                    .services
                    .into_iter()
                    .map(|endpoint| endpoint.url)
                    .collect(),
            },
        })
    }
}

/// Keeps what is valid and of a version that is understood: the newest protocol first, of those the youngest.
fn endpoints(
    from: &[sigstore_trust_root::ServiceEndpoint],
    versions: &[u32],
    now: i64,
) -> Result<Vec<Endpoint>, ConfigError> {
    let mut kept = Vec::new();
    for (at, endpoint) in from.iter().enumerate() {
        let start = endpoint.valid_for.start.as_second();
        let valid = start <= now
            && endpoint
                .valid_for
                .end
                .is_none_or(|end| now <= end.as_second());
        if !valid || !versions.contains(&endpoint.major_api_version) {
            continue;
        }
        let url = Url::parse(&endpoint.url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| ConfigError::Malformed {
                why: format!("`{}` is no address", endpoint.url),
            })?;
        kept.push(Endpoint {
            url,
            version: endpoint.major_api_version,
            start,
            // Who does not say by whom it is run stands for itself.
            operator: endpoint
                .operator
                .clone()
                .unwrap_or_else(|| format!("#{at}")),
        });
    }
    kept.sort_by_key(|endpoint| std::cmp::Reverse((endpoint.version, endpoint.start)));
    Ok(kept)
}

/// Keeps one service an operator, and says how many are needed.
fn choose(
    kind: &'static str,
    endpoints: Vec<Endpoint>,
    selector: ServiceSelector,
    count: Option<u32>,
) -> Result<Choice<Endpoint>, ConfigError> {
    let mut services: Vec<Endpoint> = Vec::new();
    for endpoint in endpoints {
        if services
            .iter()
            .all(|kept| kept.operator != endpoint.operator)
        {
            services.push(endpoint);
        }
    }
    let found = services.len();
    let needed = match selector {
        ServiceSelector::All => found,
        ServiceSelector::Any => found.min(1),
        ServiceSelector::Exact => {
            let needed = count
                .and_then(|count| usize::try_from(count).ok())
                .filter(|count| *count > 0)
                .ok_or(ConfigError::NoSelector { kind })?;
            if needed > found {
                return Err(ConfigError::TooFew {
                    kind,
                    needed,
                    found,
                });
            }
            needed
        }
        _ if found == 0 => 0,
        _ => return Err(ConfigError::NoSelector { kind }),
    };
    Ok(Choice { services, needed })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = r#"{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json""#;
    const NOW: i64 = 1_750_000_000; // 2025-06-15

    fn log(url: &str, version: u32, operator: &str, start: &str, end: &str) -> String {
        let end = if end.is_empty() {
            String::new()
        } else {
            format!(r#","end":"{end}""#)
        };
        format!(
            r#"{{"url":"{url}","majorApiVersion":{version},"validFor":{{"start":"{start}"{end}}},"operator":"{operator}"}}"#
        )
    }

    fn select(rest: &str) -> Result<Services, ConfigError> {
        Services::from_signing_config(format!("{HEAD}{rest}}}").as_bytes(), NOW)
    }

    #[test]
    fn an_empty_configuration_has_no_services() {
        for rest in ["", r#","rekorTlogConfig":{},"tsaConfig":{}"#] {
            assert_eq!(select(rest).unwrap(), Services::default());
        }
    }

    #[test]
    fn the_newest_protocol_counts_and_old_tags_get_the_old_one() {
        let logs = [
            log("https://r1.example", 1, "a", "2020-01-01T00:00:00Z", ""),
            log(
                "https://gone.example",
                2,
                "a",
                "2020-01-01T00:00:00Z",
                "2021-01-01T00:00:00Z",
            ),
            log("https://r2old.example", 2, "a", "2024-01-01T00:00:00Z", ""),
            log("https://r2.example", 2, "a", "2025-01-01T00:00:00Z", ""),
            log("https://later.example", 2, "a", "2030-01-01T00:00:00Z", ""),
            log("https://r3.example", 3, "a", "2020-01-01T00:00:00Z", ""),
            log("https://b.example", 1, "b", "2020-01-01T00:00:00Z", ""),
        ]
        .join(",");
        let v1 = |text: &str| Rekor::V1(Url::parse(text).unwrap());
        let v2 = |text: &str| Rekor::V2(Url::parse(text).unwrap());
        let all = vec![v2("https://r2.example"), v1("https://b.example")];
        for (selector, needed) in [
            (r#"{"selector":"ANY"}"#, 1),
            (r#"{"selector":"ALL"}"#, 2),
            (r#"{"selector":"EXACT","count":2}"#, 2),
            ("{}", 1),
        ] {
            let services = select(&format!(
                r#","rekorTlogUrls":[{logs}],"rekorTlogConfig":{selector}"#
            ))
            .unwrap();
            assert_eq!(services.rekor.services, all, "{selector}");
            assert_eq!(services.rekor.needed, needed, "{selector}");
            assert_eq!(services.rekor_v1.unwrap().as_str(), "https://r1.example/");
        }
    }

    #[test]
    fn what_cannot_be_fulfilled_is_refused() {
        let tsa = log("https://t.example/ts", 1, "a", "2020-01-01T00:00:00Z", "");
        for (rest, part) in [
            (
                format!(r#","tsaUrls":[{tsa}],"tsaConfig":{{"selector":"EXACT","count":2}}"#),
                "asks for 2 timestamp authorities, and 1",
            ),
            (
                format!(
                    r#","tsaUrls":[{tsa}],"tsaConfig":{{"selector":"SERVICE_SELECTOR_UNDEFINED"}}"#
                ),
                "does not say how many",
            ),
            (
                format!(r#","tsaUrls":[{tsa}],"tsaConfig":{{"selector":"EXACT"}}"#),
                "does not say how many",
            ),
            (
                format!(r#","tsaUrls":[{}]"#, tsa.replace("https", "ftp")),
                "is no address",
            ),
            (r#","tsaUrls":7"#.to_owned(), "no signing configuration"),
        ] {
            let error = select(&rest).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
        let other = Services::from_signing_config(br#"{"mediaType":"x"}"#, NOW);
        assert!(other.is_err());
    }

    #[test]
    fn the_public_instance_is_known() {
        let services = Services::public_good(NOW + 10_000_000).unwrap();
        assert!(services.fulcio.is_some() && services.rekor_v1.is_some());
        assert!(!services.rekor.is_empty() && !services.tsa.is_empty());
    }

    #[tokio::test]
    async fn a_service_that_fails_is_passed_over_while_enough_are_left() {
        let failing = |service: &&str| ServiceError::Refused {
            service: super::super::ServiceName::Rekor,
            address: (*service).to_owned(),
            status: 503,
            message: None,
        };
        let choice = Choice {
            services: vec!["down", "up", "other"],
            needed: 1,
        };
        let answers = choice
            .gather(async |service| {
                if *service == "down" {
                    Err(failing(service))
                } else {
                    Ok(*service)
                }
            })
            .await
            .unwrap();
        assert_eq!(answers, ["up"]);
        let all = Choice::all(vec!["up", "down"]);
        let error = all
            .gather(async |service| {
                if *service == "down" {
                    Err(failing(service))
                } else {
                    Ok(*service)
                }
            })
            .await
            .unwrap_err();
        assert!(error.to_string().contains("down"));
    }
}
