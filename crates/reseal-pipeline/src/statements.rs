//! What a run states about the digests that it made: from its result to predicates.

use reseal_oci::Digest;
use reseal_plan::{FindingResult, Verdict};
use reseal_sign::statement::{
    facts::{self, Facts},
    openvex, predicate_type, provenance, verification, vuln,
};

use crate::{
    outcome::{Outcome, PlatformResult, RunResult},
    seal::Statement,
    settings::NamedReport,
};

/// Returns the facts of a result. `reports` are those that the run was given.
pub(crate) fn facts(result: &RunResult, reports: &[NamedReport], run: &facts::Run) -> Facts {
    let image = |pinned: &crate::outcome::Pinned| facts::Image {
        name: repository(&pinned.reference).to_owned(),
        digest: pinned.digest.clone(),
    };
    let counts = &result.counts;
    Facts {
        source: image(&result.source),
        patched: image(&result.patched),
        reports: reports
            .iter()
            .map(|report| facts::Report {
                name: report.name.clone(),
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
        run: run.clone(),
    }
}

/// Returns what is stated about the root and about each child that was made.
pub(crate) fn statements(facts: &Facts, children: &[Digest]) -> Vec<Statement> {
    let whole = about(facts);
    let each = children
        .iter()
        .filter_map(|digest| facts.of_child(digest))
        .flat_map(|facts| about(&facts));
    whole.into_iter().chain(each).collect()
}

fn about(facts: &Facts) -> Vec<Statement> {
    let author = facts.run.repository.as_deref().unwrap_or("reseal");
    [
        (predicate_type::PROVENANCE, provenance(facts)),
        (predicate_type::VULN, vuln(facts, None)),
        (predicate_type::OPENVEX, openvex(facts, author)),
        (predicate_type::VERIFICATION, verification(facts)),
    ]
    .map(|(uri, predicate)| Statement {
        digest: facts.patched.digest.clone(),
        predicate_type: uri.to_owned(),
        predicate,
    })
    .into()
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

/// Returns a reference without its tag.
fn repository(reference: &str) -> &str {
    match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') && !name.is_empty() => name,
        _ => reference,
    }
}

fn platform(result: &PlatformResult) -> facts::Platform {
    let distribution = result.distribution.as_deref().unwrap_or_default();
    let (id, version) = distribution.split_once(' ').unwrap_or((distribution, ""));
    facts::Platform {
        platform: result.platform.to_string(),
        source: result.source_digest.clone(),
        digest: result.digest.clone(),
        layer: result.layer.as_ref().map(|layer| layer.digest.clone()),
        engine: result.engine.to_owned(),
        distribution: facts::Distribution {
            package_type: "deb".to_owned(),
            id: id.to_owned(),
            version: version.to_owned(),
        },
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
mod tests {
    use super::*;

    #[test]
    fn a_name_has_no_tag_but_keeps_its_port() {
        for (reference, name) in [
            ("r.io:5000/a/b:1.4", "r.io:5000/a/b"),
            ("r.io:5000/a/b", "r.io:5000/a/b"),
            ("r.io/a", "r.io/a"),
            ("oci:/tmp/out", "oci:/tmp/out"),
        ] {
            assert_eq!(repository(reference), name);
        }
    }
}
