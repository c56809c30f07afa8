//! Patches that are signed in the same run: before the tag moves, or not at all.

use std::sync::Arc;

use reseal_oci::Digest;
use reseal_pipeline::{
    Class, Events, Outcome, PatchSettings, PipelineError, SealSettings, SignSettings,
    VerifySettings, attest, sign, verify,
};
use reseal_registry::{Secret, Store};
use reseal_sign::{
    Identity, Session, SignatureFormat,
    key::{self, PublicKey},
    service::{Http, HttpSettings, Services},
    statement::{
        facts::{LOCAL_BUILDER, Run},
        predicate_type,
    },
    store::collect,
    verify::{Log, VerifyPolicy, Who, verify_attestation, verify_signature},
};
use reseal_testkit::registry::{FakeRegistry, Fault, Options};
use serde_json::json;

use crate::image::{finding, fixable, report};
use crate::index::Indexed;
use crate::world::{Fakes, REPOSITORY, Single, World};

/// A time after every signature here.
pub(crate) const LATER: i64 = 4_000_000_000;

#[track_caller]
pub(crate) fn refused<T>(result: Result<T, PipelineError>) -> PipelineError {
    result.err().expect("it is refused")
}

/// A key for one test, and what signs with it.
pub(crate) struct Signing {
    pub(crate) public: PublicKey,
    pub(crate) session: Arc<Session>,
}

impl Signing {
    pub(crate) fn new() -> Self {
        Self::with(Services::default(), false)
    }

    /// With a log, if there is one.
    pub(crate) fn with(services: Services, tlog: bool) -> Self {
        let password = Secret::new("");
        let files = key::generate_key(&password).unwrap();
        let key = key::load_key(files.private.as_bytes(), &|| Ok(Secret::new(""))).unwrap();
        let settings = reseal_sign::SignSettings {
            identity: Identity::Key(Arc::new(key)),
            services,
            tlog,
            format: SignatureFormat::Both,
            annotations: [("env".to_owned(), "test".to_owned())].into(),
        };
        let http = Http::new(HttpSettings {
            retries: 0,
            ..HttpSettings::default()
        });
        Self {
            public: PublicKey::from_pem(files.public.as_bytes()).unwrap(),
            session: Arc::new(Session::open(settings, http.unwrap()).unwrap()),
        }
    }

    pub(crate) fn seal(&self) -> SealSettings {
        SealSettings {
            session: self.session.clone(),
            attest: true,
            run: Run {
                version: "0.1.0".to_owned(),
                builder: LOCAL_BUILDER.to_owned(),
                url: Some("https://ci.example/runs/7".to_owned()),
                repository: None,
                commit: None,
                started: "2026-01-01T00:00:00Z".to_owned(),
                finished: String::new(),
            },
        }
    }

    pub(crate) fn policy(&self) -> VerifyPolicy {
        let mut policy = VerifyPolicy::new(Who::Key(self.public.clone()), None);
        policy.log = Log::Off;
        policy
    }

    /// The predicate of a kind that is attested about a digest.
    async fn attested(&self, store: &dyn Store, digest: &Digest, kind: &str) -> serde_json::Value {
        let collected = collect(store, digest).await.unwrap();
        let found = verify_attestation(&collected, digest, kind, &self.policy(), LATER).unwrap();
        assert_eq!(found.len(), 2, "{kind}: a bundle and a layer of the tag");
        found[0].predicate.clone()
    }

    async fn is_signed(&self, store: &dyn Store, digest: &Digest) -> bool {
        let collected = collect(store, digest).await.unwrap();
        verify_signature(&collected, digest, &self.policy(), LATER).is_ok_and(|found| {
            assert_eq!(found.len(), 2, "a bundle and a layer of the tag");
            assert_eq!(found[0].annotations["env"], "test");
            true
        })
    }
}

pub(crate) fn store(world: &World) -> Arc<dyn Store> {
    let repository = format!("{}/{REPOSITORY}", world.registry.host());
    world.registries.open(&repository.parse().unwrap())
}

fn sealed(settings: PatchSettings, signing: &Signing) -> PatchSettings {
    PatchSettings {
        seal: Some(signing.seal()),
        ..settings
    }
}

const KINDS: [&str; 4] = [
    predicate_type::PROVENANCE,
    predicate_type::VULN,
    predicate_type::OPENVEX,
    predicate_type::VERIFICATION,
];

#[tokio::test]
async fn index_and_patched_manifests_are_signed_and_attested_before_the_tag() {
    let indexed = Indexed::new().await;
    let signing = Signing::new();
    let settings = sealed(indexed.settings(), &signing);
    let builders = indexed.builders().await;
    let result = indexed.world.patch(&settings, &builders).await.unwrap();

    let store = store(&indexed.world);
    let root = &result.patched.digest;
    let children: Vec<&Digest> = result.platforms.iter().map(|one| &one.digest).collect();
    for digest in [root, children[0], children[1]] {
        assert!(signing.is_signed(store.as_ref(), digest).await, "{digest}");
        for kind in KINDS {
            signing.attested(store.as_ref(), digest, kind).await;
        }
        assert!(
            result
                .signatures
                .iter()
                .any(|one| one.digest == *digest && one.statements.len() >= 5)
        );
    }
    // Windows passed through: a list of what is inside the index would lack it.
    let bill = |digest| signing.attested(store.as_ref(), digest, predicate_type::SPDX);
    assert_eq!(bill(children[0]).await["spdxVersion"], "SPDX-2.3");
    assert!(
        result.signatures[0]
            .statements
            .iter()
            .all(|one| one != predicate_type::SPDX)
    );
    let windows: Digest = indexed.windows.digest.parse().unwrap();
    assert!(!signing.is_signed(store.as_ref(), &windows).await);

    let verified = signing
        .attested(store.as_ref(), root, predicate_type::VERIFICATION)
        .await;
    assert_eq!(verified["passed"], true);
    assert_eq!(verified["subject"]["digest"], root.as_str());
    assert_eq!(verified["counts"]["fixed"], 2);
    assert_eq!(verified["run"]["url"], "https://ci.example/runs/7");

    let requests = indexed.world.registry.requests();
    let last = requests
        .iter()
        .rev()
        .find(|one| one.method == "PUT")
        .unwrap();
    assert!(
        last.path.ends_with("/manifests/1-patched"),
        "the tag is last: {}",
        last.path
    );
}

#[tokio::test]
async fn what_cannot_be_signed_gets_no_tag_and_is_named() {
    // The log does not answer; the registry does not take the tag of signatures; it does not take bundles.
    let nobody: reseal_sign::service::Url = "http://127.0.0.1:1".parse().unwrap();
    let log = Services {
        rekor: reseal_sign::service::Choice::all(vec![reseal_sign::service::Rekor::V1(
            nobody.clone(),
        )]),
        rekor_v1: Some(nobody),
        ..Services::default()
    };
    for (signing, fault) in [
        (Signing::with(log, true), None),
        (
            Signing::new(),
            Some(Fault::status("PUT", "/v2/*/manifests/sha256-*.sig", 403)),
        ),
    ] {
        let single = Single::new().await;
        if let Some(fault) = fault {
            single.world.registry.fault(fault);
        }
        let settings = sealed(single.settings(), &signing);
        let builder = single.good_builder().await;
        let error = refused(single.world.patch(&settings, &builder).await);
        assert_eq!(error.class(), Class::Signing, "{error}");
        let PipelineError::Unsealed { digest, result, .. } = &error else {
            panic!("{error:?}")
        };
        assert_eq!(result.outcome, Outcome::Unsigned);
        assert_eq!(result.patched.digest, *digest);
        assert!(error.to_string().contains(digest.as_str()), "{error}");
        assert!(
            single
                .world
                .registry
                .manifest(REPOSITORY, digest.as_str())
                .is_some(),
            "it is there by digest"
        );
        single.world.check_nothing_promoted();
    }
}

#[tokio::test]
async fn a_gate_that_is_shut_leaves_nothing_signed() {
    let single = Single::new().await;
    let signing = Signing::new();
    let mut settings = sealed(single.settings(), &signing);
    let left = finding("CVE-1", "zlib1g", "", "CRITICAL");
    settings.input.reports[0].bytes = report("linux/amd64", &single.image, &[fixable(), left]);
    let builder = single.good_builder().await;
    let error = refused(single.world.patch(&settings, &builder).await);
    let PipelineError::Gate { result, .. } = &error else {
        panic!("{error:?}")
    };
    assert!(result.signatures.is_empty());
    let tags = single.world.registry.tags(REPOSITORY);
    assert!(
        tags.iter().all(|(tag, _)| !tag.starts_with("sha256-")),
        "{tags:?}"
    );
}

#[tokio::test]
async fn an_unchanged_image_is_signed_before_it_gets_the_tag() {
    let single = Single::new().await;
    let signing = Signing::new();
    let mut settings = sealed(single.settings(), &signing);
    settings.tag_unchanged = true;
    settings.input.reports[0].bytes = report("linux/amd64", &single.image, &[]);
    let result = single.world.patch(&settings, &Fakes::none()).await.unwrap();
    assert_eq!(result.outcome, Outcome::Unchanged);
    let store = store(&single.world);
    let digest = &result.patched.digest;
    assert_eq!(digest.as_str(), single.image.digest);
    assert!(signing.is_signed(store.as_ref(), digest).await);
    let verified = signing
        .attested(store.as_ref(), digest, predicate_type::VERIFICATION)
        .await;
    assert_eq!(verified["passed"], true);
}

#[tokio::test]
async fn signing_by_digest_takes_the_patched_manifests_of_an_index_along() {
    let indexed = Indexed::new().await;
    let result = indexed
        .world
        .patch(&indexed.settings(), &indexed.builders().await)
        .await
        .unwrap();
    let signing = Signing::new();
    let host = indexed.world.registry.host();
    let mut settings = SignSettings {
        image: format!("{host}/{REPOSITORY}:1-patched@{}", result.patched.digest)
            .parse()
            .unwrap(),
        recursive: false,
        session: signing.session.clone(),
    };
    let events = Events::channel().0;
    let registries = &indexed.world.registries;
    let made = sign(&settings, registries, &events).await.unwrap();
    let mut digests: Vec<&Digest> = made.iter().map(|one| &one.digest).collect();
    assert_eq!(digests.remove(0), &result.patched.digest);
    let patched: Vec<&Digest> = result.platforms.iter().map(|one| &one.digest).collect();
    assert_eq!(digests, patched);

    settings.recursive = true;
    let all = sign(&settings, registries, &events).await.unwrap();
    assert!(all.len() > made.len(), "also what no patch made");

    settings.image = format!("{host}/{REPOSITORY}:1-patched").parse().unwrap();
    let error = refused(sign(&settings, registries, &events).await);
    assert_eq!(error.class(), Class::Usage, "only digests: {error}");
}

#[tokio::test]
async fn anything_can_be_attested_beside_what_others_attested() {
    let registry = FakeRegistry::start_with(Options {
        referrers: None,
        ..Options::default()
    });
    let world = World::of(registry.await);
    let image = crate::image::Image::new("linux/amd64").push(&world.registry, REPOSITORY, None);
    let digest: Digest = image.digest.parse().unwrap();
    let store = store(&world);
    let signers = [Signing::new(), Signing::new()];
    for (number, signing) in signers.iter().enumerate() {
        let settings = SignSettings {
            image: format!("{}/{REPOSITORY}@{digest}", world.registry.host())
                .parse()
                .unwrap(),
            recursive: false,
            session: signing.session.clone(),
        };
        let kind = "https://example.com/approved";
        attest(
            &settings,
            kind,
            &json!({"number": number}),
            &world.registries,
            &Events::channel().0,
        )
        .await
        .unwrap();
    }
    for (number, signing) in signers.iter().enumerate() {
        let found = signing
            .attested(store.as_ref(), &digest, "https://example.com/approved")
            .await;
        assert_eq!(found, json!({"number": number}));
    }
}

#[tokio::test]
async fn verify_attests_what_it_verified() {
    let single = Single::new().await;
    let patched = single.patch().await.unwrap();
    let signing = Signing::new();
    let source = format!("{}/{REPOSITORY}:1-patched", single.world.registry.host());
    let settings = VerifySettings {
        input: single
            .world
            .settings_of(&source, vec![single.report()])
            .input,
        rescan_reports: Vec::new(),
        packages: None,
        seal: Some(signing.seal()),
    };
    let events = Events::channel().0;
    let result = verify(&settings, &single.world.registries, &events)
        .await
        .unwrap();
    let digest = &patched.patched.digest;
    assert_eq!(result.signatures[0].digest, *digest);
    let stated = signing
        .attested(
            store(&single.world).as_ref(),
            digest,
            predicate_type::VERIFICATION,
        )
        .await;
    assert_eq!(stated["passed"], true);
    assert_eq!(stated["reports"][0]["name"], "report-0.json");
}
