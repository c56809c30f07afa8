//! The dry run as a table.

use std::collections::BTreeMap;

use reseal_pipeline::{LockedPlatform, PlanResult, Preserved};
use reseal_plan::{Decision, Mode, PlannedFinding, PlatformPlan};

use super::{bytes, plural, table::table};
use crate::escape;

/// Findings of one kind that are listed; more are counted only.
const LISTED: usize = 20;

/// Returns the plan of every platform, and what it leaves alone.
pub(crate) fn text(result: &PlanResult) -> String {
    let mut lines = vec![format!(
        "{} @ {}",
        escape::line(&result.source.reference),
        result.source.digest
    )];
    for plan in &result.plan.platforms {
        platform(&mut lines, plan);
        let mut native = result.native.iter();
        if let Some(chosen) = native.find(|chosen| chosen.platform == plan.platform) {
            laid_down(&mut lines, chosen);
        }
    }
    preserved(&mut lines, &result.preserved);
    lines.extend(
        result
            .warnings
            .iter()
            .map(|warning| format!("warning: {}", escape::line(warning))),
    );
    lines.push(String::new());
    lines.join("\n")
}

fn platform(lines: &mut Vec<String>, plan: &PlatformPlan) {
    lines.push(String::new());
    let what = match plan.mode {
        Mode::All => "everything that the distribution has newer".to_owned(),
        Mode::Report if plan.packages.is_empty() => "nothing to patch".to_owned(),
        Mode::Report => {
            let closes = plan
                .findings
                .iter()
                .filter(|finding| finding.decision == Decision::Patch)
                .count();
            let verb = if plan.packages.len() == 1 {
                "closes"
            } else {
                "close"
            };
            format!(
                "{} {verb} {}",
                plural(plan.packages.len(), "package"),
                plural(closes, "finding")
            )
        }
    };
    lines.push(format!(
        "{}  {}: {what}",
        plan.platform,
        escape::line(&plan.distribution)
    ));
    if !plan.packages.is_empty() {
        let mut rows = vec![["PACKAGE", "FROM", "AT LEAST", "CLOSES"].map(String::from)];
        rows.extend(plan.packages.iter().map(|package| {
            // The version to reach belongs to the source package; the name is told where it differs.
            let at_least = match &package.at_least {
                Some(version) if package.source == package.name => version.clone(),
                Some(version) => format!("{version} ({})", package.source),
                None => "newest".to_owned(),
            };
            [
                format!("{}:{}", package.name, package.architecture),
                package.from.clone(),
                at_least,
                package.closes.join(" "),
            ]
        }));
        lines.extend(table("  ", &rows));
    }
    let held = if plan.held.is_empty() {
        String::new()
    } else {
        format!("  on hold: {}", plan.held.join(" "))
    };
    if !held.is_empty() {
        lines.push(escape::line(&held));
    }
    for (decision, label) in [
        (Decision::NoFix, "without a fix"),
        (Decision::Held, "kept open by a hold"),
        (Decision::CannotTell, "whose versions cannot be compared"),
    ] {
        let findings: Vec<&PlannedFinding> = plan
            .findings
            .iter()
            .filter(|finding| finding.decision == decision)
            .collect();
        if findings.is_empty() {
            continue;
        }
        lines.push(format!("  {} {label}:", plural(findings.len(), "finding")));
        let rows: Vec<[String; 4]> = findings
            .iter()
            .take(LISTED)
            .map(|PlannedFinding { finding, .. }| {
                [
                    finding.severity.to_string(),
                    finding.id.clone(),
                    finding.package.clone(),
                    finding.installed.clone(),
                ]
            })
            .collect();
        lines.extend(table("    ", &rows));
        more(lines, "    ", findings.len());
    }
    let mut others: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in &plan.findings {
        let label = match finding.decision {
            Decision::AlreadyFixed => "already fixed",
            Decision::NotInstalled => "of packages that are not installed",
            Decision::BelowSeverity => "of other severities",
            Decision::Excluded => "left out by filters",
            _ => continue,
        };
        *others.entry(label).or_default() += 1;
    }
    if !others.is_empty() {
        let list: Vec<String> = others
            .iter()
            .map(|(label, count)| format!("{count} {label}"))
            .collect();
        lines.push(format!("  findings not acted on: {}", list.join(", ")));
    }
}

/// Lists what the native engine would lay down.
fn laid_down(lines: &mut Vec<String>, chosen: &LockedPlatform) {
    let size = chosen.packages.iter().map(|package| package.size).sum();
    lines.push(format!(
        "  the native engine lays down {}, {}:",
        plural(chosen.packages.len(), "package"),
        bytes(size)
    ));
    let rows: Vec<[String; 3]> = chosen
        .packages
        .iter()
        .map(|package| {
            [
                format!("{}:{}", package.name, package.architecture),
                package.version.clone(),
                if package.new { "new" } else { "" }.to_owned(),
            ]
        })
        .collect();
    lines.extend(table("    ", &rows));
}

/// Tells how many entries a list leaves out.
pub(super) fn more(lines: &mut Vec<String>, indent: &str, count: usize) {
    if count > LISTED {
        lines.push(format!(
            "{indent}… and {} more; `--format json` lists all",
            count - LISTED
        ));
    }
}

/// Lists the platforms that pass through.
pub(super) fn preserved(lines: &mut Vec<String>, preserved: &[Preserved]) {
    for entry in preserved {
        lines.push(format!(
            "{}  kept as it is: {}",
            entry.platform,
            escape::line(&entry.reason)
        ));
    }
}

#[cfg(test)]
mod tests {
    use reseal_oci::Digest;
    use reseal_pipeline::Pinned;
    use reseal_plan::{FindingKey, PatchPlan, Planned};
    use reseal_report::Severity;

    use super::*;

    fn finding(id: &str, decision: Decision) -> PlannedFinding {
        PlannedFinding {
            finding: FindingKey {
                id: id.into(),
                package: "libssl3".into(),
                architecture: None,
                severity: Severity::High,
                installed: "3.0.11-1".into(),
                fixed: None,
            },
            decision,
        }
    }

    #[test]
    fn a_plan_shows_what_changes_and_what_does_not() {
        let plan = PlatformPlan {
            platform: "linux/amd64".parse().unwrap(),
            source_digest: Digest::of(b"child"),
            distribution: "debian 12".into(),
            mode: Mode::Report,
            packages: vec![Planned {
                name: "libssl3".into(),
                architecture: "amd64".into(),
                from: "3.0.11-1".into(),
                source: "openssl".into(),
                source_from: "3.0.11-1".into(),
                at_least: Some("3.0.13-1".into()),
                closes: vec!["CVE-1".into(), "CVE-2".into()],
            }],
            held: vec!["zlib1g".into()],
            findings: vec![
                finding("CVE-1", Decision::Patch),
                finding("CVE-2", Decision::Patch),
                finding("CVE-3\u{1b}[2J", Decision::NoFix),
                finding("CVE-4", Decision::BelowSeverity),
            ],
        };
        let result = PlanResult {
            schema: "reseal.dev/plan/v1",
            source: Pinned {
                reference: "r.io/a:1".into(),
                digest: Digest::of(b"index"),
            },
            plan: PatchPlan {
                platforms: vec![plan],
            },
            native: Vec::new(),
            preserved: vec![Preserved {
                platform: "windows/amd64".parse().unwrap(),
                digest: Digest::of(b"w"),
                reason: "not a Linux platform".into(),
            }],
            warnings: vec!["the release is past its end of life".into()],
        };
        let expected = format!(
            "r.io/a:1 @ {}\n\
             \n\
             linux/amd64  debian 12: 1 package closes 2 findings\n\
             \x20 PACKAGE        FROM      AT LEAST            CLOSES\n\
             \x20 libssl3:amd64  3.0.11-1  3.0.13-1 (openssl)  CVE-1 CVE-2\n\
             \x20 on hold: zlib1g\n\
             \x20 1 finding without a fix:\n\
             \x20   HIGH  CVE-3\\u{{1b}}[2J  libssl3  3.0.11-1\n\
             \x20 findings not acted on: 1 of other severities\n\
             windows/amd64  kept as it is: not a Linux platform\n\
             warning: the release is past its end of life\n",
            Digest::of(b"index")
        );
        assert_eq!(text(&result), expected);
    }
}
