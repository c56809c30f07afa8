//! Plan + package database of the pushed layers → one verdict a finding.

use std::cmp::Ordering;

use reseal_pkg::{
    dpkg::{Database, Package},
    version::{compare_dpkg, validate_dpkg},
};
use reseal_report::Severity;

use crate::{
    model::{Counts, Decision, FindingResult, PlannedFinding, Verdict},
    policy::Policy,
};

/// Returns what became of each finding. Versions are compared as the family's security data does: by source.
pub fn verdicts(
    findings: &[PlannedFinding],
    after: &Database,
    policy: &Policy,
) -> Vec<FindingResult> {
    findings
        .iter()
        .map(|planned| {
            let (verdict, now) = verdict(planned, after);
            let left_out = matches!(planned.decision, Decision::Excluded);
            FindingResult {
                finding: planned.finding.clone(),
                verdict,
                now,
                gated: !left_out && policy.gates(planned.finding.severity),
                // A fix that cannot be compared was asked for, and may be missing.
                planned: matches!(planned.decision, Decision::Patch | Decision::CannotTell),
            }
        })
        .collect()
}

fn verdict(planned: &PlannedFinding, after: &Database) -> (Verdict, Option<String>) {
    let finding = &planned.finding;
    let installed: Vec<&Package> = after
        .installed()
        .filter(|package| package.name == finding.package)
        .filter(|package| {
            finding.architecture.as_deref().is_none_or(|wanted| {
                package.architecture == wanted || package.architecture == "all"
            })
        })
        .collect();
    let oldest = installed
        .iter()
        .map(|p| p.source_version.as_str())
        .min_by(|a, b| compare_dpkg(a, b));
    let now = oldest.map(str::to_owned);
    let verdict = match (planned.decision, oldest, finding.fixed.as_deref()) {
        (Decision::Excluded, ..) => Verdict::Excepted,
        (_, None, _) => Verdict::Removed,
        (_, _, None) => Verdict::NoFixAvailable,
        (_, Some(_), Some(fixed)) if validate_dpkg(fixed).is_err() => Verdict::CannotTell,
        (_, Some(oldest), Some(fixed)) if compare_dpkg(oldest, fixed) == Ordering::Less => {
            Verdict::NotFixed
        }
        _ => Verdict::Fixed,
    };
    (verdict, now)
}

/// How the gate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Nothing stands in the way.
    Open,
    /// This many findings remain that were planned or are gated.
    Residual(usize),
    /// This many gated findings have no fix, and nothing else remains.
    NoFix(usize),
}

/// Returns how the gate stands after a run. A planned fix that is not there counts whatever its severity.
pub fn gate<'a>(findings: impl IntoIterator<Item = &'a FindingResult>) -> Gate {
    let (mut residual, mut no_fix) = (0, 0);
    for finding in findings {
        match finding.verdict {
            Verdict::NotFixed | Verdict::CannotTell if finding.planned || finding.gated => {
                residual += 1;
            }
            Verdict::NoFixAvailable if finding.gated => no_fix += 1,
            _ => {}
        }
    }
    match (residual, no_fix) {
        (0, 0) => Gate::Open,
        (0, no_fix) => Gate::NoFix(no_fix),
        (residual, _) => Gate::Residual(residual),
    }
}

/// Returns the sums of `findings`.
pub fn count<'a>(findings: impl IntoIterator<Item = &'a FindingResult>) -> Counts {
    let mut counts = Counts::default();
    for result in findings {
        let critical = result.finding.severity == Severity::Critical;
        counts.critical += usize::from(critical);
        let remains = match result.verdict {
            Verdict::Fixed | Verdict::Removed => {
                counts.fixed += 1;
                false
            }
            Verdict::NotFixed | Verdict::CannotTell => {
                counts.unfixed += 1;
                true
            }
            Verdict::NoFixAvailable => {
                counts.no_fix += 1;
                true
            }
            Verdict::Excepted => {
                counts.excepted += 1;
                false
            }
        };
        counts.residual_critical += usize::from(critical && remains);
    }
    counts
}
