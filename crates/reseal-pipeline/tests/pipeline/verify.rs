//! Verification of images by their own layers.

use reseal_pipeline::{Class, Events, Outcome, PipelineError, RunResult, VerifySettings, verify};
use reseal_plan::Verdict;
use reseal_testkit::registry::{Action, Fault};
use serde_json::{Value, json};

use crate::image::{finding, fixable, report};
use crate::world::{REPOSITORY, Single, failed};

async fn run(
    single: &Single,
    tag: &str,
    rescans: Vec<Vec<u8>>,
) -> Result<RunResult, PipelineError> {
    let source = format!("{}/{REPOSITORY}:{tag}", single.world.registry.host());
    let settings = VerifySettings {
        input: single
            .world
            .settings_of(&source, vec![single.report()])
            .input,
        rescan_reports: single.world.settings_of(&source, rescans).input.reports,
        packages: None,
        seal: None,
    };
    verify(&settings, &single.world.registries, &Events::channel().0).await
}

/// A report of a scan after the patch: of both layers.
fn rescan(single: &Single, result: &RunResult, findings: &[Value]) -> Vec<u8> {
    let mut document: Value =
        serde_json::from_slice(&report("linux/amd64", &single.image, findings)).unwrap();
    let layer = result.platforms[0].layer.as_ref().unwrap();
    document["Metadata"]["DiffIDs"] = json!([single.image.layer, layer.diff_id.to_string()]);
    document["Results"][0]["Packages"] = json!([
        {"Name": "libssl3", "Version": "3.0.13-1~deb12u1", "Arch": "amd64"},
    ]);
    document.to_string().into_bytes()
}

#[tokio::test]
async fn a_patched_image_verifies_and_its_base_does_not() {
    let single = Single::new().await;
    let patched = single.patch().await.unwrap();
    let result = run(&single, "1-patched", vec![]).await.unwrap();
    assert_eq!(result.outcome, Outcome::Verified);
    assert_eq!(result.source.digest, patched.patched.digest);
    assert_eq!(result.platforms[0].findings[0].verdict, Verdict::Fixed);

    let (error, _) = failed(run(&single, "1", vec![]).await, Class::Residual);
    let PipelineError::Gate { result, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(result.platforms[0].findings[0].verdict, Verdict::NotFixed);
}

#[tokio::test]
async fn a_scan_after_the_patch_has_to_agree() {
    let single = Single::new().await;
    let patched = single.patch().await.unwrap();
    let clean = rescan(&single, &patched, &[]);
    let result = run(&single, "1-patched", vec![clean]).await.unwrap();
    assert_eq!((result.outcome, result.counts.new), (Outcome::Verified, 0));

    let again = rescan(&single, &patched, &[fixable()]);
    let (_, text) = failed(
        run(&single, "1-patched", vec![again]).await,
        Class::Residual,
    );
    assert!(text.contains("CVE-2024-0727 in libssl3"), "{text}");

    let new = finding("CVE-9", "zlib1g", "9", "CRITICAL");
    let new = rescan(&single, &patched, &[new]);
    let (_, text) = failed(
        run(&single, "1-patched", vec![new]).await,
        Class::NewFinding,
    );
    assert!(text.contains("CVE-9 in zlib1g"), "{text}");

    let low = finding("CVE-9", "zlib1g", "9", "LOW");
    let low = rescan(&single, &patched, &[low]);
    let result = run(&single, "1-patched", vec![low]).await.unwrap();
    assert_eq!(result.counts.new, 1);
}

#[tokio::test]
async fn a_scan_of_the_base_proves_nothing_about_the_patch() {
    let single = Single::new().await;
    single.patch().await.unwrap();
    let base = report("linux/amd64", &single.image, &[]);
    failed(run(&single, "1-patched", vec![base]).await, Class::Mismatch);
}

#[tokio::test]
async fn a_layer_that_comes_broken_is_a_registry_failure() {
    let single = Single::new().await;
    let patched = single.patch().await.unwrap();
    let layer = patched.platforms[0].layer.as_ref().unwrap();
    let path = format!("/v2/{REPOSITORY}/blobs/{}", layer.digest);
    for action in [Action::WrongBody, Action::CutBody(30)] {
        let fault = Fault::on("GET", &path, action).times(100);
        single.world.registry.fault(fault);
        failed(
            run(&single, "1-patched", vec![]).await,
            Class::RegistryTransport,
        );
    }
}
