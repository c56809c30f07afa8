//! Every predicate against a file, byte for byte, and what must hold of all of them.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::Path;

use reseal_oci::Digest;
use reseal_sign::statement::facts::{
    Counts, Distribution, Facts, Finding, Image, Installed, Inventory, Package, Platform,
    Preserved, Report, Run, Verdict,
};
use reseal_sign::statement::{
    Scan, Subject, cyclonedx, openvex, predicate_type, provenance, spdx, statement, verification,
    vuln,
};
use serde_json::{Value, json};

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn debian() -> Distribution {
    Distribution {
        package_type: "deb".into(),
        id: "debian".into(),
        version: "12".into(),
    }
}

fn finding(id: &str, package: &str, verdict: Verdict) -> Finding {
    Finding {
        id: id.into(),
        package: package.into(),
        architecture: None,
        severity: "CRITICAL".into(),
        installed: "3.0.14-1".into(),
        fixed: (verdict != Verdict::NoFixAvailable).then(|| "3.0.15-1~deb12u1".into()),
        now: Some("3.0.15-1~deb12u1".into()),
        verdict,
        gated: true,
        planned: verdict == Verdict::Fixed,
        reason: (verdict == Verdict::Excepted).then(|| "not reachable".into()),
    }
}

fn platform(name: &str, findings: Vec<Finding>) -> Platform {
    Platform {
        platform: name.into(),
        source: digest(&format!("source {name}")),
        digest: digest(&format!("patched {name}")),
        layer: Some(digest(&format!("layer {name}"))),
        engine: "buildkit".into(),
        distribution: debian(),
        packages: vec![
            Package {
                name: "libssl3".into(),
                architecture: "amd64".into(),
                from: Some("3.0.14-1".into()),
                to: Some("3.0.15-1~deb12u1".into()),
                digest: Some(digest("libssl3.deb")),
            },
            Package {
                name: "libnew".into(),
                architecture: "all".into(),
                from: None,
                to: Some("1:2.0+x".into()),
                digest: None,
            },
            Package {
                name: "libgone".into(),
                architecture: "amd64".into(),
                from: Some("1".into()),
                to: None,
                digest: None,
            },
        ],
        findings,
    }
}

fn facts() -> Facts {
    Facts {
        source: Image {
            name: "docker.io/library/shop".into(),
            digest: digest("source"),
        },
        patched: Image {
            name: "registry.example/shop/cart".into(),
            digest: digest("patched"),
        },
        reports: vec![Report {
            name: "report.json".into(),
            digest: digest("report"),
        }],
        platforms: vec![
            platform(
                "linux/amd64",
                vec![
                    finding("CVE-2024-0001", "libssl3", Verdict::Fixed),
                    finding("CVE-2024-0002", "libgone", Verdict::Removed),
                    finding("CVE-2024-0003", "libc6", Verdict::NoFixAvailable),
                    finding("CVE-2024-0004", "libold", Verdict::Excepted),
                ],
            ),
            platform(
                "linux/arm64/v8",
                vec![
                    finding("CVE-2024-0001", "libssl3", Verdict::NotFixed),
                    finding("CVE-2024-0003", "libc6", Verdict::NoFixAvailable),
                    finding("CVE-2024-0005", "libodd", Verdict::CannotTell),
                ],
            ),
        ],
        preserved: vec![Preserved {
            platform: "windows/amd64".into(),
            digest: digest("windows"),
            reason: "not a Linux platform".into(),
        }],
        counts: Counts {
            critical: 7,
            residual_critical: 5,
            fixed: 2,
            unfixed: 2,
            no_fix: 2,
            excepted: 1,
            new: 0,
        },
        passed: false,
        run: Run {
            version: "0.1.0".into(),
            builder: "https://github.com/actions/runner/github-hosted".into(),
            url: Some("https://github.com/acme/app/actions/runs/77/attempts/1".into()),
            repository: Some("https://github.com/acme/app".into()),
            commit: Some("a".repeat(40)),
            started: "2025-06-15T12:00:00Z".into(),
            finished: "2025-06-15T12:01:30Z".into(),
        },
    }
}

fn inventories() -> Vec<Inventory> {
    ["linux/amd64", "linux/arm64/v8"]
        .map(|name| Inventory {
            platform: name.into(),
            digest: digest(&format!("patched {name}")),
            distribution: debian(),
            packages: vec![
                Installed {
                    name: "libssl3".into(),
                    version: "3.0.15-1~deb12u1".into(),
                    architecture: "amd64".into(),
                    source: "openssl".into(),
                    source_version: "3.0.15-1~deb12u1".into(),
                },
                Installed {
                    name: "libnew".into(),
                    version: "1:2.0+x".into(),
                    architecture: "all".into(),
                    source: "new".into(),
                    source_version: "1:2.0+x".into(),
                },
            ],
        })
        .to_vec()
}

/// Compares with `testdata/statements/NAME.json`; with `RESEAL_BLESS=1` writes it.
fn golden(name: &str, value: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(format!("../../testdata/statements/{name}.json"));
    let found = serde_json::to_string_pretty(value).unwrap() + "\n";
    if std::env::var_os("RESEAL_BLESS").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "{name} differs from {}", path.display());
}

#[test]
fn provenance_names_source_reports_packages_commit_and_run() {
    golden("provenance", &provenance(&facts()));
}

#[test]
fn the_verification_has_every_finding_and_says_whether_it_passed() {
    let value = verification(&facts());
    assert_eq!(value["passed"], false);
    assert_eq!(value["subject"]["digest"], digest("patched").as_str());
    golden("verification", &value);
}

#[test]
fn the_scan_record_holds_what_remains() {
    golden("vuln", &vuln(&facts(), None));
}

#[test]
fn the_scan_record_of_a_scanner_holds_its_report() {
    let scan = Scan {
        uri: "pkg:github/aquasecurity/trivy@v0.60.0".into(),
        version: "0.60.0".into(),
        database: Some("2025-06-15T06:00:00Z".into()),
        result: json!({"SchemaVersion": 2}),
    };
    golden("vuln-scanner", &vuln(&facts(), Some(&scan)));
}

/// Tells whether something is said of the whole image, and not of a platform's manifest alone.
fn of_whole(vex: &Value, id: &str, status: &str) -> bool {
    let whole = format!(
        "pkg:oci/cart@sha256%3A{}?repository_url",
        digest("patched").hex()
    );
    let statements = vex["statements"].as_array().unwrap();
    statements
        .iter()
        .filter(|one| one["vulnerability"]["name"] == id && one["status"] == status)
        .flat_map(|one| one["products"].as_array().unwrap())
        .any(|product| product["@id"].as_str().unwrap().starts_with(&whole))
}

#[test]
fn vex_says_of_the_whole_only_what_holds_everywhere() {
    let value = openvex(&facts(), "Example Team");
    assert!(!of_whole(&value, "CVE-2024-0001", "fixed"));
    assert!(!of_whole(&value, "CVE-2024-0001", "affected"));
    assert!(!of_whole(&value, "CVE-2024-0002", "not_affected"));
    assert!(of_whole(&value, "CVE-2024-0003", "affected"));
    golden("openvex", &value);
}

#[test]
fn vex_says_fixed_of_the_whole_only_if_no_platform_was_passed_through() {
    let mut facts = facts();
    facts.platforms[1].findings[0].verdict = Verdict::Fixed;
    assert!(!of_whole(&openvex(&facts, "x"), "CVE-2024-0001", "fixed"));
    facts.preserved.clear();
    assert!(of_whole(&openvex(&facts, "x"), "CVE-2024-0001", "fixed"));
    facts.platforms[1].findings.remove(0);
    assert!(!of_whole(&openvex(&facts, "x"), "CVE-2024-0001", "fixed"));
}

#[test]
fn software_bills_hold_every_package_of_every_platform() {
    let image = facts().patched;
    golden(
        "spdx",
        &spdx(&image, &inventories(), "2025-06-15T12:01:30Z", "0.1.0"),
    );
    golden(
        "cyclonedx",
        &cyclonedx(&image, &inventories(), "2025-06-15T12:01:30Z", "0.1.0"),
    );
}

#[test]
fn names_inside_a_bill_are_unique_and_all_references_lead_somewhere() {
    let image = facts().patched;
    let spdx = spdx(&image, &inventories(), "2025-06-15T12:01:30Z", "0.1.0");
    let mut ids: Vec<&str> = spdx["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| package["SPDXID"].as_str().unwrap())
        .collect();
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    assert!(
        ids.iter()
            .all(|id| id.starts_with("SPDXRef-") && id.chars().all(allowed))
    );
    for relationship in spdx["relationships"].as_array().unwrap() {
        assert!(ids.contains(&relationship["relatedSpdxElement"].as_str().unwrap()));
    }
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);

    let bill = cyclonedx(&image, &inventories(), "2025-06-15T12:01:30Z", "0.1.0");
    let mut references = Vec::new();
    collect(&bill["components"], &mut references);
    let count = references.len();
    references.sort();
    references.dedup();
    assert_eq!(references.len(), count);
    assert_eq!(count, 2 + 2 * 3);
}

fn collect(components: &Value, into: &mut Vec<String>) {
    for component in components.as_array().into_iter().flatten() {
        into.push(component["bom-ref"].as_str().unwrap().to_owned());
        collect(&component["components"], into);
    }
}

#[test]
fn of_one_platform_only_its_own_is_told() {
    let child = digest("patched linux/arm64/v8");
    let facts = facts().of_child(&child).unwrap();
    assert_eq!(facts.patched.digest, child);
    assert_eq!(facts.source.digest, digest("source linux/arm64/v8"));
    assert_eq!(
        facts.counts,
        Counts {
            critical: 3,
            residual_critical: 3,
            unfixed: 2,
            no_fix: 1,
            ..Counts::default()
        }
    );
    let vex = openvex(&facts, "Example Team");
    for statement in vex["statements"].as_array().unwrap() {
        let products = statement["products"].as_array().unwrap();
        assert_eq!(products.len(), 1);
        assert!(products[0]["@id"].as_str().unwrap().contains(child.hex()));
    }
    assert!(!verification(&facts).to_string().contains("linux/amd64"));
    assert_eq!(facts.of_child(&digest("nothing")), None);
}

#[test]
fn the_same_facts_give_the_same_bytes() {
    let subject = Subject {
        name: "registry.example/shop/cart".into(),
        digest: digest("patched"),
    };
    let of = |predicate: Value| statement(&subject, predicate_type::VERIFICATION, &predicate);
    assert_eq!(of(verification(&facts())), of(verification(&facts())));
    assert_eq!(openvex(&facts(), "a"), openvex(&facts(), "a"));
    assert_ne!(openvex(&facts(), "a")["@id"], openvex(&facts(), "b")["@id"]);
}
