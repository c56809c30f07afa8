//! What goes wrong at the builder.

use reseal_pipeline::{Class, Outcome, PipelineError};
use reseal_testkit::buildkitd::{Answer, Script, exec_failure, failed_vertex};

use crate::image::{Image, raw_layer, tar};
use crate::index::{Indexed, PLATFORMS};
use crate::layouts::Offline;
use crate::world::{Fakes, REPOSITORY, Single, failed, good_patch};

const VERTEX: &str = "sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";

fn fails(exit_code: u32, output: &str) -> Answer {
    Answer::Fails(
        exec_failure(VERTEX, exit_code, 0),
        failed_vertex(VERTEX, output),
    )
}

#[tokio::test(start_paused = true)]
async fn each_failure_of_the_package_manager_has_its_words_and_its_hint() {
    for (exit_code, output, message, hint) in [
        (91, "", "no apt-get", "has a package manager"),
        (
            92,
            "Could not resolve 'deb.example'",
            "could not update its indexes",
            "reached from the daemon",
        ),
        (
            92,
            "E: Release file for http://x is expired (invalid since 9d)",
            "could not update",
            "Valid-Until",
        ),
        (
            92,
            "E: Release file for http://x is not valid yet",
            "could not update",
            "clock",
        ),
        (
            92,
            "EXPKEYSIG 0E98404D386FA1D9 Debian",
            "could not update",
            "have expired",
        ),
        (
            92,
            "NO_PUBKEY 0E98404D386FA1D9",
            "could not update",
            "has no key",
        ),
        (
            92,
            "The repository 'http://x buster Release' does not have a Release file.",
            "could not update",
            "end of life",
        ),
        (
            93,
            "E: Unable to correct problems, you have held broken packages.",
            "could not upgrade",
            "held or broken",
        ),
        (
            93,
            "E: Failed to fetch http://x/y.deb  404  Not Found",
            "could not upgrade",
            "--no-cache",
        ),
        (
            93,
            "dpkg: error: No space left on device",
            "could not upgrade",
            "disk is full",
        ),
        (94, "libssl3 is half-configured", "half installed", "dpkg"),
        (127, "/bin/sh: not found", "no /bin/sh", "shell"),
        (1, "exec /bin/sh: exec format error", "failed", "emulator"),
    ] {
        let offline = Offline::new().await;
        let builder = offline.builder(fails(exit_code, output)).await;
        let result = offline.world.patch(&offline.settings(), &builder).await;
        let (error, text) = failed(result, Class::Install);
        assert!(text.contains(message), "{exit_code} {output}: {text}");
        assert!(text.contains("linux/amd64"), "{text}");
        let found = error.hint().unwrap();
        assert!(found.contains(hint), "{exit_code} {output}: {found}");
        assert!(matches!(&error, PipelineError::Install { log, .. } if log.contains(output)));
        offline.check_nothing_promoted();
        assert_eq!(builder.daemons[0].returns().len(), 1);
    }
}

#[tokio::test]
async fn a_daemon_that_dies_in_mid_solve_is_a_failed_solve() {
    for at_patch in [false, true] {
        let single = Single::new().await;
        let builder = if at_patch {
            single.builder(Answer::Dies).await
        } else {
            Fakes::new(vec![single.image.answer(Answer::Dies)]).await
        };
        let result = single.world.patch(&single.settings(), &builder).await;
        let (error, _) = failed(result, Class::Solve);
        assert!(error.hint().is_some());
        single.world.check_nothing_promoted();
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ends_is_a_failed_solve() {
    let offline = Offline::new().await;
    let builder = offline.builder(Answer::EndsSession).await;
    let result = offline.world.patch(&offline.settings(), &builder).await;
    let (_, text) = failed(result, Class::Solve);
    assert!(text.contains("session"), "{text}");
    offline.check_nothing_promoted();
}

#[tokio::test]
async fn a_run_that_is_dropped_is_cancelled_on_the_daemon() {
    let single = Single::new().await;
    let builder = single.builder(Answer::Hangs).await;
    let settings = single.settings();
    {
        let run = single.world.patch(&settings, &builder);
        tokio::pin!(run);
        tokio::select! {
            result = &mut run => panic!("{:?}", result.map(|result| result.outcome)),
            () = builder.daemons[0].hanging() => {}
        }
    }
    builder.daemons[0].cancelled().await;
    single.world.check_nothing_promoted();
}

#[tokio::test]
async fn a_missing_capability_is_found_before_anything_is_solved() {
    for (capability, reason) in [
        ("diffop", None),
        ("mergeop", None),
        ("diffop", Some("not with this snapshotter")),
    ] {
        let single = Single::new().await;
        let mut script = Script {
            answers: single.image.answers(good_patch()),
            ..Script::default()
        };
        match reason {
            Some(reason) => script
                .capabilities
                .insert(capability.to_owned(), Some(reason.to_owned())),
            None => script.capabilities.remove(capability),
        };
        let builder = Fakes::scripted(script).await;
        let result = single.world.patch(&single.settings(), &builder).await;
        if capability == "mergeop" {
            // A patch needs no merge, so a daemon without it will do.
            assert_eq!(result.unwrap().outcome, Outcome::Patched);
            continue;
        }
        let (_, text) = failed(result, Class::Capability);
        assert!(text.contains(reason.unwrap_or("diffop")), "{text}");
        assert_eq!(builder.solved(), 0);
        single.world.check_nothing_promoted();
    }
}

#[tokio::test]
async fn a_platform_that_no_builder_runs_is_a_missing_capability() {
    let single = Single::with(Image::new("linux/s390x")).await;
    let builder = single.good_builder().await;
    let settings = single.world.settings(vec![]);
    let (error, text) = failed(
        single.world.patch(&settings, &builder).await,
        Class::Capability,
    );
    assert!(text.contains("linux/s390x"), "{text}");
    assert!(error.hint().unwrap().contains("--addr linux/s390x="));
    assert_eq!(builder.solved(), 0);
}

#[tokio::test]
async fn a_folder_for_layers_that_cannot_be_used_is_named() {
    let single = Single::new().await;
    let file = single.world.temp.path().join("file");
    std::fs::write(&file, b"").unwrap();
    for folder in [file.clone(), single.world.temp.path().join("missing")] {
        let builder = single.good_builder().await;
        let mut settings = single.settings();
        settings.temp_dir.clone_from(&folder);
        let (error, text) = failed(single.world.patch(&settings, &builder).await, Class::Solve);
        assert!(text.contains(&folder.display().to_string()), "{text}");
        assert!(error.hint().unwrap().contains("TMPDIR"));
        assert_eq!(builder.connects(), 0);
        assert_eq!(single.world.tag("1-patched"), None);
    }
}

#[tokio::test]
async fn a_layer_that_is_no_archive_or_leaves_the_image_is_refused() {
    let mut unsafe_path = tar(&[("var/lib/dpkg/status", b"x", 0)]);
    unsafe_path[..15].copy_from_slice(b"../../../evil\0\0");
    let sum: u64 = unsafe_path[..512]
        .iter()
        .enumerate()
        .map(|(at, byte)| {
            if (148..156).contains(&at) {
                32
            } else {
                u64::from(*byte)
            }
        })
        .sum();
    unsafe_path[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut cut = raw_layer("amd64", &crate::image::NEW);
    cut.truncate(1000);
    for (name, layer) in [
        ("text", b"this is no archive at all".repeat(100)),
        ("unsafe path", unsafe_path),
        ("cut", cut),
    ] {
        let single = Single::new().await;
        let builder = single.builder(Answer::layer(&layer)).await;
        let (_, text) = failed(
            single.world.patch(&single.settings(), &builder).await,
            Class::Install,
        );
        assert!(text.contains("linux/amd64"), "{name}: {text}");
        single.world.check_nothing_promoted();
        assert!(
            single
                .world
                .registry
                .requests()
                .iter()
                .all(|request| request.method != "POST"),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_broken_database_in_the_layer_is_refused() {
    for status in [&b""[..], b"\0\x01\x02\xff", b"no field at all\n"] {
        let single = Single::new().await;
        let layer = tar(&[
            ("usr/lib/libssl.so.3", b"new", 1),
            ("var/lib/dpkg/status", status, 1),
        ]);
        let builder = single.builder(Answer::layer(&layer)).await;
        failed(
            single.world.patch(&single.settings(), &builder).await,
            Class::Install,
        );
        single.world.check_nothing_promoted();
    }
}

#[tokio::test]
async fn an_old_daemon_that_tells_no_version_will_do() {
    let single = Single::new().await;
    let builder = Fakes::scripted(Script {
        version: None,
        old: true,
        answers: single.image.answers(good_patch()),
        ..Script::default()
    })
    .await;
    let result = single
        .world
        .patch(&single.settings(), &builder)
        .await
        .unwrap();
    assert_eq!(result.outcome, Outcome::Patched);
}

#[tokio::test]
async fn a_platform_that_may_fail_keeps_its_original() {
    let indexed = Indexed::new().await;
    let mut answers = indexed.answers_of(0);
    answers.extend(indexed.images[1].answers(fails(93, "E: broken")));
    let builders = Fakes::new(answers).await;
    let mut settings = indexed.settings();
    settings
        .allow_platform_failure
        .insert("linux/arm".parse().unwrap());
    let result = indexed.world.patch(&settings, &builders).await.unwrap();
    assert_eq!(result.outcome, Outcome::Patched);
    assert_eq!(result.platforms.len(), 1);
    let kept = &result
        .preserved
        .iter()
        .find(|kept| kept.reason == "patching failed")
        .unwrap();
    assert_eq!(kept.platform.to_string(), PLATFORMS[1]);
    assert_eq!(kept.digest.to_string(), indexed.images[1].digest);
    assert!(
        result
            .warnings
            .iter()
            .any(|warning| warning.contains("its original is kept") && warning.contains("93"))
    );
    let (_, bytes) = indexed
        .world
        .registry
        .manifest(REPOSITORY, "1-patched")
        .unwrap();
    let text = String::from_utf8(bytes).unwrap();
    assert!(
        text.contains(&indexed.images[1].digest)
            && !text.contains(&indexed.images[0].digest.replace("sha256:", "\"sha256:"))
    );
}

#[tokio::test]
async fn one_platform_that_fails_stops_all_unless_it_may() {
    let indexed = Indexed::new().await;
    let mut answers = indexed.answers_of(0);
    answers.extend(indexed.images[1].answers(fails(93, "E: broken")));
    let builders = Fakes::new(answers).await;
    let mut settings = indexed.settings();
    settings
        .allow_platform_failure
        .insert("linux/amd64".parse().unwrap());
    let (_, text) = failed(
        indexed.world.patch(&settings, &builders).await,
        Class::Install,
    );
    assert!(text.contains(PLATFORMS[1]), "{text}");
    indexed.world.check_nothing_promoted();
    assert!(
        indexed
            .world
            .registry
            .requests()
            .iter()
            .all(|request| request.method != "POST")
    );
}
