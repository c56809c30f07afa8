//! Promotion between two registries, its refusals, and the way back.

use std::sync::Mutex;

use reseal_oci::Digest;
use reseal_pipeline::{
    Class, Events, MovedTag, PROMOTION_SCHEMA, PatchSettings, Pinned, PipelineError,
    PromoteSettings, Promotion, Requirement, Rollback, RunResult, SignSettings, Trust, promote,
    read_record, rollback,
};
use reseal_registry::Store;
use reseal_sign::{statement::predicate_type, store::collect};
use reseal_testkit::registry::{FakeRegistry, Fault};

use crate::sealing::{LATER, Signing, refused};
use crate::world::{REPOSITORY, Single};

const SHOP: &str = "live/shop";

/// A patched and signed image, and another registry.
struct Stage {
    single: Single,
    signing: Signing,
    result: RunResult,
    live: FakeRegistry,
}

impl Stage {
    async fn new() -> Self {
        let (single, signing) = (Single::new().await, Signing::new());
        let settings = PatchSettings {
            seal: Some(signing.seal()),
            ..single.settings()
        };
        let builder = single.good_builder().await;
        let result = single.world.patch(&settings, &builder).await.unwrap();
        Self {
            single,
            signing,
            result,
            live: FakeRegistry::start().await,
        }
    }

    fn trust(&self) -> Trust {
        Trust {
            policy: self.signing.policy(),
            now: LATER,
        }
    }

    fn settings(&self) -> PromoteSettings {
        let host = self.single.world.registry.host();
        PromoteSettings {
            source: format!("{host}/{REPOSITORY}:1-patched@{}", self.digest())
                .parse()
                .unwrap(),
            destination: format!("{}/{SHOP}:1", self.live.host()).parse().unwrap(),
            also: vec!["latest-patched".parse().unwrap()],
            require: vec![Requirement::Signature, Requirement::Verification],
            trust: self.trust(),
        }
    }

    fn digest(&self) -> &Digest {
        &self.result.patched.digest
    }

    async fn promote(&self, settings: &PromoteSettings) -> Result<Promotion, PipelineError> {
        self.promote_and(settings, &|_| Ok(())).await
    }

    async fn promote_and(
        &self,
        settings: &PromoteSettings,
        record: reseal_pipeline::Record<'_>,
    ) -> Result<Promotion, PipelineError> {
        let registries = &self.single.world.registries;
        promote(settings, registries, record, &Events::channel().0).await
    }

    async fn rollback(&self, record: &Promotion) -> Result<Rollback, PipelineError> {
        let registries = &self.single.world.registries;
        rollback(record, &self.trust(), registries, &Events::channel().0).await
    }

    fn tag(&self, name: &str) -> Option<String> {
        let tags = self.live.tags(SHOP);
        tags.into_iter()
            .find_map(|(tag, digest)| (tag == name).then_some(digest))
    }

    fn store(&self) -> std::sync::Arc<dyn Store> {
        let repository = format!("{}/{SHOP}", self.live.host());
        self.single
            .world
            .registries
            .open(&repository.parse().unwrap())
    }

    #[track_caller]
    fn check_no_tag(&self) {
        assert_eq!((self.tag("1"), self.tag("latest-patched")), (None, None));
    }
}

#[tokio::test]
async fn image_signatures_and_attestations_arrive_and_tags_move_last() {
    let stage = Stage::new().await;
    let done = stage.promote(&stage.settings()).await.unwrap();
    assert_eq!(done.tags.len(), 2);
    assert!(
        done.tags
            .iter()
            .all(|tag| tag.moved && tag.previous.is_none())
    );
    let digest = stage.digest().to_string();
    assert_eq!(stage.tag("1"), Some(digest.clone()));
    assert_eq!(stage.tag("latest-patched"), Some(digest));
    let there = collect(stage.store().as_ref(), stage.digest())
        .await
        .unwrap();
    let here = collect(
        crate::sealing::store(&stage.single.world).as_ref(),
        stage.digest(),
    )
    .await
    .unwrap();
    assert_eq!(there.bundles.len(), here.bundles.len());
    assert_eq!(there.attestations.len(), here.attestations.len());
    assert_eq!(there.signatures.len(), 1);
    let order: Vec<String> = stage
        .live
        .requests()
        .iter()
        .filter(|one| one.method == "PUT" && one.path.contains("/manifests/"))
        .filter_map(|one| one.path.rsplit('/').next().map(str::to_owned))
        .collect();
    assert_eq!(
        order[order.len() - 2..],
        ["1", "latest-patched"],
        "the immutable tag before the floating one: {order:?}"
    );

    stage.live.take_lines();
    let again = stage.promote(&stage.settings()).await.unwrap();
    assert!(again.tags.iter().all(|tag| !tag.moved));
    let lines = stage.live.take_lines();
    assert!(
        lines
            .iter()
            .all(|line| !line.starts_with("PUT") && !line.starts_with("POST")),
        "nothing is written again: {lines:?}"
    );
}

#[tokio::test]
async fn a_copy_that_is_cut_off_moves_no_tag_and_is_taken_up_again() {
    let stage = Stage::new().await;
    stage
        .live
        .fault(Fault::status("PUT", "/v2/*/manifests/sha256-*", 500).times(9));
    let error = refused(stage.promote(&stage.settings()).await);
    assert_eq!(error.class(), Class::RegistryTransport, "{error}");
    stage.check_no_tag();
    for _ in 0..3 {
        if stage.promote(&stage.settings()).await.is_ok() {
            break;
        }
    }
    assert_eq!(stage.tag("1"), Some(stage.digest().to_string()));
}

type Change<'a> = Box<dyn Fn(&mut PromoteSettings) + 'a>;

#[tokio::test]
async fn what_is_not_proved_or_has_moved_is_refused() {
    let stage = Stage::new().await;
    let other_key = Trust {
        policy: Signing::new().policy(),
        now: LATER,
    };
    let unknown = Requirement::Attestation("https://example.com/approved".to_owned());
    let cases: [(&str, Change<'_>); 3] = [
        (
            "somebody else's key",
            Box::new(|one| one.trust = other_key.clone()),
        ),
        (
            "a proof that is not there",
            Box::new(|one| one.require.push(unknown.clone())),
        ),
        (
            "an image that nobody signed",
            Box::new(|one| {
                let host = stage.single.world.registry.host();
                let digest = &stage.single.image.digest;
                one.source = format!("{host}/{REPOSITORY}@{digest}").parse().unwrap();
            }),
        ),
    ];
    for (name, change) in cases {
        let mut settings = stage.settings();
        change(&mut settings);
        let error = refused(stage.promote(&settings).await);
        assert_eq!(error.class(), Class::Promotion, "{name}: {error}");
        stage.check_no_tag();
    }
    // The tag beside the digest moves on.
    let registry = &stage.single.world.registry;
    let (kind, bytes) = registry
        .manifest(REPOSITORY, &stage.single.image.digest)
        .unwrap();
    registry.put_manifest(REPOSITORY, &kind, &bytes, Some("1-patched"));
    let error = refused(stage.promote(&stage.settings()).await);
    assert_eq!(error.class(), Class::Promotion, "{error}");
    assert!(error.to_string().contains("1-patched"), "{error}");
    stage.check_no_tag();

    for wrong in ["no digest", "no tag"] {
        let mut settings = stage.settings();
        if wrong == "no digest" {
            settings.source = format!("{}/{REPOSITORY}:1", registry.host())
                .parse()
                .unwrap();
        } else {
            settings.destination = "oci:/nonexistent".parse().unwrap();
        }
        let error = refused(stage.promote(&settings).await);
        assert_eq!(error.class(), Class::Usage, "{wrong}: {error}");
    }
}

#[tokio::test]
async fn the_newest_verification_decides() {
    let stage = Stage::new().await;
    let host = stage.single.world.registry.host();
    let settings = SignSettings {
        image: format!("{host}/{REPOSITORY}@{}", stage.digest())
            .parse()
            .unwrap(),
        recursive: false,
        session: stage.signing.session.clone(),
    };
    let other = Digest::of(b"other");
    for (verified, about, passed, refused_after) in [
        // Older than that of the patch, and newer but of something else.
        ("2001-01-01T00:00:00Z", stage.digest(), false, false),
        ("2200-01-01T00:00:00Z", &other, false, false),
        ("2201-01-01T00:00:00Z", stage.digest(), false, true),
        // Two at the same time have to agree.
        ("2201-01-01T00:00:00Z", stage.digest(), true, true),
        ("2202-01-01T00:00:00+01:00", stage.digest(), true, false),
    ] {
        let predicate = serde_json::json!({
            "passed": passed, "subject": {"digest": about.as_str()}, "verified": verified,
        });
        let registries = &stage.single.world.registries;
        let kind = predicate_type::VERIFICATION;
        let events = Events::channel().0;
        reseal_pipeline::attest(&settings, kind, &predicate, registries, &events)
            .await
            .unwrap();
        match stage.promote(&stage.settings()).await {
            Ok(_) => assert!(!refused_after, "{predicate}"),
            Err(error) => {
                assert!(refused_after, "{predicate}: {error}");
                assert_eq!(error.class(), Class::Promotion, "{error}");
                assert!(error.to_string().contains("verified"), "{error}");
            }
        }
    }
}

/// Everything that a promotion takes along, by name: image and proofs, in both forms, manifests and blobs.
fn parts(stage: &Stage) -> Vec<(String, String)> {
    let registry = &stage.single.world.registry;
    let manifest = |reference: &str| -> serde_json::Value {
        let (_, bytes) = registry.manifest(REPOSITORY, reference).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    };
    let tag = |suffix: &str| format!("{}{suffix}", stage.digest().as_str().replace(':', "-"));
    let digest = |value: &serde_json::Value| value["digest"].as_str().unwrap().to_owned();
    let mut roots = vec![
        ("image".to_owned(), stage.digest().to_string()),
        ("signature tag".to_owned(), tag(".sig")),
        ("attestation tag".to_owned(), tag(".att")),
    ];
    let listed = manifest(&tag(""));
    for (number, entry) in listed["manifests"].as_array().unwrap().iter().enumerate() {
        let kind = &entry["annotations"]["dev.sigstore.bundle.predicateType"];
        roots.push((format!("bundle {number} {kind}"), digest(entry)));
    }
    let mut parts = Vec::new();
    for (name, reference) in &roots {
        let root = manifest(reference);
        parts.push((name.clone(), format!("/v2/*/manifests/{reference}")));
        let blobs = root["layers"].as_array().unwrap().iter();
        for blob in blobs.chain([&root["config"]]) {
            let blob = digest(blob);
            parts.push((format!("{name}: {blob}"), format!("/v2/*/blobs/{blob}")));
        }
    }
    parts
}

#[tokio::test]
async fn whatever_was_tampered_with_is_refused_and_no_tag_moves() {
    let stage = Stage::new().await;
    let parts = parts(&stage);
    assert!(
        parts
            .iter()
            .any(|(name, _)| name.contains("cosign/sign/v1"))
    );
    assert!(parts.iter().any(|(name, _)| name.contains("reseal.dev")));
    for (name, path) in parts {
        let live = FakeRegistry::start().await;
        let registry = &stage.single.world.registry;
        let before = registry.faults_left();
        registry.fault(
            Fault::on("GET", &path, reseal_testkit::registry::Action::WrongBody).times(1000),
        );
        let mut settings = stage.settings();
        settings.destination = format!("{}/{SHOP}:1", live.host()).parse().unwrap();
        let outcome = stage.promote(&settings).await;
        assert!(
            registry.faults_left() < before + 1000,
            "{name}: nobody read it"
        );
        let error = refused(outcome);
        assert_eq!(error.class(), Class::Promotion, "{name}: {error}");
        let tags = live.tags(SHOP);
        let moved = tags.iter().any(|(tag, _)| !tag.starts_with("sha256-"));
        assert!(!moved, "{name}: {tags:?}");
        registry.mend();
    }
    // The same, when all is well again.
    stage.promote(&stage.settings()).await.unwrap();
}

#[tokio::test]
async fn proofs_that_do_not_arrive_are_missed() {
    let stage = Stage::new().await;
    let registry = &stage.single.world.registry;
    // Read once to prove the image, and gone when it is copied.
    for (name, path) in parts(&stage) {
        if path.contains("/blobs/") && !name.starts_with("image") {
            registry.fault(Fault::status("GET", &path, 404).nth(2).times(1000));
        }
    }
    let error = refused(stage.promote(&stage.settings()).await);
    assert_eq!(error.class(), Class::Promotion, "{error}");
    assert!(error.to_string().contains("is missing"), "{error}");
    stage.check_no_tag();
}

#[tokio::test]
async fn a_promotion_is_taken_back_to_what_was_signed_before() {
    let stage = Stage::new().await;
    // What runs now: the first patch. Then the base is signed and promoted over it.
    stage.promote(&stage.settings()).await.unwrap();
    let first = stage.digest().clone();
    let host = stage.single.world.registry.host().to_owned();
    let sign = SignSettings {
        image: format!("{host}/{REPOSITORY}@{}", stage.single.image.digest)
            .parse()
            .unwrap(),
        recursive: false,
        session: stage.signing.session.clone(),
    };
    let registries = &stage.single.world.registries;
    reseal_pipeline::sign(&sign, registries, &Events::channel().0)
        .await
        .unwrap();
    let mut settings = stage.settings();
    settings.source = sign.image.clone();
    settings.require = vec![Requirement::Signature];
    let kept = Mutex::new(None);
    stage
        .promote_and(&settings, &|promotion| {
            assert_eq!(
                stage.tag("1"),
                Some(first.to_string()),
                "no tag has moved yet"
            );
            *kept.lock().unwrap() = Some(serde_json::to_vec(promotion).unwrap());
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(stage.tag("1"), Some(stage.single.image.digest.clone()));

    let record = read_record("record.json", &kept.lock().unwrap().take().unwrap()).unwrap();
    let back = stage.rollback(&record).await.unwrap();
    assert!(back.tags.iter().all(|tag| tag.moved));
    assert_eq!(stage.tag("1"), Some(first.to_string()));
    assert_eq!(stage.tag("latest-patched"), Some(first.to_string()));
    let again = stage.rollback(&record).await.unwrap();
    assert!(again.tags.iter().all(|tag| !tag.moved));

    // Somebody moved a tag since.
    let (kind, bytes) = stage
        .live
        .manifest(SHOP, &stage.single.image.digest)
        .unwrap();
    let other = [&bytes[..], b"\n"].concat();
    stage.live.put_manifest(SHOP, &kind, &other, Some("1"));
    let error = refused(stage.rollback(&record).await);
    assert_eq!(error.class(), Class::Promotion, "{error}");
}

#[test]
fn a_promotion_that_goes_on_keeps_what_its_tags_meant_before() {
    let tag = |name: &str, previous: Option<&[u8]>, moved| MovedTag {
        tag: name.parse().unwrap(),
        previous: previous.map(Digest::of),
        moved,
    };
    let image = |digest: &[u8]| Pinned {
        reference: "live.example/shop".into(),
        digest: Digest::of(digest),
    };
    let promotion = |digest: &[u8], tags: Vec<MovedTag>| Promotion {
        schema: PROMOTION_SCHEMA.to_owned(),
        source: image(digest),
        promoted: image(digest),
        tags,
        proofs: Vec::new(),
    };
    let earlier = vec![tag("1", Some(b"old"), true), tag("2", Some(b"old"), true)];
    let earlier = promotion(b"new", earlier);
    // The first tag is there already; the second was moved away and moves again; the third never moved.
    let now = vec![
        tag("1", Some(b"new"), false),
        tag("2", Some(b"other"), true),
        tag("latest", Some(b"old"), true),
    ];
    let merged = promotion(b"new", now.clone()).going_on_from(&earlier);
    assert_eq!(
        merged.tags,
        [earlier.tags[0].clone(), now[1].clone(), now[2].clone()]
    );
    let other = promotion(b"third", now);
    assert_eq!(other.going_on_from(&earlier), other);
}

#[tokio::test]
async fn a_tag_that_was_new_stays_while_the_floating_one_goes_back() {
    let stage = Stage::new().await;
    stage.promote(&stage.settings()).await.unwrap();
    let mut settings = stage.settings();
    settings.destination = format!("{}/{SHOP}:2", stage.live.host()).parse().unwrap();
    let mut record = stage.promote(&settings).await.unwrap();
    // As if the floating tag had named something else, which is signed as well.
    record.tags[1].moved = true;
    assert_eq!(
        (record.tags[0].moved, &record.tags[0].previous),
        (true, &None)
    );
    let back = stage.rollback(&record).await.unwrap();
    let names: Vec<String> = back.tags.iter().map(|one| one.tag.to_string()).collect();
    assert_eq!(names, ["latest-patched"]);
    assert_eq!(stage.tag("2"), Some(stage.digest().to_string()));
}

#[tokio::test]
async fn a_tag_that_was_new_or_unsigned_before_is_not_rolled_back() {
    let stage = Stage::new().await;
    let record = stage.promote(&stage.settings()).await.unwrap();
    let error = refused(stage.rollback(&record).await);
    assert_eq!(error.class(), Class::Promotion, "{error}");
    assert!(error.to_string().contains("did not exist"), "{error}");

    let mut record = record;
    for tag in &mut record.tags {
        tag.previous = Some(Digest::of(b"never signed"));
    }
    let error = refused(stage.rollback(&record).await);
    assert_eq!(error.class(), Class::Promotion, "{error}");
    assert_eq!(stage.tag("1"), Some(stage.digest().to_string()));
}
