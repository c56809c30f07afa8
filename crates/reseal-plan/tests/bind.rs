//! Which report speaks of which platform.

use reseal_oci::Digest;
use reseal_plan::{BindError, Binding, Candidate, bind};
use reseal_report::Report;

fn candidate(platform: &str, layers: &[&str], selected: bool) -> Candidate {
    Candidate {
        platform: platform.parse().expect("a platform"),
        diff_ids: vec![
            layers
                .iter()
                .map(|layer| Digest::of(layer.as_bytes()))
                .collect(),
        ],
        config: Digest::of(platform.as_bytes()),
        selected,
    }
}

fn report(name: &str, architecture: &str, layers: &[&str]) -> (String, Report) {
    let ids: Vec<String> = layers
        .iter()
        .map(|layer| format!("\"{}\"", Digest::of(layer.as_bytes())))
        .collect();
    let config = if architecture.is_empty() {
        String::new()
    } else {
        format!(r#","ImageConfig":{{"os":"linux","architecture":"{architecture}"}}"#)
    };
    let json = format!(
        r#"{{"SchemaVersion":2,"ArtifactName":"cart","ArtifactType":"container_image",
        "Metadata":{{"OS":{{"Family":"debian","Name":"12"}},"DiffIDs":[{}]{config}}},
        "Results":[{{"Target":"x","Class":"os-pkgs","Type":"debian"}}]}}"#,
        ids.join(",")
    );
    (
        name.to_owned(),
        reseal_report::parse(json.as_bytes()).expect("a report"),
    )
}

fn two() -> Vec<Candidate> {
    vec![
        candidate("linux/amd64", &["a", "b"], true),
        candidate("linux/arm64/v8", &["c", "d"], true),
    ]
}

#[test]
fn layers_prove_the_platform_whatever_the_order() {
    let reports = [
        report("arm", "arm64", &["c", "d"]),
        report("amd", "amd64", &["a", "b"]),
    ];
    let Binding {
        reports: bound,
        warnings,
    } = bind(&reports, &two(), false).expect("bound");
    assert_eq!(bound, [Some(1), Some(0)]);
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn a_report_of_another_image_is_refused_unless_allowed() {
    let reports = [report("old", "amd64", &["a", "other"])];
    let error = bind(&reports, &two(), false).expect_err("refused");
    assert!(
        matches!(&error, BindError::OtherImage { report, .. } if report == "old"),
        "{error}"
    );
    let bound = bind(&reports, &two(), true).expect("allowed");
    assert_eq!(bound.reports, [Some(0), None]);
    assert_eq!(bound.warnings.len(), 1);
}

#[test]
fn a_prefix_of_the_layers_is_another_image() {
    assert!(bind(&[report("base", "amd64", &["a"])], &two(), false).is_err());
}

#[test]
fn two_reports_for_one_platform_are_refused() {
    let reports = [
        report("one", "amd64", &["a", "b"]),
        report("two", "amd64", &["a", "b"]),
    ];
    assert!(matches!(
        bind(&reports, &two(), false),
        Err(BindError::Twice { .. })
    ));
}

fn legacy(findings: &str) -> [(String, Report); 1] {
    let json =
        format!(r#"[{{"Target":"x (debian 12)","Type":"debian","Vulnerabilities":[{findings}]}}]"#);
    [(
        "legacy".to_owned(),
        reseal_report::parse(json.as_bytes()).expect("a report"),
    )]
}

#[test]
fn a_legacy_report_without_layers_is_bound_to_the_only_platform_and_to_none_of_several() {
    let legacy = legacy(
        r#"{"VulnerabilityID":"CVE-1","PkgName":"curl","InstalledVersion":"1","Severity":"HIGH"}"#,
    );
    let bound = bind(&legacy, &two()[..1], false).expect("bound");
    assert_eq!(bound.reports, [Some(0)]);
    assert_eq!(bound.warnings.len(), 1, "and says so");
    assert!(bind(&legacy, &two(), false).is_err());
}

#[test]
fn a_report_that_names_no_layers_and_lists_nothing_proves_nothing() {
    assert!(bind(&legacy(""), &two()[..1], false).is_err());
    assert!(bind(&legacy(""), &two()[..1], true).is_ok());
}

#[test]
fn a_report_of_a_platform_that_is_not_worked_on_is_set_aside() {
    let mut candidates = two();
    candidates[1] = Candidate {
        selected: false,
        diff_ids: Vec::new(),
        ..candidates[1].clone()
    };
    let bound =
        bind(&[report("arm", "arm64", &["c", "d"])], &candidates, false).expect("set aside");
    assert_eq!(bound.reports, [None, None]);
    assert_eq!(bound.warnings.len(), 1);
}
