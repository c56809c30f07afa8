//! The first protocol of Rekor.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::error::{ServiceError, ServiceName};
use super::http::{Answer, Ask, Http, below, shown};
use super::rekor::{LogEntry, Signatory, body, check};
use crate::dsse::Envelope;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    body: String,
    integrated_time: i64,
    #[serde(rename = "logID")]
    log_id: String,
    log_index: u64,
    verification: Verification,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Verification {
    signed_entry_timestamp: String,
    inclusion_proof: Option<Proof>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Proof {
    checkpoint: String,
    hashes: Vec<String>,
    log_index: u64,
    root_hash: String,
    tree_size: u64,
}

/// Enters the signature of a `.sig` payload.
pub async fn enter_signature(
    http: &Http,
    log: &Url,
    payload: &[u8],
    signature: &[u8],
    signatory: Signatory<'_>,
) -> Result<LogEntry, ServiceError> {
    let hash = hex(&Sha256::digest(payload));
    let signature = STANDARD.encode(signature);
    let proposed = json!({
        "apiVersion": "0.0.1",
        "kind": "hashedrekord",
        "spec": {
            "data": {"hash": {"algorithm": "sha256", "value": hash}},
            "signature": {"content": signature, "publicKey": {"content": signatory.pem()}},
        },
    });
    let expected = [
        ("/kind", "hashedrekord"),
        ("/apiVersion", "0.0.1"),
        ("/spec/data/hash/value", hash.as_str()),
        ("/spec/signature/content", signature.as_str()),
    ];
    enter(http, log, &proposed, &expected).await
}

/// Enters an envelope.
pub(super) async fn enter_envelope(
    http: &Http,
    log: &Url,
    envelope: &Envelope,
    signatory: Signatory<'_>,
) -> Result<LogEntry, ServiceError> {
    let proposed = json!({
        "apiVersion": "0.0.1",
        "kind": "dsse",
        "spec": {"proposedContent": {
            "envelope": envelope.to_json(),
            "verifiers": [signatory.pem()],
        }},
    });
    let hash = hex(&Sha256::digest(&envelope.payload));
    let signature = STANDARD.encode(&envelope.signature);
    let expected = [
        ("/kind", "dsse"),
        ("/apiVersion", "0.0.1"),
        ("/spec/payloadHash/value", hash.as_str()),
        ("/spec/signatures/0/signature", signature.as_str()),
    ];
    enter(http, log, &proposed, &expected).await
}

async fn enter(
    http: &Http,
    log: &Url,
    proposed: &Value,
    expected: &[(&str, &str)],
) -> Result<LogEntry, ServiceError> {
    let url = below(log, "api/v1/log/entries");
    let body = proposed.to_string();
    let ask = Ask {
        service: ServiceName::Rekor,
        url: &url,
        also: &[409],
    };
    let mut answer = http
        .send(&ask, |client| {
            client
                .post(url.clone())
                .header("content-type", "application/json")
                .header("accept", "application/json")
                .body(body.clone())
        })
        .await?;
    // The log has it already: signatures of RSA and Ed25519 keys are the same every time, and a request whose answer was lost
    // is sent again.
    if answer.status == 409 {
        answer = existing(http, &url, answer).await?;
    }
    read(&answer.body, expected).map_err(|why| unusable(&url, why))
}

async fn existing(http: &Http, url: &Url, refused: Answer) -> Result<Answer, ServiceError> {
    let place = refused
        .location
        .filter(|place| place.origin() == url.origin())
        .ok_or_else(|| {
            unusable(
                url,
                "it has the entry already and does not say where".to_owned(),
            )
        })?;
    let ask = Ask {
        service: ServiceName::Rekor,
        url: &place,
        also: &[],
    };
    http.send(&ask, |client| {
        client
            .get(place.clone())
            .header("accept", "application/json")
    })
    .await
}

fn unusable(url: &Url, why: String) -> ServiceError {
    ServiceError::Answer {
        service: ServiceName::Rekor,
        address: shown(url),
        why,
    }
}

fn read(bytes: &[u8], expected: &[(&str, &str)]) -> Result<LogEntry, String> {
    let entries: std::collections::BTreeMap<String, Entry> =
        serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let mut entries = entries.into_values();
    let (Some(entry), None) = (entries.next(), entries.next()) else {
        return Err("it holds not one entry".to_owned());
    };
    let body = body(&entry.body)?;
    check(&body, expected)?;
    let Some(proof) = entry.verification.inclusion_proof else {
        return Err("the entry has no proof of inclusion".to_owned());
    };
    let hashes = proof
        .hashes
        .iter()
        .map(|hash| from_hex(hash))
        .collect::<Result<Vec<_>, _>>()?;
    let in_bundle = json!({
        "logIndex": entry.log_index.to_string(),
        "logId": {"keyId": from_hex(&entry.log_id)?},
        "kindVersion": {"kind": body["kind"], "version": body["apiVersion"]},
        "integratedTime": entry.integrated_time.to_string(),
        "inclusionPromise": {"signedEntryTimestamp": entry.verification.signed_entry_timestamp},
        "inclusionProof": {
            "logIndex": proof.log_index.to_string(),
            "rootHash": from_hex(&proof.root_hash)?,
            "treeSize": proof.tree_size.to_string(),
            "hashes": hashes,
            "checkpoint": {"envelope": proof.checkpoint},
        },
        "canonicalizedBody": entry.body,
    });
    // Numbers, not strings: cosign reads nothing else here.
    let annotation = json!({
        "SignedEntryTimestamp": entry.verification.signed_entry_timestamp,
        "Payload": {
            "body": entry.body,
            "integratedTime": entry.integrated_time,
            "logIndex": entry.log_index,
            "logID": entry.log_id,
        },
    });
    Ok(LogEntry {
        in_bundle,
        annotation: Some(annotation.to_string()),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(digit.into(), 16).expect("a digit below 16"));
        }
        text
    })
}

/// Turns hexadecimal into base64.
fn from_hex(text: &str) -> Result<String, String> {
    let wrong = || format!("`{text}` is not hexadecimal");
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return Err(wrong());
    }
    let bytes = (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| wrong()))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> Value {
        json!({"24296fb2": {
            "body": STANDARD.encode(body),
            "integratedTime": 1_700_000_000,
            "logID": "00ff",
            "logIndex": 7,
            "verification": {
                "signedEntryTimestamp": "c2V0",
                "inclusionProof": {"checkpoint": "rekor\n", "hashes": ["aa", "bb"], "logIndex": 6, "rootHash": "cc", "treeSize": 9},
            },
        }})
    }

    const BODY: &str =
        r#"{"apiVersion":"0.0.1","kind":"dsse","spec":{"payloadHash":{"value":"ab"}}}"#;

    #[test]
    fn an_entry_is_written_for_both_places() {
        let expected = [("/kind", "dsse"), ("/spec/payloadHash/value", "ab")];
        let entry = read(answer(BODY).to_string().as_bytes(), &expected).unwrap();
        let body = STANDARD.encode(BODY);
        assert_eq!(
            entry.annotation.as_deref(),
            Some(format!(r#"{{"SignedEntryTimestamp":"c2V0","Payload":{{"body":"{body}","integratedTime":1700000000,"logIndex":7,"logID":"00ff"}}}}"#).as_str())
        );
        assert_eq!(
            entry.in_bundle.to_string(),
            format!(
                r#"{{"logIndex":"7","logId":{{"keyId":"AP8="}},"kindVersion":{{"kind":"dsse","version":"0.0.1"}},"integratedTime":"1700000000","inclusionPromise":{{"signedEntryTimestamp":"c2V0"}},"inclusionProof":{{"logIndex":"6","rootHash":"zA==","treeSize":"9","hashes":["qg==","uw=="],"checkpoint":{{"envelope":"rekor\n"}}}},"canonicalizedBody":"{body}"}}"#
            )
        );
    }

    #[test]
    fn entries_of_something_else_are_refused() {
        let mut no_proof = answer(BODY);
        no_proof["24296fb2"]["verification"]["inclusionProof"] = Value::Null;
        let mut odd = answer(BODY);
        odd["24296fb2"]["logID"] = json!("0fg");
        let mut two = answer(BODY);
        two["other"] = two["24296fb2"].clone();
        for (bytes, pairs, part) in [
            (
                answer(BODY),
                [("/kind", "hashedrekord")],
                "something else at `/kind`",
            ),
            (answer(BODY), [("/spec/x", "y")], "nothing at `/spec/x`"),
            (answer("no"), [("/kind", "dsse")], "is not JSON"),
            (no_proof, [("/kind", "dsse")], "no proof of inclusion"),
            (odd, [("/kind", "dsse")], "not hexadecimal"),
            (two, [("/kind", "dsse")], "not one entry"),
            (json!({}), [("/kind", "dsse")], "not one entry"),
            (json!([]), [("/kind", "dsse")], "invalid type"),
        ] {
            let why = read(bytes.to_string().as_bytes(), &pairs).unwrap_err();
            assert!(why.contains(part), "{why}");
        }
    }
}
