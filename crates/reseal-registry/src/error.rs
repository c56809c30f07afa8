//! What can go wrong between reseal and a store, in words for the user and in classes for the caller.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reseal_net::Again;
use reseal_oci::Digest;

use crate::credentials::CredentialError;

/// Why a store could not do what was asked. Values are cheap to clone: causes are kept as text.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store has no such manifest, tag or blob.
    #[error("{what} does not exist")]
    NotFound {
        /// What was asked for, with the place: ``tag `1.4` in registry.example/shop/cart``.
        what: String,
    },
    /// The registry or its token service wants credentials, or others than those it got.
    #[error(
        "registry {registry} refused to log in for {scope}: {}; looked for credentials in {}",
        used.as_ref().map_or_else(
            || "it wants credentials and none were found".to_owned(),
            |source| format!("the credentials from {source} were not accepted"),
        ) + &message.as_ref().map(|said| format!(" ({said})")).unwrap_or_default(),
        listed(looked_in)
    )]
    Unauthorized {
        /// Host, with the port if there is one.
        registry: String,
        /// What access was asked for, `repository:shop/cart:pull`.
        scope: String,
        /// Every place that was read for credentials, in order.
        looked_in: Vec<String>,
        /// Where the credentials that were refused came from; `None` if there were none.
        used: Option<String>,
        /// What the registry or its token service said.
        message: Option<String>,
    },
    /// The registry knows who asks and says no.
    #[error("registry refused `{method} {path}` with status 403{}", said(message.as_deref()))]
    Forbidden {
        /// Host, with the port if there is one.
        registry: String,
        /// HTTP method.
        method: &'static str,
        /// Path of the request, without query.
        path: String,
        /// What access was asked for.
        scope: String,
        /// Where the credentials came from; `None` if there were none.
        used: Option<Box<str>>,
        /// What the registry said.
        message: Option<Box<str>>,
    },
    /// The registry wants fewer requests, and waiting as long as allowed did not help.
    #[error(
        "registry {registry} limits the rate of requests{}{}",
        retry_after.map(|wait| format!("; it asks to wait {} s", wait.as_secs())).unwrap_or_default(),
        limit.as_ref().map(|quota| format!(" ({quota})")).unwrap_or_default()
    )]
    RateLimited {
        /// Host, with the port if there is one.
        registry: String,
        /// How long the last answer asked to wait.
        retry_after: Option<Duration>,
        /// The quota headers of the last answer, `limit 100;w=21600, remaining 0;w=21600`.
        limit: Option<String>,
    },
    /// Any other answer that is not a success.
    #[error(
        "registry refused `{method} {path}` with status {status}{}",
        said(message.as_deref())
    )]
    Refused {
        /// Host, with the port if there is one.
        registry: String,
        /// HTTP method.
        method: &'static str,
        /// Path of the request, without query.
        path: String,
        /// HTTP status.
        status: u16,
        /// What the registry said.
        message: Option<Box<str>>,
        /// How long it asked to wait before another try.
        retry_after: Option<Duration>,
    },
    /// No answer, or half of one.
    #[error("could not talk to {registry}: {why}")]
    Transport {
        /// Host, with the port if there is one.
        registry: String,
        /// The chain of causes, outermost first.
        why: String,
        /// What the user can do, where the cause is known.
        advice: Option<String>,
        /// How often it is worth another try.
        again: Again,
    },
    /// The answer breaks the distribution protocol.
    #[error("{registry} sent an answer that makes no sense: {why}")]
    Protocol {
        /// Host, with the port if there is one.
        registry: String,
        /// What is wrong with it.
        why: String,
    },
    /// The bytes are not those that were asked for.
    #[error("{what} has digest {found}, not {expected}")]
    DigestMismatch {
        /// Which content, and where it came from.
        what: String,
        /// The digest that was asked for.
        expected: String,
        /// The digest of the bytes that came.
        found: String,
    },
    /// The content is longer or shorter than its descriptor says.
    #[error("{what} has {found} bytes, not {expected}")]
    SizeMismatch {
        /// Which content, and where it came from.
        what: String,
        /// Bytes by the descriptor.
        expected: u64,
        /// Bytes that came, or that were announced.
        found: u64,
    },
    /// The content is over the limit that holds for its kind.
    #[error("{what} is larger than the limit of {limit} bytes")]
    TooLarge {
        /// Which content, and where it came from.
        what: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The bytes are no manifest that this program can use.
    #[error("{what} is no usable manifest: {why}")]
    BadManifest {
        /// Which manifest.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// Others wrote to the same place again and again, and what was to be added is not in it.
    #[error("could not add to {what}: others replaced it {tries} times meanwhile")]
    Contended {
        /// Which tag, and where.
        what: String,
        /// How often it was tried.
        tries: u32,
    },
    /// The folder is no OCI image layout, or a damaged one.
    #[error("{} is no usable OCI layout: {why}", path.display())]
    Layout {
        /// The folder, or the file in it.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file could not be read or written.
    #[error("could not {action} {}: {why}", path.display())]
    File {
        /// `read`, `write`, `lock`, `create`.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// The system's words.
        why: String,
        /// Whether the disk is full or a quota used up.
        full: bool,
    },
    /// The configured credentials could not be read.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// The settings make no client.
    #[error("could not set up the registry client: {why}")]
    Settings {
        /// What is wrong with them.
        why: String,
    },
}

/// Classes of failure; the command line gives each its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Credentials are missing, wrong or too weak.
    Auth,
    /// The store could not be reached, read or written.
    Transport,
    /// The registry limits the rate of requests.
    RateLimited,
    /// What was asked for does not exist.
    NotFound,
    /// The content, or the use made of the store, is wrong.
    Content,
}

impl StoreError {
    /// Returns the class of the failure.
    pub fn class(&self) -> Class {
        match self {
            Self::NotFound { .. } => Class::NotFound,
            Self::Unauthorized { .. } | Self::Forbidden { .. } | Self::Credentials(_) => {
                Class::Auth
            }
            Self::RateLimited { .. } => Class::RateLimited,
            Self::Refused { status, .. } if *status < 500 => Class::Content,
            Self::Refused { .. }
            | Self::Transport { .. }
            | Self::Protocol { .. }
            | Self::Contended { .. }
            | Self::File { .. }
            | Self::Settings { .. } => Class::Transport,
            Self::DigestMismatch { .. }
            | Self::SizeMismatch { .. }
            | Self::TooLarge { .. }
            | Self::BadManifest { .. }
            | Self::Layout { .. } => Class::Content,
        }
    }

    /// Returns what the user can do about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unauthorized {
                registry,
                used: None,
                ..
            } => Some(format!(
                "log in with `docker login {registry}` or `podman login {registry}`, or set DOCKER_AUTH_CONFIG"
            )),
            Self::Unauthorized {
                registry,
                used: Some(source),
                ..
            } => Some(format!(
                "check that the credentials in {source} are valid and may use this repository on {registry}"
            )),
            Self::Forbidden {
                registry,
                scope,
                used,
                ..
            } => Some(format!(
                "{} must have the right `{scope}` on {registry}",
                used.as_ref().map_or_else(
                    || "an account with credentials".to_owned(),
                    |at| format!("the account from {at}")
                )
            )),
            Self::RateLimited { limit: None, .. } => Some(
                "wait and try again, or log in: many registries allow more to known users"
                    .to_owned(),
            ),
            Self::RateLimited { .. } => Some(
                "wait until the quota is filled up again, or log in for a larger one".to_owned(),
            ),
            Self::Refused { status: 413, .. } => Some(
                "a proxy in front of the registry probably limits the size of uploads".to_owned(),
            ),
            Self::Transport { advice, .. } => advice.clone(),
            Self::Contended { .. } => Some(
                "run it again when no other job signs the same image: nothing that is there is added twice"
                    .to_owned(),
            ),
            Self::File {
                full: true, path, ..
            } => Some(format!(
                "free space on the disk that holds {}",
                path.parent().unwrap_or(path).display()
            )),
            Self::Credentials(error) => error.hint(),
            _ => None,
        }
    }

    /// Tells how often the same request is worth another try.
    pub(crate) fn again(&self) -> Again {
        match self {
            Self::RateLimited { .. } | Self::Contended { .. } => Again::Often,
            Self::Refused { status, .. } if reseal_net::may_pass(*status) => Again::Often,
            Self::Transport { again, .. } => *again,
            _ => Again::Never,
        }
    }

    /// Returns how long the server asked to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Refused { retry_after, .. } => {
                *retry_after
            }
            _ => None,
        }
    }

    /// Makes an error of a failed file operation.
    pub(crate) fn file(action: &'static str, path: &Path, error: &io::Error) -> Self {
        let (why, full) = reseal_net::disk(error);
        Self::File {
            action,
            path: path.to_owned(),
            why,
            full,
        }
    }

    /// Takes back the store error that a [`crate::BlobReader`] wrapped, or wraps a plain I/O error.
    pub fn from_read(what: &str, error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(inner) => inner,
            Err(error) => Self::Transport {
                registry: what.to_owned(),
                why: error.to_string(),
                advice: None,
                again: Again::Never,
            },
        }
    }

    pub(crate) fn mismatch(
        what: impl Into<String>,
        expected: &Digest,
        found: impl Into<String>,
    ) -> Self {
        Self::DigestMismatch {
            what: what.into(),
            expected: expected.as_str().to_owned(),
            found: found.into(),
        }
    }
}

fn listed(places: &[String]) -> String {
    if places.is_empty() {
        "no place (none is configured)".to_owned()
    } else {
        places.join(", ")
    }
}

fn said(message: Option<&str>) -> String {
    message.map(|text| format!(": {text}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_who_what_and_where() {
        let unauthorized = |used: Option<&str>| StoreError::Unauthorized {
            registry: "registry.example:5000".into(),
            scope: "repository:shop/cart:pull,push".into(),
            looked_in: vec![
                "DOCKER_AUTH_CONFIG".into(),
                "/home/ci/.docker/config.json".into(),
            ],
            used: used.map(str::to_owned),
            message: Some("UNAUTHORIZED: bad password".into()),
        };
        let table = [
            (
                unauthorized(None),
                "registry registry.example:5000 refused to log in for repository:shop/cart:pull,push: it wants credentials and none were found (UNAUTHORIZED: bad password); looked for credentials in DOCKER_AUTH_CONFIG, /home/ci/.docker/config.json",
                Class::Auth,
            ),
            (
                unauthorized(Some("DOCKER_AUTH_CONFIG")),
                "registry registry.example:5000 refused to log in for repository:shop/cart:pull,push: the credentials from DOCKER_AUTH_CONFIG were not accepted (UNAUTHORIZED: bad password); looked for credentials in DOCKER_AUTH_CONFIG, /home/ci/.docker/config.json",
                Class::Auth,
            ),
            (
                StoreError::RateLimited {
                    registry: "docker.io".into(),
                    retry_after: Some(Duration::from_secs(30)),
                    limit: Some("limit 100;w=21600, remaining 0;w=21600".into()),
                },
                "registry docker.io limits the rate of requests; it asks to wait 30 s (limit 100;w=21600, remaining 0;w=21600)",
                Class::RateLimited,
            ),
            (
                StoreError::file(
                    "write",
                    Path::new("/out/blobs/x"),
                    &io::Error::from_raw_os_error(28),
                ),
                "could not write /out/blobs/x: no space is left on the disk",
                Class::Transport,
            ),
        ];
        for (error, text, class) in table {
            assert_eq!(error.to_string(), text);
            assert_eq!(error.class(), class);
            assert!(error.hint().is_some(), "no hint for: {text}");
        }
    }
}
