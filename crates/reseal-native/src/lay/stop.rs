//! Failures within one package, before its name is put to them.

use std::io;

use reseal_oci::layer::LayerError;

use crate::raw::CopyError;
use crate::{ArchiveError, NativeError, Refusal};

/// What ends the work on a package.
#[derive(Debug)]
pub(super) enum Stop {
    Refused(Refusal),
    Archive(ArchiveError),
    Write(io::Error),
}

impl Stop {
    /// Names the package.
    pub(super) fn of(self, package: &str) -> NativeError {
        match self {
            Self::Refused(refusal) => refusal.into(),
            Self::Archive(source) => NativeError::Archive {
                package: package.to_owned(),
                source,
            },
            Self::Write(error) => NativeError::Write(error),
        }
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<ArchiveError> for Stop {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(error)
    }
}

impl From<LayerError> for Stop {
    fn from(error: LayerError) -> Self {
        Self::Archive(error.into())
    }
}

impl From<CopyError> for Stop {
    fn from(error: CopyError) -> Self {
        match error {
            CopyError::Read(error) => Self::Archive(error.into()),
            CopyError::Write(error) => Self::Write(error),
        }
    }
}

/// Ends the work on a package because of what its archive says.
pub(super) fn malformed<T>(why: impl Into<String>) -> Result<T, Stop> {
    Err(ArchiveError::Malformed(why.into()).into())
}
