//! Every shape that is read, on small samples: `testdata/report-samples`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reseal_report::{Report, ReportError, Scanner, Schema, Severity, parse};

fn sample(name: &str) -> Vec<u8> {
    let path = format!(
        "{}/../../testdata/report-samples/{name}",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn read(name: &str) -> Report {
    parse(&sample(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// `id package architecture installed -> fixed [source]` a line.
fn lines(report: &Report) -> Vec<String> {
    report
        .findings
        .iter()
        .map(|f| {
            let source = f
                .source
                .as_ref()
                .map(|s| format!(" [{} {}]", s.name, s.version));
            format!(
                "{} {} {} {} -> {}{}",
                f.id,
                f.package,
                f.architecture.as_deref().unwrap_or("?"),
                f.installed,
                f.fixed.join("|"),
                source.unwrap_or_default()
            )
        })
        .collect()
}

const CURRENT: [&str; 4] = [
    "CVE-2024-28085 bsdutils arm64 1:2.38.1-5 -> 2.38.1-5+deb12u1 [util-linux 2.38.1-5]",
    "CVE-2024-0727 libssl3 arm64 3.0.11-1~deb12u2 -> 3.0.13-1~deb12u1|3.0.14-1 [openssl 3.0.11-1~deb12u2]",
    "CVE-2023-6129 libssl3 arm64 3.0.11-1~deb12u2 ->  [openssl 3.0.11-1~deb12u2]",
    "TEMP-0000000-A1B2C3 zlib1g ? 1:1.2.13.dfsg-1 -> ",
];

#[test]
fn a_current_trivy_report_is_read_whole() {
    let report = read("trivy-v2.json");
    assert_eq!(lines(&report), CURRENT);
    assert_eq!(
        (report.scanner, report.schema),
        (Scanner::Trivy, Schema::V2)
    );
    assert_eq!(report.scanner_version.as_deref(), Some("0.74.0"));
    assert_eq!(
        report.created_at.as_deref(),
        Some("2026-08-21T10:00:00.123456789Z")
    );
    assert_eq!(report.artifact_name, "registry.example/shop/cart:1.0");
    assert_eq!(report.family.as_deref(), Some("debian"));
    assert_eq!(report.os_version.as_deref(), Some("12.5"));
    let platform = report.platform.unwrap();
    assert_eq!(
        (
            platform.os.as_str(),
            platform.architecture.as_str(),
            platform.variant.as_deref()
        ),
        ("linux", "arm64", Some("v8"))
    );
    assert_eq!(report.diff_ids.len(), 2);
    assert_eq!(report.repo_digests.len(), 1);
    assert!(report.has_os_result && !report.end_of_life);
    assert_eq!(report.other_findings, 1);
    assert_eq!(report.packages.len(), 3);
    assert_eq!(report.packages[0].version, "1:2.38.1-5");
    assert_eq!(report.packages[2].source, None);
    let first = &report.findings[0];
    assert_eq!(first.vendor_ids, ["DSA-5650-1"]);
    assert_eq!(first.status.as_deref(), Some("fixed"));
    assert_eq!(first.title.as_deref(), Some("wall: escape sequences"));
    assert_eq!(report.findings[2].severity, Severity::Critical);
    assert_eq!(
        report.findings[3].severity,
        Severity::Unknown,
        "a word of the future"
    );
}

#[test]
fn arrays_of_every_age_are_read() {
    for (name, artifact, family, version, count, other) in [
        (
            "trivy-results-only.json",
            "registry.example/shop/cart:1.0",
            "debian",
            "12.5",
            4,
            1,
        ),
        ("trivy-0.0.json", "shop/cart", "debian", "9.9", 1, 1),
        (
            "trivy-0.6.json",
            "a (b).tar.gz",
            "amazon",
            "2 (Karoo)",
            1,
            0,
        ),
        ("trivy-0.18.json", "shop/cart", "alpine", "3.9.4", 0, 1),
    ] {
        let report = read(name);
        assert_eq!(report.schema, Schema::Legacy, "{name}");
        assert_eq!(report.artifact_name, artifact, "{name}");
        assert_eq!(report.family.as_deref(), Some(family), "{name}");
        assert_eq!(report.os_version.as_deref(), Some(version), "{name}");
        assert_eq!(
            (report.findings.len(), report.other_findings),
            (count, other),
            "{name}"
        );
        assert!(report.has_os_result, "{name}");
    }
    let empty = parse(b"[]").unwrap();
    assert!(
        !empty.has_os_result,
        "no result says nothing about packages"
    );
}

#[test]
fn grype_gives_the_same_findings_with_their_sources() {
    let report = read("grype.json");
    assert_eq!(
        lines(&report),
        [
            "CVE-2024-28085 bsdutils arm64 1:2.38.1-5 -> 2.38.1-5+deb12u1 [util-linux 2.38.1-5]",
            "CVE-2024-0727 openssl arm64 3.0.11-1~deb12u2 ->  [openssl 3.0.11-1~deb12u2]",
            "CVE-2023-6129 libssl3 arm64 3.0.11-1~deb12u2 ->  [openssl 3.0.11-1~deb12u2]",
        ]
    );
    assert_eq!(
        (report.scanner, report.schema),
        (Scanner::Grype, Schema::Grype)
    );
    assert_eq!(
        report.findings[0].severity,
        Severity::Low,
        "Grype's Negligible"
    );
    assert_eq!(report.findings[0].vendor_ids, ["DSA-5650-1"]);
    assert_eq!(report.findings[1].status.as_deref(), Some("will_not_fix"));
    assert_eq!(report.other_findings, 1);
    let trivy = read("trivy-v2.json");
    assert_eq!(report.diff_ids, trivy.diff_ids, "from the config in base64");
    assert_eq!(
        report.platform, trivy.platform,
        "the variant comes from the config"
    );
    assert_eq!(report.image_id, trivy.image_id);
}

#[test]
fn envelopes_are_opened() {
    let plain = read("trivy-v2.json");
    let mut predicate = read("trivy-cosign-vuln.json");
    assert_eq!(predicate.scanner_version.as_deref(), Some("0.60.0"));
    predicate.scanner_version.clone_from(&plain.scanner_version);
    assert_eq!(predicate, plain);

    let inner = String::from_utf8(sample("trivy-cosign-vuln.json")).unwrap();
    let statement = format!(
        r#"{{"_type": "https://in-toto.io/Statement/v1", "subject": [],
            "predicateType": "https://cosign.sigstore.dev/attestation/vuln/v1", "predicate": {inner}}}"#
    );
    assert_eq!(
        parse(statement.as_bytes()).unwrap().findings,
        plain.findings
    );
    let envelope = |payload: &str| {
        format!(
            r#"{{"payloadType": "application/vnd.in-toto+json", "payload": "{}", "signatures": []}}"#,
            STANDARD.encode(payload)
        )
    };
    assert_eq!(
        parse(envelope(&statement).as_bytes()).unwrap().findings,
        plain.findings
    );

    let mut nested = statement;
    for _ in 0..8 {
        nested = envelope(&nested);
    }
    assert!(matches!(
        parse(nested.as_bytes()),
        Err(ReportError::WrongFormat { .. })
    ));
    let broken = envelope(r#"{"SchemaVersion": 2, "Results": 7}"#);
    let Err(ReportError::Malformed { path, .. }) = parse(broken.as_bytes()) else {
        panic!("a wrong type in a payload was read");
    };
    assert_eq!(path, "$.payload (decoded).Results");
}

#[test]
fn every_text_encoding_gives_the_same_report() {
    let plain = sample("trivy-v2.json");
    let expected = parse(&plain).unwrap();
    let text = String::from_utf8(plain.clone()).unwrap();
    let crlf = text.replace('\n', "\r\n").into_bytes();
    let marked = [b"\xef\xbb\xbf", plain.as_slice()].concat();
    let units = |mark: bool, order: fn(u16) -> [u8; 2]| -> Vec<u8> {
        mark.then_some(0xfeff)
            .into_iter()
            .chain(text.encode_utf16())
            .flat_map(order)
            .collect()
    };
    for (name, bytes) in [
        ("CRLF", crlf),
        ("UTF-8 with a mark", marked),
        ("UTF-16 LE", units(true, u16::to_le_bytes)),
        ("UTF-16 BE", units(true, u16::to_be_bytes)),
        ("UTF-16 LE without a mark", units(false, u16::to_le_bytes)),
        ("UTF-16 BE without a mark", units(false, u16::to_be_bytes)),
    ] {
        assert_eq!(parse(&bytes).as_ref(), Ok(&expected), "{name}");
    }
}

#[test]
fn absent_and_null_fields_are_the_same_and_keys_match_in_any_case() {
    for text in [
        r#"{"SchemaVersion": 2, "ArtifactName": "a"}"#,
        r#"{"SchemaVersion": 2, "ArtifactName": "a", "Metadata": null, "Results": null}"#,
        r#"{"schemaversion": 2, "artifactName": "a", "Metadata": {"OS": null}, "Results": []}"#,
    ] {
        let report = parse(text.as_bytes()).unwrap();
        assert_eq!(
            (report.artifact_name.as_str(), report.has_os_result),
            ("a", false),
            "{text}"
        );
        assert_eq!(report.family, None, "{text}");
    }
    let odd = br#"{"SchemaVersion": 2, "Metadata": {"OS": {"family": "alpine", "Eosl": true}},
        "Results": [{"Class": "os-pkgs", "Type": "alpine", "Vulnerabilities": [null, {"PkgId": "x@1",
          "vulnerabilityID": "CVE-1", "pkgName": "x", "Extra": {"a": [1]}, "Status": 3, "VendorIDs": null}]}]}"#;
    let report = parse(odd).unwrap();
    assert!(report.end_of_life);
    let found = &report.findings[1];
    assert_eq!((found.id.as_str(), found.package.as_str()), ("CVE-1", "x"));
    assert_eq!(
        found.status.as_deref(),
        Some("fixed"),
        "the server's number"
    );
}

#[test]
fn a_repeated_finding_counts_once_with_all_it_says() {
    let text = br#"{"SchemaVersion": 2, "Results": [{"Class": "os-pkgs", "Type": "debian", "Vulnerabilities": [
        {"VulnerabilityID": "CVE-1", "PkgName": "x", "InstalledVersion": "1", "Severity": "LOW"},
        {"VulnerabilityID": "CVE-1", "PkgName": "x", "InstalledVersion": "1", "FixedVersion": "2", "Severity": "HIGH"},
        {"VulnerabilityID": "CVE-1", "PkgName": "y", "InstalledVersion": "1"},
        {"VulnerabilityID": "", "PkgName": "x"}, {"VulnerabilityID": "", "PkgName": "x"}]}]}"#;
    let report = parse(text).unwrap();
    assert_eq!(report.findings.len(), 4);
    assert_eq!(report.findings[0].fixed, ["2"]);
    assert_eq!(report.findings[0].severity, Severity::High);
}
