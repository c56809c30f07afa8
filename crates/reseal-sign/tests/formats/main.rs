//! What policy engines read, byte by byte.
//!
//! - Kyverno's `Cosign` type and Sigstore's policy-controller, by cosign's library: the tags `sha256-<digest>.sig` and `.att`; of
//!   a `.sig` layer the payload's `critical.image.docker-manifest-digest`, `critical.type` and `optional`, and the annotation with
//!   the signature; of an `.att` layer the envelope's `payload`, in that the `predicateType`, the `predicate` and the subject.
//! - Kyverno's `SigstoreBundle` type and cosign 3: manifests that refer to the image, whose entry in the list of referrers has an
//!   `artifactType` that begins with `application/vnd.dev.sigstore.bundle`; of these the first layer, no larger than 10 MB, which must
//!   be a bundle that holds an in-toto statement whose `predicateType` is the policy's.
//!
//! The expected bytes were put together from these rules by other means than the code under test; the signatures are of an RSA key
//! and by openssl: RSA signs the same bytes in the same way each time.
#![expect(
    clippy::unwrap_used,
    reason = "clippy lets tests unwrap, and does not see that their helpers are tests too"
)]

mod expected;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reseal_oci::{Descriptor, Digest};
use reseal_registry::{Registries, RegistrySettings, Sleeper, Store, Wait};
use reseal_sign::key::load_key;
use reseal_sign::service::{Http, HttpSettings, Services};
use reseal_sign::statement::{Subject, predicate_type};
use reseal_sign::store::{Suffix, append_legacy, attach_bundle};
use reseal_sign::{Identity, Session, SignSettings, SignatureFormat, Signed};
use reseal_testkit::registry::{FakeRegistry, Options};
use serde_json::{Value, json};

const KEY: &[u8] = include_bytes!("../../../../testdata/keys/rsa.pem");
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const IMAGE: &[u8] = b"image";

/// 2025-06-15T12:00:00Z, for ever.
struct Noon;

#[async_trait]
impl Sleeper for Noon {
    async fn sleep(&self, _why: Wait, _duration: Duration) {}

    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_749_988_800)
    }
}

/// A registry where an image was signed and attested in both forms.
struct Place {
    fake: FakeRegistry,
    store: Arc<dyn Store>,
}

impl Place {
    async fn signed(referrers: bool) -> Self {
        let fake = FakeRegistry::start_with(Options {
            referrers: referrers.then_some(100),
            ..Options::default()
        })
        .await;
        let settings = RegistrySettings {
            certificate_folders: Vec::new(),
            ..RegistrySettings::default()
        };
        let repository = format!("{}/shop/cart", fake.host()).parse().unwrap();
        let store = Registries::new(settings).unwrap().open(&repository);
        let place = Self { fake, store };

        let session = session();
        let subject = Subject {
            name: "registry.example/shop/cart".to_owned(),
            digest: Digest::of(IMAGE),
        };
        let signed = session.sign_image(&subject).await.unwrap();
        place.keep(Suffix::Signature, signed).await;
        let predicate = json!({"author": "A & B", "statements": []});
        let attested = session
            .attest(&subject, predicate_type::OPENVEX, &predicate)
            .await
            .unwrap();
        place.keep(Suffix::Attestation, attested).await;
        place
    }

    async fn keep(&self, suffix: Suffix, signed: Signed) {
        let digest = Digest::of(IMAGE);
        let entry = signed.legacy.unwrap();
        append_legacy(&*self.store, &digest, suffix, &entry)
            .await
            .unwrap();
        let image = Descriptor::new(INDEX, digest, IMAGE.len() as u64);
        attach_bundle(&*self.store, &image, &signed.bundle.unwrap())
            .await
            .unwrap();
    }

    /// Returns the manifest of a tag or digest.
    fn manifest(&self, reference: &str) -> String {
        let (kind, bytes) = self.fake.manifest("shop/cart", reference).unwrap();
        assert!([MANIFEST, INDEX].contains(&kind.as_str()), "{kind}");
        String::from_utf8(bytes).unwrap()
    }

    fn blob(&self, digest: &str) -> String {
        String::from_utf8(self.fake.blob("shop/cart", digest).unwrap()).unwrap()
    }

    /// Returns what a manifest points to: its config and its only layer.
    fn contents(&self, manifest: &str) -> (String, String) {
        let manifest: Value = serde_json::from_str(manifest).unwrap();
        assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
        let blob = |value: &Value| self.blob(value["digest"].as_str().unwrap());
        (blob(&manifest["config"]), blob(&manifest["layers"][0]))
    }
}

fn session() -> Session {
    let never = || unreachable!("the key has no password");
    let settings = SignSettings {
        identity: Identity::Key(Arc::new(load_key(KEY, &never).unwrap())),
        services: Services::default(),
        tlog: false,
        format: SignatureFormat::Both,
        annotations: [("env".to_owned(), "prod".to_owned())].into(),
    };
    let http = HttpSettings {
        sleeper: Arc::new(Noon),
        ..HttpSettings::default()
    };
    Session::open(settings, Http::new(http).unwrap()).unwrap()
}

fn tag(suffix: &str) -> String {
    format!("sha256-6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d{suffix}")
}

/// The statement in an envelope or in a bundle.
fn statement(envelope: &str) -> String {
    let value: Value = serde_json::from_str(envelope).unwrap();
    let payload = value["payload"]
        .as_str()
        .or_else(|| value["dsseEnvelope"]["payload"].as_str());
    String::from_utf8(STANDARD.decode(payload.unwrap()).unwrap()).unwrap()
}

#[tokio::test]
async fn the_signature_tag_is_what_cosigns_library_reads() {
    let place = Place::signed(true).await;
    let manifest = place.manifest(&tag(".sig"));
    assert_eq!(manifest, expected::SIG_MANIFEST);
    let (config, payload) = place.contents(&manifest);
    assert_eq!(config, expected::SIG_CONFIG);
    assert_eq!(payload, expected::SIG_PAYLOAD);
}

#[tokio::test]
async fn the_attestation_tag_is_what_cosigns_library_reads() {
    let place = Place::signed(true).await;
    let manifest = place.manifest(&tag(".att"));
    assert_eq!(manifest, expected::ATT_MANIFEST);
    let (config, envelope) = place.contents(&manifest);
    assert_eq!(config, expected::ATT_CONFIG);
    assert_eq!(envelope, expected::VEX_ENVELOPE);
    assert_eq!(statement(&envelope), expected::VEX_STATEMENT);
}

#[tokio::test]
async fn a_list_of_referrers_tells_bundles_by_their_type() {
    // Made by the registry, and by us where it makes none: both kinds of registries say the same.
    for referrers in [true, false] {
        let place = Place::signed(referrers).await;
        let listed = place.store.referrers(&Digest::of(IMAGE)).await.unwrap();
        let mut manifests: Vec<String> = listed
            .iter()
            .map(|entry| {
                let kind = entry.artifact_type.as_deref();
                assert_eq!(kind, Some("application/vnd.dev.sigstore.bundle.v0.3+json"));
                place.manifest(entry.digest.as_str())
            })
            .collect();
        manifests.sort();
        let mut wanted = [expected::SIGN_REFERRER, expected::VEX_REFERRER];
        wanted.sort_unstable();
        assert_eq!(manifests, wanted);
        for (manifest, bundle, stated) in [
            (
                expected::SIGN_REFERRER,
                expected::SIGN_BUNDLE,
                expected::SIGN_STATEMENT,
            ),
            (
                expected::VEX_REFERRER,
                expected::VEX_BUNDLE,
                expected::VEX_STATEMENT,
            ),
        ] {
            let (config, layer) = place.contents(manifest);
            assert_eq!((config.as_str(), layer.as_str()), ("{}", bundle));
            assert_eq!(statement(&layer), stated);
        }
    }
}

#[tokio::test]
async fn the_tag_that_stands_in_for_the_list_of_referrers_is_an_index_of_typed_entries() {
    let place = Place::signed(false).await;
    assert_eq!(place.manifest(&tag("")), expected::REFERRERS);
    let with = Place::signed(true).await;
    assert!(with.fake.manifest("shop/cart", &tag("")).is_none());
}
