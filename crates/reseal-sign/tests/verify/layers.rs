//! Forged layers of `.sig` and `.att` tags, each refused for its own reason.

use reseal_sign::store::{
    CERTIFICATE_ANNOTATION, CHAIN_ANNOTATION, FoundLegacy, LOG_ANNOTATION, SIGNATURE_ANNOTATION,
    TIMESTAMP_ANNOTATION,
};
use reseal_sign::verify::{Log, Reason, Timestamps, VerifyPolicy};
use serde_json::{Value, json};

use crate::world::*;

fn logged() -> Vec<(&'static str, VerifyPolicy)> {
    vec![
        ("old-p256-rekor1", key_logged("p256")),
        ("old-rsa-rekor1", key_logged("rsa")),
        ("old-alice-rekor1", alice()),
        ("old-alice-rekor1-tsa", alice()),
    ]
}

fn all() -> Vec<(&'static str, VerifyPolicy)> {
    let mut all = logged();
    all.extend([
        ("old-p256", key_alone("p256")),
        ("old-rsa", key_alone("rsa")),
        ("old-ed25519", key_alone("ed25519")),
        ("old-p384", key_alone("p384")),
        ("old-alice-tsa", alice_timed()),
    ]);
    all
}

fn is_broken(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::NotByKey
            | Reason::Signature(_)
            | Reason::LogEntry(_)
            | Reason::Timestamp(_)
            | Reason::Certificate(_)
    )
}

#[test]
fn a_changed_payload_is_refused() {
    for (name, policy) in all() {
        let reason = case(name)
            .layer(|layer| {
                let mut payload: Value = serde_json::from_slice(&layer.payload).unwrap();
                payload["optional"] = json!({"approved": "yes"});
                layer.payload = payload.to_string().into_bytes();
            })
            .refused(&policy);
        assert!(is_broken(&reason), "{name}: {reason}");
    }
}

#[test]
fn a_payload_with_another_byte_is_refused() {
    for (name, policy) in all() {
        let reason = case(name)
            .layer(|layer| layer.payload.push(b'\n'))
            .refused(&policy);
        assert!(is_broken(&reason), "{name}: {reason}");
    }
}

#[test]
fn the_signature_of_another_image_is_refused() {
    for (name, policy) in all() {
        case(name).refused_for_another_image(name, &policy);
    }
}

#[test]
fn a_payload_changed_to_this_image_is_refused() {
    for (name, policy) in all() {
        let mut case = case(name).layer(|layer| {
            let mut payload: Value = serde_json::from_slice(&layer.payload).unwrap();
            payload["critical"]["image"]["docker-manifest-digest"] =
                format!("sha256:{}", "0".repeat(64)).into();
            layer.payload = payload.to_string().into_bytes();
        });
        case.subject = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
        let reason = case.refused(&policy);
        assert!(is_broken(&reason), "{name}: {reason}");
    }
}

#[test]
fn a_payload_of_another_type_is_refused() {
    let reason = case("old-p256")
        .layer(|layer| {
            let mut payload: Value = serde_json::from_slice(&layer.payload).unwrap();
            payload["critical"]["type"] = "atomic container signature".into();
            layer.payload = payload.to_string().into_bytes();
        })
        .refused(&key_alone("p256"));
    assert!(matches!(reason, Reason::Malformed(_)), "{reason}");
}

#[test]
fn a_digest_that_is_there_twice_is_refused() {
    let case = case("old-p256").layer(|layer| {
        let text = String::from_utf8(layer.payload.clone()).unwrap();
        layer.payload = text
            .replacen(
                r#""image":{"#,
                &format!(
                    r#""image":{{"docker-manifest-digest":"sha256:{}","#,
                    "0".repeat(64)
                ),
                1,
            )
            .into_bytes();
    });
    let reason = case.refused(&key_alone("p256"));
    assert!(matches!(reason, Reason::Malformed(_)), "{reason}");
}

#[test]
fn a_changed_signature_is_refused() {
    for (name, policy) in all() {
        let reason = case(name)
            .layer(|layer| {
                let place = layer.annotations.get_mut(SIGNATURE_ANNOTATION).unwrap();
                let mut value = Value::String(place.clone());
                flip(&mut value);
                *place = text(&value);
            })
            .refused(&policy);
        assert!(is_broken(&reason), "{name}: {reason}");
    }
}

#[test]
fn a_layer_without_a_signature_is_refused() {
    for (name, policy) in all() {
        let reason = case(name)
            .layer(|layer| {
                layer.annotations.remove(SIGNATURE_ANNOTATION);
            })
            .refused(&policy);
        assert!(matches!(reason, Reason::Malformed(_)), "{name}: {reason}");
        let reason = case(name)
            .layer(|layer| {
                layer
                    .annotations
                    .insert(SIGNATURE_ANNOTATION.to_owned(), String::new());
            })
            .refused(&policy);
        assert!(is_broken(&reason), "{name}: {reason}");
    }
}

#[test]
fn a_layer_without_its_log_entry_is_refused() {
    for (name, policy) in logged() {
        let reason = case(name)
            .layer(|layer| {
                layer.annotations.remove(LOG_ANNOTATION);
            })
            .refused(&policy);
        assert_eq!(reason, Reason::NotLogged, "{name}");
    }
    assert_eq!(
        case("old-p256").refused(&key_logged("p256")),
        Reason::NotLogged
    );
    assert_eq!(case("old-alice-tsa").refused(&alice()), Reason::NotLogged);
}

#[test]
fn the_log_entry_of_another_layer_is_refused() {
    for (name, other, policy) in [
        ("old-p256-rekor1", "old-rsa-rekor1", key_logged("p256")),
        ("old-alice-rekor1", "old-alice-rekor1-tsa", alice()),
        ("old-alice-rekor1", "old-p256-rekor1", alice()),
        ("old-p256-rekor1", "old-alice-rekor1", key_logged("p256")),
    ] {
        let foreign = case(other).collected.signatures[0].annotations[LOG_ANNOTATION].clone();
        let reason = case(name)
            .layer(|layer| {
                layer.annotations.insert(LOG_ANNOTATION.to_owned(), foreign);
            })
            .refused(&policy);
        assert!(
            matches!(reason, Reason::LogEntry(_) | Reason::Certificate(_)),
            "{name}: {reason}"
        );
    }
}

#[test]
fn a_changed_log_entry_is_refused() {
    for (name, policy) in logged() {
        for (place, value) in [
            ("integratedTime", json!(1_795_550_000)),
            ("logIndex", json!(77)),
            ("logID", json!("0".repeat(64))),
        ] {
            let reason = case(name)
                .annotation(LOG_ANNOTATION, |log| log["Payload"][place] = value)
                .refused(&policy);
            assert!(
                matches!(reason, Reason::LogEntry(_) | Reason::Certificate(_)),
                "{name} {place}: {reason}"
            );
        }
        let reason = case(name)
            .annotation(LOG_ANNOTATION, |log| flip(&mut log["SignedEntryTimestamp"]))
            .refused(&policy);
        assert!(matches!(reason, Reason::LogEntry(_)), "{name}: {reason}");
        let reason = case(name)
            .annotation(LOG_ANNOTATION, |log| {
                change_base64(&mut log["Payload"]["body"], |body| {
                    body["spec"]["extra"] = 1.into();
                });
            })
            .refused(&policy);
        assert!(matches!(reason, Reason::LogEntry(_)), "{name}: {reason}");
    }
}

#[test]
fn an_entry_of_another_kind_is_refused() {
    // The promise covers the body, so a genuine entry of an attestation is the only way to have one.
    let foreign = case("old-attest-p256-rekor1").collected.attestations[0].annotations
        [LOG_ANNOTATION]
        .clone();
    let reason = case("old-p256-rekor1")
        .layer(|layer| {
            layer.annotations.insert(LOG_ANNOTATION.to_owned(), foreign);
        })
        .refused(&key_logged("p256"));
    assert!(
        matches!(reason, Reason::LogEntry(_) | Reason::Unsupported(_)),
        "{reason}"
    );
}

#[test]
fn the_timestamp_of_another_layer_is_refused() {
    for (name, other, policy) in [
        ("old-alice-tsa", "old-alice-rekor1-tsa", alice_timed()),
        ("old-alice-rekor1-tsa", "old-alice-tsa", alice()),
    ] {
        let foreign = case(other).collected.signatures[0].annotations[TIMESTAMP_ANNOTATION].clone();
        let reason = case(name)
            .layer(|layer| {
                layer
                    .annotations
                    .insert(TIMESTAMP_ANNOTATION.to_owned(), foreign);
            })
            .refused(&policy);
        assert!(matches!(reason, Reason::Timestamp(_)), "{name}: {reason}");
    }
}

#[test]
fn a_certificate_without_any_time_is_refused() {
    let reason = case("old-alice-tsa")
        .layer(|layer| {
            layer.annotations.remove(TIMESTAMP_ANNOTATION);
        })
        .refused(&alice_timed());
    assert_eq!(reason, Reason::NoTimestamp);
}

#[test]
fn the_certificate_of_another_layer_is_refused() {
    let foreign = case("old-alice-rekor1-tsa").collected.signatures[0].annotations
        [CERTIFICATE_ANNOTATION]
        .clone();
    for (name, policy) in [
        ("old-alice-rekor1", alice()),
        ("old-alice-tsa", alice_timed()),
    ] {
        let reason = case(name)
            .layer(|layer| {
                layer
                    .annotations
                    .insert(CERTIFICATE_ANNOTATION.to_owned(), foreign.clone());
            })
            .refused(&policy);
        assert!(is_broken(&reason), "{name}: {reason}");
    }
}

#[test]
fn the_chain_in_the_layer_is_no_root_of_trust() {
    let pem = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        String::from_utf8(file("careless.b64")).unwrap()
    );
    let careless = case("careless-unlogged").first();
    let leaf = text(&careless["verificationMaterial"]["certificate"]["rawBytes"]);
    let leaf = format!("-----BEGIN CERTIFICATE-----\n{leaf}\n-----END CERTIFICATE-----\n");
    let reason = case("old-alice-rekor1")
        .layer(|layer| {
            layer
                .annotations
                .insert(CERTIFICATE_ANNOTATION.to_owned(), leaf);
            layer.annotations.insert(CHAIN_ANNOTATION.to_owned(), pem);
        })
        .refused(&alice());
    assert!(matches!(reason, Reason::Certificate(_)), "{reason}");
}

#[test]
fn an_attestation_in_a_tag_is_known_by_what_it_states() {
    let vuln = "https://cosign.sigstore.dev/attestation/vuln/v1";
    let mut forged = case("old-attest-p256");
    forged.collected.attestations[0]
        .annotations
        .insert("predicateType".to_owned(), vuln.to_owned());
    let reason = forged.attestation_refused(vuln, &key_alone("p256"));
    assert!(
        matches!(&reason, Reason::OtherPredicate { found, .. } if found == OPENVEX),
        "{reason}"
    );
}

#[test]
fn a_changed_attestation_in_a_tag_is_refused() {
    for (name, policy) in [
        ("old-attest-p256", key_alone("p256")),
        ("old-attest-ed25519", key_alone("ed25519")),
        ("old-attest-p256-rekor1", key_logged("p256")),
        ("old-attest-alice-rekor1", alice()),
    ] {
        let mut forged = case(name);
        let payload = &mut forged.collected.attestations[0].payload;
        let mut envelope: Value = serde_json::from_slice(payload).unwrap();
        change_base64(&mut envelope["payload"], |statement| {
            statement["predicate"]["statements"] = json!([{"status": "not_affected"}]);
        });
        *payload = envelope.to_string().into_bytes();
        let reason = forged.attestation_refused(OPENVEX, &policy);
        assert!(is_broken(&reason), "{name}: {reason}");
    }
}

#[test]
fn an_attestation_in_a_tag_without_its_log_entry_is_refused() {
    for (name, policy) in [
        ("old-attest-p256-rekor1", key_logged("p256")),
        ("old-attest-alice-rekor1", alice()),
    ] {
        let mut forged = case(name);
        forged.collected.attestations[0]
            .annotations
            .remove(LOG_ANNOTATION);
        assert_eq!(
            forged.attestation_refused(OPENVEX, &policy),
            Reason::NotLogged,
            "{name}"
        );
    }
}

#[test]
fn the_timestamp_of_an_attestation_in_a_tag_is_for_its_envelope() {
    let timed = VerifyPolicy {
        log: Log::Off,
        timestamps: Timestamps::Required,
        ..key_logged("p256")
    };
    let stamp = |name: &str, layers: fn(&Case) -> &FoundLegacy| {
        layers(&case(name)).annotations[TIMESTAMP_ANNOTATION].clone()
    };
    for (name, policy, foreign) in [
        (
            "old-attest-p256-tsa",
            timed.clone(),
            stamp("old-alice-tsa", |case| &case.collected.signatures[0]),
        ),
        (
            "old-attest-p256-tsa",
            timed.clone(),
            stamp("old-attest-alice-rekor1-tsa", |case| {
                &case.collected.attestations[0]
            }),
        ),
        (
            "old-attest-alice-rekor1-tsa",
            alice(),
            stamp("old-attest-p256-tsa", |case| {
                &case.collected.attestations[0]
            }),
        ),
    ] {
        let mut forged = case(name);
        forged.collected.attestations[0]
            .annotations
            .insert(TIMESTAMP_ANNOTATION.to_owned(), foreign);
        let reason = forged.attestation_refused(OPENVEX, &policy);
        assert!(matches!(reason, Reason::Timestamp(_)), "{name}: {reason}");
    }
    let mut bare = case("old-attest-p256-tsa");
    bare.collected.attestations[0]
        .annotations
        .remove(TIMESTAMP_ANNOTATION);
    assert_eq!(
        bare.attestation_refused(OPENVEX, &timed),
        Reason::NoTimestamp
    );
    // Without a log, such a timestamp cannot vouch for a certificate.
    let mut unlogged = case("old-attest-alice-rekor1-tsa");
    unlogged.collected.attestations[0]
        .annotations
        .remove(LOG_ANNOTATION);
    let reason = unlogged.attestation_refused(OPENVEX, &alice_timed());
    assert!(matches!(reason, Reason::Unsupported(_)), "{reason}");
}

#[test]
fn a_timestamp_authority_of_attestations_in_tags_is_trusted_in_its_time_only() {
    let changed = root_with(|root| {
        root["timestampAuthorities"][0]["validFor"] =
            json!({"start": "2020-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z"});
    });
    let timed = VerifyPolicy {
        log: Log::Off,
        timestamps: Timestamps::Required,
        ..key_logged("p256")
    };
    for (name, policy) in [
        ("old-attest-p256-tsa", timed),
        ("old-attest-alice-rekor1-tsa", alice()),
    ] {
        let reason = case(name).attestation_refused(OPENVEX, &with_root(policy, changed.clone()));
        assert!(matches!(reason, Reason::Timestamp(_)), "{name}: {reason}");
    }
}

#[test]
fn an_attestation_in_the_signature_tag_is_no_signature() {
    let mut forged = case("old-attest-p256");
    forged.collected.signatures = std::mem::take(&mut forged.collected.attestations);
    let reason = forged.refused(&key_alone("p256"));
    assert!(matches!(reason, Reason::Malformed(_)), "{reason}");
}

#[test]
fn a_signature_in_the_attestation_tag_is_no_attestation() {
    let mut forged = case("old-p256");
    forged.collected.attestations = std::mem::take(&mut forged.collected.signatures);
    let reason = forged.attestation_refused(OPENVEX, &key_alone("p256"));
    assert!(matches!(reason, Reason::Malformed(_)), "{reason}");
}

#[test]
fn garbage_in_annotations_is_refused() {
    let long = "x".repeat(100_000);
    for name in [
        SIGNATURE_ANNOTATION,
        CERTIFICATE_ANNOTATION,
        LOG_ANNOTATION,
        TIMESTAMP_ANNOTATION,
    ] {
        for garbage in ["{", "{}", "null", "[]", "\u{0}", "=", long.as_str()] {
            let reason = case("old-alice-rekor1-tsa")
                .layer(|layer| {
                    layer
                        .annotations
                        .insert(name.to_owned(), garbage.to_owned());
                })
                .refused(&alice());
            assert!(
                matches!(reason, Reason::Malformed(_)) || is_broken(&reason),
                "{name} {garbage:.9}: {reason}"
            );
            assert!(reason.to_string().len() < 1000, "{name} {garbage:.9}");
        }
    }
    let chain = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n".repeat(1000);
    let reason = case("old-alice-rekor1")
        .layer(|layer| {
            layer.annotations.insert(CHAIN_ANNOTATION.to_owned(), chain);
        })
        .refused(&alice());
    assert!(matches!(reason, Reason::Malformed(_)), "{reason}");
}
