//! Whom keys and certificates stand for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reseal_sign::verify::{Claim, Log, Match, Reason, TrustedRoot, VerifyPolicy, Who};
use serde_json::{Value, json};

use crate::world::*;

fn by(identity: Match, issuer: Match) -> VerifyPolicy {
    VerifyPolicy::new(
        Who::Identity {
            identity,
            issuer,
            claims: Vec::new(),
        },
        Some(root()),
    )
}

/// Every signature of Alice that is in a log.
const ALICES: [&str; 5] = [
    "new-alice-rekor1",
    "new-alice-rekor1-tsa",
    "new-alice-rekor2",
    "old-alice-rekor1",
    "old-alice-rekor1-tsa",
];

#[test]
fn another_identity_is_refused() {
    for name in ALICES {
        for wanted in ["bob@example.com", "ALICE@example.com", "alice@example.co"] {
            let policy = by(Match::exact(wanted).unwrap(), issuer("email"));
            let reason = case(name).refused(&policy);
            assert!(
                matches!(&reason, Reason::OtherIdentity { found, .. } if found == ALICE),
                "{name}: {reason}"
            );
        }
    }
}

#[test]
fn a_pattern_that_matches_a_part_of_the_identity_is_refused() {
    for name in ALICES {
        for pattern in [
            "alice",
            "@example.com",
            "example",
            "alice@example.co",
            "^alice",
        ] {
            let policy = by(Match::pattern(pattern).unwrap(), issuer("email"));
            let reason = case(name).refused(&policy);
            assert!(
                matches!(reason, Reason::OtherIdentity { .. }),
                "{name} {pattern}: {reason}"
            );
        }
    }
}

#[test]
fn another_issuer_is_refused() {
    for name in ALICES {
        for wanted in [
            Match::exact("https://accounts.google.com").unwrap(),
            issuer("github"),
            Match::pattern("127.0.0.1").unwrap(),
        ] {
            let policy = by(Match::exact(ALICE).unwrap(), wanted);
            let reason = case(name).refused(&policy);
            assert!(
                matches!(reason, Reason::OtherIssuer { .. }),
                "{name}: {reason}"
            );
        }
    }
}

#[test]
fn another_workflow_is_refused() {
    let policy = |claim, wanted: &str| {
        VerifyPolicy::new(
            Who::Identity {
                identity: Match::pattern("https://github.com/acme/app/.*").unwrap(),
                issuer: issuer("github"),
                claims: vec![(claim, Match::exact(wanted).unwrap())],
            },
            Some(root()),
        )
    };
    for (claim, wanted) in [
        (Claim::WorkflowRepository, "acme/other"),
        (Claim::WorkflowRef, "refs/heads/feature"),
        (Claim::WorkflowTrigger, "pull_request"),
        (Claim::RunnerEnvironment, "self-hosted"),
        (
            Claim::SourceDigest,
            "0000000000000000000000000000000000000000",
        ),
    ] {
        let reason = case("new-github-rekor1").refused(&policy(claim, wanted));
        assert!(
            matches!(&reason, Reason::OtherClaim { claim: of, found: Some(_), .. } if *of == claim),
            "{reason}"
        );
    }
    // A claim that is not there is not what was asked for.
    let reason =
        case("new-github-rekor1").refused(&policy(Claim::DeploymentEnvironment, "production"));
    assert!(
        matches!(reason, Reason::OtherClaim { found: None, .. }),
        "{reason}"
    );
}

#[test]
fn another_key_is_refused() {
    for name in [
        "new-p256",
        "old-p256",
        "new-rsa",
        "old-rsa",
        "old-ed25519",
        "old-p384",
    ] {
        let reason = case(name).refused(&key_alone("other"));
        assert_eq!(reason, Reason::NotByKey, "{name}");
    }
    for name in ["new-p256-rekor1", "new-p256-rekor2", "old-p256-rekor1"] {
        let reason = case(name).refused(&key_logged("other"));
        assert_eq!(reason, Reason::NotByKey, "{name}");
    }
}

#[test]
fn a_certificate_is_not_taken_for_a_key() {
    for name in ALICES {
        for policy in [key_logged("p256"), key_alone("p256")] {
            let reason = case(name).refused(&policy);
            assert!(
                matches!(&reason, Reason::Certified { identity: Some(who) } if who == ALICE),
                "{name}: {reason}"
            );
        }
    }
}

#[test]
fn a_key_is_not_taken_for_a_certificate() {
    for name in [
        "new-p256-rekor1",
        "new-p256-rekor2",
        "old-p256-rekor1",
        "new-p256",
        "old-p256",
    ] {
        assert_eq!(case(name).refused(&alice()), Reason::Keyed, "{name}");
    }
}

#[test]
fn the_certificate_of_another_signature_is_refused() {
    for (name, other) in [
        ("new-alice-rekor1", "new-alice-rekor2"),
        ("new-alice-rekor2", "new-alice-rekor1"),
        ("new-alice-rekor1-tsa", "new-alice-rekor1"),
    ] {
        let foreign = case(other).first()["verificationMaterial"]["certificate"].clone();
        let reason = case(name)
            .bundle(|bundle| bundle["verificationMaterial"]["certificate"] = foreign)
            .refused(&alice());
        assert!(
            matches!(
                reason,
                Reason::Signature(_) | Reason::LogEntry(_) | Reason::Certificate(_)
            ),
            "{name}: {reason}"
        );
    }
}

#[test]
fn a_changed_certificate_is_refused() {
    for name in ["new-alice-rekor1", "new-alice-rekor2"] {
        // The name in the certificate, one letter changed.
        let reason = case(name)
            .bundle(|bundle| {
                let place = &mut bundle["verificationMaterial"]["certificate"]["rawBytes"];
                let mut der = STANDARD.decode(text(place)).unwrap();
                let at = der
                    .windows(ALICE.len())
                    .position(|part| part == ALICE.as_bytes())
                    .unwrap();
                der[at] = b'm';
                *place = STANDARD.encode(der).into();
            })
            .refused(&by(
                Match::exact("mlice@example.com").unwrap(),
                issuer("email"),
            ));
        assert!(matches!(reason, Reason::Certificate(_)), "{name}: {reason}");
    }
}

#[test]
fn an_authority_that_is_not_trusted_is_refused() {
    let stranger = root_with(|root| {
        let careless = careless();
        root["certificateAuthorities"] = json!([careless]);
    });
    for name in ALICES {
        let reason = case(name).refused(&with_root(alice(), stranger.clone()));
        assert!(matches!(reason, Reason::Certificate(_)), "{name}: {reason}");
    }
}

#[test]
fn an_authority_is_trusted_in_its_time_only() {
    for window in [
        json!({"start": "2020-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z"}),
        json!({"start": "2031-01-01T00:00:00Z"}),
    ] {
        let changed = root_with(|root| root["certificateAuthorities"][0]["validFor"] = window);
        for name in ALICES {
            let reason = case(name).refused(&with_root(alice(), changed.clone()));
            assert!(matches!(reason, Reason::Certificate(_)), "{name}: {reason}");
        }
    }
}

#[test]
fn a_timestamp_authority_is_trusted_in_its_time_only() {
    let changed = root_with(|root| {
        root["timestampAuthorities"][0]["validFor"] =
            json!({"start": "2020-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z"});
    });
    for (name, policy) in [
        ("new-alice-rekor2", alice()),
        ("new-alice-tsa", alice_timed()),
        ("old-alice-tsa", alice_timed()),
    ] {
        let reason = case(name).refused(&with_root(policy, changed.clone()));
        assert!(matches!(reason, Reason::Timestamp(_)), "{name}: {reason}");
    }
}

#[test]
fn a_timestamp_authority_that_is_not_trusted_is_refused() {
    let changed = root_with(|root| {
        root["timestampAuthorities"] = json!([careless()]);
    });
    for (name, policy) in [
        ("new-alice-rekor2", alice()),
        ("new-p256-rekor2", key_logged("p256")),
        ("new-rsa-rekor2", key_logged("rsa")),
        ("new-alice-tsa", alice_timed()),
    ] {
        let reason = case(name).refused(&with_root(policy, changed.clone()));
        assert!(matches!(reason, Reason::Timestamp(_)), "{name}: {reason}");
    }
}

#[test]
fn a_log_is_trusted_in_its_time_only() {
    for window in [
        json!({"start": "2020-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z"}),
        json!({"start": "2031-01-01T00:00:00Z"}),
    ] {
        let changed = root_with(|root| {
            for log in root["tlogs"].as_array_mut().unwrap() {
                log["publicKey"]["validFor"] = window.clone();
            }
        });
        for (name, policy) in [
            ("new-alice-rekor1", alice()),
            ("new-alice-rekor2", alice()),
            ("old-alice-rekor1", alice()),
            ("new-p256-rekor1", key_logged("p256")),
            ("new-p256-rekor2", key_logged("p256")),
            ("new-rsa-rekor2", key_logged("rsa")),
            ("old-p256-rekor1", key_logged("p256")),
        ] {
            let reason = case(name).refused(&with_root(policy, changed.clone()));
            assert!(
                matches!(reason, Reason::LogEntry(_) | Reason::LogNotTrusted),
                "{name}: {reason}"
            );
        }
    }
}

#[test]
fn a_log_that_is_not_trusted_is_refused() {
    // The two logs know each other's signatures only.
    let swapped = root_with(|root| {
        let logs = root["tlogs"].as_array_mut().unwrap();
        let key = logs[0]["publicKey"].clone();
        logs[0]["publicKey"] = logs[1]["publicKey"].clone();
        logs[1]["publicKey"] = key;
    });
    for (name, policy) in [
        ("new-alice-rekor1", alice()),
        ("new-alice-rekor2", alice()),
        ("old-alice-rekor1", alice()),
        ("new-p256-rekor2-untimed", key_logged("p256")),
        ("new-rsa-rekor2-untimed", key_logged("rsa")),
    ] {
        let reason = case(name).refused(&with_root(policy, swapped.clone()));
        assert!(matches!(reason, Reason::LogEntry(_)), "{name}: {reason}");
    }
}

#[test]
fn a_certificate_that_no_certificate_log_has_seen_is_refused() {
    let trusting = root_with(|root| {
        root["certificateAuthorities"]
            .as_array_mut()
            .unwrap()
            .push(careless());
    });
    let reason = case("careless-unlogged").refused(&with_root(alice_timed(), trusting));
    assert!(
        matches!(&reason, Reason::Certificate(why) if why.contains("signed certificate timestamp")),
        "{reason}"
    );
}

#[test]
fn a_certificate_log_that_is_not_trusted_is_refused() {
    let changed = root_with(|root| root["ctlogs"][0]["logId"]["keyId"] = "A".repeat(43).into());
    for name in ALICES {
        let reason = case(name).refused(&with_root(alice(), changed.clone()));
        assert!(
            matches!(&reason, Reason::Certificate(why) if why.contains("signed certificate timestamp")),
            "{name}: {reason}"
        );
    }
}

#[test]
fn a_certificate_log_is_trusted_in_its_time_only() {
    let changed = root_with(|root| {
        root["ctlogs"][0]["publicKey"]["validFor"] =
            json!({"start": "2020-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z"});
    });
    for name in ALICES {
        let reason = case(name).refused(&with_root(alice(), changed.clone()));
        assert!(matches!(reason, Reason::Certificate(_)), "{name}: {reason}");
    }
}

#[test]
fn an_instance_without_a_certificate_log_is_taken_where_that_is_said() {
    let trusting = root_with(|root| {
        root["certificateAuthorities"] = json!([careless()]);
        root["ctlogs"] = json!([]);
    });
    let policy = VerifyPolicy {
        certificate_log: Log::Off,
        ..with_root(alice_timed(), trusting)
    };
    let found = case("careless-unlogged").verify(&policy).unwrap();
    assert!(!found[0].proof.certificate_logged);
}

#[test]
fn a_certificate_that_had_expired_is_refused() {
    let trusting = root_with(|root| {
        root["certificateAuthorities"]
            .as_array_mut()
            .unwrap()
            .push(careless());
    });
    let reason = case("careless-expired").refused(&with_root(alice_timed(), trusting));
    assert!(
        matches!(&reason, Reason::Certificate(why) if !why.contains("signed certificate timestamp")),
        "{reason}"
    );
}

/// The authority that makes certificates without a certificate log, as a trusted root has it.
fn careless() -> Value {
    json!({
        "subject": {"organization": "careless", "commonName": "careless root"},
        "uri": "http://careless.example",
        "certChain": {"certificates": [{"rawBytes": String::from_utf8(file("careless.b64")).unwrap()}]},
        "validFor": {"start": "2010-01-01T00:00:00Z"},
    })
}

#[test]
fn the_public_instances_root_can_be_read() {
    let root = TrustedRoot::public_instance().unwrap();
    assert!(root.has_logs() && root.has_certificate_authorities());
    // And it does not trust the recorded signatures.
    for name in ALICES {
        let reason = case(name).refused(&with_root(alice(), root.clone()));
        assert!(
            matches!(
                reason,
                Reason::Certificate(_) | Reason::LogEntry(_) | Reason::Timestamp(_)
            ),
            "{name}: {reason}"
        );
    }
}
