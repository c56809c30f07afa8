//! What can stop the native engine.

use std::io;

use reseal_oci::layer::LayerError;
use reseal_pkg::PkgError;

/// Why packages could not be laid down.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NativeError {
    /// A package or the image needs what only the image's own package manager can do right.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A package's archive is not what it should be.
    #[error("could not read the package `{package}`")]
    Archive {
        /// The package's name.
        package: String,
        /// What is wrong with it.
        source: ArchiveError,
    },
    /// The database that came out could not be read again.
    #[error("could not write the package database")]
    Database(#[from] PkgError),
    /// The changes could not be written.
    #[error("could not write the layer's raw archive")]
    Write(#[source] io::Error),
}

impl NativeError {
    /// Says what the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Refused(_) => {
                "use `--engine buildkit`, which runs the image's own package manager".to_owned()
            }
            Self::Archive { source, .. } => return source.hint(),
            Self::Write(error) if error.kind() == io::ErrorKind::StorageFull => {
                "free some space in the folder for temporary files, or name another one with TMPDIR"
                    .to_owned()
            }
            _ => return None,
        })
    }
}

/// Something that is left to the image's own package manager, by name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{what}` needs the image's own package manager: {why}")]
pub struct Refusal {
    /// The package, file or setting.
    pub what: String,
    /// The reason, in lower case.
    pub why: String,
}

impl Refusal {
    pub(crate) fn new(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            why: why.into(),
        }
    }
}

/// What is wrong with a `.deb`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The bytes could not be read or decompressed.
    #[error("could not read its archive")]
    Read(#[from] io::Error),
    /// One of its two tars is broken or unsafe.
    #[error("one of its tars is not usable")]
    Tar(#[from] LayerError),
    /// It breaks the format (deb(5)) or a rule that every package keeps.
    #[error("it is malformed: {0}")]
    Malformed(String),
    /// It is another package than the one asked for.
    #[error("it is `{found}`, not `{wanted}`")]
    Other {
        /// Name, architecture and version in its control file.
        found: String,
        /// Those that were asked for.
        wanted: String,
    },
}

impl ArchiveError {
    pub(crate) fn malformed(why: impl Into<String>) -> Self {
        Self::Malformed(why.into())
    }

    /// Says what the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Malformed(_) | Self::Other { .. } => Some(
                "do not use this repository: its package is signed but breaks the format"
                    .to_owned(),
            ),
            Self::Tar(error) => error.hint(),
            Self::Read(_) => None,
        }
    }
}
