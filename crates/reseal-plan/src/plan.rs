//! Findings + facts + policy → plan.

use std::{cmp::Ordering, collections::BTreeMap};

use reseal_pkg::{
    dpkg::{Package, Want},
    validate_package_name,
    version::{compare_dpkg, validate_dpkg},
};
use reseal_report::{Finding, Report};

use crate::{
    error::PlanError,
    facts::Facts,
    model::{Decision, FindingKey, Mode, Planned, PlannedFinding, PlatformPlan},
    policy::{LeftOut, Policy},
};

/// Returns what is to change on one platform. Without a report everything that the distribution has newer is.
///
/// # Errors
/// [`PlanError`] when the report is about another distribution or names impossible packages, or when the image's
/// own database holds names that no package can have.
pub fn plan_platform(
    facts: &Facts,
    report: Option<&Report>,
    policy: &Policy,
) -> Result<PlatformPlan, PlanError> {
    facts.os.family()?;
    let mut plan = PlatformPlan {
        platform: facts.platform.clone(),
        source_digest: facts.source_digest.clone(),
        distribution: facts.distribution(),
        mode: if report.is_some() {
            Mode::Report
        } else {
            Mode::All
        },
        packages: Vec::new(),
        held: facts
            .database
            .installed()
            .filter(|p| p.want == Want::Hold)
            .map(|p| p.name.clone())
            .collect(),
        findings: Vec::new(),
    };
    plan.held.sort();
    plan.held.dedup();
    let Some(report) = report else {
        return Ok(plan);
    };
    same_distribution(report, facts)?;

    let mut packages: BTreeMap<(String, String), Planned> = BTreeMap::new();
    for (index, finding) in report.findings.iter().enumerate() {
        validate_package_name(&finding.package)
            .map_err(|source| PlanError::BadName { index, source })?;
        let installed = installed(facts, &finding.package, finding.architecture.as_deref());
        let (decision, fixed) = decide(finding, &installed, policy);
        if decision == Decision::Patch {
            for package in installed.iter().filter(|p| p.want != Want::Hold) {
                let fixed = fixed.as_deref();
                if fixed.is_some_and(|fixed| {
                    compare_dpkg(&package.source_version, fixed) == Ordering::Less
                }) {
                    add(&mut packages, package, fixed, Some(&finding.id))?;
                }
            }
        }
        plan.findings.push(PlannedFinding {
            finding: key(finding, fixed),
            decision,
        });
    }
    keep_previous(facts, &mut packages)?;
    plan.packages = packages.into_values().collect();
    Ok(plan)
}

/// What an earlier patch had upgraded is upgraded again: its layer is replaced, not built upon.
fn keep_previous(
    facts: &Facts,
    packages: &mut BTreeMap<(String, String), Planned>,
) -> Result<(), PlanError> {
    let Some(previous) = &facts.previous else {
        return Ok(());
    };
    for before in previous.installed() {
        for package in installed(facts, &before.name, Some(&before.architecture)) {
            if package.want != Want::Hold
                && compare_dpkg(&package.version, &before.version) == Ordering::Less
            {
                add(packages, package, Some(&before.source_version), None)?;
            }
        }
    }
    Ok(())
}

fn same_distribution(report: &Report, facts: &Facts) -> Result<(), PlanError> {
    let Some(family) = &report.family else {
        return Ok(());
    };
    let versions = (&report.os_version, &facts.os.version_id);
    let other_release = match versions {
        // Layers prove more than a version says.
        (Some(theirs), Some(ours)) if report.diff_ids.is_empty() => {
            let (theirs, ours) = (release(family, theirs), release(family, ours));
            theirs.is_some() && ours.is_some() && theirs != ours
        }
        _ => false,
    };
    if *family == facts.os.id && !other_release {
        return Ok(());
    }
    Err(PlanError::OtherDistribution {
        report: match &report.os_version {
            Some(version) => format!("{family} {version}"),
            None => family.clone(),
        },
        image: facts.distribution(),
    })
}

/// Returns what names a release in its version, if that is a number: of Debian `12`, with or without the point release; of Ubuntu `22.04`.
fn release<'a>(family: &str, version: &'a str) -> Option<&'a str> {
    let named = match family {
        "debian" => version.split('.').next().unwrap_or_default(),
        _ => version,
    };
    named
        .starts_with(|first: char| first.is_ascii_digit())
        .then_some(named)
}

fn installed<'a>(facts: &'a Facts, name: &str, architecture: Option<&str>) -> Vec<&'a Package> {
    let all = facts
        .database
        .installed()
        .filter(|package| package.name == name);
    let (exact, others): (Vec<_>, Vec<_>) =
        all.partition(|package| architecture.is_none_or(|wanted| package.architecture == wanted));
    // A report may name the machine's architecture for a package that is `all`.
    if exact.is_empty() {
        others
            .into_iter()
            .filter(|p| p.architecture == "all")
            .collect()
    } else {
        exact
    }
}

fn decide(
    finding: &Finding,
    installed: &[&Package],
    policy: &Policy,
) -> (Decision, Option<String>) {
    let fixed = highest(&finding.fixed);
    let source = installed
        .first()
        .map(|package| package.source_name.as_str());
    let decision = match policy.leaves_out(finding, source) {
        Some(LeftOut::Severity) => Decision::BelowSeverity,
        Some(LeftOut::Filter | LeftOut::Unfixed) => Decision::Excluded,
        None if installed.is_empty() => Decision::NotInstalled,
        None => match &fixed {
            None if finding.fixed.is_empty() => Decision::NoFix,
            None => Decision::CannotTell,
            Some(fixed) => {
                let older =
                    |p: &&&Package| compare_dpkg(&p.source_version, fixed) == Ordering::Less;
                let mut vulnerable = installed.iter().filter(older).peekable();
                if vulnerable.peek().is_none() {
                    Decision::AlreadyFixed
                } else if vulnerable.all(|package| package.want == Want::Hold) {
                    Decision::Held
                } else {
                    Decision::Patch
                }
            }
        },
    };
    (decision, fixed)
}

/// Returns the highest of several fixes, or `None` when there is none or one of them is no version.
fn highest(fixed: &[String]) -> Option<String> {
    if fixed.iter().any(|version| validate_dpkg(version).is_err()) {
        return None;
    }
    fixed.iter().max_by(|a, b| compare_dpkg(a, b)).cloned()
}

fn key(finding: &Finding, fixed: Option<String>) -> FindingKey {
    FindingKey {
        id: finding.id.clone(),
        package: finding.package.clone(),
        architecture: finding.architecture.clone(),
        severity: finding.severity,
        installed: finding.installed.clone(),
        fixed: fixed.or_else(|| (!finding.fixed.is_empty()).then(|| finding.fixed.join(", "))),
    }
}

fn add(
    packages: &mut BTreeMap<(String, String), Planned>,
    package: &Package,
    fixed: Option<&str>,
    closes: Option<&str>,
) -> Result<(), PlanError> {
    validate_package_name(&package.name)?;
    let planned = packages
        .entry((package.name.clone(), package.architecture.clone()))
        .or_insert_with(|| Planned {
            name: package.name.clone(),
            architecture: package.architecture.clone(),
            from: package.version.clone(),
            source: package.source_name.clone(),
            source_from: package.source_version.clone(),
            at_least: None,
            closes: Vec::new(),
        });
    if let Some(fixed) = fixed
        && planned
            .at_least
            .as_deref()
            .is_none_or(|now| compare_dpkg(now, fixed) == Ordering::Less)
    {
        planned.at_least = Some(fixed.to_owned());
    }
    if let Some(id) = closes
        && !planned.closes.iter().any(|known| known == id)
    {
        planned.closes.push(id.to_owned());
    }
    Ok(())
}
