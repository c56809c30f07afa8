//! Policies that cannot be fulfilled, and what the user is told.

use reseal_sign::store::Collected;
use reseal_sign::verify::{
    Claim, Log, Match, Timestamps, TrustedRoot, VerifyError, VerifyPolicy, public_key,
    verify_signature,
};

use crate::world::*;

const EMPTY: &[u8] =
    br#"{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}"#;

#[test]
fn a_policy_without_the_trust_that_it_needs_is_refused_before_anything_is_fetched() {
    let none = |policy| VerifyPolicy {
        trusted_root: None,
        ..policy
    };
    for policy in [
        none(alice()),
        none(alice_timed()),
        none(key_logged("p256")),
        VerifyPolicy {
            timestamps: Timestamps::Required,
            ..key_alone("p256")
        },
    ] {
        let error = policy.check().unwrap_err();
        assert!(
            matches!(error, VerifyError::NoTrustedRoot { .. }),
            "{error}"
        );
        assert!(error.hint().unwrap().contains("--trusted-root"));
        // Verifying does not go further either.
        let case = case("old-p256");
        assert!(case.verify(&policy).is_err());
    }
    let empty = TrustedRoot::parse(EMPTY).unwrap();
    for policy in [alice(), key_logged("p256"), alice_timed()] {
        let error = with_root(policy, empty.clone()).check().unwrap_err();
        assert!(matches!(error, VerifyError::RootLacks { .. }), "{error}");
    }
    let without = root_with(|root| root["ctlogs"] = serde_json::json!([]));
    let error = with_root(alice(), without).check().unwrap_err();
    assert!(error.to_string().contains("certificate transparency log"));
    key_alone("p256").check().unwrap();
}

#[test]
fn an_empty_trusted_root_is_enough_for_a_key_alone() {
    let policy = with_root(key_alone("p256"), TrustedRoot::parse(EMPTY).unwrap());
    assert_eq!(case("new-p256").verify(&policy).unwrap().len(), 1);
}

#[test]
fn trusted_roots_that_cannot_be_used_are_refused() {
    let mut broken = Vec::new();
    for path in [
        "/tlogs/0/publicKey/rawBytes",
        "/ctlogs/0/publicKey/rawBytes",
        "/certificateAuthorities/0/certChain/certificates/0/rawBytes",
        "/timestampAuthorities/0/certChain/certificates/0/rawBytes",
    ] {
        let mut value: serde_json::Value =
            serde_json::from_slice(&file("trusted_root.json")).unwrap();
        *value.pointer_mut(path).unwrap() = "AAAA".into();
        broken.push(value.to_string().into_bytes());
    }
    broken.extend([
        b"".to_vec(),
        b"{}".to_vec(),
        b"\xff".to_vec(),
        br#"{"mediaType":"application/json"}"#.to_vec(),
        vec![b' '; 2 << 20],
    ]);
    for bytes in broken {
        let error = TrustedRoot::parse(&bytes).unwrap_err();
        assert!(matches!(error, VerifyError::TrustedRoot { .. }), "{error}");
    }
}

#[test]
fn public_keys_that_are_none_are_named() {
    for bytes in [
        b"".as_slice(),
        b"\xff",
        b"-----BEGIN PUBLIC KEY-----\nMA==\n-----END PUBLIC KEY-----\n",
        b"-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n",
    ] {
        let error = public_key(bytes).unwrap_err();
        assert!(matches!(error, VerifyError::Key(_)), "{error}");
        assert!(error.hint().is_some());
    }
}

#[test]
fn an_unsigned_image_is_told_from_one_that_somebody_else_signed() {
    let case = case("old-p256");
    let nothing = Collected {
        skipped: vec!["the tag `.sig` holds no manifest".to_owned()],
        ..Collected::default()
    };
    let error = verify_signature(&nothing, &case.subject, &key_alone("p256"), NOW).unwrap_err();
    assert!(matches!(error, VerifyError::NothingThere { .. }));
    assert_eq!(
        error.to_string(),
        format!(
            "{} has no signature\n  left out: the tag `.sig` holds no manifest",
            case.subject
        )
    );
    assert!(error.hint().unwrap().contains("Sign"));
}

#[test]
fn every_candidate_is_listed_with_its_reason_and_every_remedy_once() {
    let mut all = case("new-two-signers");
    all.collected
        .signatures
        .extend(case("old-alice-rekor1").collected.signatures);
    all.collected
        .signatures
        .extend(case("old-two-signers").collected.signatures);
    let error = all.verify(&key_alone("rsa")).unwrap_err();
    let text = error.to_string();
    assert_eq!(text.lines().count(), 6, "{text}");
    assert!(
        text.starts_with(&format!(
            "no signature of {} was accepted: 5 were looked at\n  bundle sha256:",
            all.subject
        )),
        "{text}"
    );
    assert!(
        text.contains("\n  layer 1 of the `.sig` tag: it was made with a certificate of `alice@example.com`, not with a key"),
        "{text}"
    );
    assert!(
        text.contains("\n  layer 2 of the `.sig` tag: the key that was given did not make it"),
        "{text}"
    );
    let hint = error.hint().unwrap();
    assert_eq!(hint.lines().count(), 2, "{hint}");
    assert!(hint.contains("identity and issuer") && hint.contains("public key"));
}

#[test]
fn what_strangers_wrote_cannot_draw_on_the_terminal() {
    let error = case("new-p256")
        .statement(|statement| {
            statement["predicateType"] = format!("\u{1b}[2Jx\n{}", "y".repeat(10_000)).into();
        })
        .verify(&key_alone("p256"))
        .unwrap_err()
        .to_string();
    assert!(!error.contains('\u{1b}') && error.len() < 1000, "{error}");
    assert_eq!(error.lines().count(), 2, "{error}");
}

#[test]
fn claims_are_known_by_name() {
    for claim in Claim::ALL {
        assert_eq!(claim.as_str().parse::<Claim>().unwrap(), *claim);
    }
    let error = "workflow".parse::<Claim>().unwrap_err();
    assert!(error.hint().unwrap().contains("github-workflow-ref"));
}

#[test]
fn the_default_asks_for_a_log() {
    assert_eq!(alice().log, Log::Required);
    assert!(Match::pattern(".*").unwrap().matches("anybody"));
}
