//! The plan as values. It says what is to change, never how.

use reseal_oci::{Digest, Platform};
use reseal_report::Severity;
use serde::Serialize;

/// What is to change, for every platform of an image. Printing it is the whole of a dry run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PatchPlan {
    /// In the order of the image's index.
    pub platforms: Vec<PlatformPlan>,
}

/// What is to change on one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlatformPlan {
    /// The platform.
    pub platform: Platform,
    /// The manifest that is patched.
    pub source_digest: Digest,
    /// The distribution, such as `debian 12`.
    pub distribution: String,
    /// Whether a report or the distribution decides.
    pub mode: Mode,
    /// Packages to upgrade, sorted by name; empty in [`Mode::All`], where the package manager decides.
    pub packages: Vec<Planned>,
    /// Packages on hold; they stay as they are.
    pub held: Vec<String>,
    /// What becomes of each finding.
    pub findings: Vec<PlannedFinding>,
}

impl PlatformPlan {
    /// Returns whether nothing would run for this platform.
    pub fn is_empty(&self) -> bool {
        self.mode == Mode::Report && self.packages.is_empty()
    }
}

/// Who decides what is upgraded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Exactly the planned packages, and what their new versions need.
    Report,
    /// Everything that the distribution has newer.
    All,
}

/// One package to upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// Binary package.
    pub name: String,
    /// Its architecture, such as `amd64` or `all`.
    pub architecture: String,
    /// Installed version of the binary package.
    pub from: String,
    /// Source package.
    pub source: String,
    /// Installed version of the source package.
    pub source_from: String,
    /// The *source* version that has to be reached, the highest of all its findings.
    pub at_least: Option<String>,
    /// Ids of the findings that this closes.
    pub closes: Vec<String>,
}

/// A finding of the report, reduced to what decisions and results need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FindingKey {
    /// CVE or another id.
    pub id: String,
    /// Binary package.
    pub package: String,
    /// Architecture, where the report tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// Severity.
    pub severity: Severity,
    /// Version that the report saw.
    pub installed: String,
    /// Version that fixes it; for Debian and Ubuntu a *source* version.
    pub fixed: Option<String>,
}

/// A finding and what the plan does about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedFinding {
    /// The finding.
    #[serde(flatten)]
    pub finding: FindingKey,
    /// The decision.
    pub decision: Decision,
}

/// What the plan does about a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Its package is upgraded.
    Patch,
    /// The image already has the fix.
    AlreadyFixed,
    /// The distribution has no fix.
    NoFix,
    /// The package is on hold.
    Held,
    /// The package is not installed.
    NotInstalled,
    /// The severity is not asked for.
    BelowSeverity,
    /// Id, package or `--ignore-unfixed` leaves it out.
    Excluded,
    /// The versions cannot be compared.
    CannotTell,
}

/// What became of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The fixed version, or a newer one, is installed.
    Fixed,
    /// An older version is installed.
    NotFixed,
    /// The distribution has no fix.
    NoFixAvailable,
    /// It was left out on purpose.
    Excepted,
    /// The package is not there any more.
    Removed,
    /// The versions cannot be compared.
    CannotTell,
}

/// A finding and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FindingResult {
    /// The finding.
    #[serde(flatten)]
    pub finding: FindingKey,
    /// The verdict, read from the package database of the pushed layers.
    pub verdict: Verdict,
    /// The version that the verdict compared: the source version for Debian and Ubuntu.
    pub now: Option<String>,
    /// Whether an unfixed one shuts the gate.
    pub gated: bool,
    /// Whether the plan meant to fix it.
    pub planned: bool,
}

/// Sums for outputs and gates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Findings of severity CRITICAL before.
    pub critical: usize,
    /// CRITICAL ones that remain, with or without a fix.
    pub residual_critical: usize,
    /// Fixed or removed.
    pub fixed: usize,
    /// Not fixed although a fix exists, or unclear.
    pub unfixed: usize,
    /// Without a fix.
    pub no_fix: usize,
    /// Left out on purpose.
    pub excepted: usize,
    /// Present only afterwards, by a second report.
    pub new: usize,
}
