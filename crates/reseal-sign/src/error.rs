//! What can go wrong while something is signed, each with its remedy.

use crate::key::{Algorithm, KeyError};
use crate::oidc::TokenError;
use crate::service::{ServiceError, ServiceName};

/// What always works without an identity: ends the advice of every error that only keyless signing has.
const KEY_ROUTE: &str = "or sign with a key: `--sign-key cosign.key` (made by `reseal key generate`), with `--tlog=off` where there is no internet";

/// Why something could not be signed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The identity token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A service.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// Keyless signatures are worth something for the minutes of their certificate alone, unless a log says when they were made.
    #[error("signing without a key needs the transparency log, and it is switched off")]
    KeylessWithoutLog,
    /// A service is needed and none is named.
    #[error("no address of {service} is known")]
    NoService {
        /// Which.
        service: ServiceName,
    },
    /// Nothing would say when a certificate was used.
    #[error("a Rekor v2 log says nothing about time, and no timestamp authority is known")]
    NoTime,
    /// The only log cannot be used for the only form.
    #[error("`.sig` and `.att` tags can hold no entry of a Rekor v2 log")]
    LegacyLog,
    /// The bundle of such a key would be refused by every released verifier.
    #[error("cosign cannot verify bundles of {algorithm} keys, not even its own")]
    BundleKey {
        /// The kind of key.
        algorithm: Algorithm,
    },
    /// Rekor wants another digest of such keys than the one that cosign verifies `.sig` tags with.
    #[error("Rekor takes no signatures of {algorithm} keys that cosign could verify")]
    LogKey {
        /// The kind of key.
        algorithm: Algorithm,
    },
    /// Fulcio trusts other issuers.
    #[error("Fulcio takes no tokens of `{issuer}`; it takes those of {}", known.join(", "))]
    UnknownIssuer {
        /// The issuer of the token.
        issuer: String,
        /// What Fulcio takes.
        known: Vec<String>,
    },
    /// The token is for somebody else.
    #[error("the identity token from {place} is for the audience `{}`, and Fulcio wants `{wanted}`", found.join("`, `"))]
    Audience {
        /// Where the token came from.
        place: String,
        /// What it has.
        found: Vec<String>,
        /// What it must have.
        wanted: String,
    },
    /// The clocks are too far apart.
    #[error(
        "the clock of this machine is {} seconds {} that of Fulcio",
        seconds.abs(),
        if *seconds < 0 { "ahead of" } else { "behind" }
    )]
    Clock {
        /// How far Fulcio's clock is ahead.
        seconds: i64,
    },
}

impl SignError {
    /// Returns what the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Key(error) => return error.hint(),
            Self::Token(error) => match error.hint() {
                Some(hint) => format!("{hint}; {KEY_ROUTE}"),
                None => KEY_ROUTE.to_owned(),
            },
            Self::Service(error) => return service_hint(error),
            Self::KeylessWithoutLog => format!("leave out `--tlog=off`, {KEY_ROUTE}"),
            Self::NoService {
                service: ServiceName::Rekor,
            } => "name a log with `--rekor-url` or `--signing-config`, or sign with a key and `--tlog=off`".to_owned(),
            Self::NoService { .. } => format!(
                "name one with `--fulcio-url` or `--signing-config`, {KEY_ROUTE}"
            ),
            Self::NoTime => format!("name a timestamp authority with `--tsa-url`, {KEY_ROUTE}"),
            Self::LegacyLog => "use `--signature-format bundle`, name a log of the first protocol with `--rekor-url`, or sign with a key and `--tlog=off`".to_owned(),
            Self::BundleKey { .. } => "add `--signature-format legacy`, or use an ECDSA P-256 or RSA key".to_owned(),
            Self::LogKey { .. } => "add `--tlog=off`, or use an ECDSA P-256 or RSA key".to_owned(),
            Self::UnknownIssuer { .. } => format!(
                "use the Fulcio of your own instance (`--fulcio-url`, `--signing-config`), {KEY_ROUTE}"
            ),
            Self::Audience { wanted, .. } => format!(
                "ask for a token with the audience `{wanted}` (GitLab: `id_tokens: SIGSTORE_ID_TOKEN: aud: {wanted}`), {KEY_ROUTE}"
            ),
            Self::Clock { .. } => "correct the clock of this machine".to_owned(),
        })
    }
}

fn service_hint(error: &ServiceError) -> Option<String> {
    let untrusted = "give the authority of its certificate with `--registry-ca`";
    Some(match error {
        ServiceError::Unreachable {
            untrusted: true, ..
        } => untrusted.to_owned(),
        ServiceError::Unreachable {
            service, address, ..
        } => match service {
            ServiceName::Fulcio | ServiceName::Token => {
                format!("let this machine reach {address}, {KEY_ROUTE}")
            }
            ServiceName::Rekor => format!(
                "let this machine reach {address}, name another log with `--rekor-url`, or sign with a key and `--tlog=off`"
            ),
            ServiceName::Timestamp => format!(
                "let this machine reach {address}, or name another authority with `--tsa-url`"
            ),
        },
        ServiceError::Refused {
            service: ServiceName::Fulcio,
            status: 400..=403,
            ..
        } => format!("check the identity token: issuer, audience and age; {KEY_ROUTE}"),
        ServiceError::Refused {
            service: ServiceName::Fulcio,
            ..
        } => KEY_ROUTE.to_owned(),
        ServiceError::Refused {
            service: ServiceName::Rekor,
            status: 404,
            ..
        } => "check the address, and whether the log speaks the first or the second protocol"
            .to_owned(),
        ServiceError::Refused {
            service: ServiceName::Rekor,
            status: 409,
            ..
        } => "the log has this very signature: some keys (RSA) sign the same in the same way, and it takes nothing twice. If the image does not have it, sign it with an annotation (`-a run=2`)".to_owned(),
        ServiceError::Refused {
            service: ServiceName::Rekor,
            status: 400..=407 | 409..=428 | 430..=499,
            ..
        } => "the log does not take this kind of entry or key: name another with `--rekor-url`, or sign with a key and `--tlog=off`".to_owned(),
        ServiceError::Refused {
            service: ServiceName::Rekor,
            ..
        } => "try again later, or sign with a key and `--tlog=off`".to_owned(),
        _ => return None,
    })
}
