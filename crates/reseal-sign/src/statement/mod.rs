//! In-toto statements, and what reseal states.
//!
//! Everything here is a function of its input: no clock, no environment.

mod cyclonedx;
pub mod facts;
mod openvex;
mod provenance;
mod purl;
mod spdx;
mod verification;
mod vuln;

use std::collections::BTreeMap;

use reseal_oci::Digest;
use serde_json::{Value, json};

pub use cyclonedx::cyclonedx;
pub use openvex::openvex;
pub use provenance::{BUILD_TYPE, provenance};
pub use spdx::spdx;
pub use verification::verification;
pub use vuln::{Scan, vuln};

/// The type of every statement that is written.
pub const STATEMENT_V1: &str = "https://in-toto.io/Statement/v1";

/// Predicate types, exactly as verifiers compare them.
pub mod predicate_type {
    /// An image signature in a bundle.
    pub const SIGNATURE: &str = "https://sigstore.dev/cosign/sign/v1";
    /// SLSA provenance, version 1: `--type slsaprovenance1`.
    pub const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
    /// cosign's vulnerability scan: `--type vuln`.
    pub const VULN: &str = "https://cosign.sigstore.dev/attestation/vuln/v1";
    /// `OpenVEX`: `--type openvex`. With a version appended it does not match.
    pub const OPENVEX: &str = "https://openvex.dev/ns";
    /// SPDX in JSON: `--type spdxjson`.
    pub const SPDX: &str = "https://spdx.dev/Document";
    /// `CycloneDX`: `--type cyclonedx`.
    pub const CYCLONEDX: &str = "https://cyclonedx.org/bom";
    /// What reseal found when it read an image back: `promote` asks for it.
    pub const VERIFICATION: &str = "https://reseal.dev/attestation/verification/v1";
}

/// What a statement is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The repository without tag and digest, `registry.example/shop/cart`.
    pub name: String,
    /// The image's digest.
    pub digest: Digest,
}

/// Returns a statement about an image.
///
/// The subject has a name, which cosign leaves out: without it the Python verifier takes the statement for a broken one.
pub fn statement(subject: &Subject, predicate_type: &str, predicate: &Value) -> Vec<u8> {
    crate::go_json::to_vec(&json!({
        "_type": STATEMENT_V1,
        "subject": [{
            "name": subject.name,
            "digest": {subject.digest.algorithm(): subject.digest.hex()},
        }],
        "predicateType": predicate_type,
        "predicate": predicate,
    }))
}

/// Returns the statement that is an image signature, with the annotations that a verifier can ask for.
pub fn signature_statement(subject: &Subject, annotations: &BTreeMap<String, String>) -> Vec<u8> {
    crate::go_json::to_vec(&json!({
        "_type": STATEMENT_V1,
        "subject": [{
            "name": subject.name,
            "digest": {subject.digest.algorithm(): subject.digest.hex()},
            "annotations": annotations,
        }],
        "predicateType": predicate_type::SIGNATURE,
        "predicate": {},
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject() -> Subject {
        Subject {
            name: "registry.example/shop/cart".into(),
            digest: "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
                .parse()
                .unwrap(),
        }
    }

    #[test]
    fn a_signature_is_a_statement_without_a_predicate() {
        let none = signature_statement(&subject(), &BTreeMap::new());
        assert_eq!(
            String::from_utf8(none).unwrap(),
            r#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"registry.example/shop/cart","digest":{"sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},"annotations":{}}],"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{}}"#
        );
        let one = signature_statement(&subject(), &[("env".to_owned(), "prod".to_owned())].into());
        assert!(
            String::from_utf8(one)
                .unwrap()
                .contains(r#""annotations":{"env":"prod"}"#)
        );
    }

    #[test]
    fn a_statement_names_its_subject_and_its_kind() {
        let bytes = statement(
            &subject(),
            predicate_type::OPENVEX,
            &json!({"b": 1, "a": "<"}),
        );
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            r#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"registry.example/shop/cart","digest":{"sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}}],"predicateType":"https://openvex.dev/ns","predicate":{"b":1,"a":"\u003c"}}"#
        );
    }
}
