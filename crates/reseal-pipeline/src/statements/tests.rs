//! What is stated, by what the run found.

use reseal_oci::Platform;
use reseal_plan::{Counts, FindingKey, FindingResult};
use reseal_report::Severity;

use super::*;
use crate::outcome::{LayerResult, PackageResult, PackageSource, Pinned, Preserved, SCHEMA};

fn finding(id: &str, verdict: Verdict) -> FindingResult {
    FindingResult {
        finding: FindingKey {
            id: id.to_owned(),
            package: "libssl3".to_owned(),
            architecture: None,
            severity: Severity::Critical,
            installed: "3.0.11-1".to_owned(),
            fixed: Some("3.0.13-1".to_owned()),
        },
        verdict,
        now: Some("3.0.13-1".to_owned()),
        gated: true,
        planned: true,
    }
}

fn platform_of(name: &str, findings: Vec<FindingResult>) -> PlatformResult {
    let digest = |what: &str| Digest::of(format!("{what} {name}").as_bytes());
    PlatformResult {
        platform: name.parse().unwrap(),
        distribution: Some("debian 12".to_owned()),
        source_digest: digest("source"),
        digest: digest("patched"),
        layer: Some(LayerResult {
            digest: digest("layer"),
            diff_id: digest("tar"),
            size: 7,
        }),
        packages: vec![PackageResult {
            name: "libssl3".to_owned(),
            architecture: "amd64".to_owned(),
            from: Some("3.0.11-1".to_owned()),
            to: Some("3.0.13-1".to_owned()),
            source: Some(PackageSource {
                digest: digest("deb"),
                files: 1,
            }),
        }],
        findings,
        held: Vec::new(),
        script_written: Vec::new(),
        engine: "native",
        configured: Vec::new(),
        emulated: false,
    }
}

fn result(platforms: Vec<PlatformResult>) -> RunResult {
    let pinned = |reference: &str, digest: &[u8]| Pinned {
        reference: reference.to_owned(),
        digest: Digest::of(digest),
    };
    RunResult {
        schema: SCHEMA,
        outcome: Outcome::Patched,
        source: pinned("r.example/cart:1", b"source"),
        patched: pinned("r.example/cart:1-patched", b"index"),
        tag: None,
        platforms,
        preserved: Vec::new(),
        dropped_attestations: Vec::new(),
        signatures: Vec::new(),
        counts: Counts {
            critical: 2,
            fixed: 2,
            ..Counts::default()
        },
        warnings: Vec::new(),
    }
}

fn run() -> facts::Run {
    facts::Run {
        version: "0.1.0".to_owned(),
        builder: facts::LOCAL_BUILDER.to_owned(),
        url: None,
        repository: None,
        commit: None,
        started: "2026-01-01T00:00:00Z".to_owned(),
        finished: "2026-01-01T00:01:00Z".to_owned(),
    }
}

fn of(result: &RunResult) -> Facts {
    let report = NamedReport {
        name: "/home/me/scans/report.json".to_owned(),
        bytes: b"{}".to_vec(),
    };
    let names = Names {
        source: "r.example/cart",
        patched: "s.example/cart",
    };
    facts(result, &[report], names, run())
}

fn kinds(statements: &[Statement], digest: &Digest) -> Vec<String> {
    statements
        .iter()
        .filter(|one| one.digest == *digest)
        .map(|one| one.predicate_type.clone())
        .collect()
}

#[test]
fn facts_are_those_of_the_result() {
    let result = result(vec![platform_of(
        "linux/amd64",
        vec![finding("CVE-1", Verdict::Fixed)],
    )]);
    let facts = of(&result);
    assert_eq!(facts.source.name, "r.example/cart");
    assert_eq!(facts.patched.name, "s.example/cart");
    assert_eq!(facts.patched.digest, result.patched.digest);
    assert_eq!(facts.reports[0].name, "report.json", "folders stay private");
    assert_eq!(facts.reports[0].digest, Digest::of(b"{}"));
    let platform = &facts.platforms[0];
    assert_eq!(
        (
            platform.distribution.id.as_str(),
            platform.distribution.version.as_str()
        ),
        ("debian", "12")
    );
    assert_eq!(
        platform.packages[0].digest,
        Some(Digest::of(b"deb linux/amd64"))
    );
    assert_eq!(platform.findings[0].verdict, facts::Verdict::Fixed);
    assert_eq!(platform.findings[0].severity, "CRITICAL");
    assert_eq!((facts.counts.critical, facts.counts.fixed), (2, 2));
    assert!(facts.passed);
}

#[test]
fn a_shut_gate_is_never_stated_as_passed() {
    for outcome in [Outcome::Residual, Outcome::NoFix, Outcome::Unsigned] {
        let mut result = result(Vec::new());
        result.outcome = outcome;
        assert!(!of(&result).passed, "{outcome:?}");
    }
}

#[test]
fn index_and_children_get_every_kind() {
    let platforms = ["linux/amd64", "linux/arm64"]
        .map(|name| platform_of(name, vec![finding("CVE-1", Verdict::Fixed)]));
    let result = result(platforms.to_vec());
    let inventories: Vec<Inventory> = platforms
        .iter()
        .map(|platform| inventory(platform, &Database::default()))
        .collect();
    let children = platforms.map(|platform| platform.digest);
    let made = statements(&of(&result), &children, &inventories);
    let all = [
        predicate_type::PROVENANCE,
        predicate_type::VULN,
        predicate_type::VERIFICATION,
        predicate_type::OPENVEX,
        predicate_type::SPDX,
        predicate_type::CYCLONEDX,
    ];
    for digest in [&result.patched.digest, &children[0], &children[1]] {
        assert_eq!(kinds(&made, digest), all, "{digest}");
    }
    let of_child = made
        .iter()
        .find(|one| one.digest == children[1] && one.predicate_type == predicate_type::VERIFICATION)
        .unwrap();
    assert_eq!(
        of_child.predicate["subject"]["digest"],
        children[1].as_str()
    );
    assert_eq!(
        of_child.predicate["platforms"][0]["platform"],
        "linux/arm64"
    );
}

#[test]
fn a_bill_that_lacks_a_platform_is_not_made() {
    let platform = platform_of("linux/amd64", Vec::new());
    let inventories = [inventory(&platform, &Database::default())];
    let child = platform.digest.clone();
    let mut result = result(vec![platform]);
    result.preserved.push(Preserved {
        platform: "linux/arm64".parse::<Platform>().unwrap(),
        digest: Digest::of(b"other"),
        reason: "not asked for".to_owned(),
    });
    let made = statements(&of(&result), std::slice::from_ref(&child), &inventories);
    let none = [
        predicate_type::PROVENANCE,
        predicate_type::VULN,
        predicate_type::VERIFICATION,
    ];
    assert_eq!(kinds(&made, &result.patched.digest), none);
    assert!(kinds(&made, &child).contains(&predicate_type::SPDX.to_owned()));
}
