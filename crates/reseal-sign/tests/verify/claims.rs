//! What a signature must say, and the annotations that it must carry.

use reseal_sign::verify::{Reason, VerifyPolicy};
use serde_json::{Value, json};

use crate::world::*;

fn annotated(name: &str, value: &str) -> VerifyPolicy {
    let mut policy = key_alone("p256");
    policy.annotations.insert(name.to_owned(), value.to_owned());
    policy
}

#[test]
fn another_annotation_is_refused() {
    for name in ["old-annotated", "new-annotated"] {
        let reason = case(name).refused(&annotated("env", "staging"));
        assert!(
            matches!(&reason, Reason::OtherAnnotation { found: Some(value), .. } if value == "production"),
            "{name}: {reason}"
        );
    }
}

#[test]
fn a_missing_annotation_is_refused() {
    for name in ["old-annotated", "new-annotated", "old-p256", "new-p256"] {
        let reason = case(name).refused(&annotated("ticket", "7"));
        assert!(
            matches!(&reason, Reason::OtherAnnotation { found: None, .. }),
            "{name}: {reason}"
        );
    }
}

#[test]
fn an_annotation_that_was_added_is_refused() {
    let reason = case("new-p256")
        .statement(|statement| {
            statement["subject"][0]["annotations"]["env"] = "production".into();
        })
        .refused(&annotated("env", "production"));
    assert_eq!(reason, Reason::NotByKey);
}

#[test]
fn the_annotations_of_another_subject_do_not_count() {
    let (mut case, mut policy) = (case("new-p256"), key_alone("p256"));
    let subject = case.subject.hex().to_owned();
    policy.who = case.sign_anew(|statement| {
        statement["subject"] = json!([
            {"digest": {"sha256": "0".repeat(64)}, "annotations": {"env": "production"}},
            {"digest": {"sha256": subject}, "annotations": {"team": "shop"}},
        ]);
    });
    let found = case.verify(&policy).unwrap();
    assert_eq!(found[0].annotations.keys().collect::<Vec<_>>(), ["team"]);
    policy
        .annotations
        .insert("env".to_owned(), "production".to_owned());
    let reason = case.refused(&policy);
    assert!(
        matches!(&reason, Reason::OtherAnnotation { found: None, .. }),
        "{reason}"
    );
}

#[test]
fn statements_of_other_forms_are_refused_even_when_they_are_signed() {
    let subject = |case: &Case| json!([{"digest": {"sha256": case.subject.hex()}}]);
    for edit in [
        |statement: &mut Value, _: &Value| statement["_type"] = "https://in-toto.io/Link".into(),
        |statement: &mut Value, _: &Value| statement["subject"] = json!([]),
        |statement: &mut Value, subject: &Value| statement["subject"] = subject[0].clone(),
        |statement: &mut Value, _: &Value| statement["predicateType"] = json!(null),
        |statement: &mut Value, _: &Value| statement["predicateType"] = "".into(),
        |statement: &mut Value, _: &Value| {
            statement["predicateType"] = "https://sigstore.dev/cosign/sign/v1/".into();
        },
        |statement: &mut Value, subject: &Value| {
            let hex = subject[0]["digest"]["sha256"]
                .as_str()
                .unwrap()
                .to_uppercase();
            statement["subject"][0]["digest"] = json!({"sha256": hex});
        },
        |statement: &mut Value, subject: &Value| {
            statement["subject"][0]["digest"] = json!({"sha512": subject[0]["digest"]["sha256"]});
        },
    ] {
        let mut case = case("new-p256");
        let mut policy = key_alone("p256");
        let subject = subject(&case);
        policy.who = case.sign_anew(|statement| edit(statement, &subject));
        let reason = case.refused(&policy);
        assert!(
            matches!(
                reason,
                Reason::Malformed(_) | Reason::OtherSubject { .. } | Reason::OtherPredicate { .. }
            ),
            "{reason}"
        );
    }
}
