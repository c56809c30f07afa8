//! What comes out, in both forms, of every kind of signing.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reseal_sign::key::{FileKey, load_key};
use reseal_sign::oidc::TokenSource;
use reseal_sign::service::{Choice, Rekor, Services};
use reseal_sign::statement::{Subject, predicate_type};
use reseal_sign::{Identity, Session, SignError, SignSettings, SignatureFormat};
use reseal_testkit::sigstore::{FakeSigstore, Options};
use serde_json::json;

use crate::support::{
    Clock, NOW, REKOR1, REKOR1_TSA, REKOR2_TSA, Uses, decode, http, json, key_settings, keyed,
    keyless, keyless_settings, opened, services, subject, token, url,
};

const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";

#[tokio::test]
async fn a_key_without_log_signs_without_any_request() {
    let (fake, _, session, key) = keyed(Uses::default(), SignatureFormat::Both).await;
    let signed = session.sign_image(&subject()).await.unwrap();

    let legacy = signed.legacy.unwrap();
    assert_eq!(
        legacy.media_type,
        "application/vnd.dev.cosign.simplesigning.v1+json"
    );
    let signature = STANDARD.decode(&legacy.annotations[SIGNATURE]).unwrap();
    key.public().verify(&legacy.payload, &signature).unwrap();
    assert_eq!(legacy.annotations.len(), 1);
    assert_eq!(
        json(&legacy.payload)["critical"]["image"]["docker-manifest-digest"],
        subject().digest.as_str()
    );

    let bundle = signed.bundle.unwrap();
    assert_eq!(bundle.predicate_type, predicate_type::SIGNATURE);
    assert_eq!(bundle.created, "2025-06-15T12:00:00Z");
    let value = json(&bundle.bundle);
    assert_eq!(
        value["verificationMaterial"],
        json!({"publicKey": {"hint": key.public().hint()}})
    );
    let statement = opened(&value["dsseEnvelope"], key.as_ref());
    assert_eq!(statement["predicateType"], predicate_type::SIGNATURE);
    assert_eq!(
        statement["subject"][0]["digest"]["sha256"],
        subject().digest.hex()
    );
    assert!(fake.asked("/").is_empty());
}

#[tokio::test]
async fn annotations_are_signed_in_both_forms() {
    let clock = Clock::at(NOW);
    let fake = FakeSigstore::start(Options::default()).await;
    let key = Arc::new(FileKey::generate().unwrap());
    let mut settings = key_settings(
        &key,
        services(&fake, Uses::default()),
        SignatureFormat::Both,
    );
    settings.annotations.insert("env".into(), "prod".into());
    let session = Session::open(settings, http(&clock)).unwrap();
    let signed = session.sign_image(&subject()).await.unwrap();
    assert_eq!(
        json(&signed.legacy.unwrap().payload)["optional"],
        json!({"env": "prod"})
    );
    let bundle = json(&signed.bundle.unwrap().bundle);
    let statement = opened(&bundle["dsseEnvelope"], key.as_ref());
    assert_eq!(
        statement["subject"][0]["annotations"],
        json!({"env": "prod"})
    );
}

#[tokio::test]
async fn one_form_is_written_when_one_is_asked_for() {
    for (format, legacy, bundle) in [
        (SignatureFormat::Legacy, true, false),
        (SignatureFormat::Bundle, false, true),
        (SignatureFormat::Both, true, true),
    ] {
        let (fake, _, session, _) = keyed(REKOR1_TSA, format).await;
        let signature = session.sign_image(&subject()).await.unwrap();
        assert_eq!(
            (signature.legacy.is_some(), signature.bundle.is_some()),
            (legacy, bundle)
        );
        let entries = fake.asked("/rekor").len();
        assert_eq!(entries, usize::from(legacy) + usize::from(bundle));
        let vex = session
            .attest(&subject(), predicate_type::OPENVEX, &json!({}))
            .await
            .unwrap();
        assert_eq!(
            (vex.legacy.is_some(), vex.bundle.is_some()),
            (legacy, bundle)
        );
        assert_eq!(
            fake.asked("/rekor").len(),
            entries + 1,
            "one entry serves both forms"
        );
    }
}

#[tokio::test]
async fn the_log_is_in_both_forms_and_the_timestamp_in_the_bundle() {
    let (fake, _, session, _) = keyed(REKOR1_TSA, SignatureFormat::Both).await;
    let signed = session.sign_image(&subject()).await.unwrap();
    let legacy = signed.legacy.unwrap();
    let annotation = json(legacy.annotations["dev.sigstore.cosign/bundle"].as_bytes());
    assert!(annotation["Payload"]["logIndex"].is_u64());
    assert!(annotation["Payload"]["integratedTime"].is_u64());
    // Where a log says the time, a timestamp only makes older versions refuse the signature.
    assert!(!legacy.annotations.contains_key(TIMESTAMP));

    let bundle = signed.bundle.unwrap();
    let text = std::str::from_utf8(&bundle.bundle).unwrap();
    sigstore_types::Bundle::from_json(text).unwrap();
    let material = json(&bundle.bundle)["verificationMaterial"].clone();
    let entry = &material["tlogEntries"][0];
    assert_eq!(
        entry["kindVersion"],
        json!({"kind": "dsse", "version": "0.0.1"})
    );
    assert!(entry["logIndex"].is_string() && entry["integratedTime"].is_string());
    let stamps = &material["timestampVerificationData"]["rfc3161Timestamps"];
    assert_eq!(stamps.as_array().unwrap().len(), 1);
    assert_eq!(fake.asked("/tsa").len(), 1);
}

#[tokio::test]
async fn an_attestation_is_the_same_envelope_in_both_forms() {
    let (_fake, _, session, key) = keyed(REKOR1_TSA, SignatureFormat::Both).await;
    let predicate = json!({"statements": []});
    let signed = session
        .attest(&subject(), predicate_type::OPENVEX, &predicate)
        .await
        .unwrap();
    let legacy = signed.legacy.unwrap();
    assert_eq!(legacy.media_type, "application/vnd.dsse.envelope.v1+json");
    assert_eq!(legacy.annotations[SIGNATURE], "");
    assert_eq!(legacy.annotations["predicateType"], predicate_type::OPENVEX);
    let envelope = json(&legacy.payload);
    let statement = opened(&envelope, key.as_ref());
    assert_eq!(statement["predicate"], predicate);
    let bundle = signed.bundle.unwrap();
    assert_eq!(bundle.predicate_type, predicate_type::OPENVEX);
    let value = json(&bundle.bundle);
    assert_eq!(value["dsseEnvelope"]["payload"], envelope["payload"]);
    assert_eq!(
        value["dsseEnvelope"]["signatures"][0]["sig"],
        envelope["signatures"][0]["sig"]
    );
    let entry = &value["verificationMaterial"]["tlogEntries"][0];
    let annotation = json(legacy.annotations["dev.sigstore.cosign/bundle"].as_bytes());
    assert_eq!(annotation["Payload"]["body"], entry["canonicalizedBody"]);
}

#[tokio::test]
async fn without_a_log_timestamps_are_in_both_forms() {
    let uses = Uses {
        tsa: true,
        ..Uses::default()
    };
    let (fake, _, session, _) = keyed(uses, SignatureFormat::Both).await;
    let signed = session
        .attest(&subject(), predicate_type::OPENVEX, &json!({}))
        .await
        .unwrap();
    let legacy = signed.legacy.unwrap();
    let stamp = json(legacy.annotations[TIMESTAMP].as_bytes());
    assert!(!decode(&stamp["SignedRFC3161Timestamp"]).is_empty());
    let material = json(&signed.bundle.unwrap().bundle)["verificationMaterial"].clone();
    let stamps = &material["timestampVerificationData"]["rfc3161Timestamps"];
    assert_eq!(stamps.as_array().unwrap().len(), 1);
    assert!(material.get("tlogEntries").is_none());

    // cosign wants the time of the whole envelope for one form, and of the signature for the other.
    let imprints: BTreeSet<String> = fake
        .asked("/tsa")
        .iter()
        .map(|asked| hex(&asked.body[24..56]))
        .collect();
    let signature = decode(&json(&legacy.payload)["signatures"][0]["sig"]);
    let expected =
        [&legacy.payload, &signature].map(|bytes| reseal_oci::Digest::of(bytes).hex().to_owned());
    assert_eq!(imprints, expected.into());
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[tokio::test]
async fn a_log_of_the_second_protocol_has_no_legacy_form() {
    let (fake, _, session, _) = keyed(REKOR2_TSA, SignatureFormat::Both).await;
    assert!(session.omission().unwrap().contains("only bundles"));
    for signed in [
        session.sign_image(&subject()).await.unwrap(),
        session
            .attest(&subject(), predicate_type::VULN, &json!({}))
            .await
            .unwrap(),
    ] {
        assert!(signed.legacy.is_none());
        let bundle = signed.bundle.unwrap();
        let text = std::str::from_utf8(&bundle.bundle).unwrap();
        sigstore_types::Bundle::from_json(text).unwrap();
        let entry = &json(&bundle.bundle)["verificationMaterial"]["tlogEntries"][0];
        assert_eq!(
            entry["kindVersion"],
            json!({"kind": "hashedrekord", "version": "0.0.2"})
        );
    }
    assert_eq!(fake.asked("/rekor2").len(), 2);
    let (_, _, both, _) = keyed(REKOR1, SignatureFormat::Both).await;
    assert_eq!(both.omission(), None);
}

#[tokio::test]
async fn with_both_protocols_bundles_get_the_second_and_tags_the_first() {
    let uses = Uses {
        rekor1: true,
        rekor2: true,
        tsa: true,
    };
    let (fake, _, session, _) = keyed(uses, SignatureFormat::Both).await;
    for signed in [
        session.sign_image(&subject()).await.unwrap(),
        session
            .attest(&subject(), predicate_type::VULN, &json!({}))
            .await
            .unwrap(),
    ] {
        let legacy = signed.legacy.unwrap();
        assert!(
            legacy
                .annotations
                .contains_key("dev.sigstore.cosign/bundle")
        );
        let bundle = json(&signed.bundle.unwrap().bundle);
        let entry = &bundle["verificationMaterial"]["tlogEntries"][0];
        assert_eq!(entry["kindVersion"]["version"], "0.0.2");
    }
    assert_eq!(fake.asked("/rekor/").len(), 2);
    assert_eq!(fake.asked("/rekor2/").len(), 2);
}

#[tokio::test]
async fn one_certificate_serves_a_run_until_its_time_is_over() {
    let text = token(&json!({"exp": NOW + 6000}));
    let (fake, clock, session) = keyless(Options::default(), &text).await;
    let other = Subject {
        digest: reseal_oci::Digest::of(b"child"),
        ..subject()
    };
    let image = subject();
    let (one, two) = tokio::join!(session.sign_image(&image), session.sign_image(&other));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(fake.asked("/fulcio/api/v2/signingCert").len(), 1);
    let certificate = "dev.sigstore.cosign/certificate";
    let legacy = [one.legacy.unwrap(), two.legacy.unwrap()];
    assert_eq!(
        legacy[0].annotations[certificate],
        legacy[1].annotations[certificate]
    );
    assert!(
        legacy[0].annotations["dev.sigstore.cosign/chain"]
            .starts_with("-----BEGIN CERTIFICATE-----\n")
    );
    let bundle = json(&one.bundle.unwrap().bundle);
    let material = &bundle["verificationMaterial"];
    assert!(material["certificate"]["rawBytes"].is_string());
    assert!(material.get("x509CertificateChain").is_none() && material.get("publicKey").is_none());

    clock.pass(539);
    session.sign_image(&other).await.unwrap();
    assert_eq!(fake.asked("/fulcio/api/v2/signingCert").len(), 1);
    // The next one would be too old to be taken, but is asked for.
    clock.pass(1);
    let late = session.sign_image(&other).await.unwrap_err();
    assert!(matches!(late, SignError::Clock { seconds: -540 }), "{late}");
    assert_eq!(fake.asked("/fulcio/api/v2/signingCert").len(), 2);
}

#[tokio::test]
async fn github_gives_a_token_for_the_audience_that_is_asked_for() {
    let fake = FakeSigstore::start(Options {
        token: token(&json!({"aud": "private"})),
        ..Options::default()
    })
    .await;
    let clock = Clock::at(NOW);
    let address = fake.url("token?api-version=2.0");
    let environment = |name: &str| match name {
        "GITHUB_ACTIONS" => Some("true".to_owned()),
        "ACTIONS_ID_TOKEN_REQUEST_URL" => Some(address.clone()),
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN" => Some("bearer-secret".to_owned()),
        _ => None,
    };
    let tokens = TokenSource::detect(&environment, "/nonexistent".as_ref()).unwrap();
    let settings = SignSettings {
        identity: Identity::Keyless {
            tokens,
            audience: "private".into(),
        },
        ..keyless_settings(services(&fake, REKOR1), "")
    };
    assert!(!format!("{settings:?}").contains("bearer-secret"));
    let session = Session::open(settings, http(&clock)).unwrap();
    session.sign_image(&subject()).await.unwrap();
    let asked = fake.asked("/token").remove(0);
    assert_eq!(asked.query, "api-version=2.0&audience=private");
    assert_eq!(asked.header("authorization"), Some("Bearer bearer-secret"));
    for asked in fake.asked("/rekor") {
        assert_eq!(asked.header("authorization"), None);
    }
}

#[tokio::test]
async fn settings_that_nobody_could_verify_are_refused_before_anything_is_asked() {
    let fake = FakeSigstore::start(Options::default()).await;
    let http = http(&Clock::at(NOW));
    let text = token(&json!({}));
    let keyless = |uses: Uses| keyless_settings(services(&fake, uses), &text);
    let rekor2 = Uses {
        rekor2: true,
        ..Uses::default()
    };
    let ed25519 = include_bytes!("../../../../testdata/keys/ed25519.pem");
    let ed25519 = Arc::new(load_key(ed25519, &|| unreachable!("it is not encrypted")).unwrap());
    let key = Arc::new(FileKey::generate().unwrap());
    let none = || Services::default();
    for (settings, message, hint) in [
        (
            SignSettings {
                tlog: false,
                ..keyless(REKOR1)
            },
            "needs the transparency log",
            "--sign-key",
        ),
        (
            SignSettings {
                services: Services {
                    fulcio: None,
                    ..services(&fake, REKOR1)
                },
                ..keyless(REKOR1)
            },
            "no address of Fulcio",
            "--fulcio-url",
        ),
        (
            keyless(Uses::default()),
            "no address of Rekor",
            "--rekor-url",
        ),
        (keyless(rekor2), "says nothing about time", "--tsa-url"),
        (
            SignSettings {
                format: SignatureFormat::Legacy,
                ..keyless(REKOR2_TSA)
            },
            "can hold no entry of a Rekor v2 log",
            "--signature-format bundle",
        ),
        (
            SignSettings {
                tlog: true,
                ..key_settings(&key, none(), SignatureFormat::Both)
            },
            "no address of Rekor",
            "--tlog=off",
        ),
        (
            key_settings(&ed25519, none(), SignatureFormat::Both),
            "bundles of Ed25519 keys",
            "--signature-format legacy",
        ),
        (
            key_settings(&ed25519, services(&fake, REKOR1), SignatureFormat::Legacy),
            "Rekor takes no signatures of Ed25519 keys",
            "--tlog=off",
        ),
    ] {
        let error = Session::open(settings, http.clone()).err().expect(message);
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.hint().unwrap().contains(hint), "{error:?}");
    }
    let legacy = key_settings(&ed25519, none(), SignatureFormat::Legacy);
    let session = Session::open(legacy, http).unwrap();
    assert!(
        session
            .sign_image(&subject())
            .await
            .unwrap()
            .legacy
            .is_some()
    );
    assert!(fake.asked("/").is_empty());
}

#[tokio::test]
async fn of_several_logs_as_many_are_used_as_are_needed() {
    let fake = FakeSigstore::start(Options::default()).await;
    let down = FakeSigstore::start(Options::default()).await;
    let address = url(&down, "rekor2");
    drop(down);
    let key = Arc::new(FileKey::generate().unwrap());
    let clock = Clock::at(NOW);
    let logs = vec![Rekor::V2(address), Rekor::V2(url(&fake, "rekor2"))];
    for (needed, ok) in [(1, true), (2, false)] {
        let mut services = services(&fake, REKOR2_TSA);
        services.rekor = Choice {
            services: logs.clone(),
            needed,
        };
        let settings = key_settings(&key, services, SignatureFormat::Bundle);
        let session = Session::open(settings, http(&clock)).unwrap();
        let signed = session.sign_image(&subject()).await;
        assert_eq!(signed.is_ok(), ok);
    }
}
