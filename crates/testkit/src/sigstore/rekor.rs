//! Logs that keep what they are told, in both protocols.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Reply, State};

pub(super) struct Entry {
    uuid: String,
    answer: Value,
}

pub(super) fn enter_v1(state: &mut State, body: &[u8]) -> Result<Reply, String> {
    let proposed: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let canonical = match proposed["kind"].as_str() {
        Some("hashedrekord") => {
            let spec = &proposed["spec"];
            bytes(&spec["signature"]["content"])?;
            pem(&spec["signature"]["publicKey"]["content"])?;
            if text(&spec["data"]["hash"]["value"])?.len() != 64 {
                return Err("the hash has not 64 digits".to_owned());
            }
            proposed
        }
        Some("dsse") => dsse(&proposed["spec"]["proposedContent"])?,
        _ => return Err("unknown kind".to_owned()),
    };
    let body = STANDARD.encode(canonical.to_string());
    let uuid = hex(&Sha256::digest(&body));
    if state.entries.iter().any(|entry| entry.uuid == uuid) {
        let message = "an equivalent entry already exists in the transparency log";
        return Ok(Reply::refuse(409, message)
            .with("location", &format!("/rekor/api/v1/log/entries/{uuid}")));
    }
    let index = state.entries.len() + 1;
    let answer = json!({uuid.as_str(): {
        "body": body,
        "integratedTime": 1_749_988_801,
        "logID": "c0".repeat(32),
        "logIndex": index + 100,
        "verification": {
            "signedEntryTimestamp": STANDARD.encode("promise"),
            "inclusionProof": {
                "checkpoint": checkpoint(index),
                "hashes": [],
                "logIndex": index,
                "rootHash": "01".repeat(32),
                "treeSize": index + 1,
            },
        },
    }});
    state.entries.push(Entry {
        uuid,
        answer: answer.clone(),
    });
    Ok(Reply::json(201, &answer))
}

pub(super) fn read_v1(state: &State, path: &str) -> Reply {
    let uuid = path.rsplit('/').next().unwrap_or_default();
    let entry = state.entries.iter().find(|entry| entry.uuid == uuid);
    match entry {
        Some(entry) => Reply::json(200, &entry.answer),
        None => Reply::refuse(404, "no entry"),
    }
}

fn dsse(content: &Value) -> Result<Value, String> {
    let envelope: Value =
        serde_json::from_str(text(&content["envelope"])?).map_err(|error| error.to_string())?;
    let payload = bytes(&envelope["payload"])?;
    let signature = text(&envelope["signatures"][0]["sig"])?;
    let verifier = &content["verifiers"][0];
    pem(verifier)?;
    Ok(json!({"apiVersion": "0.0.1", "kind": "dsse", "spec": {
        "envelopeHash": {"algorithm": "sha256", "value": hex(&Sha256::digest(text(&content["envelope"])?))},
        "payloadHash": {"algorithm": "sha256", "value": hex(&Sha256::digest(payload))},
        "signatures": [{"signature": signature, "verifier": verifier}],
    }}))
}

pub(super) fn enter_v2(state: &mut State, body: &[u8]) -> Result<Reply, String> {
    let request: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let request = &request["hashedRekordRequestV002"];
    if bytes(&request["digest"])?.len() != 32 {
        return Err("the digest has not 32 bytes".to_owned());
    }
    let signature = &request["signature"];
    bytes(&signature["content"])?;
    let verifier = &signature["verifier"];
    if text(&verifier["keyDetails"])? != "PKIX_ECDSA_P256_SHA_256" {
        return Err("another kind of key".to_owned());
    }
    bytes(&verifier["x509Certificate"]["rawBytes"])
        .or(bytes(&verifier["publicKey"]["rawBytes"]))?;
    let canonical = json!({"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": {"hashedRekordV002": {
        "data": {"algorithm": "SHA2_256", "digest": request["digest"]},
        "signature": signature,
    }}});
    let index = state.entries.len() + 1;
    let answer = json!({
        "logIndex": index.to_string(),
        "logId": {"keyId": STANDARD.encode([7; 32])},
        "kindVersion": {"kind": "hashedrekord", "version": "0.0.2"},
        "inclusionProof": {
            "logIndex": index.to_string(),
            "rootHash": STANDARD.encode([1; 32]),
            "treeSize": (index + 1).to_string(),
            "hashes": [],
            "checkpoint": {"envelope": checkpoint(index)},
        },
        "canonicalizedBody": STANDARD.encode(canonical.to_string()),
    });
    state.entries.push(Entry {
        uuid: format!("v2-{index}"),
        answer: answer.clone(),
    });
    Ok(Reply::json(201, &answer))
}

fn checkpoint(index: usize) -> String {
    let root = STANDARD.encode([1; 32]);
    format!(
        "log.example\n{}\n{root}\n\n\u{2014} log.example AAAAAAAA\n",
        index + 1
    )
}

fn text(value: &Value) -> Result<&str, String> {
    value
        .as_str()
        .ok_or_else(|| "something is missing".to_owned())
}

fn bytes(value: &Value) -> Result<Vec<u8>, String> {
    STANDARD
        .decode(text(value)?)
        .map_err(|error| error.to_string())
}

fn pem(value: &Value) -> Result<(), String> {
    let pem = String::from_utf8(bytes(value)?).map_err(|error| error.to_string())?;
    if pem.starts_with("-----BEGIN PUBLIC KEY-----\n")
        || pem.starts_with("-----BEGIN CERTIFICATE-----\n")
    {
        Ok(())
    } else {
        Err("neither a key nor a certificate in PEM".to_owned())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
