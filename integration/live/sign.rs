//! Signatures and attestations with a private Sigstore of real servers, judged by real cosigns and by sigstore-python; and
//! theirs, judged by us.

mod cli;
mod judges;
mod relay;
mod signers;
mod support;
mod token;
mod told;

use std::collections::BTreeMap;

use reseal_oci::Descriptor;
use reseal_sign::statement::predicate_type;
use reseal_sign::verify::Origin;
use reseal_sign::{SignError, SignatureFormat};
use serde_json::json;

use judges::{Judge, Proofs, Trust};
use signers::{KeyPair, Keys, Signatory};
use support::{Image, Place, Services, places, site};

/// Signs index and child and lets everybody judge both: each form that was written by every program that reads it.
async fn sign_and_judge(
    place: &Place,
    who: &Signatory,
    services: Services,
    format: SignatureFormat,
) {
    let case = format!("{} {who} {services:?} {format:?}", place.name);
    let image = Image::push(place).await;
    let session = who.session(services, format);
    let bundle = format != SignatureFormat::Legacy;
    // A log of version 2 has no place in the older form.
    let legacy = format != SignatureFormat::Bundle && services != Services::Rekor2;
    for subject in [&image.index, &image.child] {
        support::sign(&image, subject, &session).await;
        let reference = image.reference(subject);
        let proofs = Proofs::of(services);
        let trust = who.trust();
        if bundle {
            Judge::NewCosign.accepts_signature(&case, &reference, &trust, proofs);
            let kind = predicate_type::SIGNATURE;
            if services == Services::Rekor2 {
                Judge::OldCosign.refuses_bundle(&case, &reference, kind, &trust, proofs);
            } else {
                Judge::OldCosign.accepts_bundle(&case, &reference, kind, &trust, proofs);
            }
        }
        if legacy {
            Judge::OldCosign.accepts_signature(&case, &reference, &trust, proofs);
        }
        if legacy && !bundle {
            Judge::NewCosign.accepts_signature(&case, &reference, &trust, proofs);
        }
        // Where a log says the time, tags hold no timestamp.
        let untimed = legacy && services == Services::Rekor1Tsa;
        let any_time = Proofs {
            time: proofs.time && !untimed,
            ..proofs
        };
        accepted_in(&case, &image, subject, &trust, any_time, (bundle, legacy)).await;
        if untimed && bundle {
            accepted_in(&case, &image, subject, &trust, proofs, (bundle, false)).await;
        }
        if who.is_key() {
            let other = Signatory::Key(Keys::of_nobody(site().expect("it was there"))).trust();
            support::refuses_signature(&case, &image, subject, &other, proofs).await;
        }
    }
}

/// Lets ours verify, which has to accept what is in a bundle and what is under a tag, each where it is there.
async fn accepted_in(
    case: &str,
    image: &Image,
    subject: &Descriptor,
    trust: &Trust,
    proofs: Proofs,
    (bundle, legacy): (bool, bool),
) {
    let accepted = support::verify_signature(case, image, subject, trust, proofs).await;
    let forms = |of: fn(&Origin) -> bool| accepted.iter().filter(|&one| of(one)).count();
    assert_eq!(
        (
            forms(|origin| matches!(origin, Origin::Bundle { .. })),
            forms(|origin| matches!(origin, Origin::Signature { .. })),
        ),
        (usize::from(bundle), usize::from(legacy)),
        "{case} {proofs:?}"
    );
}

/// Why a cell of the matrix of keys, services and forms is no signature.
fn impossible(
    keys: &Keys,
    key: &KeyPair,
    services: Services,
    format: SignatureFormat,
) -> Option<fn(&SignError) -> bool> {
    let fits_bundles = [&keys.p256, &keys.rsa].contains(&key);
    if format != SignatureFormat::Legacy && !fits_bundles {
        // cosign cannot verify such bundles, not even its own.
        Some(|error| matches!(error, SignError::BundleKey { .. }))
    } else if services != Services::None && !fits_bundles {
        // Rekor wants a form of these that cosign does not make.
        Some(|error| matches!(error, SignError::LogKey { .. }))
    } else if format == SignatureFormat::Legacy && services == Services::Rekor2 {
        Some(|error| matches!(error, SignError::LegacyLog))
    } else {
        None
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_cosigns_accept_what_keys_signed() {
    let Some(site) = site() else { return };
    let keys = Keys::make(site);
    for place in places(site) {
        for key in [&keys.p256, &keys.rsa, &keys.ed25519, &keys.p384] {
            for services in [
                Services::None,
                Services::Rekor1,
                Services::Rekor1Tsa,
                Services::Rekor2,
            ] {
                for format in [
                    SignatureFormat::Both,
                    SignatureFormat::Bundle,
                    SignatureFormat::Legacy,
                ] {
                    let who = Signatory::Key(key.clone());
                    match impossible(&keys, key, services, format) {
                        None => sign_and_judge(&place, &who, services, format).await,
                        Some(why) => {
                            let refused = who.open(services, format).err();
                            let case = format!("{who} {services:?} {format:?}: {refused:?}");
                            assert!(refused.as_ref().is_some_and(why), "{case}");
                        }
                    }
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_cosigns_accept_what_an_identity_signed() {
    let Some(site) = site() else { return };
    for place in places(site) {
        for services in [Services::Rekor1, Services::Rekor1Tsa, Services::Rekor2] {
            let who = Signatory::identity(site, "email");
            sign_and_judge(&place, &who, services, SignatureFormat::Both).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_ci_system_can_sign() {
    let Some(site) = site() else { return };
    let place = &places(site)[0];
    for kind in [
        "github",
        "gitlab",
        "kubernetes",
        "buildkite",
        "circleci",
        "uri",
    ] {
        let who = Signatory::identity(site, kind);
        sign_and_judge(place, &who, Services::Rekor1, SignatureFormat::Both).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_cosigns_accept_attestations() {
    let Some(site) = site() else { return };
    let keys = Keys::make(site);
    let key = Signatory::Key(keys.p256.clone());
    let email = Signatory::identity(site, "email");
    for place in places(site) {
        for (who, services) in [
            (&key, Services::None),
            (&key, Services::Rekor1),
            (&key, Services::Rekor2),
            (&email, Services::Rekor1Tsa),
            (&email, Services::Rekor2),
        ] {
            let case = format!("{} {who} {services:?}", place.name);
            let image = Image::push(&place).await;
            let session = who.session(services, SignatureFormat::Both);
            let (trust, proofs) = (who.trust(), Proofs::of(services));
            for predicate in [predicate_type::OPENVEX, predicate_type::PROVENANCE] {
                let statement = json!({"said": predicate, "html": "<&>"});
                support::attest(&image, &image.index, &session, predicate, &statement).await;
                let reference = image.reference(&image.index);
                Judge::NewCosign.accepts_bundle(&case, &reference, predicate, &trust, proofs);
                if services != Services::Rekor2 {
                    Judge::OldCosign.accepts_bundle(&case, &reference, predicate, &trust, proofs);
                    Judge::OldCosign
                        .accepts_attestation(&case, &reference, predicate, &trust, proofs);
                }
                let found = support::verify_attestation(
                    &case,
                    &image,
                    &image.index,
                    predicate,
                    &trust,
                    proofs,
                )
                .await;
                assert_eq!(found, statement, "{case}");
            }
            // An attestation is no signature, whatever cosign thinks of it.
            support::refuses_signature(&case, &image, &image.index, &trust, proofs).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cosigns_signed_is_verified() {
    let Some(site) = site() else { return };
    let keys = Keys::make(site);
    for place in places(site) {
        for judge in [Judge::OldCosign, Judge::NewCosign] {
            for services in [
                Services::None,
                Services::Rekor1,
                Services::Rekor1Tsa,
                Services::Rekor2,
            ] {
                if judge == Judge::OldCosign && services == Services::Rekor2 {
                    continue;
                }
                let mut signers = vec![
                    Signatory::Key(keys.p256.clone()),
                    Signatory::Key(keys.rsa.clone()),
                ];
                if services != Services::None {
                    signers.push(Signatory::identity(site, "email"));
                }
                for who in &signers {
                    let case = format!("{judge:?} at {} by {who}, {services:?}", place.name);
                    let image = Image::push(&place).await;
                    judge.sign(&image.reference(&image.index), who, services);
                    let (trust, proofs) = (who.trust(), Proofs::of(services));
                    support::verify_signature(&case, &image, &image.index, &trust, proofs).await;
                    support::refuses_signature(&case, &image, &image.child, &trust, proofs).await;
                    let other = Signatory::Key(keys.ed25519.clone()).trust();
                    support::refuses_signature(&case, &image, &image.index, &other, proofs).await;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signer_joins_the_first() {
    let Some(site) = site() else { return };
    let keys = Keys::make(site);
    let ours = Signatory::Key(keys.p256.clone());
    let theirs = Signatory::Key(keys.rsa.clone());
    for place in places(site) {
        for judge in [Judge::OldCosign, Judge::NewCosign] {
            let case = format!("{judge:?} at {}", place.name);
            let image = Image::push(&place).await;
            let reference = image.reference(&image.index);
            let session = ours.session(Services::None, SignatureFormat::Both);
            judge.sign(&reference, &theirs, Services::None);
            support::sign(&image, &image.index, &session).await;
            judge.sign(&reference, &theirs, Services::None);
            for who in [&ours, &theirs] {
                let proofs = Proofs::of(Services::None);
                judge.accepts_signature(&case, &reference, &who.trust(), proofs);
                support::verify_signature(&case, &image, &image.index, &who.trust(), proofs).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_judges_refuse_another_key_and_a_missing_log_entry() {
    let Some(site) = site() else { return };
    let keys = Keys::make(site);
    let place = &places(site)[0];
    let image = Image::push(place).await;
    let who = Signatory::Key(keys.p256.clone());
    let session = who.session(Services::None, SignatureFormat::Both);
    support::sign(&image, &image.index, &session).await;
    let reference = image.reference(&image.index);
    let other = Signatory::Key(keys.rsa.clone()).trust();
    for judge in [Judge::OldCosign, Judge::NewCosign] {
        judge.refuses_signature(&reference, &other, Proofs::of(Services::None));
        judge.refuses_signature(&reference, &who.trust(), Proofs::of(Services::Rekor1));
    }
    support::refuses_signature(
        "no log",
        &image,
        &image.index,
        &who.trust(),
        Proofs::of(Services::Rekor1),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn annotations_are_signed_along() {
    let Some(site) = site() else { return };
    let keys = Keys::make(site);
    let place = &places(site)[0];
    let image = Image::push(place).await;
    let who = Signatory::Key(keys.p256.clone());
    let annotations = BTreeMap::from([("environment".to_owned(), "production".to_owned())]);
    let session = who.session_with(Services::None, SignatureFormat::Both, annotations);
    support::sign(&image, &image.index, &session).await;
    let reference = image.reference(&image.index);
    for judge in [Judge::OldCosign, Judge::NewCosign] {
        let annotated = |value: &str| {
            judge.verify_annotated(&reference, &who.trust(), &format!("environment={value}"))
        };
        assert!(annotated("production"), "{judge:?}");
        assert!(!annotated("staging"), "{judge:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sigstore_python_accepts_bundles() {
    let Some(site) = site() else { return };
    let place = &places(site)[0];
    for services in [Services::Rekor1, Services::Rekor1Tsa, Services::Rekor2] {
        let who = Signatory::identity(site, "email");
        let image = Image::push(place).await;
        let session = who.session(services, SignatureFormat::Bundle);
        let bundle = support::sign(&image, &image.index, &session)
            .await
            .expect("a bundle was asked for");
        let Trust::Identity { identity, issuer } = who.trust() else {
            unreachable!("an identity signed")
        };
        judges::sigstore_python(
            site,
            &format!("{services:?}"),
            &bundle,
            &image.index.digest,
            &identity,
            &issuer,
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_come_along_to_a_registry_with_another_login() {
    let Some(site) = site() else { return };
    let keys = Keys::make(site);
    let who = Signatory::Key(keys.p256.clone());
    let (from, to) = (Place::first_login(site), Place::second_login(site));
    for (from, to) in [(&from, &to), (&to, &from)] {
        let case = format!("{} to {}", from.name, to.name);
        let image = Image::push(from).await;
        let session = who.session(Services::Rekor1, SignatureFormat::Both);
        for subject in [&image.index, &image.child] {
            support::sign(&image, subject, &session).await;
            let predicate = predicate_type::PROVENANCE;
            support::attest(&image, subject, &session, predicate, &json!({"a": 1})).await;
        }
        let arrived = image.copy_to(to).await;
        for subject in [&image.index, &image.child] {
            let copied = support::copy_artifacts(&image, &arrived, subject).await;
            assert!(copied.iter().all(|what| what.ends_with("Copied")), "{case}");
            let again = support::copy_artifacts(&image, &arrived, subject).await;
            assert!(
                again.iter().all(|what| what.ends_with("Present")),
                "{case}: {again:?}"
            );
            let reference = arrived.reference(subject);
            let (trust, proofs) = (who.trust(), Proofs::of(Services::Rekor1));
            for judge in [Judge::OldCosign, Judge::NewCosign] {
                judge.accepts_signature(&case, &reference, &trust, proofs);
            }
            let predicate = predicate_type::PROVENANCE;
            Judge::OldCosign.accepts_attestation(&case, &reference, predicate, &trust, proofs);
            Judge::NewCosign.accepts_bundle(&case, &reference, predicate, &trust, proofs);
        }
    }
}
