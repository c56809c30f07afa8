//! The distributions whose packages can be patched.

use std::fmt;

use serde::Serialize;

/// A distribution with an engine here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Debian, distroless images included.
    Debian,
    /// Ubuntu.
    Ubuntu,
}

impl Family {
    /// Returns the name as os-release and scanners write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debian => "debian",
            Self::Ubuntu => "ubuntu",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
