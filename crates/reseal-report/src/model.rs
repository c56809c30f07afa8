//! A report as values, the same for every scanner and every version of its format.

use serde::Serialize;

use crate::Severity;

/// The program that wrote a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scanner {
    /// Aqua Security's Trivy.
    Trivy,
    /// Anchore's Grype.
    Grype,
}

/// The shape a report was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Schema {
    /// Trivy's array of targets: every version before 0.20, and a newer report's bare `Results`.
    Legacy,
    /// Trivy's object with `SchemaVersion: 2`.
    V2,
    /// Grype's object with `matches`.
    Grype,
}

/// What a scanner found in one image of one platform.
///
/// Every string is kept as it was read: none is checked, shortened or safe to print raw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Who wrote it.
    pub scanner: Scanner,
    /// The scanner's version, where the report tells it.
    pub scanner_version: Option<String>,
    /// The shape it was read from.
    pub schema: Schema,
    /// What the scanner's user asked for: a reference, an image id or a path.
    pub artifact_name: String,
    /// `container_image`; absent in arrays.
    pub artifact_type: Option<String>,
    /// When the scan ran (RFC 3339), where the report tells it.
    pub created_at: Option<String>,
    /// The distribution by Trivy's present name: `debian`, `ubuntu`, `alpine`, `amazon`…
    pub family: Option<String>,
    /// The distribution's version as the scanner names it.
    pub os_version: Option<String>,
    /// The scanner's word that the distribution's version is out of support.
    pub end_of_life: bool,
    /// The platform of the scanned image.
    pub platform: Option<ReportPlatform>,
    /// The image id: usually, not always, the digest of the config.
    pub image_id: Option<String>,
    /// Digests of the uncompressed layers, lowest first: what ties a report to an image.
    pub diff_ids: Vec<String>,
    /// `repository@digest`, as the scanner had it from a registry or daemon.
    pub repo_digests: Vec<String>,
    /// Whether the scanner recognised the distribution and looked at its packages. Without it
    /// "no findings" says nothing.
    pub has_os_result: bool,
    /// Findings in packages of the distribution, in the order of the report, each once.
    pub findings: Vec<Finding>,
    /// All packages of the distribution, where the report lists them.
    pub packages: Vec<ReportPackage>,
    /// The number of findings in packages of programming languages.
    pub other_findings: usize,
}

/// The platform of a scanned image, in the words of its config.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ReportPlatform {
    /// `linux`, `windows`…
    pub os: String,
    /// `amd64`, `arm64`…
    pub architecture: String,
    /// `v7`, `v8`…
    pub variant: Option<String>,
}

/// One vulnerability in one binary package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `CVE-…`, or a vendor's own id such as `TEMP-…`, `DLA-…`, `ALAS-…`.
    pub id: String,
    /// Ids of advisories that are about it.
    pub vendor_ids: Vec<String>,
    /// The binary package's name.
    pub package: String,
    /// The package's architecture, where the report tells it.
    pub architecture: Option<String>,
    /// The installed version, of the binary package.
    pub installed: String,
    /// The versions that fix it, of the **source** package on Debian and Ubuntu; empty: no fix.
    pub fixed: Vec<String>,
    /// The severity as the scanner chose it.
    pub severity: Severity,
    /// Trivy's status word (Grype's are mapped to them); absent before Trivy 0.44.
    pub status: Option<String>,
    /// The source package, where the report tells it.
    pub source: Option<SourcePackage>,
    /// The vulnerability in a few words.
    pub title: Option<String>,
}

impl Finding {
    /// Tells whether some version fixes it. The status says less: it is absent in old reports.
    pub fn is_fixable(&self) -> bool {
        !self.fixed.is_empty()
    }
}

/// A source package, which a binary package was built from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct SourcePackage {
    /// Its name.
    pub name: String,
    /// Its version, with epoch and revision.
    pub version: String,
}

/// One package of the distribution, vulnerable or not.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct ReportPackage {
    /// The binary package's name.
    pub name: String,
    /// Its version: `[epoch:]version[-release]`.
    pub version: String,
    /// Its architecture, where the report tells it.
    pub architecture: Option<String>,
    /// What it was built from, where the report tells it.
    pub source: Option<SourcePackage>,
}
