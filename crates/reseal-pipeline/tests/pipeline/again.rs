//! Runs after other runs: the same digests, and layers that never stack up.

use reseal_oci::Platform;
use reseal_pipeline::{Class, Outcome, Unreported};
use reseal_testkit::buildkitd::Answer;
use serde_json::Value;

use crate::image::{NEW, raw_layer};
use crate::index::{Indexed, PLATFORMS};
use crate::world::{Fakes, REPOSITORY, Single, World, failed};

fn children(world: &World, tag: &str) -> Vec<String> {
    let (_, bytes) = world.registry.manifest(REPOSITORY, tag).unwrap();
    let index: Value = serde_json::from_slice(&bytes).unwrap();
    let manifests = index["manifests"].as_array().unwrap();
    manifests
        .iter()
        .map(|child| child["digest"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn the_same_input_gives_the_same_digest_in_another_registry_too() {
    let mut digests = Vec::new();
    for _ in 0..2 {
        let single = Single::new().await;
        let first = single.patch().await.unwrap();
        let second = single.patch().await.unwrap();
        assert_eq!(first.patched.digest, second.patched.digest);
        digests.push(first.platforms[0].layer.clone());
    }
    assert!(digests[0].is_some());
    assert_eq!(digests[0], digests[1]);
}

#[tokio::test]
async fn an_index_patched_twice_has_the_same_digest() {
    let indexed = Indexed::new().await;
    let world = &indexed.world;
    let first = world
        .patch(&indexed.settings(), &indexed.builders().await)
        .await
        .unwrap();
    world.registry.take_lines();
    let second = world
        .patch(&indexed.settings(), &indexed.builders().await)
        .await
        .unwrap();
    assert_eq!(first.patched, second.patched);
    let uploads = world
        .registry
        .take_lines()
        .into_iter()
        .filter(|line| line.starts_with("POST"));
    assert_eq!(uploads.count(), 0, "everything is there already");
}

#[tokio::test]
async fn a_patched_image_is_patched_from_its_base() {
    let indexed = Indexed::new().await;
    let world = &indexed.world;
    let first = world
        .patch(&indexed.settings(), &indexed.builders().await)
        .await
        .unwrap();
    let source = format!("{}/{REPOSITORY}:1-patched", world.registry.host());
    let mut settings = world.settings_of(&source, indexed.reports());
    settings.tag = Some("1-again".parse().unwrap());
    let newer = [
        ("libssl3", "openssl", "3.0.14-1~deb12u1"),
        ("zlib1g", "zlib", "1:1.2.13.dfsg-1"),
    ];
    let answers = [(0, "amd64"), (1, "armhf")]
        .into_iter()
        .flat_map(|(at, architecture)| {
            indexed.images[at].answers(Answer::layer(&raw_layer(architecture, &newer)))
        });
    let second = world
        .patch(&settings, &Fakes::new(answers.collect()).await)
        .await
        .unwrap();
    assert_ne!(first.patched.digest, second.patched.digest);
    for (at, platform) in second.platforms.iter().enumerate() {
        assert_eq!(
            platform.source_digest.to_string(),
            indexed.images[at].digest
        );
        let (_, bytes) = world
            .registry
            .manifest(REPOSITORY, platform.digest.as_str())
            .unwrap();
        let manifest: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(manifest["layers"].as_array().unwrap().len(), 2);
    }
    let (_, bytes) = world.registry.manifest(REPOSITORY, "1-again").unwrap();
    let index: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(
        index["annotations"]["org.opencontainers.image.base.digest"],
        indexed.digest
    );
}

#[tokio::test]
async fn what_an_earlier_patch_upgraded_is_upgraded_again() {
    let single = Single::new().await;
    single.patch().await.unwrap();
    let source = format!("{}/{REPOSITORY}:1-patched", single.world.registry.host());
    let report = crate::image::report("linux/amd64", &single.image, &[]);
    let mut settings = single.world.settings_of(&source, vec![report]);
    settings.tag = Some("1-again".parse().unwrap());
    let result = single
        .world
        .patch(&settings, &single.good_builder().await)
        .await
        .unwrap();
    assert_eq!(result.outcome, Outcome::Patched);
    assert_eq!(result.platforms[0].packages[0].name, "libssl3");
    assert_eq!(single.world.tag("1-again"), single.world.tag("1-patched"));
}

#[tokio::test]
async fn a_platform_that_is_not_asked_for_keeps_its_earlier_patch() {
    let indexed = Indexed::new().await;
    let world = &indexed.world;
    world
        .patch(&indexed.settings(), &indexed.builders().await)
        .await
        .unwrap();
    let before = children(world, "1-patched");
    let source = format!("{}/{REPOSITORY}:1-patched", world.registry.host());
    let mut settings = world.settings_of(&source, vec![indexed.report(0)]);
    settings.input.platforms = Some(vec!["linux/amd64".parse().unwrap()]);
    settings.tag = Some("1-again".parse().unwrap());
    let builders = Fakes::new(indexed.answers_of(0)).await;
    let result = world.patch(&settings, &builders).await.unwrap();
    assert_eq!(children(world, "1-again"), before);
    let arm: Platform = PLATFORMS[1].parse().unwrap();
    let kept = result.preserved.iter().find(|kept| kept.platform == arm);
    assert_eq!(kept.unwrap().digest.to_string(), before[1]);
}

#[tokio::test]
async fn a_platform_that_no_report_speaks_of_keeps_its_earlier_patch() {
    let indexed = Indexed::new().await;
    let world = &indexed.world;
    world
        .patch(&indexed.settings(), &indexed.builders().await)
        .await
        .unwrap();
    let before = children(world, "1-patched");
    let source = format!("{}/{REPOSITORY}:1-patched", world.registry.host());
    let mut settings = world.settings_of(&source, vec![indexed.report(0)]);
    settings.input.unreported = Unreported::Preserve;
    settings.tag = Some("1-again".parse().unwrap());
    let builders = Fakes::new(indexed.answers_of(0)).await;
    let result = world.patch(&settings, &builders).await.unwrap();
    assert_eq!(children(world, "1-again"), before);
    let arm: Platform = PLATFORMS[1].parse().unwrap();
    let kept = result.preserved.iter().find(|kept| kept.platform == arm);
    assert_eq!(kept.unwrap().digest.to_string(), before[1]);
}

#[tokio::test]
async fn a_patched_image_does_not_overwrite_its_own_tag() {
    let single = Single::new().await;
    single.patch().await.unwrap();
    let source = format!("{}/{REPOSITORY}:1-patched", single.world.registry.host());
    let settings = single.world.settings_of(&source, vec![single.report()]);
    let builders = single.good_builder().await;
    let (error, text) = failed(single.world.patch(&settings, &builders).await, Class::Usage);
    assert!(text.contains("the tag of the source"), "{text}");
    assert!(error.hint().is_some());
    assert_eq!(builders.connects(), 0);
}

#[tokio::test]
async fn two_runs_at_once_on_one_destination_both_succeed() {
    let indexed = Indexed::new().await;
    let world = &indexed.world;
    let settings = indexed.settings();
    let (one, two) = (indexed.builders().await, indexed.builders().await);
    let (one, two) = tokio::join!(world.patch(&settings, &one), world.patch(&settings, &two));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.patched, two.patched);
    assert_eq!(world.tag("1-patched"), Some(one.patched.digest.to_string()));
}

#[tokio::test]
async fn another_time_of_the_run_changes_nothing() {
    let single = Single::new().await;
    let first = single.patch().await.unwrap();
    let mut settings = single.settings();
    settings.freshness = "2030-01-01".to_owned();
    let mut raw = raw_layer("amd64", &NEW);
    let later = tar_with_time(&mut raw, crate::image::NOW + 86_400);
    let second = single
        .world
        .patch(&settings, &single.builder(Answer::layer(&later)).await)
        .await
        .unwrap();
    assert_eq!(first.patched.digest, second.patched.digest);
}

/// The same archive, with the times of the run replaced.
fn tar_with_time(raw: &mut [u8], time: u64) -> Vec<u8> {
    let mut archive = tar::Archive::new(&*raw);
    let mut builder = tar::Builder::new(Vec::new());
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let mut header = entry.header().clone();
        if header.mtime().unwrap() == crate::image::NOW {
            header.set_mtime(time);
            header.set_cksum();
        }
        builder.append(&header, entry).unwrap();
    }
    builder.into_inner().unwrap()
}
