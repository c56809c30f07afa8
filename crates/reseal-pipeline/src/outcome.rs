//! The result of a run, and its stable JSON form.

use reseal_oci::{Digest, Platform};
use reseal_plan::{Counts, FindingResult, PatchPlan};
use serde::{Deserialize, Serialize};

use crate::{lock::LockedPlatform, seal::Sealed};

/// The schema name that every result carries.
pub const SCHEMA: &str = "reseal.dev/result/v1";

/// What a run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// At least one platform was patched, and the gate passed.
    Patched,
    /// There was nothing to patch.
    Unchanged,
    /// Patched and pushed by digest, but a gated finding remains; no tag moved.
    Residual,
    /// A gated finding has no fix; no tag moved.
    NoFix,
    /// Patched and pushed by digest, but not signed, which was asked for; no tag moved.
    Unsigned,
    /// `verify`: everything that was asked for is fixed.
    Verified,
}

/// A reference and the digest that it means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinned {
    /// As a person writes it.
    pub reference: String,
    /// The digest of the index, or of the manifest where there is no index.
    pub digest: Digest,
}

/// The result file. Keys are stable: readers may rely on them, new ones may come.
#[derive(Debug, Clone, Serialize)]
pub struct RunResult {
    /// Always [`SCHEMA`].
    pub schema: &'static str,
    /// What happened.
    pub outcome: Outcome,
    /// What was patched.
    pub source: Pinned,
    /// What came out; equal to the source when nothing changed.
    pub patched: Pinned,
    /// The tag that was moved.
    pub tag: Option<String>,
    /// One entry a platform that the run worked on.
    pub platforms: Vec<PlatformResult>,
    /// Platforms that were passed through as they are, each with the reason.
    pub preserved: Vec<Preserved>,
    /// Attestation manifests that no longer describe what they were made for, and were left out.
    pub dropped_attestations: Vec<Digest>,
    /// Sums over all platforms.
    pub counts: Counts,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// What was signed and attested; empty when that was not asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<Sealed>,
}

/// A platform that was not worked on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Preserved {
    /// The platform.
    pub platform: Platform,
    /// Its digest, the same before and after.
    pub digest: Digest,
    /// Why.
    pub reason: String,
}

/// The result of one platform.
#[derive(Debug, Clone, Serialize)]
pub struct PlatformResult {
    /// The platform.
    pub platform: Platform,
    /// The distribution, such as `debian 12`; absent where nothing had to be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distribution: Option<String>,
    /// The manifest that it was made from.
    pub source_digest: Digest,
    /// The manifest that came out; equal to `source_digest` when nothing changed.
    pub digest: Digest,
    /// The patch layer, if there is one.
    pub layer: Option<LayerResult>,
    /// Every package that changed.
    pub packages: Vec<PackageResult>,
    /// One verdict a finding.
    pub findings: Vec<FindingResult>,
    /// Packages on hold, which were left alone.
    pub held: Vec<String>,
    /// Paths that maintainer scripts wrote outside their packages' own files.
    pub script_written: Vec<String>,
    /// `buildkit`, `native`, or `none` when nothing was to do.
    pub engine: &'static str,
    /// Packages that the native engine laid down and the image's own dpkg configured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub configured: Vec<String>,
    /// Whether the daemon ran it under an emulator.
    pub emulated: bool,
}

impl PlatformResult {
    /// The result of a platform on which nothing changed.
    pub(crate) fn unchanged(
        platform: &Platform,
        manifest: &Digest,
        findings: Vec<FindingResult>,
        held: Vec<String>,
    ) -> Self {
        Self {
            platform: platform.clone(),
            distribution: None,
            source_digest: manifest.clone(),
            digest: manifest.clone(),
            layer: None,
            packages: Vec::new(),
            findings,
            held,
            script_written: Vec::new(),
            engine: "none",
            configured: Vec::new(),
            emulated: false,
        }
    }
}

/// A patch layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerResult {
    /// Digest of the compressed blob.
    pub digest: Digest,
    /// Digest of the tar inside.
    pub diff_id: Digest,
    /// Compressed size in bytes.
    pub size: u64,
}

/// A package that changed. `from` is absent for a new one, `to` for one that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageResult {
    /// Binary package name.
    pub name: String,
    /// Its architecture.
    pub architecture: String,
    /// Version before.
    pub from: Option<String>,
    /// Version after.
    pub to: Option<String>,
    /// The signed package that its files are from, where they were compared with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<PackageSource>,
}

/// The package file that a package's files are from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageSource {
    /// The digest of the package file, which the signed index of its repository names.
    pub digest: Digest,
    /// How many files of the pushed layer were compared with those in it, and are the same.
    pub files: usize,
}

/// The dry run.
#[derive(Debug, Clone, Serialize)]
pub struct PlanResult {
    /// `reseal.dev/plan/v1`
    pub schema: &'static str,
    /// What would be patched.
    pub source: Pinned,
    /// The plan of every platform.
    pub plan: PatchPlan,
    /// What the native engine would lay down, if it was asked; a platform with nothing to change is not there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub native: Vec<LockedPlatform>,
    /// Platforms that would be passed through.
    pub preserved: Vec<Preserved>,
    /// What a person should know.
    pub warnings: Vec<String>,
}
