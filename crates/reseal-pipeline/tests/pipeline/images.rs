//! Images that are not what they should be.

use reseal_pipeline::{Class, Outcome};
use reseal_plan::Verdict;
use reseal_testkit::buildkitd::Answer;

use crate::image::{Image, NEW, architecture, raw_layer, status};
use crate::world::{REPOSITORY, Single, failed, good_patch};

async fn check(image: Image, class: Class, words: &str) {
    let single = Single::with(image).await;
    let builder = single.good_builder().await;
    let (_, text) = failed(
        single.world.patch(&single.settings(), &builder).await,
        class,
    );
    assert!(text.contains(words), "{words}: {text}");
    single.world.check_nothing_promoted();
    assert!(
        single
            .world
            .registry
            .requests()
            .iter()
            .all(|request| request.method != "POST")
    );
}

fn with_os_release(os_release: Option<&[u8]>) -> Image {
    Image {
        os_release: os_release.map(<[u8]>::to_vec),
        ..Image::new("linux/amd64")
    }
}

fn with_status(status: Option<Vec<u8>>) -> Image {
    Image {
        status,
        ..Image::new("linux/amd64")
    }
}

#[tokio::test]
async fn an_image_without_a_usable_os_release_is_refused() {
    check(with_os_release(None), Class::Install, "no os-release").await;
    check(with_os_release(Some(b"")), Class::Install, "").await;
    check(
        with_os_release(Some(b"\0\xff\xfe binary")),
        Class::Install,
        "",
    )
    .await;
    check(
        with_os_release(Some(b"ID=alpine\nVERSION_ID=3.20\n")),
        Class::Install,
        "alpine",
    )
    .await;
    let mut huge = b"ID=debian\n".to_vec();
    huge.resize(2 << 20, b'#');
    check(with_os_release(Some(&huge)), Class::Install, "larger than").await;
}

#[tokio::test]
async fn an_image_without_a_usable_database_is_refused() {
    check(with_status(None), Class::Install, "no package database").await;
    check(with_status(Some(Vec::new())), Class::Install, "database").await;
    check(
        with_status(Some(b"\n\n\n".to_vec())),
        Class::Install,
        "database",
    )
    .await;
    check(
        with_status(Some(b"\0\x01\xff\xfe".repeat(100))),
        Class::Install,
        "database",
    )
    .await;
}

#[tokio::test]
async fn a_database_over_the_limit_is_refused() {
    let mut huge = status("amd64", &NEW);
    huge.resize((64 << 20) + 1, b'\n');
    check(with_status(Some(huge)), Class::Install, "larger than").await;
}

#[tokio::test]
async fn an_image_without_its_configuration_is_a_registry_failure() {
    let image = Image {
        config_is_lost: true,
        ..Image::new("linux/amd64")
    };
    check(image, Class::RegistryTransport, "configuration").await;
}

#[tokio::test]
async fn a_configuration_that_is_none_is_refused() {
    for config in ["", "null", "[]", "{}", "{\"os\": 5}", "\u{0}\u{1}"] {
        let image = Image {
            config: Some(config.as_bytes().to_vec()),
            ..Image::new("linux/amd64")
        };
        check(image, Class::Install, "").await;
    }
}

/// The configuration lists two layers, the manifest one.
#[tokio::test]
async fn a_configuration_that_contradicts_its_manifest_is_refused() {
    let layer = Image::new("linux/amd64").build().layer;
    let image = Image {
        config: Some(
            format!(r#"{{"os":"linux","architecture":"amd64","rootfs":{{"type":"layers","diff_ids":["{layer}","{layer}"]}}}}"#)
                .into_bytes(),
        ),
        ..Image::new("linux/amd64")
    };
    let single = Single::with(image).await;
    let mut settings = single.settings();
    settings.input.allow_report_mismatch = true;
    let builder = single.good_builder().await;
    failed(
        single.world.patch(&settings, &builder).await,
        Class::Install,
    );
    single.world.check_nothing_promoted();
}

/// The database says that the fix is there already: it is believed, as the scanner believes it, and nothing runs.
#[tokio::test]
async fn a_database_that_has_the_fix_needs_no_patch() {
    let single = Single::with(with_status(Some(status("amd64", &NEW)))).await;
    let builder = single.good_builder().await;
    let result = single
        .world
        .patch(&single.settings(), &builder)
        .await
        .unwrap();
    assert_eq!(result.outcome, Outcome::Unchanged);
    assert_eq!(result.platforms[0].findings[0].verdict, Verdict::Fixed);
    assert_eq!(builder.solved(), 1);
    assert_eq!(result.patched, result.source);
    single.world.check_nothing_promoted();
}

/// The new database claims the fix, but it also claims to have lost everything else.
#[tokio::test]
async fn packages_that_vanish_are_listed_as_such() {
    let single = Single::new().await;
    let builder = single
        .builder(Answer::layer(&raw_layer("amd64", &NEW[..1])))
        .await;
    let result = single
        .world
        .patch(&single.settings(), &builder)
        .await
        .unwrap();
    let gone: Vec<_> = result.platforms[0]
        .packages
        .iter()
        .filter(|package| package.to.is_none())
        .map(|package| package.name.as_str())
        .collect();
    assert_eq!(gone, ["zlib1g"]);
}

#[tokio::test]
async fn packages_on_hold_are_left_alone_and_named() {
    let mut held =
        String::from_utf8(status(architecture("linux/amd64"), &crate::image::OLD)).unwrap();
    held = held.replacen("install ok installed", "hold ok installed", 1);
    let single = Single::with(with_status(Some(held.into_bytes()))).await;
    let builder = single.builder(good_patch()).await;
    let (error, _) = failed(
        single.world.patch(&single.settings(), &builder).await,
        Class::Residual,
    );
    let reseal_pipeline::PipelineError::Gate { result, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(result.platforms[0].held, ["libssl3"]);
    assert_eq!(builder.solved(), 1);
    assert_eq!(single.world.tag_of(REPOSITORY, "1-patched"), None);
}

#[tokio::test]
async fn an_image_for_windows_alone_is_refused() {
    let single = Single::with(Image::new("windows/amd64")).await;
    let settings = single.world.settings(vec![]);
    let (_, text) = failed(
        single
            .world
            .patch(&settings, &single.good_builder().await)
            .await,
        Class::Install,
    );
    assert!(text.contains("not Linux"), "{text}");
}
