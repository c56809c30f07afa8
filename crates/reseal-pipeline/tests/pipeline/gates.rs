//! What remains after a run, and what then happens to the tag.

use reseal_pipeline::{Class, Outcome, PipelineError, RunResult};
use reseal_plan::{Policy, Verdict};
use reseal_testkit::buildkitd::{Answer, Script};
use serde_json::Value;

use crate::image::{OLD, finding, fixable, raw_layer, report};
use crate::world::{Fakes, REPOSITORY, Single, failed, good_patch};

/// The result that travels in the error of a shut gate.
#[track_caller]
fn gated(result: Result<RunResult, PipelineError>, class: Class) -> RunResult {
    let (error, text) = failed(result, class);
    assert!(error.hint().is_some());
    match error {
        PipelineError::Gate { result, .. } => *result,
        _ => panic!("{text}"),
    }
}

fn with(single: &Single, findings: &[Value]) -> Vec<u8> {
    report("linux/amd64", &single.image, findings)
}

#[tokio::test]
async fn a_critical_finding_without_a_fix_shuts_the_gate_and_asks_no_builder() {
    let single = Single::new().await;
    let report = with(&single, &[finding("CVE-1", "zlib1g", "", "CRITICAL")]);
    let builder = Fakes::none();
    let result = single
        .world
        .patch(&single.world.settings(vec![report]), &builder)
        .await;
    let result = gated(result, Class::NoFix);
    assert_eq!(result.outcome, Outcome::NoFix);
    assert_eq!(
        (result.counts.no_fix, result.counts.residual_critical),
        (1, 1)
    );
    assert_eq!(result.platforms[0].engine, "none");
    assert_eq!(builder.connects(), 0);
    single.world.check_nothing_promoted();
}

#[tokio::test]
async fn a_fix_beside_a_finding_without_one_is_pushed_but_not_tagged() {
    let single = Single::new().await;
    let report = with(
        &single,
        &[fixable(), finding("CVE-1", "zlib1g", "", "CRITICAL")],
    );
    let result = single
        .world
        .patch(
            &single.world.settings(vec![report]),
            &single.good_builder().await,
        )
        .await;
    let result = gated(result, Class::NoFix);
    assert_eq!((result.counts.fixed, result.counts.no_fix), (1, 1));
    let digest = result.patched.digest.to_string();
    assert!(
        single
            .world
            .registry
            .manifest(REPOSITORY, &digest)
            .is_some()
    );
    assert_eq!(result.tag, None);
    single.world.check_nothing_promoted();
}

#[tokio::test]
async fn a_finding_without_a_fix_below_the_gate_or_ignored_lets_the_tag_move() {
    let single = Single::new().await;
    for (severity, policy) in [
        ("HIGH", Policy::default()),
        (
            "CRITICAL",
            Policy {
                gate: None,
                ..Policy::default()
            },
        ),
        (
            "CRITICAL",
            Policy {
                ignore_unfixed: true,
                ..Policy::default()
            },
        ),
    ] {
        let report = with(
            &single,
            &[fixable(), finding("CVE-1", "zlib1g", "", severity)],
        );
        let mut settings = single.world.settings(vec![report]);
        settings.input.policy = policy;
        let result = single
            .world
            .patch(&settings, &single.good_builder().await)
            .await
            .unwrap();
        assert_eq!(result.tag.as_deref(), Some("1-patched"), "{severity}");
    }
}

#[tokio::test]
async fn an_upgrade_that_falls_short_is_residual() {
    let single = Single::new().await;
    let short = [
        ("libssl3", "openssl", "3.0.12-1~deb12u1"),
        ("zlib1g", "zlib", "1:1.2.13.dfsg-1"),
    ];
    let builder = single
        .builder(Answer::layer(&raw_layer("amd64", &short)))
        .await;
    let result = single.world.patch(&single.settings(), &builder).await;
    let result = gated(result, Class::Residual);
    assert_eq!(result.outcome, Outcome::Residual);
    let verdict = &result.platforms[0].findings[0];
    assert_eq!(
        (verdict.verdict, verdict.now.as_deref()),
        (Verdict::NotFixed, Some("3.0.12-1~deb12u1"))
    );
    single.world.check_nothing_promoted();
}

/// The diff of equal things is empty: the package manager had nothing newer.
#[tokio::test]
async fn an_empty_patch_leaves_the_finding() {
    for (old, answer) in [
        (false, Answer::Empty),
        (true, Answer::Empty),
        (false, Answer::layer(&raw_layer("amd64", &OLD))),
    ] {
        let single = Single::new().await;
        let builder = Fakes::scripted(Script {
            old,
            answers: single.image.answers(answer),
            ..Script::default()
        })
        .await;
        let result = single.world.patch(&single.settings(), &builder).await;
        let result = gated(result, Class::Residual);
        assert_eq!(result.platforms[0].findings[0].verdict, Verdict::NotFixed);
        assert_eq!(result.platforms[0].digest.to_string(), single.image.digest);
        assert_eq!(result.patched.digest, result.source.digest);
        single.world.check_nothing_promoted();
        let requests = single.world.registry.requests();
        assert!(requests.iter().all(|request| request.method != "POST"));
    }
}

#[tokio::test]
async fn an_empty_patch_without_a_report_changes_nothing_and_is_no_failure() {
    for answer in [Answer::Empty, Answer::layer(&raw_layer("amd64", &OLD))] {
        let single = Single::new().await;
        let builder = single.builder(answer).await;
        let result = single
            .world
            .patch(&single.world.settings(vec![]), &builder)
            .await
            .unwrap();
        assert_eq!(result.outcome, Outcome::Unchanged);
        assert_eq!(result.patched, result.source);
        assert_eq!(result.tag, None);
        single.world.check_nothing_promoted();
    }
}

#[tokio::test]
async fn without_a_report_everything_newer_is_taken() {
    let single = Single::new().await;
    let builder = single.good_builder().await;
    let result = single
        .world
        .patch(&single.world.settings(vec![]), &builder)
        .await
        .unwrap();
    assert_eq!(result.outcome, Outcome::Patched);
    assert!(result.platforms[0].findings.is_empty());
    assert_eq!(result.platforms[0].packages.len(), 1);
}

#[tokio::test]
async fn an_unchanged_image_is_tagged_where_that_is_asked_for() {
    let single = Single::new().await;
    let mut settings = single.world.settings(vec![with(&single, &[])]);
    settings.tag_unchanged = true;
    let builder = Fakes::none();
    let result = single.world.patch(&settings, &builder).await.unwrap();
    assert_eq!(result.outcome, Outcome::Unchanged);
    assert_eq!(result.tag.as_deref(), Some("1-patched"));
    assert_eq!(
        single.world.tag("1-patched"),
        Some(single.image.digest.clone())
    );
    assert_eq!(builder.connects(), 0);
}

#[tokio::test]
async fn an_unchanged_image_goes_to_another_repository_whole() {
    let single = Single::new().await;
    let mut settings = single.world.settings(vec![with(&single, &[])]);
    settings.tag_unchanged = true;
    settings.to = Some(
        format!("{}/other/place", single.world.registry.host())
            .parse()
            .unwrap(),
    );
    let result = single.world.patch(&settings, &Fakes::none()).await.unwrap();
    assert_eq!(
        single.world.tag_of("other/place", "1-patched"),
        Some(single.image.digest.clone())
    );
    assert!(result.patched.reference.ends_with("/other/place:1-patched"));
}

#[tokio::test]
async fn a_shut_gate_moves_no_tag_even_for_an_unchanged_image() {
    let single = Single::new().await;
    let report = with(&single, &[finding("CVE-1", "zlib1g", "", "CRITICAL")]);
    let mut settings = single.world.settings(vec![report]);
    settings.tag_unchanged = true;
    let result = single.world.patch(&settings, &Fakes::none()).await;
    gated(result, Class::NoFix);
    single.world.check_nothing_promoted();
}

#[tokio::test]
async fn files_that_scripts_wrote_are_refused_where_that_is_asked_for() {
    let single = Single::new().await;
    let mut settings = single.settings();
    settings.strict_layer = true;
    let builder = single.builder(good_patch()).await;
    let (error, text) = failed(
        single.world.patch(&settings, &builder).await,
        Class::Install,
    );
    assert!(text.contains("etc/ld.so.cache"), "{text}");
    assert!(error.hint().unwrap().contains("--strict-layer"));
    single.world.check_nothing_promoted();
    let requests = single.world.registry.requests();
    assert!(requests.iter().all(|request| request.method != "POST"));
}
