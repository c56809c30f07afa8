//! Forged bundles, each refused for its own reason.

use reseal_sign::verify::{
    Log, Reason, SIGN_PREDICATE, Timestamps, VerifyPolicy, verify_signature,
};
use serde_json::{Value, json};

use crate::world::*;

const ENTRIES: &str = "tlogEntries";

fn entry(bundle: &mut Value) -> &mut Value {
    &mut bundle["verificationMaterial"][ENTRIES][0]
}

/// The bundles that are in a log, each with the policy that accepts it as it is.
fn logged() -> Vec<(&'static str, VerifyPolicy)> {
    vec![
        ("new-p256-rekor1", key_logged("p256")),
        ("new-p256-rekor1-tsa", key_logged("p256")),
        ("new-p256-rekor2", key_logged("p256")),
        ("new-p256-rekor2-untimed", key_logged("p256")),
        ("new-rsa-rekor2", key_logged("rsa")),
        ("new-rsa-rekor2-untimed", key_logged("rsa")),
        ("new-alice-rekor1", alice()),
        ("new-alice-rekor1-tsa", alice()),
        ("new-alice-rekor2", alice()),
    ]
}

/// All bundles.
fn all() -> Vec<(&'static str, VerifyPolicy)> {
    let mut all = logged();
    all.extend([
        ("new-p256", key_alone("p256")),
        ("new-rsa", key_alone("rsa")),
        ("new-alice-tsa", alice_timed()),
    ]);
    all
}

#[test]
fn a_changed_statement_is_refused() {
    for (name, policy) in all() {
        let reason = case(name)
            .statement(|statement| statement["predicate"] = json!({"approved": true}))
            .refused(&policy);
        assert!(
            matches!(
                reason,
                Reason::NotByKey | Reason::Signature(_) | Reason::LogEntry(_)
            ),
            "{name}: {reason}"
        );
    }
}

#[test]
fn a_changed_signature_is_refused() {
    for (name, policy) in all() {
        let reason = case(name)
            .bundle(|bundle| flip(&mut bundle["dsseEnvelope"]["signatures"][0]["sig"]))
            .refused(&policy);
        assert!(
            matches!(
                reason,
                Reason::NotByKey
                    | Reason::Signature(_)
                    | Reason::LogEntry(_)
                    | Reason::Timestamp(_)
            ),
            "{name}: {reason}"
        );
    }
}

#[test]
fn a_statement_about_another_image_is_refused_whoever_signed_it() {
    for (name, policy) in all() {
        case(name).refused_for_another_image(name, &policy);
    }
}

#[test]
fn a_subject_changed_to_this_image_is_refused() {
    for (name, policy) in all() {
        let mut case = case(name).statement(|statement| {
            statement["subject"][0]["digest"]["sha256"] = "0".repeat(64).into();
        });
        case.subject = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
        let reason = case.refused(&policy);
        assert!(
            matches!(
                reason,
                Reason::NotByKey | Reason::Signature(_) | Reason::LogEntry(_)
            ),
            "{name}: {reason}"
        );
    }
}

#[test]
fn an_attestation_is_no_signature() {
    let vex = case("new-attest-p256");
    for bundle in &vex.collected.bundles {
        let mut one = vex.clone();
        one.collected.bundles = vec![bundle.clone()];
        let reason = one.refused(&key_alone("p256"));
        assert!(matches!(reason, Reason::OtherPredicate { .. }), "{reason}");
    }
    let reason = case("new-attest-alice-rekor2").refused(&alice());
    assert!(matches!(reason, Reason::OtherPredicate { .. }), "{reason}");
}

#[test]
fn an_attestation_that_its_manifest_calls_a_signature_is_none() {
    let mut forged = case("new-attest-alice-rekor2");
    forged.collected.bundles[0].predicate_type = Some(SIGN_PREDICATE.to_owned());
    let reason = forged.refused(&alice());
    assert!(matches!(reason, Reason::OtherPredicate { .. }), "{reason}");
}

#[test]
fn an_attestation_whose_statement_was_made_a_signature_is_refused() {
    let reason = case("new-attest-alice-rekor2")
        .statement(|statement| statement["predicateType"] = SIGN_PREDICATE.into())
        .refused(&alice());
    assert!(
        matches!(reason, Reason::Signature(_) | Reason::LogEntry(_)),
        "{reason}"
    );
}

#[test]
fn a_signature_is_no_attestation() {
    let reason = case("new-p256").attestation_refused(OPENVEX, &key_alone("p256"));
    assert!(matches!(reason, Reason::OtherPredicate { .. }), "{reason}");
}

#[test]
fn signed_bytes_are_no_statement() {
    let reason = case("new-blob").refused(&key_alone("p256"));
    assert_eq!(reason, Reason::NoStatement);
}

#[test]
fn another_payload_type_is_no_statement() {
    let reason = case("new-p256")
        .bundle(|bundle| bundle["dsseEnvelope"]["payloadType"] = "text/plain".into())
        .refused(&key_alone("p256"));
    assert_eq!(reason, Reason::NoStatement);
}

#[test]
fn two_signatures_in_one_envelope_are_refused() {
    for (name, policy) in all() {
        let reason = case(name)
            .bundle(|bundle| {
                let list = bundle["dsseEnvelope"]["signatures"].as_array_mut().unwrap();
                list.push(list[0].clone());
            })
            .refused(&policy);
        assert!(matches!(reason, Reason::Malformed(_)), "{name}: {reason}");
    }
}

#[test]
fn a_field_that_is_there_twice_is_refused() {
    let case = case("new-p256");
    let mut forged = case.clone();
    let text = String::from_utf8(case.collected.bundles[0].bytes.clone()).unwrap();
    forged.collected.bundles[0].bytes =
        text.replacen('{', r#"{"dsseEnvelope":{},"#, 1).into_bytes();
    let reason = forged.refused(&key_alone("p256"));
    assert!(matches!(reason, Reason::Malformed(_)), "{reason}");
}

#[test]
fn a_bundle_without_its_log_entry_is_refused() {
    for (name, policy) in logged() {
        for gone in [json!([]), Value::Null] {
            let case = case(name).bundle(|bundle| {
                let material = bundle["verificationMaterial"].as_object_mut().unwrap();
                if gone.is_null() {
                    material.remove(ENTRIES);
                } else {
                    material[ENTRIES] = gone.clone();
                }
            });
            assert_eq!(case.refused(&policy), Reason::NotLogged, "{name}");
        }
    }
    // What never was in a log.
    let reason = case("new-p256").refused(&key_logged("p256"));
    assert_eq!(reason, Reason::NotLogged);
    assert_eq!(case("new-alice-tsa").refused(&alice()), Reason::NotLogged);
}

#[test]
fn the_log_entry_of_another_signature_is_refused() {
    for (name, other, policy) in [
        ("new-p256-rekor1", "new-p256-rekor1-tsa", key_logged("p256")),
        (
            "new-p256-rekor2",
            "new-p256-rekor2-untimed",
            key_logged("p256"),
        ),
        ("new-p256-rekor2", "new-p256-rekor1", key_logged("p256")),
        (
            "new-rsa-rekor2",
            "new-rsa-rekor2-untimed",
            key_logged("rsa"),
        ),
        ("new-rsa-rekor2", "new-p256-rekor2", key_logged("rsa")),
        ("new-rsa-rekor2", "new-p256-rekor1", key_logged("rsa")),
        ("new-alice-rekor1", "new-alice-rekor1-tsa", alice()),
        ("new-alice-rekor1-tsa", "new-alice-rekor1", alice()),
        ("new-alice-rekor2", "new-attest-alice-rekor2", alice()),
        ("new-alice-rekor1-tsa", "new-p256-rekor1-tsa", alice()),
    ] {
        let foreign = case(other).first()["verificationMaterial"][ENTRIES][0].clone();
        let swapped = case(name).bundle(|bundle| *entry(bundle) = foreign.clone());
        let reason = swapped.refused(&policy);
        assert!(
            matches!(
                reason,
                Reason::LogEntry(_) | Reason::Certificate(_) | Reason::Unsupported(_)
            ),
            "{name}: {reason}"
        );
        // Beside the genuine entry it is no better.
        let added = case(name).bundle(|bundle| {
            bundle["verificationMaterial"][ENTRIES]
                .as_array_mut()
                .unwrap()
                .push(foreign);
        });
        let reason = added.refused(&policy);
        assert!(
            matches!(
                reason,
                Reason::LogEntry(_) | Reason::Certificate(_) | Reason::Unsupported(_)
            ),
            "{name}: {reason}"
        );
    }
}

#[test]
fn a_changed_log_entry_is_refused() {
    for (name, policy) in logged() {
        let reason = case(name)
            .bundle(|bundle| {
                change_base64(&mut entry(bundle)["canonicalizedBody"], |body| {
                    body["spec"]["extra"] = 1.into();
                });
            })
            .refused(&policy);
        assert!(matches!(reason, Reason::LogEntry(_)), "{name}: {reason}");
    }
}

#[test]
fn a_log_entry_without_its_proof_is_refused() {
    for (name, policy) in logged() {
        let reason = case(name)
            .bundle(|bundle| {
                entry(bundle)
                    .as_object_mut()
                    .unwrap()
                    .remove("inclusionProof");
            })
            .refused(&policy);
        assert!(matches!(reason, Reason::LogEntry(_)), "{name}: {reason}");
    }
}

#[test]
fn a_changed_proof_is_refused() {
    for (name, policy) in logged() {
        let length =
            case(name).first()["verificationMaterial"][ENTRIES][0]["inclusionProof"]["hashes"]
                .as_array()
                .map_or(0, Vec::len);
        if length > 0 {
            let reason = case(name)
                .bundle(|bundle| flip(&mut entry(bundle)["inclusionProof"]["hashes"][0]))
                .refused(&policy);
            assert!(matches!(reason, Reason::LogEntry(_)), "{name}: {reason}");
        }
        let reason = case(name)
            .bundle(|bundle| {
                entry(bundle)["inclusionProof"]["hashes"] = json!([]);
                entry(bundle)["inclusionProof"]["treeSize"] = "77".into();
                entry(bundle)["logIndex"] = "76".into();
            })
            .refused(&policy);
        assert!(matches!(reason, Reason::LogEntry(_)), "{name}: {reason}");
    }
}

#[test]
fn a_checkpoint_that_the_log_did_not_sign_is_refused() {
    for (name, policy) in logged() {
        let reason = case(name)
            .bundle(|bundle| {
                let place = &mut entry(bundle)["inclusionProof"]["checkpoint"]["envelope"];
                let note = text(place);
                // The last character but one of the signature's base64.
                let at = note.trim_end().len() - 4;
                let other = if &note[at..=at] == "A" { "B" } else { "A" };
                *place = format!("{}{other}{}", &note[..at], &note[at + 1..]).into();
            })
            .refused(&policy);
        assert!(matches!(reason, Reason::LogEntry(_)), "{name}: {reason}");
    }
}

#[test]
fn a_log_entry_without_its_promise_gives_no_time() {
    let reason = case("new-alice-rekor1")
        .bundle(|bundle| {
            entry(bundle)
                .as_object_mut()
                .unwrap()
                .remove("inclusionPromise");
        })
        .refused(&alice());
    assert_eq!(reason, Reason::NoTimestamp);
}

#[test]
fn a_changed_promise_is_refused() {
    for (name, policy) in logged() {
        if name.contains("rekor2") {
            continue;
        }
        let reason = case(name)
            .bundle(|bundle| flip(&mut entry(bundle)["inclusionPromise"]["signedEntryTimestamp"]))
            .refused(&policy);
        assert!(matches!(reason, Reason::LogEntry(_)), "{name}: {reason}");
    }
}

#[test]
fn a_shifted_log_time_is_refused() {
    for (name, policy) in logged() {
        if name.contains("rekor2") {
            continue;
        }
        for shift in [-86_400, -1, 1, 86_400] {
            let reason = case(name)
                .bundle(|bundle| {
                    let place = &mut entry(bundle)["integratedTime"];
                    let time: i64 = text(place).parse().unwrap();
                    *place = (time + shift).to_string().into();
                })
                .refused(&policy);
            assert!(
                matches!(reason, Reason::LogEntry(_) | Reason::Certificate(_)),
                "{name} {shift}: {reason}"
            );
        }
    }
}

#[test]
fn a_log_time_in_a_log_that_gives_none_counts_for_nothing() {
    let reason = case("new-alice-rekor2")
        .bundle(|bundle| {
            entry(bundle)["integratedTime"] = "1795550775".into();
            bundle["verificationMaterial"]["timestampVerificationData"] = json!({});
        })
        .refused(&alice());
    assert_eq!(reason, Reason::NoTimestamp);
}

#[test]
fn a_certificate_without_any_time_is_refused() {
    for (name, policy) in [
        ("new-alice-rekor2", alice()),
        ("new-alice-tsa", alice_timed()),
        (
            "new-alice-tsa",
            VerifyPolicy {
                timestamps: Timestamps::WhenPresent,
                ..alice_timed()
            },
        ),
    ] {
        let reason = case(name)
            .bundle(|bundle| {
                bundle["verificationMaterial"]
                    .as_object_mut()
                    .unwrap()
                    .remove("timestampVerificationData");
            })
            .refused(&policy);
        assert_eq!(reason, Reason::NoTimestamp, "{name}");
    }
}

#[test]
fn the_timestamp_of_another_signature_is_refused() {
    for (name, other, policy) in [
        ("new-alice-rekor2", "new-alice-tsa", alice()),
        ("new-alice-tsa", "new-alice-rekor2", alice_timed()),
        ("new-alice-rekor1-tsa", "new-p256-tsa", alice()),
        ("new-p256-rekor1-tsa", "new-p256-tsa", key_logged("p256")),
        ("new-rsa-rekor2", "new-p256-tsa", key_logged("rsa")),
    ] {
        let foreign =
            case(other).first()["verificationMaterial"]["timestampVerificationData"].clone();
        let reason = case(name)
            .bundle(|bundle| {
                bundle["verificationMaterial"]["timestampVerificationData"] = foreign;
            })
            .refused(&policy);
        assert!(matches!(reason, Reason::Timestamp(_)), "{name}: {reason}");
    }
}

#[test]
fn a_changed_timestamp_is_refused() {
    for (name, policy) in [
        ("new-alice-rekor2", alice()),
        ("new-p256-rekor2", key_logged("p256")),
        ("new-rsa-rekor2", key_logged("rsa")),
        ("new-alice-tsa", alice_timed()),
    ] {
        let reason = case(name)
            .bundle(|bundle| {
                let list = &mut bundle["verificationMaterial"]["timestampVerificationData"];
                flip(&mut list["rfc3161Timestamps"][0]["signedTimestamp"]);
            })
            .refused(&policy);
        assert!(matches!(reason, Reason::Timestamp(_)), "{name}: {reason}");
    }
}

#[test]
fn a_bundle_without_a_timestamp_is_refused_where_one_is_asked_for() {
    let timed = |policy| VerifyPolicy {
        timestamps: Timestamps::Required,
        ..policy
    };
    let reason = case("new-alice-rekor1").refused(&timed(alice()));
    assert_eq!(reason, Reason::NoTimestamp);
    for policy in [
        timed(key_logged("p256")),
        VerifyPolicy {
            log: Log::Off,
            ..timed(key_logged("p256"))
        },
    ] {
        let reason = case("new-p256-rekor1").refused(&policy);
        assert_eq!(reason, Reason::NoTimestamp);
    }
    let reason = case("new-rsa-rekor2-untimed").refused(&timed(key_logged("rsa")));
    assert_eq!(reason, Reason::NoTimestamp);
}

#[test]
fn what_comes_from_the_future_is_refused() {
    for (name, policy) in [
        ("new-alice-rekor2", alice()),
        ("new-rsa-rekor2", key_logged("rsa")),
        ("new-alice-rekor1", alice()),
        ("new-p256-rekor1", key_logged("p256")),
        ("old-alice-rekor1", alice()),
    ] {
        let case = case(name);
        let long_ago = 1_000_000_000;
        let reason = only_reason(
            verify_signature(&case.collected, &case.subject, &policy, long_ago)
                .map(|found| format!("{found:?}")),
        );
        assert!(matches!(reason, Reason::Future { .. }), "{name}: {reason}");
    }
}

#[test]
fn floods_of_log_entries_are_refused_before_they_are_checked() {
    let reason = case("new-p256-rekor1")
        .bundle(|bundle| {
            let one = entry(bundle).clone();
            bundle["verificationMaterial"][ENTRIES] = vec![one; 1000].into();
        })
        .refused(&key_logged("p256"));
    assert!(matches!(reason, Reason::Malformed(_)), "{reason}");
}

#[test]
fn an_unknown_version_of_the_format_is_refused() {
    let reason = case("new-p256")
        .bundle(|bundle| {
            bundle["mediaType"] = "application/vnd.dev.sigstore.bundle.v0.9+json".into();
        })
        .refused(&key_alone("p256"));
    assert!(matches!(reason, Reason::Malformed(_)), "{reason}");
}
