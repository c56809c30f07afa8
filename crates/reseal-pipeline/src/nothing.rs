//! Reports in which nothing is to patch: no builder is asked, and no layer is read.

use reseal_plan::{FindingKey, FindingResult, LeftOut, Policy, Verdict};
use reseal_report::Report;

/// Returns the verdicts when the report alone decides that nothing can be patched; `None` when the image has to be
/// looked at: where its layers do not prove that the report speaks of it, and where only the image knows the source package that
/// a filter may mean.
pub(crate) fn findings_without_image(
    report: &Report,
    policy: &Policy,
) -> Option<Vec<FindingResult>> {
    if report.diff_ids.is_empty() || !report.findings.iter().all(|one| policy.can_judge(one)) {
        return None;
    }
    report
        .findings
        .iter()
        .map(|finding| {
            let source = finding.source.as_ref().map(|source| source.name.as_str());
            let left_out = policy.leaves_out(finding, source);
            let fixable = !finding.fixed.is_empty();
            let excluded = matches!(left_out, Some(LeftOut::Filter | LeftOut::Unfixed));
            let verdict = match left_out {
                // A finding below the asked severities may still be gated, and then it has to be looked at.
                None | Some(LeftOut::Severity) if fixable => return None,
                _ if excluded => Verdict::Excepted,
                _ => Verdict::NoFixAvailable,
            };
            Some(FindingResult {
                finding: FindingKey {
                    id: finding.id.clone(),
                    package: finding.package.clone(),
                    architecture: finding.architecture.clone(),
                    severity: finding.severity,
                    installed: finding.installed.clone(),
                    fixed: fixable.then(|| finding.fixed.join(", ")),
                },
                verdict,
                now: None,
                gated: !excluded && policy.gates(finding.severity),
                planned: false,
            })
        })
        .collect()
}
