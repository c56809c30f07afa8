//! What can be wrong with a package database, a name or a version.

/// Why package data of an image could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PkgError {
    /// A distribution without an engine here.
    #[error(
        "the distribution `{}` is not supported, only debian and ubuntu are",
        shown(found)
    )]
    UnsupportedFamily {
        /// `ID` of os-release.
        found: String,
    },
    /// A text that is no package name by Debian Policy 5.6.1.
    #[error("`{}` is not a package name: {why}", shown(name))]
    InvalidName {
        /// The text.
        name: String,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// A text that is no version by deb-version(7).
    #[error("`{}` is not a package version: {why}", shown(version))]
    InvalidVersion {
        /// The text.
        version: String,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// A text that is no relation to a package by Debian Policy 7.1.
    #[error("`{}` is not a relation to a package: {why}", shown(relation))]
    InvalidRelation {
        /// The text.
        relation: String,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// A stanza of an index that lacks what is needed to install the package.
    #[error("the index's stanza of `{}` is malformed: {why}", shown(package))]
    InvalidStanza {
        /// `Package` of the stanza; empty if it has none.
        package: String,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// A package database without one package.
    #[error("the package database is empty")]
    EmptyDatabase,
    /// A file that breaks the rules of its format.
    #[error("{what} is malformed in line {line}: {why}")]
    Malformed {
        /// The kind of file.
        what: &'static str,
        /// The line, counted from 1.
        line: usize,
        /// The rule that it breaks.
        why: &'static str,
    },
}

impl PkgError {
    /// Returns what the user can do, as one sentence.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::UnsupportedFamily { .. } => {
                Some("Images of other distributions have to be rebuilt on a newer base image")
            }
            Self::EmptyDatabase => Some(
                "The image's dpkg database was emptied or removed; without it neither a scanner nor a patch can tell what is installed",
            ),
            Self::Malformed { .. }
            | Self::InvalidName { .. }
            | Self::InvalidVersion { .. }
            | Self::InvalidRelation { .. }
            | Self::InvalidStanza { .. } => None,
        }
    }
}

/// Longest piece of foreign text that a message repeats, in characters.
const SHOWN: usize = 80;

/// Returns foreign text fit for one line of a message.
fn shown(text: &str) -> String {
    let mut out: String = text.chars().take(SHOWN).flat_map(escaped).collect();
    if text.chars().nth(SHOWN).is_some() {
        out.push('…');
    }
    out
}

fn escaped(c: char) -> Vec<char> {
    if c.is_ascii_graphic() || c == ' ' || c.is_alphanumeric() {
        vec![c]
    } else {
        c.escape_default().collect()
    }
}
