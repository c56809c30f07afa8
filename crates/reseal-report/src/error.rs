//! What can be wrong with a report, and what its owner can do about it.

use std::fmt::Write as _;

/// The command that makes a report this crate reads; `IMAGE` stands for the image's reference.
pub const TRIVY_COMMAND: &str =
    "trivy image --format json --list-all-pkgs --output report.json IMAGE";

/// Why a report could not be read. Every offset counts bytes of the file as it lies on the disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// Nothing but white space, or the JSON value `null`.
    #[error("the report is empty")]
    Empty,
    /// The JSON ends in the middle of a value.
    #[error("the report is cut off: it ends in the middle of a value at byte {offset}")]
    Truncated {
        /// Where the text ends.
        offset: usize,
    },
    /// The text is not JSON, or a value is of another type than the format says.
    #[error(
        "the report is malformed at {} (byte {offset}): {}",
        shown(path),
        shown(why)
    )]
    Malformed {
        /// JSON path such as `$.Results[0].Vulnerabilities[3].Severity`.
        path: String,
        /// Where the reader stopped.
        offset: usize,
        /// What was expected there.
        why: String,
    },
    /// A Trivy report of a shape newer than, or unlike, the known ones.
    #[error(
        "the report has SchemaVersion {}, supported is {supported}{}",
        shown(found),
        by(scanner_version.as_deref())
    )]
    UnsupportedSchema {
        /// The value as it is written in the report, or `(none)`.
        found: String,
        /// The versions that are read.
        supported: &'static str,
        /// The version of Trivy, where the report tells it.
        scanner_version: Option<String>,
    },
    /// A document of another kind, recognised by its shape.
    #[error("this is {found}, not a Trivy or Grype JSON report of an image")]
    WrongFormat {
        /// The kind, with its article: "a SARIF log".
        found: &'static str,
        /// The command that makes the right kind.
        command: String,
    },
    /// A Trivy or Grype report of something else than a container image.
    #[error(
        "the report is about a {}, not a container image",
        shown(artifact_type)
    )]
    NotAnImage {
        /// The type as the report names it: `filesystem`, `vm`, `cyclonedx`…
        artifact_type: String,
    },
    /// More bytes than a report may have.
    #[error("the report has {size} bytes, the limit is {limit}")]
    TooLarge {
        /// Size of the input in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
}

impl ReportError {
    /// Returns what the user can do, as one sentence.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Empty | Self::Truncated { .. } => format!(
                "Make the report again with `{TRIVY_COMMAND}` and check that the scanner ended with exit code 0"
            ),
            Self::Malformed { .. } => {
                format!("Use the file as the scanner wrote it: `{TRIVY_COMMAND}`")
            }
            Self::UnsupportedSchema { .. } => format!(
                "Make the report with a Trivy that writes SchemaVersion 2 (0.20 or newer): `{TRIVY_COMMAND}`"
            ),
            Self::WrongFormat { command, .. } => {
                format!("Make the right report with `{command}`")
            }
            Self::NotAnImage { .. } => format!("Scan the image itself: `{TRIVY_COMMAND}`"),
            Self::TooLarge { .. } => {
                "Scan for vulnerabilities only, with `--scanners vuln --pkg-types os`".to_owned()
            }
        })
    }
}

fn by(version: Option<&str>) -> String {
    version.map_or_else(String::new, |v| format!(" (written by Trivy {})", shown(v)))
}

/// Longest piece of foreign text that a message repeats, in characters.
const SHOWN: usize = 160;

/// Returns foreign text fit for one line of a message: control characters escaped, length capped.
pub(crate) fn shown(text: &str) -> String {
    let mut out = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == SHOWN {
            out.push('…');
            break;
        }
        if c.is_control() || is_bidi(c) {
            // Writing to a String cannot fail.
            let _ = write!(out, "{}", c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Characters that reorder the text around them, so that a line reads as something else.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
