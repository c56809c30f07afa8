//! What can go wrong while something is signed, each with its remedy.

use crate::key::{Algorithm, KeyError};

const KEY_ROUTE: &str = "or sign with a key instead: `--sign-key cosign.key`, made by `reseal key generate`, with `--tlog=off` where there is no internet";

/// Why something could not be signed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Keyless signatures are worth something for the minutes of their certificate alone, unless a log or an authority says when they were made.
    #[error("signing without a key needs the transparency log, and it is switched off")]
    KeylessWithoutLog,
    /// The bundle of such a key would be refused by every released verifier.
    #[error("cosign cannot verify bundles of {algorithm} keys, not even its own")]
    BundleKey {
        /// The kind of key.
        algorithm: Algorithm,
    },
}

impl SignError {
    /// Returns what the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Key(error) => return error.hint(),
            Self::KeylessWithoutLog => format!("leave out `--tlog=off`, {KEY_ROUTE}"),
            Self::BundleKey { .. } => {
                "add `--signature-format legacy`, or use an ECDSA P-256 or RSA key".to_owned()
            }
        })
    }
}
