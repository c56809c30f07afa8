//! Where an image is: in a registry or in an OCI layout folder.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::{Digest, OciError, Reference, Tag};

/// An image as users name it: `REGISTRY/REPOSITORY[:TAG][@DIGEST]` or `oci:PATH[:TAG][@DIGEST]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In a registry.
    Registry(Reference),
    /// In an OCI image layout.
    Layout {
        /// The layout's folder.
        path: PathBuf,
        /// The value of `org.opencontainers.image.ref.name` in its `index.json`.
        tag: Option<Tag>,
        /// The digest of the image in it.
        digest: Option<Digest>,
    },
}

/// Places that other tools name in the same way and that would be taken for repositories of Docker Hub.
const FOREIGN: [&str; 5] = [
    "docker-archive:",
    "oci-archive:",
    "docker-daemon:",
    "containers-storage:",
    "ostree:",
];

impl FromStr for Location {
    type Err = OciError;

    fn from_str(text: &str) -> Result<Self, OciError> {
        if let Some(transport) = FOREIGN
            .into_iter()
            .find(|transport| text.starts_with(transport))
        {
            return Err(OciError::Transport { transport });
        }
        match text.strip_prefix("oci:") {
            Some(rest) => layout(rest),
            None => text
                .strip_prefix("docker://")
                .unwrap_or(text)
                .parse()
                .map(Self::Registry),
        }
    }
}

fn layout(rest: &str) -> Result<Location, OciError> {
    // An `@` may be part of a folder's name; it starts a digest only where an algorithm follows.
    let (rest, digest) = match rest.rsplit_once('@') {
        Some((path, digest)) if digest.starts_with("sha256:") || digest.starts_with("sha512:") => {
            (path, Some(digest.parse()?))
        }
        _ => (rest, None),
    };
    let (path, tag) = match rest.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag.parse()?)),
        _ => (rest, None),
    };
    if path.is_empty() {
        return Err(OciError::reference(
            &format!("oci:{rest}"),
            "the path of the OCI layout is missing",
        ));
    }
    Ok(Location::Layout {
        path: PathBuf::from(path),
        tag,
        digest,
    })
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => write!(f, "{reference}"),
            Self::Layout { path, tag, digest } => {
                write!(f, "oci:{}", path.display())?;
                if let Some(tag) = tag {
                    write!(f, ":{tag}")?;
                }
                if let Some(digest) = digest {
                    write!(f, "@{digest}")?;
                }
                Ok(())
            }
        }
    }
}
