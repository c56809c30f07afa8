//! What can be wrong with a reference, a manifest, a config or an index.

use crate::Digest;

/// Longest piece of outside text that an error message repeats, in characters.
const SHOWN: usize = 120;

/// A value that could not be read or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OciError {
    /// Nothing was given where an image reference belongs.
    #[error("empty image reference")]
    EmptyReference,
    /// Not an image reference.
    #[error("not an image reference: `{text}`: {why}")]
    Reference {
        /// What was given, shortened.
        text: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// Another tool's name for a place that cannot be read here.
    #[error("cannot read images from `{transport}`")]
    Transport {
        /// The transport's prefix, such as `docker-archive:`.
        transport: &'static str,
    },
    /// Not a digest.
    #[error("not a digest: `{text}`")]
    Digest {
        /// What was given, shortened.
        text: String,
    },
    /// Not a tag.
    #[error("not a tag: `{text}`")]
    Tag {
        /// What was given, shortened.
        text: String,
    },
    /// Not a platform.
    #[error("not a platform: `{text}`: {why}")]
    Platform {
        /// What was given, shortened.
        text: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// A document is larger than what is read.
    #[error("{what} has {size} bytes, more than the {limit} that are read")]
    TooLarge {
        /// The kind of document.
        what: &'static str,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Not JSON, or not the JSON that belongs there.
    #[error("{what} is malformed at `{path}`: {why}")]
    Malformed {
        /// The kind of document.
        what: &'static str,
        /// The JSON path, `$` for the whole document.
        path: String,
        /// What is wrong there.
        why: String,
    },
    /// A media type that cannot be handled where it was found.
    #[error("{what} has the media type `{media_type}`, which is not supported there")]
    MediaType {
        /// The kind of document that was expected.
        what: &'static str,
        /// What was found, shortened.
        media_type: String,
    },
    /// The config's bytes are not those that the manifest names.
    #[error("the config does not have the digest {expected} that its manifest names")]
    ConfigDigest {
        /// The digest in the manifest.
        expected: Digest,
    },
    /// Manifest and config disagree on the number of layers.
    #[error("the manifest has {layers} layers but its config has {diff_ids} diff IDs")]
    LayerCount {
        /// Layers in the manifest.
        layers: usize,
        /// Diff IDs in the config.
        diff_ids: usize,
    },
    /// A replacement for a manifest that the index does not list.
    #[error("the index does not list {digest}")]
    NotInIndex {
        /// The digest that was to be replaced.
        digest: Digest,
    },
    /// A replacement of another media type than the original.
    #[error("the replacement of {digest} is a `{new}` where the index lists a `{old}`")]
    ReplacementType {
        /// The digest that was to be replaced.
        digest: Digest,
        /// The media type in the index.
        old: String,
        /// The media type of the replacement.
        new: String,
    },
}

impl OciError {
    /// Says what the user can do about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::EmptyReference | Self::Reference { .. } => {
                "write the image as REGISTRY/REPOSITORY[:TAG][@sha256:…], or as oci:PATH[:TAG] for an OCI layout".to_owned()
            }
            Self::Transport { .. } => {
                "convert the image to an OCI layout first, then name it as oci:PATH[:TAG]".to_owned()
            }
            Self::Digest { .. } => "a digest is `sha256:` and 64 lower-case hex digits".to_owned(),
            Self::Tag { .. } => {
                "a tag has at most 128 letters, digits, `_`, `.` and `-`, and does not start with `.` or `-`".to_owned()
            }
            Self::Platform { .. } => "write the platform as OS/ARCHITECTURE[/VARIANT], such as linux/arm64".to_owned(),
            Self::MediaType { media_type, .. } if media_type.contains("manifest.v1") => {
                "push the image again with a current tool: Docker's schema 1 cannot be patched".to_owned()
            }
            _ => return None,
        })
    }

    pub(crate) fn reference(text: &str, why: &'static str) -> Self {
        Self::Reference {
            text: shown(text),
            why,
        }
    }

    pub(crate) fn malformed(what: &'static str, path: &str, why: impl Into<String>) -> Self {
        Self::Malformed {
            what,
            path: shown(path),
            why: why.into(),
        }
    }
}

/// Outside text, fit for one line of a message.
pub(crate) fn shown(text: &str) -> String {
    let mut out: String = text
        .chars()
        .take(SHOWN)
        .map(|c| {
            if c.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect();
    if text.chars().nth(SHOWN).is_some() {
        out.push('…');
    }
    out
}
