//! Sigstore bundles of version 0.3.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::dsse::Envelope;
use crate::service::rekor::{LogEntry, Signatory};
use crate::store::BUNDLE;

/// Writes a bundle: who signed, what a log and authorities say about when, and the signed statement.
pub fn write(
    signatory: Signatory<'_>,
    entries: &[LogEntry],
    timestamps: &[Vec<u8>],
    envelope: &Envelope,
) -> Vec<u8> {
    let mut material = Map::new();
    match signatory {
        Signatory::Key(key) => material.insert("publicKey".into(), json!({"hint": key.hint()})),
        // Without its chain: this version of the format forbids one.
        Signatory::Certificate(certificate) => material.insert(
            "certificate".into(),
            json!({"rawBytes": STANDARD.encode(&certificate.leaf)}),
        ),
    };
    if !entries.is_empty() {
        let entries: Vec<&Value> = entries.iter().map(|entry| &entry.in_bundle).collect();
        material.insert("tlogEntries".into(), json!(entries));
    }
    if !timestamps.is_empty() {
        let timestamps: Vec<Value> = timestamps
            .iter()
            .map(|bytes| json!({"signedTimestamp": STANDARD.encode(bytes)}))
            .collect();
        material.insert(
            "timestampVerificationData".into(),
            json!({"rfc3161Timestamps": timestamps}),
        );
    }
    json!({
        "mediaType": BUNDLE,
        "verificationMaterial": material,
        "dsseEnvelope": envelope.in_bundle(),
    })
    .to_string()
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::PublicKey;
    use crate::service::fulcio::Certificate;

    const KEY: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
";

    fn envelope() -> Envelope {
        Envelope {
            payload: b"{}".to_vec(),
            signature: vec![1, 2],
        }
    }

    #[test]
    fn the_least_bundle_holds_a_key_and_an_envelope() {
        let key = PublicKey::from_pem(KEY.as_bytes()).unwrap();
        let bytes = write(Signatory::Key(&key), &[], &[], &envelope());
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(
            text,
            format!(
                r#"{{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{{"publicKey":{{"hint":"{}"}}}},"dsseEnvelope":{{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{{"sig":"AQI="}}]}}}}"#,
                key.hint()
            )
        );
        sigstore_types::Bundle::from_json(&text).unwrap();
    }

    #[test]
    fn the_fullest_bundle_holds_certificate_entries_and_timestamps() {
        let certificate = Certificate {
            leaf: vec![0x30, 0],
            chain: vec![vec![0x30, 0]],
            not_before: 0,
            not_after: 0,
            identity: None,
        };
        let entry = LogEntry {
            in_bundle: json!({"logIndex": "1"}),
            annotation: None,
        };
        let bytes = write(
            Signatory::Certificate(&certificate),
            &[entry.clone(), entry],
            &[vec![0xff]],
            &envelope(),
        );
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with(
            r#"{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"certificate":{"rawBytes":"MAA="},"tlogEntries":[{"logIndex":"1"},{"logIndex":"1"}],"timestampVerificationData":{"rfc3161Timestamps":[{"signedTimestamp":"/w=="}]}},"dsseEnvelope":"#
        ), "{text}");
    }
}
