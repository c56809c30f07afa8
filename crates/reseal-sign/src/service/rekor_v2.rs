//! The second protocol of Rekor. Its answer is what a bundle holds; it says nothing about time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use serde_json::{Value, json};
use sigstore_types::bundle::TransparencyLogEntry;

use super::error::{ServiceError, ServiceName};
use super::http::{Ask, Http, below, shown};
use super::rekor::{LogEntry, Signatory, body, check};
use crate::key::PublicKey;

/// Enters a signature over a SHA-256 digest.
pub(super) async fn enter(
    http: &Http,
    log: &Url,
    digest: [u8; 32],
    signature: &[u8],
    signatory: Signatory<'_>,
) -> Result<LogEntry, ServiceError> {
    let url = below(log, "api/v2/log/entries");
    let unusable = |why: String| ServiceError::Answer {
        service: ServiceName::Rekor,
        address: shown(&url),
        why,
    };
    let digest = STANDARD.encode(digest);
    let signature = STANDARD.encode(signature);
    let request = json!({"hashedRekordRequestV002": {
        "digest": digest,
        "signature": {"content": signature, "verifier": verifier(signatory)?},
    }})
    .to_string();
    let ask = Ask {
        service: ServiceName::Rekor,
        url: &url,
        also: &[],
    };
    let answer = http
        .send(&ask, |client| {
            client
                .post(url.clone())
                .header("content-type", "application/json")
                .header("accept", "application/json")
                .body(request.clone())
        })
        .await?;
    read(&answer.body, &digest, &signature).map_err(unusable)
}

fn verifier(signatory: Signatory<'_>) -> Result<Value, ServiceError> {
    match signatory {
        // The keys of certificates are made here and are of this kind.
        Signatory::Certificate(certificate) => Ok(json!({
            "keyDetails": "PKIX_ECDSA_P256_SHA_256",
            "x509Certificate": {"rawBytes": STANDARD.encode(&certificate.leaf)},
        })),
        Signatory::Key(key) => Ok(json!({
            "keyDetails": details(key)?,
            "publicKey": {"rawBytes": STANDARD.encode(key.spki())},
        })),
    }
}

fn details(key: &PublicKey) -> Result<&'static str, ServiceError> {
    key.algorithm()
        .key_details()
        .ok_or_else(|| ServiceError::Settings {
            why: format!(
                "Rekor v2 takes no {} key; it takes ECDSA P-256, and RSA with 2048, 3072 or 4096 bits",
                key.algorithm()
            ),
        })
}

fn read(bytes: &[u8], digest: &str, signature: &str) -> Result<LogEntry, String> {
    let in_bundle: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let entry: TransparencyLogEntry =
        serde_json::from_value(in_bundle.clone()).map_err(|error| error.to_string())?;
    if entry.inclusion_proof.is_none() {
        return Err("the entry has no proof of inclusion".to_owned());
    }
    let text = in_bundle["canonicalizedBody"].as_str().unwrap_or_default();
    check(
        &body(text)?,
        &[
            ("/kind", "hashedrekord"),
            ("/apiVersion", "0.0.2"),
            ("/spec/hashedRekordV002/data/digest", digest),
            ("/spec/hashedRekordV002/signature/content", signature),
        ],
    )?;
    Ok(LogEntry {
        in_bundle,
        annotation: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(digest: &str) -> Value {
        let body = json!({"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": {"hashedRekordV002": {
            "data": {"algorithm": "SHA2_256", "digest": digest},
            "signature": {"content": "c2ln"},
        }}});
        json!({
            "logIndex": "3",
            "logId": {"keyId": "AAAA"},
            "kindVersion": {"kind": "hashedrekord", "version": "0.0.2"},
            "integratedTime": "0",
            "inclusionPromise": null,
            "inclusionProof": {"logIndex": "3", "rootHash": STANDARD.encode([1; 32]), "treeSize": "4", "hashes": [],
                "checkpoint": {"envelope": "log.example\n4\nAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n\n\u{2014} log.example AAAAAAAA\n"}},
            "canonicalizedBody": STANDARD.encode(body.to_string()),
        })
    }

    #[test]
    fn the_answer_is_kept_as_it_is() {
        let given = answer("ZGln");
        let entry = read(given.to_string().as_bytes(), "ZGln", "c2ln").unwrap();
        assert_eq!(entry.in_bundle, given);
        assert_eq!(entry.annotation, None);
    }

    #[test]
    fn an_entry_of_something_else_is_refused() {
        let mut no_proof = answer("ZGln");
        no_proof.as_object_mut().unwrap().remove("inclusionProof");
        for (given, part) in [
            (answer("b3RoZXI="), "something else"),
            (no_proof, "no proof of inclusion"),
            (json!({"logIndex": "x"}), "invalid"),
        ] {
            let why = read(given.to_string().as_bytes(), "ZGln", "c2ln").unwrap_err();
            assert!(why.contains(part), "{why}");
        }
    }
}
