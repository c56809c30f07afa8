//! Everything that is refused: other formats by name, broken files with their place.

use reseal_report::{ReportError, parse};

fn samples() -> String {
    format!(
        "{}/../../testdata/report-samples",
        env!("CARGO_MANIFEST_DIR")
    )
}

#[test]
fn other_formats_are_refused_by_name_and_with_the_right_command() {
    let table = [
        ("sarif.json", "a SARIF log"),
        ("cyclonedx.json", "a CycloneDX document"),
        ("spdx.json", "an SPDX document"),
        ("spdx.txt", "an SPDX document"),
        ("github-snapshot.json", "a GitHub dependency snapshot"),
        ("syft.json", "a Syft SBOM, which has no vulnerabilities"),
        ("xeol.json", "a list of matches that Grype did not write"),
        ("trivy-k8s.json", "a report of `trivy k8s`"),
        ("trivy-compliance.json", "a report of `trivy --compliance`"),
        (
            "operator.json",
            "a VulnerabilityReport resource of the Trivy operator",
        ),
        ("asff.json", "an AWS Security Hub (ASFF) file"),
        ("asff-object.json", "an AWS Security Hub (ASFF) file"),
        ("gitlab-codequality.json", "a GitLab code quality report"),
        ("gitlab-container.json", "a GitLab security report"),
        ("oci-index.json", "an image manifest or index"),
        ("oci-manifest.json", "an image manifest or index"),
        ("something.json", "a JSON document of another kind"),
        ("list-of-reports.json", "a list of several reports"),
        ("junit.xml", "a JUnit XML file"),
        ("page.html", "an HTML or XML page"),
        ("table.txt", "a table for people"),
        ("grype-table.txt", "a table for people"),
        (
            "log-and-report.txt",
            "a scanner's log with a report mixed in (was standard error redirected too?)",
        ),
        ("prose.txt", "a text that is not JSON"),
    ];
    let folder = format!("{}/refused", samples());
    for (file, expected) in table {
        let bytes = std::fs::read(format!("{folder}/{file}")).unwrap();
        match parse(&bytes) {
            Err(ReportError::WrongFormat { found, command }) => {
                assert_eq!(found, expected, "{file}");
                assert!(command.contains("--format json"), "{file}: {command}");
            }
            other => panic!("{file}: {other:?}"),
        }
    }
    let files = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(files, table.len(), "each sample has its row");
    for (bytes, expected) in [
        (&b"\x1f\x8b\x08\0"[..], "a gzip file"),
        (b"PK\x03\x04", "a zip file"),
        (b"\x28\xb5\x2f\xfd", "a zstd file"),
        (b"[1, 2]", "a JSON list of something else"),
        (b"\"text\"", "a text that is not JSON"),
    ] {
        match parse(bytes) {
            Err(ReportError::WrongFormat { found, .. }) => assert_eq!(found, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
}

#[test]
fn a_malformed_report_is_refused_with_path_and_offset() {
    for (text, path, at, why) in [
        (
            r#"{"SchemaVersion": 2, "Results": [{}, {"Vulnerabilities": "none"}]}"#,
            "$.Results[1].Vulnerabilities",
            "\"none\"",
            "invalid type: string \"none\", expected a sequence",
        ),
        (
            r#"{"SchemaVersion": 2, "Results": [{"Packages": [{"Name": 7}]}]}"#,
            "$.Results[0].Packages[0].Name",
            "7",
            "invalid type: integer `7`, expected a string",
        ),
        (
            "{\"SchemaVersion\": 2,\n \"Metadata\": {\"OS\": [1]}}",
            "$.Metadata.OS",
            "[1]",
            "invalid type: sequence, expected an object",
        ),
        (
            "{\n \"SchemaVersion\": 2,\n \"ArtifactName\" \"x\"}",
            "$.ArtifactName",
            "\"x\"",
            "expected `:`",
        ),
        (
            r#"{"SchemaVersion": 2, "Results": [}"#,
            "$.Results[0]",
            "}",
            "expected value",
        ),
        (
            r#"{"SchemaVersion": 2} {}"#,
            "$",
            "{}",
            "trailing characters",
        ),
        (
            r#"[{"Target": 5}]"#,
            "$[0].Target",
            "5",
            "invalid type: integer `5`, expected a string",
        ),
    ] {
        for (mark, prefix) in [("", 0), ("\u{feff}", 3)] {
            let bytes = format!("{mark}{text}");
            let expected = ReportError::Malformed {
                path: path.to_owned(),
                offset: prefix + text.rfind(at).unwrap(),
                why: why.to_owned(),
            };
            assert_eq!(parse(bytes.as_bytes()), Err(expected), "{text}");
        }
    }
    let wide: Vec<u8> = "{\"é\": !}"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert!(
        matches!(parse(&wide), Err(ReportError::Malformed { offset: 12, .. })),
        "offsets count the file's bytes: {:?}",
        parse(&wide)
    );
    assert!(matches!(
        parse(b"{\"a\": \"\xff\"}"),
        Err(ReportError::Malformed { offset: 7, .. })
    ));
}

#[test]
fn a_report_cut_anywhere_is_truncated_or_empty_and_never_read() {
    let whole = std::fs::read(format!("{}/trivy-v2.json", samples())).unwrap();
    let whole = whole.trim_ascii_end();
    for end in 0..whole.len() {
        match parse(&whole[..end]) {
            Err(ReportError::Empty) => assert_eq!(end, 0),
            Err(ReportError::Truncated { offset }) => {
                assert!(
                    offset <= end && whole[offset..end].trim_ascii().is_empty(),
                    "{end}"
                );
            }
            other => panic!("cut at {end}: {other:?}"),
        }
    }
    for empty in [&b""[..], b" \r\n\t", b"null", b"\xef\xbb\xbf", b"\xff\xfe"] {
        assert_eq!(parse(empty), Err(ReportError::Empty));
    }
    assert_eq!(
        parse(b"\xff\xfe{\0\"\0a"),
        Err(ReportError::Truncated { offset: 7 })
    );
}

#[test]
fn another_schema_or_artifact_is_refused_with_what_was_found() {
    for (schema, found) in [("3", "3"), ("\"2\"", "\"2\""), ("1", "1"), ("2.5", "2.5")] {
        let text = format!(
            r#"{{"SchemaVersion": {schema}, "Trivy": {{"Version": "1.2.3"}}, "Results": []}}"#
        );
        let error = ReportError::UnsupportedSchema {
            found: found.to_owned(),
            supported: "2",
            scanner_version: Some("1.2.3".to_owned()),
        };
        assert_eq!(parse(text.as_bytes()), Err(error.clone()));
        assert!(error.to_string().contains("1.2.3") && error.to_string().contains(found));
    }
    assert!(matches!(
        parse(br#"{"ArtifactName": "x", "Results": []}"#),
        Err(ReportError::UnsupportedSchema { found, .. }) if found == "(none)"
    ));
    for kind in [
        "filesystem",
        "repository",
        "vm",
        "cyclonedx",
        "spdx",
        "aws_account",
    ] {
        let trivy = format!(r#"{{"SchemaVersion": 2, "ArtifactType": "{kind}", "Results": []}}"#);
        let grype = format!(
            r#"{{"matches": [], "descriptor": {{"name": "grype"}}, "source": {{"type": "{kind}"}}}}"#
        );
        for text in [trivy, grype] {
            assert_eq!(
                parse(text.as_bytes()),
                Err(ReportError::NotAnImage {
                    artifact_type: kind.to_owned()
                })
            );
        }
    }
}

#[test]
fn messages_are_one_line_whatever_the_report_says() {
    let text =
        "{\"SchemaVersion\": 2, \"ArtifactType\": \"x\\n\\u001b[31m\\u202e\", \"Results\": []}";
    let error = parse(text.as_bytes()).unwrap_err();
    let message = error.to_string();
    assert!(
        message.chars().all(|c| !c.is_control() && c != '\u{202e}'),
        "{message:?}"
    );
    assert!(error.hint().is_some());
    let long = format!(
        r#"{{"SchemaVersion": 2, "Results": "{}"}}"#,
        "x".repeat(1 << 20)
    );
    assert!(parse(long.as_bytes()).unwrap_err().to_string().len() < 600);
}
