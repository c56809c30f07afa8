//! Why no connection came about.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use super::address::{Address, AddressError};

/// How docker without a daemon says that there is nobody who could have a container.
const NO_DOCKERD: &str = "Cannot connect to the Docker daemon";

/// Tells whether docker, podman or nerdctl say that there is no such container.
pub(super) fn has_no_container(words: &str) -> bool {
    let known = [
        "No such container",
        "no such container",
        "no container with name",
    ];
    known.iter().any(|known| words.contains(known))
}

/// One place that was looked at on the search for a daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The address, or the program that would have started a daemon.
    pub address: String,
    /// Why it was considered.
    pub chosen: String,
    /// Why it was not taken.
    pub outcome: String,
}

/// Why a daemon could not be reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address itself is wrong.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Nothing is there: no socket file, nobody listening, no such program.
    #[error("Could not reach BuildKit at `{address}`: {why}")]
    Absent {
        /// Where.
        address: String,
        /// What is not there.
        why: String,
    },
    /// Something is there, and the connection failed.
    #[error("Could not reach BuildKit at `{address}`: {why}")]
    Unreachable {
        /// Where.
        address: String,
        /// What was seen, with the last words of the child process where there is one.
        why: String,
        /// What the user can do, where the way of connecting suggests it.
        hint: Option<String>,
    },
    /// No answer in time.
    #[error("Could not reach BuildKit at `{address}`: no answer within {} while {stage}", seconds(*.limit))]
    Timeout {
        /// Where.
        address: String,
        /// How long was waited.
        limit: Duration,
        /// What was waited for, with the last words of the child process where there is one.
        stage: String,
    },
    /// A certificate or key file cannot be used.
    #[error("Could not use `{}` for TLS: {why}", path.display())]
    Tls {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A Docker context cannot be used.
    #[error("Could not use the Docker context `{name}`: {why}")]
    DockerContext {
        /// The context.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// The search found no usable daemon.
    #[error("Could not find a usable BuildKit daemon{}", list(attempts))]
    NothingFound {
        /// All places in the order tried; never empty.
        attempts: Vec<Attempt>,
    },
    /// The private daemon did not start.
    #[error("Could not start a private buildkitd: {why}{}", tail(log_tail))]
    Private {
        /// What was seen.
        why: String,
        /// The end of the daemon's log.
        log_tail: String,
    },
}

impl ConnectError {
    /// Whether there is simply nothing at that address, as opposed to something that does not work.
    pub fn is_absent(&self) -> bool {
        match self {
            Self::Absent { .. } => true,
            // The program is there, and says that the container is not.
            Self::Unreachable { address, why, .. } => {
                address.contains("-container://")
                    && (has_no_container(why) || why.contains(NO_DOCKERD))
            }
            _ => false,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Address(error) => error.hint(),
            Self::Unreachable { hint: Some(hint), .. } => Some(hint.clone()),
            Self::Absent { address, .. } | Self::Unreachable { address, .. } => Some(start_hint(address)),
            Self::Timeout { address, .. } if address.starts_with("buildx://") => {
                Some("the builder may still be starting: run `docker buildx inspect --bootstrap` once, then try again".to_owned())
            }
            Self::Timeout { .. } => Some("check that the address is BuildKit's own, that no firewall drops the packets, and that the daemon is not stuck".to_owned()),
            Self::Tls { .. } => Some("expected are PEM files: the CA's certificate, and the client's certificate with its unencrypted key".to_owned()),
            Self::DockerContext { .. } => Some("`docker context ls` shows the contexts; DOCKER_HOST overrides them".to_owned()),
            Self::NothingFound { .. } => Some(
                "start buildkitd, or name one with `--addr` or BUILDKIT_HOST (for example `docker run -d --name buildkitd --privileged \
                 moby/buildkit` and `--addr docker-container://buildkitd`)"
                    .to_owned(),
            ),
            Self::Private { log_tail, .. } => Some(private_hint(log_tail).to_owned()),
        }
    }

    pub(crate) fn absent(address: &Address, why: impl Into<String>) -> Self {
        Self::Absent {
            address: address.to_string(),
            why: why.into(),
        }
    }

    pub(crate) fn unreachable(address: &Address, why: impl Into<String>) -> Self {
        Self::Unreachable {
            address: address.to_string(),
            why: why.into(),
            hint: None,
        }
    }

    /// A failed system call on the way to a socket; sorts "nothing there" from the rest.
    pub(crate) fn from_io(address: &Address, error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::NotFound => Self::absent(address, "there is no such socket"),
            std::io::ErrorKind::ConnectionRefused => Self::absent(address, "nobody listens there (connection refused)"),
            std::io::ErrorKind::PermissionDenied => Self::Unreachable {
                address: address.to_string(),
                why: "permission denied".to_owned(),
                hint: Some("run as a user who may open this socket: root, or a member of the socket's group".to_owned()),
            },
            _ => Self::unreachable(address, error.to_string()),
        }
    }
}

fn start_hint(address: &str) -> String {
    let scheme = address.split("://").next().unwrap_or_default();
    match scheme {
        "unix" => "start buildkitd, or point `--addr` or BUILDKIT_HOST at the socket it listens on".to_owned(),
        "tcp" => "start buildkitd with `--addr tcp://0.0.0.0:PORT` and TLS, and check host, port and certificates".to_owned(),
        "docker-container" | "podman-container" | "nerdctl-container" => {
            let program = scheme.trim_end_matches("-container");
            format!("check that `{program} ps` shows the container as running, and that it holds buildkitd and buildctl")
        }
        "kube-pod" => "check with `kubectl get pod` that the pod runs, and that your account may `exec` into it".to_owned(),
        "ssh" => "check that `ssh HOST buildctl debug workers` works without a question being asked".to_owned(),
        "docker" => "start dockerd, or choose another with DOCKER_HOST or DOCKER_CONTEXT".to_owned(),
        "buildx" => "check the builder with `docker buildx inspect --bootstrap`".to_owned(),
        _ => "name a daemon with `--addr` or BUILDKIT_HOST".to_owned(),
    }
}

fn private_hint(log: &str) -> &'static str {
    if log.contains("newuidmap") || log.contains("subuid") {
        "rootless BuildKit needs `newuidmap` (package uidmap) and a range for this user in /etc/subuid and /etc/subgid"
    } else if log.contains("runc") || log.contains("no such file or directory") {
        "buildkitd needs runc (or crun) on PATH"
    } else if log.contains("no space left on device") {
        "point TMPDIR at a larger file system"
    } else {
        "start buildkitd yourself and name it with `--addr`, or use `docker run -d --name buildkitd --privileged moby/buildkit` and `--addr docker-container://buildkitd`"
    }
}

fn list(attempts: &[Attempt]) -> String {
    let mut text = String::new();
    for (index, attempt) in attempts.iter().enumerate() {
        let separator = if index == 0 { "; tried " } else { "; " };
        // Writing into a String cannot fail.
        let _ = write!(
            text,
            "{separator}`{}` ({}): {}",
            attempt.address, attempt.chosen, attempt.outcome
        );
    }
    text
}

fn tail(log: &str) -> String {
    if log.is_empty() {
        String::new()
    } else {
        format!("; its log ends with: {log}")
    }
}

/// `10 s`, `0.3 s`
pub(crate) fn seconds(duration: Duration) -> String {
    let tenths = (duration.as_millis() + 50) / 100;
    if tenths.is_multiple_of(10) {
        format!("{} s", tenths / 10)
    } else {
        format!("{}.{} s", tenths / 10, tenths % 10)
    }
}

/// The messages of an error and its causes, each once.
pub(crate) fn causes(error: &(dyn StdError + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let message = error.to_string();
        // Wrappers of tonic and hyper say nothing beyond what their cause says better.
        let hollow = next_is_better(error)
            && matches!(
                message.as_str(),
                "transport error" | "http2 error" | "connection error"
            );
        if !hollow && !text.contains(&message) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&message);
        }
        next = error.source();
    }
    text
}

fn next_is_better(error: &(dyn StdError + 'static)) -> bool {
    error
        .source()
        .is_some_and(|source| !source.to_string().is_empty())
}

/// The end of foreign output on one line, without control characters.
pub(crate) fn last_words(output: &[u8], limit: usize) -> String {
    let text = String::from_utf8_lossy(output);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let joined: String = lines
        .join(" | ")
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let count = joined.chars().count();
    if count <= limit {
        joined
    } else {
        format!(
            "…{}",
            joined.chars().skip(count - limit).collect::<String>()
        )
    }
}
