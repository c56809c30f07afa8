//! What the real cosigns wrote is accepted, with the proofs that it carries.

use reseal_sign::verify::{
    Claim, Log, Match, Origin, SIGN_PREDICATE, Signer, Timestamps, VerifyPolicy, Who,
    verify_attestation,
};

use crate::world::*;

/// Verifies a recorded signature; says of each accepted one what proves it: logged, in the tree, timestamps, certificate seen.
fn proofs(name: &str, policy: &VerifyPolicy) -> Vec<(usize, bool, usize, bool)> {
    let found = case(name)
        .verify(policy)
        .unwrap_or_else(|e| panic!("{name}: {e}"));
    found
        .iter()
        .map(|one| {
            let proof = &one.proof;
            (
                proof.log_indexes.len(),
                proof.inclusion,
                proof.timestamps,
                proof.certificate_logged,
            )
        })
        .collect()
}

#[test]
fn signatures_of_every_kind_of_key_are_accepted_by_the_key_alone() {
    for (name, key) in [
        ("old-p256", "p256"),
        ("old-rsa", "rsa"),
        ("old-ed25519", "ed25519"),
        ("old-p384", "p384"),
        ("new-p256", "p256"),
        ("new-rsa", "rsa"),
    ] {
        assert_eq!(
            proofs(name, &key_alone(key)),
            [(0, false, 0, false)],
            "{name}"
        );
    }
}

#[test]
fn signatures_by_key_are_accepted_with_what_the_log_says() {
    for (name, key, proof) in [
        ("old-p256-rekor1", "p256", (1, false, 0, false)),
        ("old-rsa-rekor1", "rsa", (1, false, 0, false)),
        ("new-p256-rekor1", "p256", (1, true, 0, false)),
        ("new-p256-rekor1-tsa", "p256", (1, true, 1, false)),
        ("new-p256-rekor2", "p256", (1, true, 1, false)),
        ("new-p256-rekor2-untimed", "p256", (1, true, 0, false)),
        ("new-rsa-rekor2", "rsa", (1, true, 1, false)),
        ("new-rsa-rekor2-untimed", "rsa", (1, true, 0, false)),
    ] {
        assert_eq!(proofs(name, &key_logged(key)), [proof], "{name}");
    }
}

#[test]
fn signatures_by_certificate_are_accepted_with_log_certificate_log_and_timestamps() {
    for (name, proof) in [
        ("old-alice-rekor1", (1, false, 0, true)),
        ("old-alice-rekor1-tsa", (1, false, 1, true)),
        ("new-alice-rekor1", (1, true, 0, true)),
        ("new-alice-rekor1-tsa", (1, true, 1, true)),
        ("new-alice-rekor2", (1, true, 1, true)),
    ] {
        assert_eq!(proofs(name, &alice()), [proof], "{name}");
    }
}

#[test]
fn signatures_by_certificate_need_no_log_where_none_is_asked_for() {
    for name in [
        "old-alice-tsa",
        "new-alice-tsa",
        "old-alice-rekor1-tsa",
        "new-alice-rekor1-tsa",
        "new-alice-rekor2",
    ] {
        assert_eq!(
            proofs(name, &alice_timed()),
            [(0, false, 1, true)],
            "{name}"
        );
    }
}

#[test]
fn signatures_by_key_with_timestamps_need_no_log_where_none_is_asked_for() {
    for (name, key) in [
        ("new-p256-tsa", "p256"),
        ("new-p256-rekor1-tsa", "p256"),
        ("new-p256-rekor2", "p256"),
        ("new-rsa-rekor2", "rsa"),
    ] {
        let policy = VerifyPolicy {
            log: Log::Off,
            timestamps: Timestamps::Required,
            ..key_logged(key)
        };
        assert_eq!(proofs(name, &policy), [(0, false, 1, false)], "{name}");
    }
}

#[test]
fn the_signer_is_told() {
    let found = case("new-alice-rekor2").verify(&alice()).unwrap();
    let Signer::Identity {
        identity, issuer, ..
    } = &found[0].signer
    else {
        panic!("{:?}", found[0].signer)
    };
    assert_eq!(identity, ALICE);
    assert!(issuer.ends_with("/email"), "{issuer}");
    assert!(matches!(found[0].origin, Origin::Bundle { .. }));
    let times = &found[0].proof.times;
    assert!(times.len() == 1 && (1_700_000_000..NOW).contains(&times[0]));

    let found = case("old-p256").verify(&key_alone("p256")).unwrap();
    let Who::Key(public) = key("p256") else {
        unreachable!()
    };
    assert_eq!(
        found[0].signer,
        Signer::Key {
            hint: public.hint()
        }
    );
    assert!(matches!(found[0].origin, Origin::Signature { layer: 0 }));
    assert!(found[0].name.as_ref().unwrap().ends_with("/old-p256"));
}

#[test]
fn one_good_signature_among_others_is_enough() {
    for name in ["old-two-signers", "new-two-signers"] {
        for key in ["p256", "other"] {
            assert_eq!(proofs(name, &key_alone(key)).len(), 1, "{name} {key}");
        }
    }
}

#[test]
fn signed_annotations_are_told_and_can_be_asked_for() {
    for name in ["old-annotated", "new-annotated"] {
        let mut policy = key_alone("p256");
        policy
            .annotations
            .insert("env".to_owned(), "production".to_owned());
        let found = case(name).verify(&policy).unwrap();
        assert_eq!(found[0].annotations["env"], "production", "{name}");
    }
}

#[test]
fn a_github_job_is_known_by_its_claims() {
    let policy = VerifyPolicy::new(
        Who::Identity {
            identity: Match::pattern("https://github.com/acme/app/.*@refs/heads/main").unwrap(),
            issuer: issuer("github"),
            claims: vec![
                (Claim::WorkflowRepository, Match::exact("acme/app").unwrap()),
                (Claim::SourceRef, Match::exact("refs/heads/main").unwrap()),
                (
                    Claim::RunnerEnvironment,
                    Match::exact("github-hosted").unwrap(),
                ),
                (Claim::BuildTrigger, Match::exact("schedule").unwrap()),
            ],
        },
        Some(root()),
    );
    let found = case("new-github-rekor1").verify(&policy).unwrap();
    let Signer::Identity { claims, .. } = &found[0].signer else {
        panic!("{:?}", found[0].signer)
    };
    assert_eq!(claims[&Claim::SourceDigest], "a".repeat(40));
}

#[test]
fn attestations_of_both_forms_are_accepted() {
    let slsa = "https://slsa.dev/provenance/v1";
    let vuln = "https://cosign.sigstore.dev/attestation/vuln/v1";
    for (name, kind, policy, logged) in [
        ("old-attest-p256", OPENVEX, key_alone("p256"), false),
        ("old-attest-ed25519", OPENVEX, key_alone("ed25519"), false),
        ("old-attest-p256-rekor1", OPENVEX, key_logged("p256"), true),
        ("old-attest-alice-rekor1", OPENVEX, alice(), true),
        ("old-attest-alice-rekor1-tsa", OPENVEX, alice(), true),
        (
            "old-attest-alice-rekor1-tsa",
            OPENVEX,
            VerifyPolicy {
                timestamps: Timestamps::Required,
                ..alice()
            },
            true,
        ),
        (
            "old-attest-p256-tsa",
            OPENVEX,
            VerifyPolicy {
                log: Log::Off,
                timestamps: Timestamps::Required,
                ..key_logged("p256")
            },
            false,
        ),
        ("new-attest-p256", OPENVEX, key_alone("p256"), false),
        ("new-attest-p256", vuln, key_alone("p256"), false),
        ("new-attest-alice-rekor2", slsa, alice(), true),
    ] {
        let case = case(name);
        let found = verify_attestation(&case.collected, &case.subject, kind, &policy, NOW)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(found.len(), 1, "{name}");
        assert_eq!(found[0].predicate_type, kind);
        assert!(found[0].predicate.is_object(), "{name}");
        assert_eq!(!found[0].proof.log_indexes.is_empty(), logged, "{name}");
        let stamped = name.ends_with("-tsa") || name.ends_with("rekor2");
        assert_eq!(found[0].proof.timestamps, usize::from(stamped), "{name}");
    }
}

#[test]
fn a_signature_in_a_bundle_is_an_attestation_of_its_type() {
    let case = case("new-p256");
    assert!(states_a_signature(&case));
    let found = verify_attestation(
        &case.collected,
        &case.subject,
        SIGN_PREDICATE,
        &key_alone("p256"),
        NOW,
    );
    assert_eq!(found.unwrap().len(), 1);
}
