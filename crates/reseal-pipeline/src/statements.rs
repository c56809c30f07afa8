//! What a run states about the digests that it made: from its result to predicates.

use reseal_oci::Digest;
use reseal_pkg::dpkg::Database;
use reseal_plan::{FindingResult, Verdict};
use reseal_sign::statement::{
    cyclonedx,
    facts::{self, Facts, Inventory},
    openvex, predicate_type, provenance, spdx, verification, vuln,
};

use crate::{
    outcome::{Outcome, PlatformResult, RunResult},
    seal::Statement,
    settings::NamedReport,
};

/// What statements call the images: names without tag and digest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names<'a> {
    /// Of what was patched.
    pub source: &'a str,
    /// Of what came out.
    pub patched: &'a str,
}

/// Returns the facts of a result. `reports` are those that the run was given.
pub(crate) fn facts(
    result: &RunResult,
    reports: &[NamedReport],
    names: Names<'_>,
    run: facts::Run,
) -> Facts {
    let image = |name: &str, digest: &Digest| facts::Image {
        name: name.to_owned(),
        digest: digest.clone(),
    };
    let counts = &result.counts;
    Facts {
        source: image(names.source, &result.source.digest),
        patched: image(names.patched, &result.patched.digest),
        reports: reports
            .iter()
            .map(|report| facts::Report {
                name: file_name(&report.name).to_owned(),
                digest: Digest::of(&report.bytes),
            })
            .collect(),
        platforms: result.platforms.iter().map(platform).collect(),
        preserved: result
            .preserved
            .iter()
            .map(|one| facts::Preserved {
                platform: one.platform.to_string(),
                digest: one.digest.clone(),
                reason: one.reason.clone(),
            })
            .collect(),
        counts: facts::Counts {
            critical: counts.critical,
            residual_critical: counts.residual_critical,
            fixed: counts.fixed,
            unfixed: counts.unfixed,
            no_fix: counts.no_fix,
            excepted: counts.excepted,
            new: counts.new,
        },
        passed: passed(result),
        run,
    }
}

/// The folders of the machine that ran are nobody's business.
fn file_name(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

/// Returns what is installed on a platform, after the patch.
pub(crate) fn inventory(result: &PlatformResult, after: &Database) -> Inventory {
    Inventory {
        platform: result.platform.to_string(),
        digest: result.digest.clone(),
        distribution: distribution(result),
        packages: after
            .installed()
            .map(|package| facts::Installed {
                name: package.name.clone(),
                version: package.version.clone(),
                architecture: package.architecture.clone(),
                source: package.source_name.clone(),
                source_version: package.source_version.clone(),
            })
            .collect(),
    }
}

/// Returns what is stated about the root and about each child that was made.
pub(crate) fn statements(
    facts: &Facts,
    children: &[Digest],
    inventories: &[Inventory],
) -> Vec<Statement> {
    // A list of what is inside is none if a platform is missing in it.
    let complete = facts.preserved.is_empty()
        && facts
            .platforms
            .iter()
            .all(|platform| inventories.iter().any(|one| one.digest == platform.digest));
    let whole = about(facts, if complete { inventories } else { &[] });
    let each = children.iter().flat_map(|digest| {
        let own: Vec<Inventory> = inventories
            .iter()
            .filter(|one| one.digest == *digest)
            .cloned()
            .collect();
        facts
            .of_child(digest)
            .map(|facts| about(&facts, &own))
            .unwrap_or_default()
    });
    whole.into_iter().chain(each).collect()
}

/// Returns the one statement that `verify` makes.
pub(crate) fn verified(facts: &Facts) -> Statement {
    state(facts, predicate_type::VERIFICATION, verification(facts))
}

fn about(facts: &Facts, inventories: &[Inventory]) -> Vec<Statement> {
    let mut all = vec![
        (predicate_type::PROVENANCE, provenance(facts)),
        (predicate_type::VULN, vuln(facts, None)),
        (predicate_type::VERIFICATION, verification(facts)),
    ];
    // By its own rules a VEX document has at least one statement.
    if facts.platforms.iter().any(|one| !one.findings.is_empty()) {
        let author = facts.run.repository.as_deref().unwrap_or("reseal");
        all.push((predicate_type::OPENVEX, openvex(facts, author)));
    }
    if !inventories.is_empty() {
        let (image, run) = (&facts.patched, &facts.run);
        let (at, by) = (&run.finished, &run.version);
        all.push((predicate_type::SPDX, spdx(image, inventories, at, by)));
        all.push((
            predicate_type::CYCLONEDX,
            cyclonedx(image, inventories, at, by),
        ));
    }
    all.into_iter()
        .map(|(uri, predicate)| state(facts, uri, predicate))
        .collect()
}

fn state(facts: &Facts, uri: &str, predicate: serde_json::Value) -> Statement {
    Statement {
        digest: facts.patched.digest.clone(),
        predicate_type: uri.to_owned(),
        predicate,
    }
}

/// Whether every fix that was planned is there, and nothing gated remains.
fn passed(result: &RunResult) -> bool {
    matches!(
        result.outcome,
        Outcome::Patched | Outcome::Unchanged | Outcome::Verified
    ) && result
        .platforms
        .iter()
        .flat_map(|platform| &platform.findings)
        .all(|finding| {
            let fixed = matches!(finding.verdict, Verdict::Fixed | Verdict::Removed);
            fixed || !(finding.planned || finding.gated)
        })
}

/// Reads `debian 12`. Every family that is patched has dpkg's packages; Debian stands in where nothing had to be read.
fn distribution(result: &PlatformResult) -> facts::Distribution {
    let name = result.distribution.as_deref().unwrap_or("debian");
    let (id, version) = name.split_once(' ').unwrap_or((name, ""));
    facts::Distribution {
        package_type: "deb".to_owned(),
        id: id.to_owned(),
        version: version.to_owned(),
    }
}

fn platform(result: &PlatformResult) -> facts::Platform {
    facts::Platform {
        platform: result.platform.to_string(),
        source: result.source_digest.clone(),
        digest: result.digest.clone(),
        layer: result.layer.as_ref().map(|layer| layer.digest.clone()),
        engine: result.engine.to_owned(),
        distribution: distribution(result),
        packages: result
            .packages
            .iter()
            .map(|package| facts::Package {
                name: package.name.clone(),
                architecture: package.architecture.clone(),
                from: package.from.clone(),
                to: package.to.clone(),
                digest: package.source.as_ref().map(|source| source.digest.clone()),
            })
            .collect(),
        findings: result.findings.iter().map(finding).collect(),
    }
}

fn finding(result: &FindingResult) -> facts::Finding {
    let key = &result.finding;
    facts::Finding {
        id: key.id.clone(),
        package: key.package.clone(),
        architecture: key.architecture.clone(),
        severity: key.severity.to_string(),
        installed: key.installed.clone(),
        fixed: key.fixed.clone(),
        now: result.now.clone(),
        verdict: match result.verdict {
            Verdict::Fixed => facts::Verdict::Fixed,
            Verdict::NotFixed => facts::Verdict::NotFixed,
            Verdict::NoFixAvailable => facts::Verdict::NoFixAvailable,
            Verdict::Excepted => facts::Verdict::Excepted,
            Verdict::Removed => facts::Verdict::Removed,
            Verdict::CannotTell => facts::Verdict::CannotTell,
        },
        gated: result.gated,
        planned: result.planned,
        reason: None,
    }
}

#[cfg(test)]
mod tests;
