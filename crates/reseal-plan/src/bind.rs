//! Which report speaks of which platform.

use reseal_oci::{Digest, Platform};
use reseal_report::{Report, ReportPlatform};

/// A platform that a report may belong to.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The platform.
    pub platform: Platform,
    /// Lists of diff IDs that mean this platform: the image itself, and the base that it was patched from.
    pub diff_ids: Vec<Vec<Digest>>,
    /// Digest of its configuration, which reports call image ID.
    pub config: Digest,
    /// Whether the run works on it; a report for another platform of the image is set aside, not refused.
    pub selected: bool,
}

/// Reports by platform.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Binding {
    /// For each candidate the index of its report.
    pub reports: Vec<Option<usize>>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// Why a report was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Its layers are not the image's.
    #[error("the report `{report}` was made for another image: {why}")]
    OtherImage {
        /// The report.
        report: String,
        /// What differs.
        why: String,
    },
    /// Two reports speak of the same platform.
    #[error("the reports `{first}` and `{second}` both speak of {platform}")]
    Twice {
        /// The first.
        first: String,
        /// The second.
        second: String,
        /// The platform.
        platform: String,
    },
}

/// Binds each report to a platform: by its diff IDs or image ID, which prove it. A report that carries neither (a
/// legacy one) is bound by its platform, or to the only candidate, and a warning says so; one that also lists nothing is
/// refused, because it would make any image look clean. With `allow_mismatch` a
/// report whose proof fails is bound in that way too.
///
/// # Errors
/// [`BindError`] when a report belongs to no candidate, or two belong to the same.
pub fn bind(
    reports: &[(String, Report)],
    candidates: &[Candidate],
    allow_mismatch: bool,
) -> Result<Binding, BindError> {
    let mut binding = Binding {
        reports: vec![None; candidates.len()],
        warnings: Vec::new(),
    };
    for (index, (name, report)) in reports.iter().enumerate() {
        let place = if let Some(place) = proved(report, candidates) {
            place
        } else if let Some(place) = set_aside(report, candidates) {
            place
        } else {
            let proof = !report.diff_ids.is_empty();
            // A report without layers, packages and findings would make any image look clean.
            let empty = report.findings.is_empty() && report.packages.is_empty();
            if (proof || empty) && !allow_mismatch {
                return Err(BindError::OtherImage {
                    report: name.clone(),
                    why: difference(report, candidates),
                });
            }
            let place = by_platform(report, candidates).ok_or_else(|| BindError::OtherImage {
                report: name.clone(),
                why: difference(report, candidates),
            })?;
            let what = if proof {
                "was made for another image"
            } else {
                "does not say which layers it was made for"
            };
            binding.warnings.push(format!(
                "the report `{name}` {what}; it is taken for {} because nothing else fits better",
                candidates[place].platform
            ));
            place
        };
        if !candidates[place].selected {
            binding.warnings.push(format!(
                "the report `{name}` speaks of {}, which this run does not work on",
                candidates[place].platform
            ));
            continue;
        }
        if let Some(first) = binding.reports[place] {
            return Err(BindError::Twice {
                first: reports[first].0.clone(),
                second: name.clone(),
                platform: candidates[place].platform.to_string(),
            });
        }
        binding.reports[place] = Some(index);
    }
    Ok(binding)
}

fn proved(report: &Report, candidates: &[Candidate]) -> Option<usize> {
    let same = |ids: &[Digest]| {
        !ids.is_empty()
            && ids.len() == report.diff_ids.len()
            && ids
                .iter()
                .zip(&report.diff_ids)
                .all(|(ours, theirs)| ours.as_str() == theirs)
    };
    candidates
        .iter()
        .position(|c| c.diff_ids.iter().any(|ids| same(ids)))
        .or_else(|| {
            let id = report
                .image_id
                .as_deref()
                .filter(|_| report.diff_ids.is_empty())?;
            candidates
                .iter()
                .position(|candidate| candidate.config.as_str() == id)
        })
}

/// A platform of the image that is not worked on: its layers were not looked at, so its platform must do.
fn set_aside(report: &Report, candidates: &[Candidate]) -> Option<usize> {
    let place = by_platform(report, candidates)?;
    let named = report.platform.is_some() && !candidates[place].selected;
    named.then_some(place)
}

fn by_platform(report: &Report, candidates: &[Candidate]) -> Option<usize> {
    if let Some(platform) = &report.platform {
        let wanted = to_platform(platform);
        return candidates
            .iter()
            .position(|candidate| candidate.platform.matches(&wanted));
    }
    let mut selected = candidates
        .iter()
        .enumerate()
        .filter(|(_, candidate)| candidate.selected);
    match (selected.next(), selected.next()) {
        (Some((only, _)), None) => Some(only),
        _ => None,
    }
}

fn to_platform(platform: &ReportPlatform) -> Platform {
    Platform {
        os: platform.os.clone(),
        architecture: platform.architecture.clone(),
        variant: platform.variant.clone(),
        os_version: None,
        os_features: Vec::new(),
    }
}

fn difference(report: &Report, candidates: &[Candidate]) -> String {
    let platform = report
        .platform
        .as_ref()
        .map_or_else(String::new, |p| format!(" of {}", to_platform(p)));
    let artifact: String = report
        .artifact_name
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect();
    if report.diff_ids.is_empty() {
        return format!(
            "it names neither layers nor a platform that fits (it says `{artifact}`{platform})"
        );
    }
    let ours: Vec<String> = candidates
        .iter()
        .map(|c| {
            let last = c
                .diff_ids
                .first()
                .and_then(|ids| ids.last())
                .map_or("none", Digest::as_str);
            format!("{} ends in {last}", c.platform)
        })
        .collect();
    let theirs: String = report
        .diff_ids
        .last()
        .map_or("none", String::as_str)
        .chars()
        .take(80)
        .collect();
    format!(
        "it was made for `{artifact}`{platform}, whose top layer is {theirs}; the image's {}",
        ours.join(", ")
    )
}
