//! Reports: hostile ones, those of other images, and platforms that none speaks of.

use reseal_pipeline::{Class, Event, Outcome, Unreported, plan};
use reseal_testkit::buildkitd::Answer;

use crate::image::{Image, NEW, architecture, finding, fixable, raw_layer, report};
use crate::index::{Indexed, PLATFORMS};
use crate::world::{Fakes, Single, failed};

#[tokio::test]
async fn a_report_with_a_name_that_no_package_has_is_refused() {
    for name in [
        "--allow-unauthenticated",
        "-y",
        "libssl3; rm -rf /",
        "libssl3 zlib1g",
        "libssl3\nzlib1g",
        "$(reboot)",
        "../../etc/passwd",
        "LibSSL3",
        "libssl3=1.0",
        "libssl3-",
        "l",
    ] {
        let single = Single::new().await;
        let findings = [fixable(), finding("CVE-1", name, "2.0", "HIGH")];
        let report = report("linux/amd64", &single.image, &findings);
        let builder = single.good_builder().await;
        let result = single
            .world
            .patch(&single.world.settings(vec![report]), &builder)
            .await;
        if name == "libssl3-" {
            // The grammar allows it; it is not installed, so it is never asked for.
            assert_eq!(result.unwrap().outcome, Outcome::Patched);
            continue;
        }
        let (error, text) = failed(result, Class::Report);
        assert!(error.hint().is_some() && !text.contains('\n'), "{text}");
        assert!(builder.solved() <= 1, "the patch was solved for {name:?}");
        single.world.check_nothing_promoted();
    }
}

#[tokio::test]
async fn a_report_that_is_none_is_refused_before_a_builder_is_asked() {
    for bytes in [
        &b""[..],
        b"{",
        b"\0\0\0",
        br#"{"version": "2.1.0", "runs": []}"#,
        br#"{"bomFormat": "CycloneDX", "specVersion": "1.5"}"#,
        br#"{"SchemaVersion": 99, "ArtifactName": "x", "ArtifactType": "container_image"}"#,
    ] {
        let single = Single::new().await;
        let builder = single.good_builder().await;
        let settings = single.world.settings(vec![bytes.to_vec()]);
        let (_, text) = failed(single.world.patch(&settings, &builder).await, Class::Report);
        assert!(text.contains("report-0.json"), "{text}");
        assert_eq!(builder.connects(), 0);
        single.world.check_nothing_promoted();
    }
}

#[tokio::test]
async fn a_report_of_another_image_is_refused_unless_it_is_allowed() {
    let single = Single::new().await;
    let other = Image {
        os_release: Some(b"ID=debian\nVERSION_ID=11\n".to_vec()),
        ..Image::new("linux/amd64")
    }
    .build();
    let mut settings = single
        .world
        .settings(vec![report("linux/amd64", &other, &[fixable()])]);
    let builder = single.good_builder().await;
    let (error, text) = failed(
        single.world.patch(&settings, &builder).await,
        Class::Mismatch,
    );
    assert!(
        text.contains("report-0.json") && text.contains(&other.layer),
        "{text}"
    );
    assert!(error.hint().unwrap().contains("--allow-report-mismatch"));
    assert_eq!(builder.connects(), 0);

    settings.input.allow_report_mismatch = true;
    let (result, events) = single.world.watch(&settings, &builder).await;
    let result = result.unwrap();
    assert_eq!(result.outcome, Outcome::Patched);
    assert!(
        result.warnings[0].contains("another image"),
        "{:?}",
        result.warnings
    );
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::Warned(text) if text.contains("another image")))
    );
}

#[tokio::test]
async fn a_report_of_another_distribution_is_a_mismatch() {
    let single = Single::new().await;
    let text = String::from_utf8(single.report()).unwrap();
    let other = text.replace("\"debian\"", "\"ubuntu\"").into_bytes();
    let builder = single.good_builder().await;
    let result = single
        .world
        .patch(&single.world.settings(vec![other]), &builder)
        .await;
    failed(result, Class::Mismatch);
    single.world.check_nothing_promoted();

    // Nothing in it is to patch, and no layer proves that it is about the image.
    let text = String::from_utf8(report("linux/amd64", &single.image, &[])).unwrap();
    let text = text.replace("\"debian\"", "\"ubuntu\"");
    let mut legacy: serde_json::Value = serde_json::from_str(&text).unwrap();
    legacy["Metadata"]
        .as_object_mut()
        .unwrap()
        .remove("DiffIDs");
    let settings = single.world.settings(vec![legacy.to_string().into_bytes()]);
    let builder = single.good_builder().await;
    failed(
        single.world.patch(&settings, &builder).await,
        Class::Mismatch,
    );
    single.world.check_nothing_promoted();
}

#[tokio::test]
async fn a_source_package_is_found_where_the_report_does_not_name_it() {
    let single = Single::new().await;
    let mut settings = single.settings();
    settings.input.policy.packages = ["openssl".to_owned()].into();
    let builder = single.good_builder().await;
    let result = single.world.patch(&settings, &builder).await.unwrap();
    assert_eq!(result.outcome, Outcome::Patched, "libssl3 is of openssl");

    settings.input.policy.ids = ["CVE-1-1".to_owned()].into();
    let builder = single.good_builder().await;
    let result = single.world.patch(&settings, &builder).await.unwrap();
    assert_eq!(result.outcome, Outcome::Unchanged);
    assert!(
        result.warnings[0].contains("`CVE-1-1`"),
        "{:?}",
        result.warnings
    );
}

#[tokio::test]
async fn two_reports_of_one_platform_are_refused() {
    let single = Single::new().await;
    let settings = single
        .world
        .settings(vec![single.report(), single.report()]);
    let (_, text) = failed(
        single.world.patch(&settings, &Fakes::none()).await,
        Class::Mismatch,
    );
    assert!(
        text.contains("report-0.json") && text.contains("report-1.json"),
        "{text}"
    );
}

#[tokio::test]
async fn a_platform_without_a_report_is_never_taken_for_clean() {
    let indexed = Indexed::new().await;
    let settings = indexed.world.settings(vec![indexed.report(0)]);
    let builders = indexed.builders().await;
    let (error, text) = failed(
        indexed.world.patch(&settings, &builders).await,
        Class::Mismatch,
    );
    assert!(text.contains(PLATFORMS[1]), "{text}");
    assert!(error.hint().unwrap().contains("--unreported-platforms"));
    assert_eq!(builders.connects(), 0);
}

#[tokio::test]
async fn a_platform_without_a_report_is_preserved_on_demand() {
    let indexed = Indexed::new().await;
    let mut settings = indexed.world.settings(vec![indexed.report(0)]);
    settings.input.unreported = Unreported::Preserve;
    let builders = Fakes::new(indexed.answers_of(0)).await;
    let result = indexed.world.patch(&settings, &builders).await.unwrap();
    assert_eq!(result.platforms.len(), 1);
    let kept = result
        .preserved
        .iter()
        .find(|kept| kept.reason == "no report speaks of it")
        .unwrap();
    assert_eq!(kept.digest.to_string(), indexed.images[1].digest);
}

#[tokio::test]
async fn a_platform_without_a_report_is_upgraded_whole_on_demand() {
    let indexed = Indexed::new().await;
    let mut settings = indexed.world.settings(vec![indexed.report(0)]);
    settings.input.unreported = Unreported::PatchAll;
    let result = indexed
        .world
        .patch(&settings, &indexed.builders().await)
        .await
        .unwrap();
    let findings: Vec<usize> = result.platforms.iter().map(|p| p.findings.len()).collect();
    assert_eq!(findings, [1, 0]);
    assert!(result.platforms.iter().all(|p| p.packages.len() == 1));
}

#[tokio::test]
async fn a_platform_in_whose_report_nothing_is_to_patch_runs_nothing() {
    let indexed = Indexed::new().await;
    let clean = report(PLATFORMS[1], &indexed.images[1], &[]);
    let settings = indexed.world.settings(vec![indexed.report(0), clean]);
    let builders = Fakes::new(indexed.answers_of(0)).await;
    let result = indexed.world.patch(&settings, &builders).await.unwrap();
    let digests: Vec<bool> = result
        .platforms
        .iter()
        .map(|platform| platform.digest == platform.source_digest)
        .collect();
    assert_eq!(digests, [false, true]);
    assert_eq!(builders.solved(), 2);
}

#[tokio::test]
async fn platforms_that_are_not_asked_for_stay_as_they_are() {
    let indexed = Indexed::new().await;
    let mut settings = indexed.settings();
    settings.input.platforms = Some(vec!["linux/arm/v7".parse().unwrap()]);
    let raw = raw_layer(architecture(PLATFORMS[1]), &NEW);
    let builders = Fakes::new(indexed.images[1].answers(Answer::layer(&raw))).await;
    let result = indexed.world.patch(&settings, &builders).await.unwrap();
    assert_eq!(result.platforms.len(), 1);
    let kept = result
        .preserved
        .iter()
        .find(|kept| kept.reason == "not asked for")
        .unwrap();
    assert_eq!(kept.digest.to_string(), indexed.images[0].digest);
    assert!(result.dropped_attestations.is_empty());
}

#[tokio::test]
async fn a_platform_that_the_image_does_not_have_is_a_wrong_request() {
    let indexed = Indexed::new().await;
    let mut settings = indexed.settings();
    settings.input.platforms = Some(vec!["linux/riscv64".parse().unwrap()]);
    let (error, _) = failed(
        indexed.world.patch(&settings, &Fakes::none()).await,
        Class::Usage,
    );
    let hint = error.hint().unwrap();
    assert!(
        hint.contains("linux/amd64") && !hint.contains("unknown"),
        "{hint}"
    );
}

#[tokio::test]
async fn a_plan_says_what_would_change_and_writes_nothing() {
    let indexed = Indexed::new().await;
    let settings = indexed.settings();
    let events = reseal_pipeline::Events::channel().0;
    let result = plan(&settings.input, &indexed.world.registries, &events)
        .await
        .unwrap();
    assert_eq!(result.schema, "reseal.dev/plan/v1");
    for platform in &result.plan.platforms {
        let planned: Vec<_> = platform
            .packages
            .iter()
            .map(|p| (p.name.as_str(), p.at_least.as_deref(), p.closes.join(" ")))
            .collect();
        let fixed = Some("3.0.13-1~deb12u1");
        assert_eq!(planned, [("libssl3", fixed, "CVE-2024-0727".to_owned())]);
        assert_eq!(platform.distribution, "debian 12");
    }
    assert_eq!(result.preserved.len(), 1);
    let requests = indexed.world.registry.requests();
    assert!(requests.iter().all(|request| request.method == "GET"));
}
