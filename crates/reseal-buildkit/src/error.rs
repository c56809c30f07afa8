//! What can go wrong between here and the daemon, in words a user can act on.

use std::error::Error as StdError;

use crate::capabilities::CapabilityError;

/// Why a build, or a question to the daemon, failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The daemon cannot do what the graph needs.
    #[error(transparent)]
    Unsupported(#[from] CapabilityError),
    /// A process inside the build ended with another exit code than the accepted ones.
    #[error("a build step failed with exit code {exit_code}: {message}")]
    Exec {
        /// Digest of the failed operation, as `reseal_llb::Graph::digest` gives it.
        vertex: Option<String>,
        /// The exit code of the process; 137 is a kill.
        exit_code: i32,
        /// The daemon's message, without stack traces.
        message: String,
        /// The last output (at most 64 KiB, both streams) of that operation.
        log_tail: String,
    },
    /// The daemon refused or failed the build for another reason.
    #[error("buildkitd could not finish the build ({code:?}): {message}")]
    Solve {
        /// The gRPC status; mostly `Unknown`.
        code: tonic::Code,
        /// Digest of the failed operation, where the daemon named one.
        vertex: Option<String>,
        /// The daemon's message, without stack traces.
        message: String,
    },
    /// The session, over which the daemon asks for credentials and hands back layers, ended too early.
    #[error("the session with buildkitd broke: {why}")]
    Session {
        /// What was seen.
        why: String,
    },
    /// The connection is gone: the daemon died, or something between cut it.
    #[error("lost the connection to buildkitd: {why}")]
    Lost {
        /// The transport's own chain of causes.
        why: String,
    },
    /// The code that runs as the frontend failed for a reason of its own.
    #[error("{0}")]
    Callback(Box<dyn StdError + Send + Sync>),
    /// What the daemon exported could not be stored or understood.
    #[error("could not take over the exported layers: {why}")]
    Export {
        /// What was wrong, with the blob's digest where there is one.
        why: String,
    },
    /// A file inside the image is larger than the reader accepts.
    #[error("`{path}` in the image is larger than {limit} bytes")]
    TooLarge {
        /// The path as asked for.
        path: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The build was cancelled on the daemon's side, which mostly means that the daemon is being stopped: who gives a
    /// build up on this side drops its future and sees no error.
    #[error("buildkitd cancelled the build")]
    Cancelled,
    /// A local input or output error.
    #[error("local input or output failed: {0}")]
    Io(#[from] std::io::Error),
}

impl BuildError {
    /// Wraps an error of the code that runs as the frontend.
    pub fn callback(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Callback(error.into())
    }

    /// Whether the same build may well work when it is simply tried again.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Lost { .. } | Self::Session { .. } | Self::Cancelled => true,
            Self::Solve { code, .. } => *code == tonic::Code::Unavailable,
            _ => false,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unsupported(error) => error.hint(),
            Self::Exec { exit_code, message, log_tail, .. } => exec_hint(*exit_code, message, log_tail),
            Self::Solve { message, .. } => solve_hint(message),
            Self::Session { .. } | Self::Lost { .. } | Self::Cancelled => Some(
                "look at the daemon's own log; if it was restarted or ran out of memory, run the same command again".to_owned(),
            ),
            Self::Export { why } if is_disk_full(why) => Some(LOCAL_DISK.to_owned()),
            Self::Io(error) if error.kind() == std::io::ErrorKind::StorageFull => Some(LOCAL_DISK.to_owned()),
            _ => None,
        }
    }
}

const LOCAL_DISK: &str = "free some space, or point TMPDIR at a larger file system";

const EMULATOR: &str = "the daemon's machine has no emulator for this platform: install one there \
     (for example with `docker run --privileged --rm tonistiigi/binfmt --install all`), or use a native builder";

/// The exit code of a process that was ended by SIGKILL.
const KILLED: i32 = 137;

fn exec_hint(exit_code: i32, message: &str, log_tail: &str) -> Option<String> {
    if message.contains("exec format error") || log_tail.contains("exec format error") {
        return Some(EMULATOR.to_owned());
    }
    if is_disk_full(message) || is_disk_full(log_tail) {
        return Some(DAEMON_DISK.to_owned());
    }
    (exit_code == KILLED).then(|| "the process was killed: give the daemon more memory, or look for an out-of-memory line in its log".to_owned())
}

const DAEMON_DISK: &str =
    "the daemon's disk is full: run `buildctl prune`, or give it a larger one";

fn solve_hint(message: &str) -> Option<String> {
    let any = |needles: &[&str]| needles.iter().any(|needle| message.contains(needle));
    if any(&["exec format error"]) {
        return Some(EMULATOR.to_owned());
    }
    if is_disk_full(message) {
        return Some(DAEMON_DISK.to_owned());
    }
    if any(&[
        "401 Unauthorized",
        "403 Forbidden",
        "insufficient_scope",
        "authorization failed",
        "failed to authorize",
        "failed to fetch anonymous token",
    ]) {
        return Some("log in to the image's registry; reseal hands the credentials of the Docker configuration to the daemon".to_owned());
    }
    if any(&[
        "no such host",
        "i/o timeout",
        "connection refused",
        "server gave HTTP response to HTTPS client",
    ]) {
        return Some("the daemon itself must reach the registry: check its network, its mirrors and its `[registry]` settings in buildkitd.toml".to_owned());
    }
    None
}

fn is_disk_full(text: &str) -> bool {
    text.contains("no space left on device") || text.contains("No space left on device")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exec(exit_code: i32, log_tail: &str) -> BuildError {
        BuildError::Exec {
            vertex: None,
            exit_code,
            message: "process did not complete".to_owned(),
            log_tail: log_tail.to_owned(),
        }
    }

    fn solve(message: &str) -> BuildError {
        BuildError::Solve {
            code: tonic::Code::Unknown,
            vertex: None,
            message: message.to_owned(),
        }
    }

    #[test]
    fn hints_name_the_next_step() {
        let table: &[(BuildError, &str)] = &[
            (exec(255, "exec /bin/sh: exec format error\n"), "emulator"),
            (
                exec(100, "E: Write error - write (28: No space left on device)"),
                "prune",
            ),
            (exec(137, ""), "memory"),
            (
                solve("failed to authorize: failed to fetch oauth token: 401 Unauthorized"),
                "log in",
            ),
            (
                solve("dial tcp: lookup registry.example: no such host"),
                "buildkitd.toml",
            ),
            (
                BuildError::Lost {
                    why: "broken pipe".to_owned(),
                },
                "again",
            ),
            (
                BuildError::Export {
                    why: "sha256:00: No space left on device (os error 28)".to_owned(),
                },
                "TMPDIR",
            ),
        ];
        for (error, needle) in table {
            let hint = error
                .hint()
                .unwrap_or_else(|| panic!("no hint for {error}"));
            assert!(hint.contains(needle), "{error}: {hint}");
        }
    }

    #[test]
    fn an_ordinary_exit_code_has_no_hint() {
        assert_eq!(exec(100, "E: Unable to locate package").hint(), None);
    }
}
