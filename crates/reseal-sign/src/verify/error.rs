//! Why nothing was accepted, candidate by candidate, and what the user can do about it.

use std::fmt::{self, Write as _};

use reseal_oci::Digest;

use super::Origin;
use crate::key::KeyError;

/// Why there is no verified signature or attestation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// There is nothing that could be verified.
    #[error("{subject} has no {what}{}", listed(skipped))]
    NothingThere {
        /// The digest that was asked about.
        subject: Digest,
        /// `signature`, or `attestation of type …`.
        what: String,
        /// What was found and could not be read, one sentence each.
        skipped: Vec<String>,
    },
    /// There are candidates, and each has its fault.
    #[error(
        "no {what} of {subject} was accepted: {} {}{}{}",
        rejected.len(),
        if rejected.len() == 1 { "was looked at" } else { "were looked at" },
        lines("\n  ", rejected),
        listed(skipped)
    )]
    NoneAccepted {
        /// The digest that was asked about.
        subject: Digest,
        /// `signature`, or `attestation of type …`.
        what: String,
        /// Every candidate with the reason.
        rejected: Vec<Rejected>,
        /// What was found and could not be read, one sentence each.
        skipped: Vec<String>,
    },
    /// The trusted root cannot be used.
    #[error("could not use the trusted root: {why}")]
    TrustedRoot {
        /// What is wrong with it.
        why: String,
    },
    /// The policy needs a trusted root and has none.
    #[error("cannot verify {purpose} without a trusted root")]
    NoTrustedRoot {
        /// What it is needed for.
        purpose: &'static str,
    },
    /// The policy asks for what its trusted root cannot prove.
    #[error("the trusted root names no {what}, so nothing can be verified by it")]
    RootLacks {
        /// The kind of authority or log that is missing.
        what: &'static str,
    },
    /// The public key cannot be used.
    #[error("could not use the public key: {0}")]
    Key(#[from] KeyError),
    /// The pattern is no regular expression.
    #[error("`{pattern}` is no usable pattern: {why}")]
    Pattern {
        /// As it was given.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is no claim of that name.
    #[error("there is no certificate claim called `{name}`")]
    UnknownClaim {
        /// As it was given.
        name: String,
    },
}

fn listed(skipped: &[String]) -> String {
    lines("\n  left out: ", skipped)
}

fn lines(start: &str, list: &[impl fmt::Display]) -> String {
    list.iter().fold(String::new(), |mut text, one| {
        write!(text, "{start}{one}").expect("writing to a string does not fail");
        text
    })
}

impl VerifyError {
    /// Returns what the user can do, where something can be done.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NothingThere { .. } => {
                "Sign the digest first; if the signatures are kept in another repository, name that one".to_owned()
            }
            Self::NoneAccepted { rejected, .. } => {
                let mut hints: Vec<&str> = Vec::new();
                for hint in rejected.iter().filter_map(|one| one.reason.hint()) {
                    if !hints.contains(&hint) {
                        hints.push(hint);
                    }
                }
                if hints.is_empty() {
                    return None;
                }
                hints.join("\n")
            }
            Self::TrustedRoot { .. } | Self::RootLacks { .. } => {
                "Make it with `cosign trusted-root create`, with the certificates and keys of the instance that signed".to_owned()
            }
            Self::NoTrustedRoot { purpose } => match *purpose {
                "the transparency log" => {
                    "Pass the instance's file with `--trusted-root`, or `--tlog=off` if the key signed without a log".to_owned()
                }
                _ => "Pass the file of the instance that signed with `--trusted-root`".to_owned(),
            },
            Self::Key(_) => "Pass a PEM public key, as `reseal key public` or `cosign public-key` prints it".to_owned(),
            Self::Pattern { .. } => {
                "A pattern must be a whole regular expression (RE2 syntax) and match from the first to the last character".to_owned()
            }
            Self::UnknownClaim { .. } => {
                let names: Vec<_> = super::Claim::ALL.iter().map(|c| c.as_str()).collect();
                format!("Known are {}", names.join(", "))
            }
        })
    }
}

/// A candidate that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Where it is kept.
    pub origin: Origin,
    /// Why it was not accepted.
    pub reason: Reason,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.reason)
    }
}

/// Why one candidate was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Malformed(String),
    /// It signs bytes and says nothing about an image.
    #[error("it holds no statement about an image")]
    NoStatement,
    /// The statement is about other things.
    #[error("it is about {}, not about this image", if found.is_empty() { "nothing" } else { found })]
    OtherSubject {
        /// The digests that it is about.
        found: String,
    },
    /// The statement is of another type.
    #[error("it states `{found}`, not `{wanted}`")]
    OtherPredicate {
        /// The signed predicate type.
        found: String,
        /// The one that was asked for.
        wanted: String,
    },
    /// The key did not make it.
    #[error("the key that was given did not make it")]
    NotByKey,
    /// It comes with a certificate, and a key was asked for.
    #[error("it was made with a certificate{}, not with a key", identity.as_ref().map(|who| format!(" of `{who}`")).unwrap_or_default())]
    Certified {
        /// Whom the certificate names. It has not been verified.
        identity: Option<String>,
    },
    /// It was made with a key, and a certificate was asked for.
    #[error("it was made with a key, and a certificate is asked for")]
    Keyed,
    /// Somebody else signed.
    #[error("`{found}` made it, not {wanted}")]
    OtherIdentity {
        /// Whom the certificate names.
        found: String,
        /// Whom the policy names.
        wanted: String,
    },
    /// Another issuer vouches for the signer.
    #[error("its signer is vouched for by `{found}`, not by {wanted}")]
    OtherIssuer {
        /// The certificate's issuer.
        found: String,
        /// The policy's issuer.
        wanted: String,
    },
    /// A claim of the certificate is another one, or missing.
    #[error("its certificate's {claim} is {}, not {wanted}", found.as_ref().map_or_else(|| "not there".to_owned(), |value| format!("`{value}`")))]
    OtherClaim {
        /// The claim.
        claim: super::Claim,
        /// Its value.
        found: Option<String>,
        /// The value that was asked for.
        wanted: String,
    },
    /// An annotation is another one, or missing.
    #[error("its annotation `{name}` is {}, not `{wanted}`", found.as_ref().map_or_else(|| "not there".to_owned(), |value| format!("`{value}`")))]
    OtherAnnotation {
        /// The annotation.
        name: String,
        /// Its value.
        found: Option<String>,
        /// The value that was asked for.
        wanted: String,
    },
    /// The signature does not fit.
    #[error("the signature does not fit: {0}")]
    Signature(String),
    /// It is in no log, and must be.
    #[error("it is in no transparency log")]
    NotLogged,
    /// What it says about the log is wrong.
    #[error("its log entry does not hold: {0}")]
    LogEntry(String),
    /// The log's key was not trusted at the time.
    #[error("its log was not trusted at the time of the signature")]
    LogNotTrusted,
    /// It carries no timestamp, and must.
    #[error("it carries no signed timestamp")]
    NoTimestamp,
    /// A timestamp is wrong.
    #[error("its timestamp does not hold: {0}")]
    Timestamp(String),
    /// It was made in the future.
    #[error("it says that it was made at {time}, which is in the future")]
    Future {
        /// The signed time, RFC 3339.
        time: String,
    },
    /// The certificate is wrong.
    #[error("its certificate does not hold: {0}")]
    Certificate(String),
    /// It is of a kind that cannot be verified here.
    #[error("it cannot be verified: {0}")]
    Unsupported(String),
}

impl Reason {
    /// Returns what the user can do, where something can be done.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NotByKey => "Check that the public key belongs to the key that signed this image",
            Self::Certified { .. } => {
                "To accept a signature with a certificate, name its identity and issuer instead of a key"
            }
            Self::Keyed => "To accept a signature with a key, pass the public key",
            Self::OtherIdentity { .. } | Self::OtherIssuer { .. } => {
                "Identity and issuer must match as a whole; a pattern is anchored at both ends"
            }
            Self::NotLogged => {
                "If keys sign without a transparency log on purpose, verify with `--tlog=off`"
            }
            Self::NoTimestamp => {
                "Sign again with a timestamp authority, or do not ask for signed timestamps"
            }
            Self::LogEntry(_) | Self::LogNotTrusted | Self::Timestamp(_) | Self::Certificate(_) => {
                "If this signature is genuine, the trusted root is of another Sigstore instance or too old"
            }
            Self::Future { .. } => "Check the clock of this machine",
            Self::OtherPredicate { .. } => {
                "An attestation is no signature and another statement no proof: sign, or attest what is asked for"
            }
            _ => return None,
        })
    }
}
