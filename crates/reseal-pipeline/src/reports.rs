//! Stage 2: reports are read and bound to platforms.

use reseal_oci::{Digest, annotation};
use reseal_plan::{Candidate, bind};
use reseal_report::Report;

use crate::{
    error::PipelineError,
    settings::{Input, NamedReport, Unreported},
    source::{Source, SourcePlatform},
};

/// What a platform is patched by.
#[derive(Debug, Clone)]
pub(crate) enum Basis {
    /// A report.
    Report(Box<Report>),
    /// Everything that the distribution has newer.
    All,
    /// Nothing: it stays as it is.
    Preserve,
}

impl Basis {
    /// Returns the report, if it is one.
    pub(crate) fn report(&self) -> Option<&Report> {
        match self {
            Self::Report(report) => Some(report),
            Self::All | Self::Preserve => None,
        }
    }
}

/// Returns a basis for each platform of the source, in its order, and warnings.
pub(crate) fn bases(
    input: &Input,
    source: &Source,
) -> Result<(Vec<Basis>, Vec<String>), PipelineError> {
    if input.reports.is_empty() {
        return Ok((vec![Basis::All; source.platforms.len()], Vec::new()));
    }
    let (reports, mut warnings) = read(&input.reports)?;
    let findings: Vec<_> = reports.iter().flat_map(|(_, one)| &one.findings).collect();
    warnings.extend(input.policy.unknown_ids(&findings).map(|id| {
        format!("no report has a finding `{id}`, and `--vuln-id` leaves all others out")
    }));
    let mut candidates: Vec<Candidate> = source.platforms.iter().map(candidate).collect();
    candidates.extend(source.preserved.iter().map(|preserved| Candidate {
        platform: preserved.platform.clone(),
        diff_ids: Vec::new(),
        config: preserved.digest.clone(),
        selected: false,
    }));
    let binding = bind(&reports, &candidates, input.allow_report_mismatch)?;
    warnings.extend(binding.warnings);
    let mut bases = Vec::new();
    for (place, platform) in source.platforms.iter().enumerate() {
        bases.push(match (binding.reports[place], input.unreported) {
            (Some(index), _) => Basis::Report(Box::new(reports[index].1.clone())),
            (None, Unreported::PatchAll) => Basis::All,
            (None, Unreported::Preserve) => Basis::Preserve,
            (None, Unreported::Fail) => {
                return Err(PipelineError::Mismatch {
                    message: format!("No report speaks of {}, and a platform without a report is not clean", platform.platform),
                    hint: "Give one report a platform (`-r DIR`), choose platforms with `--platform`, or say what happens to the others with `--unreported-platforms patch-all|preserve`".into(),
                });
            }
        });
    }
    Ok((bases, warnings))
}

/// Reports by name, and what the user should know.
type Read = (Vec<(String, Report)>, Vec<String>);

/// Reads reports, with what the user should know about each.
pub(crate) fn read(reports: &[NamedReport]) -> Result<Read, PipelineError> {
    let (mut read, mut warnings) = (Vec::new(), Vec::new());
    for named in reports {
        let report =
            reseal_report::parse(&named.bytes).map_err(|source| PipelineError::Report {
                name: named.name.clone(),
                source,
            })?;
        if !report.has_os_result {
            warnings.push(format!(
                "the report `{}` says nothing about operating-system packages: there is nothing in it to patch",
                named.name
            ));
        }
        if report.end_of_life {
            warnings.push(format!(
                "the report `{}` says that this release is past its end of life: its repositories may be gone or frozen",
                named.name
            ));
        }
        read.push((named.name.clone(), report));
    }
    Ok((read, warnings))
}

fn candidate(platform: &SourcePlatform) -> Candidate {
    let own = platform.config.diff_ids.clone();
    let mut diff_ids: Vec<Vec<Digest>> = vec![own];
    // A patched image also answers to the report of its base: that is the one that it was patched by.
    if platform
        .manifest
        .annotations
        .contains_key(annotation::PATCH_BASE)
        && let [base @ .., _patch] = platform.config.diff_ids.as_slice()
    {
        diff_ids.push(base.to_vec());
    }
    let mut config = platform.manifest.config.digest.clone();
    if let Some(previous) = &platform.previous {
        diff_ids.push(previous.config.diff_ids.clone());
        config = previous.manifest.config.digest.clone();
    }
    Candidate {
        platform: platform.platform.clone(),
        diff_ids,
        config,
        selected: true,
    }
}
