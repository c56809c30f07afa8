//! Why there is no identity token.

use crate::service::ServiceError;

/// Why there is no identity token, or none that can be used. No message holds a token.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Nothing gives one.
    #[error("there is no identity token to sign with; looked for {}", looked_for.join(", "))]
    None {
        /// Everything that was tried.
        looked_for: Vec<String>,
    },
    /// A GitHub job without the permission.
    #[error("this GitHub job may not ask for an identity token: {missing} is not set")]
    Permission {
        /// The variable that is not there.
        missing: &'static str,
        /// Whether the job runs on a runner of one's own, or for a GitHub server of one's own.
        self_hosted: bool,
    },
    /// A GitLab job without a token.
    #[error("this GitLab job has no identity token: SIGSTORE_ID_TOKEN is not set")]
    GitLab,
    /// The address in the environment is none that a token may be asked from.
    #[error("could not ask for an identity token: {why}")]
    Address {
        /// What is wrong.
        why: String,
    },
    /// The token file cannot be read.
    #[error("could not read the identity token from {place}: {why}")]
    Unreadable {
        /// Where.
        place: String,
        /// The system's words.
        why: String,
    },
    /// The program that gives tokens on this CI system failed.
    #[error("`{program}` gave no identity token: {why}")]
    Program {
        /// `buildkite-agent`, `circleci`
        program: &'static str,
        /// What happened.
        why: String,
    },
    /// The text is no token.
    #[error("the identity token from {place} is no JSON web token: {why}")]
    Malformed {
        /// Where it came from.
        place: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The token's time is over.
    #[error(
        "the identity token from {place} ended {seconds} seconds ago, by the clock of this machine"
    )]
    Expired {
        /// Where it came from.
        place: String,
        /// How long ago.
        seconds: i64,
    },
    /// The token was issued in the future.
    #[error(
        "the clock of this machine is {seconds} seconds behind that of the issuer of the identity token"
    )]
    ClockBehind {
        /// How much.
        seconds: i64,
    },
    /// The token service failed.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl TokenError {
    /// Returns what the user can do about it, besides signing with a key.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::None { .. } => "give a token with `--identity-token` or SIGSTORE_ID_TOKEN, or run in a CI job that may ask for one".to_owned(),
            Self::Permission {
                self_hosted: false, ..
            } => "add `permissions: id-token: write` to the job (jobs for pull requests from forks never get it)".to_owned(),
            Self::Permission {
                self_hosted: true, ..
            } => "add `permissions: id-token: write` to the job; if it has that, this runner or GitHub server does not offer tokens".to_owned(),
            Self::GitLab => "add `id_tokens: SIGSTORE_ID_TOKEN: aud: sigstore` to the job".to_owned(),
            Self::Malformed { .. } => "`--identity-token` takes a token, or the name of a file that holds one".to_owned(),
            Self::Expired { .. } => "get a new token right before signing, or correct the clock".to_owned(),
            Self::ClockBehind { .. } => "correct the clock of this machine".to_owned(),
            Self::Service(ServiceError::Refused { status: 401 | 403, .. }) => "add `permissions: id-token: write` to the job".to_owned(),
            Self::Service(_) => "let this machine reach the token service".to_owned(),
            _ => return None,
        })
    }
}
