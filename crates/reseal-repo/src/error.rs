//! What can go wrong between reseal and a package repository, in words for the user and in classes for the caller.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reseal_net::Again;
use reseal_pkg::PkgError;

/// Why a repository could not be used. Values are cheap to clone: causes are kept as text.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RepoError {
    /// A file of package sources or settings breaks its format.
    #[error("could not read {place}: {why}")]
    Configuration {
        /// The file in the image, with the line where there is one.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// The user's folder of packages lacks one, and nothing else is asked.
    #[error("the folder of `--packages` has no file with the content of {name}: {digest}")]
    NotInFolder {
        /// The package's file in its repository.
        name: String,
        /// What was looked for.
        digest: String,
    },
    /// Nothing newer can be found where nothing is asked.
    #[error("the image names no package repository")]
    NoSources,
    /// The image uses something that only its own package manager can.
    #[error("{what} is not supported: {why}")]
    Unsupported {
        /// The source or setting, with its place.
        what: String,
        /// Why not.
        why: String,
    },
    /// No signature that counts, or one that does not fit.
    #[error("could not trust {what}: {why}")]
    Untrusted {
        /// What was fetched.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// The index was valid once.
    #[error("{what} expired on {when}")]
    Expired {
        /// What was fetched.
        what: String,
        /// `Valid-Until`, or what follows from the image's own settings.
        when: String,
    },
    /// The index is from the future.
    #[error("{what} is not valid yet: it was made on {when}")]
    NotYetValid {
        /// What was fetched.
        what: String,
        /// `Date`.
        when: String,
    },
    /// The bytes are not those that the signed index names.
    #[error("{what} has SHA-256 {found}, not {expected}")]
    DigestMismatch {
        /// What was fetched or read.
        what: String,
        /// By the index.
        expected: String,
        /// Of the bytes that came.
        found: String,
    },
    /// The content is longer or shorter than the signed index says.
    #[error("{what} has {found} bytes, not {expected}")]
    SizeMismatch {
        /// What was fetched or read.
        what: String,
        /// By the index.
        expected: u64,
        /// Bytes that came, or that were announced.
        found: u64,
    },
    /// The content is over the limit for its kind.
    #[error("{what} is larger than the limit of {limit} bytes")]
    TooLarge {
        /// What was fetched.
        what: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// An index breaks its format.
    #[error("{what} is malformed: {why}")]
    Malformed {
        /// What was read.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// The server has no such file.
    #[error("{url} does not exist")]
    NotFound {
        /// The address.
        url: String,
    },
    /// The server wants a login, or another one.
    #[error("server refused `GET {url}` with status {status}{}", if *login { " although a login was sent" } else { "" })]
    Unauthorized {
        /// The address.
        url: String,
        /// 401, 403 or 407.
        status: u16,
        /// Whether a login was sent.
        login: bool,
    },
    /// The server wants fewer requests, and waiting did not help.
    #[error("server limits the rate of requests for {url}{}", retry_after.map(|wait| format!("; it asks to wait {} s", wait.as_secs())).unwrap_or_default())]
    RateLimited {
        /// The address.
        url: String,
        /// How long it asked to wait.
        retry_after: Option<Duration>,
    },
    /// Any other answer that is not a success.
    #[error("server refused `GET {url}` with status {status}")]
    Refused {
        /// The address.
        url: String,
        /// HTTP status.
        status: u16,
        /// How long it asked to wait.
        retry_after: Option<Duration>,
    },
    /// No answer, or half of one.
    #[error("could not fetch {url}: {why}")]
    Transport {
        /// The address.
        url: String,
        /// The chain of causes, outermost first.
        why: String,
        /// What the user can do, where the cause is known.
        advice: Option<String>,
        /// How often it is worth another try.
        again: Again,
    },
    /// A file of the cache or of the user's folder could not be used.
    #[error("could not {action} {}: {why}", path.display())]
    File {
        /// `read`, `write`, `lock`, `create`, `remove`.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// The system's words.
        why: String,
        /// Whether the disk is full or a quota used up.
        full: bool,
    },
    /// The cache cannot be cleared while somebody uses it.
    #[error("the cache {} is in use by another run", path.display())]
    CacheInUse {
        /// Its folder.
        path: PathBuf,
    },
    /// The settings make no client.
    #[error("could not set up the client for package repositories: {why}")]
    Settings {
        /// What is wrong with them.
        why: String,
    },
    /// An index has a stanza that cannot be used.
    #[error("could not use {what}: {source}")]
    Package {
        /// The index.
        what: String,
        /// What is wrong with it.
        source: PkgError,
    },
}

/// Classes of failure; the command line gives each its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The image's configuration or the user's settings make no sense.
    Usage,
    /// Only the image's own package manager can do this.
    Unsupported,
    /// Unsigned, tampered with, or expired: never used.
    Untrusted,
    /// The server has no such file.
    NotFound,
    /// A login is missing or wrong.
    Auth,
    /// The server limits the rate of requests.
    RateLimited,
    /// The server could not be reached or read, or a file not written.
    Transport,
    /// The content breaks its format.
    Content,
}

impl RepoError {
    /// Returns the class of the failure.
    pub fn class(&self) -> Class {
        match self {
            // What cannot be created is the cache, where it was put.
            Self::Configuration { .. }
            | Self::Settings { .. }
            | Self::File {
                action: "create",
                full: false,
                ..
            } => Class::Usage,
            Self::Unsupported { .. } => Class::Unsupported,
            Self::Untrusted { .. }
            | Self::Expired { .. }
            | Self::NotYetValid { .. }
            | Self::DigestMismatch { .. }
            | Self::SizeMismatch { .. } => Class::Untrusted,
            Self::NotFound { .. } | Self::NotInFolder { .. } | Self::NoSources => Class::NotFound,
            Self::Unauthorized { .. } => Class::Auth,
            Self::RateLimited { .. } => Class::RateLimited,
            Self::Refused { .. }
            | Self::Transport { .. }
            | Self::File { .. }
            | Self::CacheInUse { .. } => Class::Transport,
            Self::TooLarge { .. } | Self::Malformed { .. } | Self::Package { .. } => Class::Content,
        }
    }

    /// Returns what the user can do about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unsupported { .. } => Some(
                "use the package manager of the image instead: `--engine buildkit`".to_owned(),
            ),
            Self::Untrusted { .. } => Some(
                "check that the image has the repository's current keys and that no proxy changes what it serves".to_owned(),
            ),
            Self::Expired { .. } => Some(
                "the mirror lags behind, the release has reached its end of life, or this machine's clock is wrong; a snapshot that is meant to be old can be allowed by `Acquire::Check-Valid-Until \"no\"` in the image's apt configuration".to_owned(),
            ),
            Self::NotYetValid { .. } => Some("check the clock of this machine".to_owned()),
            Self::DigestMismatch { .. } | Self::SizeMismatch { .. } => Some(
                "a mirror that is being updated mends itself in minutes; otherwise something between it and this machine changes what it serves".to_owned(),
            ),
            Self::NotFound { .. } => Some(
                "releases past their end of life move to the distribution's archive server: map the address to it as a mirror, or use a snapshot".to_owned(),
            ),
            Self::Unauthorized { login: false, .. } => Some(
                "give the login in apt's auth.conf format".to_owned(),
            ),
            Self::Unauthorized { login: true, .. } => Some(
                "check the login for this server in auth.conf".to_owned(),
            ),
            Self::RateLimited { .. } => Some("wait and try again, or use a mirror".to_owned()),
            Self::Transport { advice, .. } => advice.clone(),
            Self::File { full: true, path, .. } => Some(format!(
                "free space on the disk that holds {}",
                path.parent().unwrap_or(path).display()
            )),
            Self::File { action: "create", .. } => {
                Some("name a folder that can be written with `--cache-dir`".to_owned())
            }
            Self::NotInFolder { .. } => {
                Some("collect what a lock names with `reseal fetch`, on a machine that has a network".to_owned())
            }
            Self::NoSources => Some(
                "give the image the repositories of its release, in /etc/apt/sources.list or sources.list.d, before it is patched"
                    .to_owned(),
            ),
            Self::CacheInUse { .. } => Some("try again when the other run has ended".to_owned()),
            Self::Package { source, .. } => source.hint().map(str::to_owned),
            _ => None,
        }
    }

    /// Tells how often the same request is worth another try.
    pub(crate) fn again(&self) -> Again {
        match self {
            Self::RateLimited { .. } => Again::Often,
            Self::Refused { status, .. } if reseal_net::may_pass(*status) => Again::Often,
            Self::Transport { again, .. } => *again,
            _ => Again::Never,
        }
    }

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

    pub(crate) fn untrusted(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Untrusted {
            what: what.into(),
            why: why.into(),
        }
    }

    pub(crate) fn malformed(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Malformed {
            what: what.into(),
            why: why.into(),
        }
    }
}
