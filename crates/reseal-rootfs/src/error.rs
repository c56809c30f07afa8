//! What can be wrong with the files of an image.

use reseal_oci::layer::LayerError;

/// Layers that could not be read, or that do not add up to a root.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootfsError {
    /// The layer's archive is not one that can be used.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// More of something than an image reasonably has.
    #[error("the image has more than {limit} {what}")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// An entry that cannot be unpacked onto those before it.
    #[error("the layer's `{path}` cannot be unpacked: {why}")]
    Conflict {
        /// The path, shortened.
        path: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A file whose contents are needed is another name of one whose contents were not kept.
    #[error("could not read `{path}`: it is a hard link to `{target}`, which was not read")]
    Unread {
        /// The path, shortened.
        path: String,
        /// The other name, shortened.
        target: String,
    },
    /// Bytes that are not the facts of a layer in this version's form.
    #[error("the stored facts of a layer are malformed: {why}")]
    Facts {
        /// What is wrong.
        why: &'static str,
    },
}

impl RootfsError {
    /// Says what the user can do about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Layer(error) => error.hint(),
            Self::Unread { .. } => Some("patch this image with `--engine buildkit`".to_owned()),
            Self::Conflict { .. } => Some(
                "check that the image can be started: container runtimes refuse such a layer too"
                    .to_owned(),
            ),
            Self::TooMuch { .. } | Self::Facts { .. } => None,
        }
    }

    pub(crate) fn conflict(path: &str, why: &'static str) -> Self {
        Self::Conflict {
            path: shown(path),
            why,
        }
    }
}

/// A path as it is shown in one line.
pub(crate) fn shown(path: &str) -> String {
    const SHOWN: usize = 200;
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut out: String = path.chars().take(SHOWN).map(plain).collect();
    if path.chars().nth(SHOWN).is_some() {
        out.push('…');
    }
    out
}
