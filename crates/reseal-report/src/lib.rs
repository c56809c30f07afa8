//! Reads scanner reports: bytes in, findings of OS packages out.
//!
//! Knows every shape that Trivy wrote for images, and Grype's JSON; refuses everything else by
//! name. Knows nothing of files, clocks, images or package managers.
//!
//! **Invariant:** no input makes [`parse`] panic, and what it returns was in the report: nothing
//! is guessed, and strings are data that nobody checked yet.
//!
//! ```
//! let report = br#"{"SchemaVersion": 2, "ArtifactName": "app", "ArtifactType": "container_image",
//!   "Metadata": {"OS": {"Family": "debian", "Name": "12.5"}},
//!   "Results": [{"Target": "app (debian 12.5)", "Class": "os-pkgs", "Type": "debian",
//!     "Vulnerabilities": [{"VulnerabilityID": "CVE-2024-0001", "PkgName": "libssl3",
//!       "InstalledVersion": "3.0.11-1", "FixedVersion": "3.0.13-1", "Severity": "HIGH"}]}]}"#;
//! let report = reseal_report::parse(report)?;
//! assert_eq!(report.findings[0].fixed, ["3.0.13-1"]);
//! # Ok::<(), reseal_report::ReportError>(())
//! ```

mod document;
mod envelope;
mod error;
mod family;
mod findings;
mod formats;
mod grype;
mod loose;
mod model;
mod position;
mod severity;
mod text;
mod trivy;

pub use error::{ReportError, TRIVY_COMMAND};
pub use model::{Finding, Report, ReportPackage, ReportPlatform, Scanner, Schema, SourcePackage};
pub use severity::{Severity, UnknownSeverity};

/// The most bytes a report may have: the largest seen is under 30 MiB.
pub const MAX_REPORT_BYTES: usize = 512 << 20;

/// Reads one report, of Trivy or Grype, in UTF-8 or UTF-16, bare or in a signed envelope.
///
/// # Errors
/// Everything that is not a report of a container image, by name where it is a known format; see
/// [`ReportError`]. A report without a result for the distribution's packages is no error here:
/// [`Report::has_os_result`] tells.
pub fn parse(bytes: &[u8]) -> Result<Report, ReportError> {
    document::parse(bytes, 0)
}
