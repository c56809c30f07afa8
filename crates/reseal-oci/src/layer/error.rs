//! What can be wrong with a layer.

use std::io;

use crate::error::shown;

/// A layer that could not be read or written. Offsets count bytes of the uncompressed tar.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// The source of the bytes failed, or they cannot be decompressed.
    #[error("could not read the layer")]
    Read(#[source] io::Error),
    /// The patch layer could not be written.
    #[error("could not write the patch layer")]
    Write(#[source] io::Error),
    /// The archive ends too early.
    #[error("the layer's archive ends within the entry at byte {offset}")]
    Truncated {
        /// Where the entry begins.
        offset: u64,
    },
    /// Not a tar archive, or a broken one.
    #[error("the layer's archive is malformed at byte {offset}: {why}")]
    Malformed {
        /// Where the entry begins.
        offset: u64,
        /// What is wrong.
        why: &'static str,
    },
    /// A path that leaves the image's root or that no file system can hold.
    #[error("the layer has the unsafe path `{path}` at byte {offset}: {why}")]
    UnsafePath {
        /// The path, shortened.
        path: String,
        /// Where the entry begins.
        offset: u64,
        /// The rule it breaks.
        why: &'static str,
    },
    /// A file larger than the caller can take.
    #[error("`{path}` in the layer has {size} bytes, more than the {limit} that are read")]
    TooLarge {
        /// The path, shortened.
        path: String,
        /// The file's size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// More of something than a layer reasonably has.
    #[error("the layer has more than {limit} {what}")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// Entries that contradict each other.
    #[error("the layer contradicts itself at `{path}`: {why}")]
    Conflict {
        /// The path, shortened.
        path: String,
        /// What is wrong.
        why: &'static str,
    },
}

impl LayerError {
    /// Says what the user can do about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Write(error) if error.kind() == io::ErrorKind::StorageFull => {
                "free some space in the folder for temporary files, or name another one with TMPDIR"
                    .to_owned()
            }
            Self::Truncated { .. } => "fetch the layer again: it is not complete".to_owned(),
            Self::UnsafePath { .. } | Self::Conflict { .. } => {
                "do not use this image: its layer is made to mislead the tools that unpack it"
                    .to_owned()
            }
            _ => return None,
        })
    }

    /// The source's failure; its early end is the archive's.
    pub(crate) fn read(error: io::Error, offset: u64) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            Self::Truncated { offset }
        } else {
            Self::Read(error)
        }
    }

    pub(crate) fn conflict(path: &[u8], why: &'static str) -> Self {
        Self::Conflict {
            path: shown(&String::from_utf8_lossy(path)),
            why,
        }
    }

    pub(crate) fn too_large(path: &[u8], size: u64, limit: u64) -> Self {
        Self::TooLarge {
            path: shown(&String::from_utf8_lossy(path)),
            size,
            limit,
        }
    }
}
