//! What predicates are made of: plain values that the pipeline fills in.

use reseal_oci::Digest;
use serde::Serialize;

/// An image by digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Image {
    /// The repository without tag and digest, `registry.example/shop/cart`.
    pub name: String,
    /// Digest of the index, or of the manifest where there is no index.
    pub digest: Digest,
}

/// A scanner report that a run read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Its file name, for people.
    pub name: String,
    /// Digest of its bytes.
    pub digest: Digest,
}

/// A distribution, as package URLs name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// The package URL's type: `deb`, `apk` or `rpm`.
    pub package_type: String,
    /// `debian`, `ubuntu`, `alpine`, …
    pub id: String,
    /// `12`, `22.04`, …; empty where a distribution has none.
    pub version: String,
}

/// A package that the patch changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Binary package.
    pub name: String,
    /// Its architecture, `amd64` or `all`.
    pub architecture: String,
    /// Version before; `None` for a new one.
    pub from: Option<String>,
    /// Version after; `None` for one that is gone.
    pub to: Option<String>,
    /// Digest of the package file, where it is known.
    pub digest: Option<Digest>,
}

/// What became of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
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

/// A finding of a report, and what was read from the pushed layers about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// CVE or another id.
    pub id: String,
    /// Binary package.
    pub package: String,
    /// Architecture, where the report tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// `CRITICAL`, `HIGH`, `MEDIUM`, `LOW` or `UNKNOWN`.
    pub severity: String,
    /// Version that the report saw.
    pub installed: String,
    /// Version that fixes it; for Debian and Ubuntu a *source* version.
    pub fixed: Option<String>,
    /// The version that the verdict compared.
    pub now: Option<String>,
    /// What became of it.
    pub verdict: Verdict,
    /// Whether an unfixed one shuts the gate.
    pub gated: bool,
    /// Whether the plan meant to fix it.
    pub planned: bool,
    /// Why it was left out, where somebody said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One platform of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// `linux/arm64/v8`
    pub platform: String,
    /// The manifest that it was made from.
    pub source: Digest,
    /// The manifest that came out; equal to `source` when nothing changed.
    pub digest: Digest,
    /// The patch layer.
    pub layer: Option<Digest>,
    /// What made it: `buildkit`, `native`, `none`.
    pub engine: String,
    /// The distribution.
    pub distribution: Distribution,
    /// Every package that changed.
    pub packages: Vec<Package>,
    /// One verdict a finding.
    pub findings: Vec<Finding>,
}

/// A platform that was not worked on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Preserved {
    /// The platform.
    pub platform: String,
    /// Its digest, the same before and after.
    pub digest: Digest,
    /// Why.
    pub reason: String,
}

/// Sums over all platforms, by the names that the result file has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Findings of severity CRITICAL before.
    pub critical: usize,
    /// CRITICAL ones that remain.
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

/// Who ran reseal, where and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Version of reseal.
    pub version: String,
    /// What stands for the machine and its operator, a URI: `https://github.com/actions/runner`, or [`LOCAL_BUILDER`].
    pub builder: String,
    /// The page of the CI run.
    pub url: Option<String>,
    /// The repository that the run belongs to, `https://github.com/acme/app`.
    pub repository: Option<String>,
    /// The commit that it ran for.
    pub commit: Option<String>,
    /// When it began, RFC 3339.
    pub started: String,
    /// When the result was there, RFC 3339.
    pub finished: String,
}

/// The builder of runs outside every CI system.
pub const LOCAL_BUILDER: &str = "https://reseal.dev/builder/local";

/// Everything that one run knows of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// What was patched.
    pub source: Image,
    /// What came out.
    pub patched: Image,
    /// Every report that was read.
    pub reports: Vec<Report>,
    /// Every platform that was worked on.
    pub platforms: Vec<Platform>,
    /// Every platform that was passed through.
    pub preserved: Vec<Preserved>,
    /// Sums.
    pub counts: Counts,
    /// Whether every fix that was planned is there and the gate is open.
    pub passed: bool,
    /// Who, where and when.
    pub run: Run,
}

impl Facts {
    /// Returns what is to be said of one platform's manifest; `None` if none that was worked on has the digest.
    /// The counts are those of this platform (`new` ones are counted for the whole image alone), and it passed if the image did.
    pub fn of_child(&self, digest: &Digest) -> Option<Self> {
        let platform = self.platforms.iter().find(|one| &one.digest == digest)?;
        let mut counts = Counts::default();
        for finding in &platform.findings {
            let critical = usize::from(finding.severity == "CRITICAL");
            counts.critical += critical;
            match finding.verdict {
                Verdict::Fixed | Verdict::Removed => {
                    counts.fixed += 1;
                    continue;
                }
                Verdict::NotFixed | Verdict::CannotTell => counts.unfixed += 1,
                Verdict::NoFixAvailable => counts.no_fix += 1,
                Verdict::Excepted => counts.excepted += 1,
            }
            counts.residual_critical += critical;
        }
        Some(Self {
            source: Image {
                name: self.source.name.clone(),
                digest: platform.source.clone(),
            },
            patched: Image {
                name: self.patched.name.clone(),
                digest: platform.digest.clone(),
            },
            reports: self.reports.clone(),
            platforms: vec![platform.clone()],
            preserved: Vec::new(),
            counts,
            passed: self.passed,
            run: self.run.clone(),
        })
    }
}

/// An installed package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Binary package.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture.
    pub architecture: String,
    /// Source package.
    pub source: String,
    /// Version of the source package.
    pub source_version: String,
}

/// Every package of one platform, after the patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// `linux/arm64/v8`
    pub platform: String,
    /// The manifest.
    pub digest: Digest,
    /// The distribution.
    pub distribution: Distribution,
    /// The packages.
    pub packages: Vec<Installed>,
}
