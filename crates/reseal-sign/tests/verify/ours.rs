//! What is signed here is accepted here, in both forms.

use std::collections::BTreeMap;
use std::sync::Arc;

use reseal_oci::{Descriptor, Digest};
use reseal_sign::key::{FileKey, Signer};
use reseal_sign::service::{Http, HttpSettings, Services};
use reseal_sign::statement::Subject;
use reseal_sign::store::{Collected, FoundBundle, FoundLegacy};
use reseal_sign::verify::{Log, Origin, VerifyPolicy, Who, verify_attestation, verify_signature};
use reseal_sign::{Identity, Session, SignSettings, SignatureFormat, Signed};
use serde_json::json;

use crate::world::NOW;

/// What would be read back after everything was stored.
fn collected(signed: &[&Signed]) -> Collected {
    let mut all = Collected::default();
    for (number, one) in signed.iter().enumerate() {
        if let Some(bundle) = &one.bundle {
            let manifest = Digest::of(&[u8::try_from(number).unwrap()]);
            all.bundles.push(FoundBundle {
                descriptor: Descriptor::new(
                    "application/vnd.oci.image.manifest.v1+json",
                    manifest,
                    1,
                ),
                bytes: bundle.bundle.clone(),
                predicate_type: Some(bundle.predicate_type.clone()),
            });
        }
        if let Some(layer) = &one.legacy {
            let found = FoundLegacy {
                media_type: layer.media_type.to_owned(),
                payload: layer.payload.clone(),
                annotations: layer.annotations.clone(),
            };
            if layer.annotations.contains_key("predicateType") {
                all.attestations.push(found);
            } else {
                all.signatures.push(found);
            }
        }
    }
    all
}

#[tokio::test]
async fn signatures_and_attestations_by_key_are_accepted_in_both_forms() {
    let key = Arc::new(FileKey::generate().unwrap());
    let settings = SignSettings {
        identity: Identity::Key(key.clone()),
        services: Services::default(),
        tlog: false,
        format: SignatureFormat::Both,
        annotations: BTreeMap::from([("env".to_owned(), "production".to_owned())]),
    };
    let session = Session::open(settings, Http::new(HttpSettings::default()).unwrap()).unwrap();
    let subject = Subject {
        name: "registry.example/shop/cart".to_owned(),
        digest: Digest::of(b"image"),
    };
    let signature = session.sign_image(&subject).await.unwrap();
    let kind = "https://openvex.dev/ns";
    let predicate = json!({"statements": [{"status": "fixed"}]});
    let attestation = session.attest(&subject, kind, &predicate).await.unwrap();
    let all = collected(&[&signature, &attestation]);

    let mut policy = VerifyPolicy {
        log: Log::Off,
        ..VerifyPolicy::new(Who::Key(key.public_key().clone()), None)
    };
    policy
        .annotations
        .insert("env".to_owned(), "production".to_owned());
    let found = verify_signature(&all, &subject.digest, &policy, NOW).unwrap();
    assert_eq!(found.len(), 2);
    assert!(matches!(found[0].origin, Origin::Bundle { .. }));
    assert!(matches!(found[1].origin, Origin::Signature { layer: 0 }));
    for one in &found {
        assert_eq!(one.name.as_deref(), Some("registry.example/shop/cart"));
    }
    let found = verify_attestation(&all, &subject.digest, kind, &policy, NOW).unwrap();
    assert_eq!(found.len(), 2);
    for one in &found {
        assert_eq!(one.predicate, predicate);
    }
}
