//! Findings + facts + policy → plan and verdicts, as a table of small cases.

use reseal_oci::Digest;
use reseal_pkg::{OsRelease, dpkg::Database};
use reseal_plan::{
    Decision, Facts, Gate, Mode, PlanError, PlatformPlan, Policy, Verdict, count, gate,
    plan_platform, verdicts,
};
use reseal_report::{Report, Severity};

/// One stanza of a status file.
fn stanza(name: &str, version: &str, source: &str, want: &str) -> String {
    let source = if source.is_empty() {
        String::new()
    } else {
        format!("Source: {source}\n")
    };
    format!(
        "Package: {name}\nStatus: {want} ok installed\nArchitecture: amd64\n{source}Version: {version}\nDescription: x\n\n"
    )
}

fn database(stanzas: &[String]) -> Database {
    Database::parse(stanzas.concat().as_bytes()).expect("a status file")
}

fn facts(stanzas: &[String]) -> Facts {
    Facts {
        platform: "linux/amd64".parse().expect("a platform"),
        source_digest: Digest::of(b"image"),
        os: OsRelease::parse(b"ID=debian\nVERSION_ID=\"12\"\n").expect("os-release"),
        database: database(stanzas).into(),
        previous: None,
    }
}

/// A Trivy report with one finding a tuple: id, package, fixed version, severity.
fn report(findings: &[(&str, &str, &str, &str)]) -> Report {
    let findings: Vec<String> = findings
        .iter()
        .map(|(id, package, fixed, severity)| {
            format!(
                r#"{{"VulnerabilityID":"{id}","PkgName":"{package}","InstalledVersion":"1","FixedVersion":"{fixed}","Severity":"{severity}"}}"#
            )
        })
        .collect();
    let json = format!(
        r#"{{"SchemaVersion":2,"ArtifactName":"x","ArtifactType":"container_image","Metadata":{{"OS":{{"Family":"debian","Name":"12.5"}}}},
        "Results":[{{"Target":"x (debian 12.5)","Class":"os-pkgs","Type":"debian","Vulnerabilities":[{}]}}]}}"#,
        findings.join(",")
    );
    reseal_report::parse(json.as_bytes()).expect("a report")
}

fn plan(facts: &Facts, report: &Report) -> PlatformPlan {
    plan_platform(facts, Some(report), &Policy::default()).expect("a plan")
}

fn decisions(plan: &PlatformPlan) -> Vec<Decision> {
    plan.findings
        .iter()
        .map(|finding| finding.decision)
        .collect()
}

#[test]
fn a_fix_is_compared_with_the_source_version_not_the_binary_one() {
    // The binary version 1:2.41-5 is newer than the fix 2.41.5-0; the source version 2.41-5 is not.
    let facts = facts(&[stanza(
        "bsdutils",
        "1:2.41-5",
        "util-linux (2.41-5)",
        "install",
    )]);
    let report = report(&[("CVE-1", "bsdutils", "2.41.5-0+deb13u1", "HIGH")]);
    let plan = plan(&facts, &report);
    assert_eq!(decisions(&plan), [Decision::Patch]);
    assert_eq!(
        plan.packages[0].at_least.as_deref(),
        Some("2.41.5-0+deb13u1")
    );
    let after = database(&[stanza(
        "bsdutils",
        "1:2.41.5-0+deb13u1",
        "util-linux (2.41.5-0+deb13u1)",
        "install",
    )]);
    assert_eq!(
        verdicts(&plan.findings, &after, &Policy::default())[0].verdict,
        Verdict::Fixed
    );
    assert_eq!(
        verdicts(&plan.findings, &facts.database, &Policy::default())[0].verdict,
        Verdict::NotFixed
    );
}

#[test]
fn several_findings_of_one_package_become_one_upgrade_to_the_highest_fix() {
    let facts = facts(&[stanza("libssl3", "3.0.9-1", "openssl", "install")]);
    let report = report(&[
        ("CVE-1", "libssl3", "3.0.10-1", "HIGH"),
        ("CVE-2", "libssl3", "3.0.11-1", "CRITICAL"),
        ("CVE-3", "libssl3", "3.0.9-2", "HIGH"),
    ]);
    let plan = plan(&facts, &report);
    assert_eq!(plan.packages.len(), 1);
    assert_eq!(plan.packages[0].at_least.as_deref(), Some("3.0.11-1"));
    assert_eq!(plan.packages[0].closes, ["CVE-1", "CVE-2", "CVE-3"]);
}

#[test]
fn what_is_not_asked_for_is_left_alone() {
    let facts = facts(&[
        stanza("a1", "1", "", "install"),
        stanza("b1", "1", "", "hold"),
        stanza("c1", "2", "", "install"),
        stanza("d1", "1", "", "install"),
    ]);
    let report = report(&[
        ("CVE-1", "a1", "2", "LOW"),
        ("CVE-2", "b1", "2", "HIGH"),
        ("CVE-3", "c1", "2", "HIGH"),
        ("CVE-4", "d1", "", "CRITICAL"),
        ("CVE-5", "gone", "2", "HIGH"),
    ]);
    let plan = plan(&facts, &report);
    let expected = [
        Decision::BelowSeverity,
        Decision::Held,
        Decision::AlreadyFixed,
        Decision::NoFix,
        Decision::NotInstalled,
    ];
    assert_eq!(decisions(&plan), expected);
    assert!(plan.is_empty());
    assert_eq!(plan.held, ["b1"]);
}

#[test]
fn filters_choose_by_id_and_by_binary_or_source_package() {
    let facts = facts(&[
        stanza("libssl3", "1", "openssl", "install"),
        stanza("curl", "1", "", "install"),
    ]);
    let report = report(&[
        ("CVE-1", "libssl3", "2", "HIGH"),
        ("CVE-2", "curl", "2", "HIGH"),
    ]);
    let by = |policy: Policy| {
        let plan = plan_platform(&facts, Some(&report), &policy).expect("a plan");
        plan.packages
            .iter()
            .map(|package| package.name.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        by(Policy {
            ids: ["cve-2".to_owned()].into(),
            ..Policy::default()
        }),
        ["curl"]
    );
    assert_eq!(
        by(Policy {
            packages: ["openssl".to_owned()].into(),
            ..Policy::default()
        }),
        ["libssl3"]
    );
    assert_eq!(
        by(Policy {
            severities: [Severity::Low].into(),
            ..Policy::default()
        }),
        Vec::<String>::new()
    );
}

#[test]
fn a_report_with_impossible_package_names_is_refused() {
    let facts = facts(&[stanza("a1", "1", "", "install")]);
    for name in ["$(reboot)", "-o=Dpkg::Options", "a b", "a\\nb", "../x", ""] {
        let report = report(&[("CVE-1", name, "2", "HIGH")]);
        let error = plan_platform(&facts, Some(&report), &Policy::default());
        assert!(
            matches!(error, Err(PlanError::BadName { index: 0, .. })),
            "{name}: {error:?}"
        );
    }
}

#[test]
fn a_report_of_another_distribution_is_refused() {
    let mut facts = facts(&[stanza("a1", "1", "", "install")]);
    facts.os = OsRelease::parse(b"ID=ubuntu\nVERSION_ID=\"22.04\"\n").expect("os-release");
    let error = plan_platform(&facts, Some(&report(&[])), &Policy::default());
    assert!(
        matches!(error, Err(PlanError::OtherDistribution { .. })),
        "{error:?}"
    );
}

#[test]
fn a_report_without_layers_has_to_be_of_the_same_release() {
    let mut facts = facts(&[stanza("a1", "1", "", "install")]);
    for (version, fits) in [("12", true), ("12.11", true), ("11", false), ("", true)] {
        facts.os.version_id = (!version.is_empty()).then(|| version.to_owned());
        let mut report = report(&[]);
        let planned = |one: &Report| plan_platform(&facts, Some(one), &Policy::default());
        assert_eq!(planned(&report).is_ok(), fits, "{version}");
        report.diff_ids = vec!["sha256:0".to_owned()];
        assert!(planned(&report).is_ok(), "layers prove more: {version}");
    }
}

#[test]
fn what_cannot_be_compared_or_has_no_fix_counts_as_it_was_asked_for() {
    let facts = facts(&[stanza("a1", "1", "", "install")]);
    let judged = |fixed: &str, severity: &str, policy: &Policy| {
        let report = report(&[("CVE-1", "a1", fixed, severity)]);
        let plan = plan_platform(&facts, Some(&report), policy).expect("a plan");
        gate(&verdicts(&plan.findings, &facts.database, policy))
    };
    let policy = Policy::default();
    assert_eq!(judged("fixed in next", "HIGH", &policy), Gate::Residual(1));
    assert_eq!(judged("fixed in next", "LOW", &policy), Gate::Open);
    let gate_alone = Policy {
        severities: [Severity::High].into(),
        ..Policy::default()
    };
    assert_eq!(judged("", "CRITICAL", &gate_alone), Gate::NoFix(1));
    let ignored = Policy {
        ignore_unfixed: true,
        ..gate_alone
    };
    assert_eq!(judged("", "CRITICAL", &ignored), Gate::Open);
}

#[test]
fn ids_that_nothing_has_are_named() {
    let report = report(&[("CVE-1", "a1", "2", "HIGH")]);
    let policy = Policy {
        ids: ["cve-1".to_owned(), "CVE-2".to_owned()].into(),
        ..Policy::default()
    };
    let findings: Vec<_> = report.findings.iter().collect();
    let unknown: Vec<_> = policy.unknown_ids(&findings).collect();
    assert_eq!(unknown, ["CVE-2"]);
}

#[test]
fn without_a_report_everything_is_upgraded_and_holds_are_listed() {
    let facts = facts(&[
        stanza("a1", "1", "", "install"),
        stanza("b1", "1", "", "hold"),
    ]);
    let plan = plan_platform(&facts, None, &Policy::default()).expect("a plan");
    assert_eq!(plan.mode, Mode::All);
    assert_eq!(plan.held, ["b1"]);
    assert!(!plan.is_empty());
}

#[test]
fn what_an_earlier_patch_had_upgraded_is_upgraded_again() {
    let mut facts = facts(&[
        stanza("a1", "1", "", "install"),
        stanza("b1", "1", "", "install"),
    ]);
    facts.previous = Some(database(&[
        stanza("a1", "2", "", "install"),
        stanza("b1", "1", "", "install"),
    ]));
    let plan = plan(&facts, &report(&[]));
    let names: Vec<_> = plan
        .packages
        .iter()
        .map(|p| (p.name.as_str(), p.at_least.as_deref()))
        .collect();
    assert_eq!(names, [("a1", Some("2"))]);
}

#[test]
fn the_gate_tells_residual_from_no_fix_and_lets_removed_packages_pass() {
    let facts = facts(&[
        stanza("a1", "1", "", "install"),
        stanza("b1", "1", "", "install"),
        stanza("c1", "1", "", "install"),
    ]);
    let report = report(&[
        ("CVE-1", "a1", "2", "HIGH"),
        ("CVE-2", "b1", "", "CRITICAL"),
        ("CVE-3", "c1", "", "HIGH"),
    ]);
    let plan = plan(&facts, &report);
    let policy = Policy::default();
    let fixed = database(&[
        stanza("a1", "2", "", "install"),
        stanza("b1", "1", "", "install"),
    ]);
    let results = verdicts(&plan.findings, &fixed, &policy);
    let found: Vec<Verdict> = results.iter().map(|result| result.verdict).collect();
    assert_eq!(
        found,
        [Verdict::Fixed, Verdict::NoFixAvailable, Verdict::Removed]
    );
    assert_eq!(gate(&results), Gate::NoFix(1));
    let counts = count(&results);
    assert_eq!(
        (
            counts.critical,
            counts.residual_critical,
            counts.fixed,
            counts.no_fix
        ),
        (1, 1, 2, 1)
    );

    let same = verdicts(&plan.findings, &facts.database, &policy);
    assert_eq!(
        gate(&same),
        Gate::Residual(1),
        "a planned fix that is not there counts below the gate too"
    );
    let open = Policy {
        gate: None,
        ..policy
    };
    assert_eq!(gate(&verdicts(&plan.findings, &fixed, &open)), Gate::Open);
}
