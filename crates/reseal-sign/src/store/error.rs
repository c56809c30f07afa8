//! What can go wrong between signatures and the place where they are kept.

use reseal_oci::{Digest, OciError};
use reseal_registry::StoreError;

/// Why something that belongs to an image could not be stored, read or copied.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something else is where signatures belong. It is not replaced.
    #[error("{place} holds something else than signatures: {why}")]
    Foreign {
        /// Which tag, and where.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// Such a digest makes no tag.
    #[error("no tag can hold the signatures of {digest}: it would be too long")]
    NoTag {
        /// The digest.
        digest: Digest,
    },
    /// More belongs to the image than is copied.
    #[error("more than {limit} artifacts belong to {digest} in {place}")]
    TooMany {
        /// The image.
        digest: Digest,
        /// Where.
        place: String,
        /// How many are copied.
        limit: usize,
    },
    /// What was made cannot be read again. An artifact of others that is malformed is an error of its own.
    #[error("could not write to {place}: {source}")]
    Malformed {
        /// Where.
        place: String,
        /// What is wrong with it.
        source: OciError,
    },
}

impl ArtifactError {
    /// Returns what the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            Self::Foreign { .. } | Self::Malformed { .. } => Some(
                "delete that tag if nobody needs it, or keep the signatures in another repository (`--signature-repository`)"
                    .to_owned(),
            ),
            Self::NoTag { .. } => {
                Some("use `--signature-format bundle`: bundles need no tag".to_owned())
            }
            Self::TooMany { .. } => Some(
                "delete what is no longer needed: old signatures, attestations and SBOMs".to_owned(),
            ),
        }
    }

    /// Returns the store's error, if it is one.
    pub fn store(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

/// Makes text of a stranger fit for one line of a message.
pub(super) fn one_line(text: &str) -> String {
    const LIMIT: usize = 400;
    let clean: String = text
        .chars()
        .take(LIMIT)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(LIMIT).is_some() {
        clean + "…"
    } else {
        clean
    }
}
