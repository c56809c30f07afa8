//! What goes wrong at the registry: each fault has its class, and none leaves a tag.

use reseal_pipeline::{Class, Outcome};
use reseal_testkit::buildkitd::Answer;
use reseal_testkit::registry::{Action, Fault};

use crate::image::{Image, MANIFEST, NEW, raw_layer};
use crate::world::{Fakes, REPOSITORY, Single, World, failed};

const UPLOADS: &str = "/v2/shop/app/blobs/uploads/*";
const MANIFESTS: &str = "/v2/shop/app/manifests/*";
const DIGESTS: &str = "/v2/shop/app/manifests/sha256:*";
const TAG: &str = "/v2/shop/app/manifests/1-patched";
const ALWAYS: usize = 1000;

/// Runs with a fault, and checks the class and that nothing was promoted. Returns all that the error says.
async fn check(fault: Fault, class: Class) -> String {
    let single = Single::new().await;
    single.world.registry.fault(fault.times(ALWAYS));
    let (error, text) = failed(single.patch().await, class);
    single.world.check_nothing_promoted();
    assert!(single.world.tag("1").is_some());
    format!("{text} / {}", error.hint().unwrap_or_default())
}

async fn check_status(status: u16, class: Class) {
    for (method, path) in [
        ("POST", UPLOADS),
        ("PUT", UPLOADS),
        ("PUT", DIGESTS),
        ("PUT", TAG),
    ] {
        let text = check(Fault::status(method, path, status), class).await;
        assert!(text.contains("127.0.0.1"), "{method} {path}: {text}");
    }
}

#[tokio::test]
async fn a_push_without_login_is_an_auth_failure() {
    check_status(401, Class::RegistryAuth).await;
}

#[tokio::test]
async fn a_push_without_rights_is_an_auth_failure() {
    check_status(403, Class::RegistryAuth).await;
}

#[tokio::test]
async fn a_push_to_nowhere_is_a_registry_failure() {
    check_status(404, Class::RegistryTransport).await;
}

#[tokio::test]
async fn a_registry_that_fails_again_and_again_is_a_registry_failure() {
    check_status(500, Class::RegistryTransport).await;
}

#[tokio::test]
async fn a_rate_limit_has_a_class_of_its_own() {
    check_status(429, Class::RateLimited).await;
}

#[tokio::test]
async fn a_rate_limit_that_names_its_time_is_waited_for() {
    for (path, method) in [(UPLOADS, "POST"), (DIGESTS, "PUT"), (TAG, "PUT")] {
        let single = Single::new().await;
        let fault = Fault::respond(method, path, 429, &[("retry-after", "7")], "");
        single.world.registry.fault(fault);
        let result = single.patch().await.unwrap();
        assert_eq!(result.outcome, Outcome::Patched);
        assert_eq!(single.world.pauses(), [7], "{path}");
    }
}

#[tokio::test]
async fn a_rate_limit_that_does_not_end_says_how_long_it_asks_for() {
    let fault = Fault::respond("PUT", DIGESTS, 429, &[("retry-after", "7")], "");
    let text = check(fault, Class::RateLimited).await;
    assert!(text.contains("7 s"), "{text}");
}

#[tokio::test]
async fn a_connection_that_is_cut_again_and_again_is_a_registry_failure() {
    for (method, path, action) in [
        ("POST", UPLOADS, Action::CutRequest(0)),
        ("PUT", UPLOADS, Action::CutRequest(3)),
        ("PATCH", UPLOADS, Action::CutRequest(3)),
        ("PUT", MANIFESTS, Action::CutRequest(9)),
        ("PUT", TAG, Action::CutRequest(9)),
        ("GET", "/v2/shop/app/manifests/1", Action::CutBody(5)),
    ] {
        // A client that uses only one of PUT and PATCH for blobs meets only that fault.
        let single = Single::new().await;
        single
            .world
            .registry
            .fault(Fault::on(method, path, action).times(ALWAYS));
        let result = single.patch().await;
        if single.world.registry.faults_left() == ALWAYS {
            assert_eq!(path, UPLOADS, "{method} was never sent");
            continue;
        }
        failed(result, Class::RegistryTransport);
        single.world.check_nothing_promoted();
    }
}

#[tokio::test]
async fn one_cut_answer_is_survived() {
    for path in [UPLOADS, DIGESTS, TAG] {
        let single = Single::new().await;
        single
            .world
            .registry
            .fault(Fault::on("PUT", path, Action::CutAnswer));
        let result = single.patch().await.unwrap();
        assert_eq!(single.world.registry.faults_left(), 0);
        assert_eq!(
            single.world.tag("1-patched"),
            Some(result.patched.digest.to_string())
        );
    }
}

#[tokio::test]
async fn a_registry_that_stores_something_else_is_not_believed() {
    let fault = Fault::on("PUT", DIGESTS, Action::WrongDigestHeader);
    let text = check(fault, Class::RegistryTransport).await;
    assert!(text.contains("has digest"), "{text}");
}

/// What is read back is compared with what was pushed: first the manifest, then the layer.
#[tokio::test]
async fn content_that_reads_back_differently_is_not_promoted() {
    let single = Single::new().await;
    let expected = single.patch().await.unwrap();
    let layer = expected.platforms[0].layer.as_ref().unwrap();
    for path in [
        DIGESTS.to_owned(),
        format!("/v2/{REPOSITORY}/blobs/{}", layer.digest),
    ] {
        for action in [Action::WrongBody, Action::CutBody(20)] {
            let fault = Fault::on("GET", &path, action.clone());
            let text = check(fault, Class::RegistryTransport).await;
            assert!(!text.contains("panicked"), "{path} {action:?}: {text}");
        }
        check(Fault::status("GET", &path, 404), Class::RegistryTransport).await;
        check(Fault::status("GET", &path, 403), Class::RegistryAuth).await;
    }
}

#[tokio::test]
async fn a_source_that_is_not_there_is_a_registry_failure_that_names_it() {
    let world = World::new().await;
    let (_, text) = failed(
        world.patch(&world.settings(vec![]), &Fakes::none()).await,
        Class::RegistryTransport,
    );
    assert!(text.contains("shop/app:1"), "{text}");
}

#[tokio::test]
async fn a_tag_that_moves_during_the_run_stops_the_promotion() {
    let single = Single::new().await;
    let other = Image::new("linux/arm/v7").push(&single.world.registry, REPOSITORY, None);
    let mut builder = single.good_builder().await;
    builder.meanwhile = Some(mover(&single, other.manifest));
    let result = single.world.patch(&single.settings(), &builder).await;
    let (error, text) = failed(result, Class::Promotion);
    assert!(
        text.contains(&single.image.digest) && text.contains(&other.digest),
        "{text}"
    );
    assert!(error.hint().is_some());
    single.world.check_nothing_promoted();
    assert_eq!(single.world.tag("1"), Some(other.digest));
}

/// Points `shop/app:1` at another manifest once builders are asked for.
fn mover(single: &Single, manifest: Vec<u8>) -> Box<dyn Fn() + Send + Sync> {
    let handle = single.world.registry.handle();
    Box::new(move || {
        handle.put_manifest(REPOSITORY, MANIFEST, &manifest, Some("1"));
    })
}

#[tokio::test]
async fn a_digest_is_patched_whatever_its_tag_means_by_now() {
    let single = Single::new().await;
    let source = format!(
        "{}/{REPOSITORY}@{}",
        single.world.registry.host(),
        single.image.digest
    );
    let settings = single.world.settings_of(&source, vec![single.report()]);
    let other = Image::new("linux/arm/v7").push(&single.world.registry, REPOSITORY, None);
    let mut builder = single.good_builder().await;
    builder.meanwhile = Some(mover(&single, other.manifest));
    let result = single.world.patch(&settings, &builder).await.unwrap();
    assert_eq!(result.tag.as_deref(), Some("1-patched"));
}

#[tokio::test]
async fn without_a_tag_the_result_is_there_by_digest_alone() {
    let single = Single::new().await;
    let mut settings = single.settings();
    settings.tag = None;
    let builder = single
        .builder(Answer::layer(&raw_layer("amd64", &NEW)))
        .await;
    let result = single.world.patch(&settings, &builder).await.unwrap();
    assert_eq!(result.tag, None);
    let digest = result.patched.digest.to_string();
    assert!(
        single
            .world
            .registry
            .manifest(REPOSITORY, &digest)
            .is_some()
    );
    assert_eq!(single.world.registry.tags(REPOSITORY).len(), 1);
}
