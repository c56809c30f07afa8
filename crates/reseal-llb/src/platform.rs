use std::fmt;

use reseal_proto::pb;

/// The platform of an image or a process, in the words of the OCI image specification; empty parts are unset.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    /// Operating system, such as `linux`.
    pub os: String,
    /// Architecture as Go names it, such as `arm64`.
    pub architecture: String,
    /// Variant of the architecture, such as `v8`.
    pub variant: String,
    /// Version of the operating system; only Windows images have one.
    pub os_version: String,
    /// Features that the operating system must have.
    pub os_features: Vec<String>,
}

impl Platform {
    /// Returns a platform from the parts of a name such as `linux/arm64/v8`; an empty variant is none.
    pub fn new(os: &str, architecture: &str, variant: &str) -> Self {
        Self {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.to_owned(),
            ..Self::default()
        }
    }

    pub(crate) fn to_proto(&self) -> pb::Platform {
        pb::Platform {
            architecture: self.architecture.clone(),
            os: self.os.clone(),
            variant: self.variant.clone(),
            os_version: self.os_version.clone(),
            os_features: self.os_features.clone(),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() {
            Ok(())
        } else {
            write!(f, "/{}", self.variant)
        }
    }
}
