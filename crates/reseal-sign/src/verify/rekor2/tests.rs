//! A log whose key we have, so that it also signs what no real one would. Entries of real ones are in `tests/verify`.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sigstore_merkle::hash_children;

use super::*;

const RECORDED: &str = include_str!("../../../tests/data/new-rsa.json");
const KEY: &[u8] = include_bytes!("../../../tests/data/rsa.pub");
const HOST: &str = "log.example";
const NOW: i64 = 2_000_000_000;

/// What is wrong with an answer of a log, or with what is known of it.
#[derive(PartialEq, Eq)]
enum Fault {
    Promise,
    NoProof,
    OtherKey,
    OtherRoot,
}

/// What a log says of an entry. The default is what an honest one says.
struct Log {
    body: Value,
    origin: &'static str,
    name: &'static str,
    position: u64,
    size: u64,
    fault: Option<Fault>,
    since: &'static str,
    address: &'static str,
}

fn recorded() -> (Bundle, PublicKey) {
    let case: Value = serde_json::from_str(RECORDED).unwrap();
    let bundle = Bundle::from_json(case["bundles"][0]["bundle"].as_str().unwrap()).unwrap();
    (bundle, PublicKey::from_pem(KEY).unwrap())
}

impl Log {
    fn honest() -> Self {
        let (bundle, key) = recorded();
        let SignatureContent::DsseEnvelope(envelope) = &bundle.content else {
            unreachable!("cosign signs images by envelopes")
        };
        let body = json!({"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": {"hashedRekordV002": {
            "data": {"algorithm": "SHA2_256", "digest": STANDARD.encode(Sha256::digest(envelope.pae()))},
            "signature": {"content": STANDARD.encode(envelope.signature.sig.as_bytes()), "verifier": {
                "keyDetails": "PKIX_RSA_PKCS1V15_2048_SHA256",
                "publicKey": {"rawBytes": STANDARD.encode(key.spki())},
            }},
        }}});
        Self {
            body,
            origin: HOST,
            name: HOST,
            position: 1,
            size: 2,
            fault: None,
            since: "2024-01-01T00:00:00Z",
            address: "https://log.example:8443/some/path",
        }
    }

    fn with_body(edit: impl FnOnce(&mut Value)) -> Self {
        let mut log = Self::honest();
        edit(&mut log.body["spec"]["hashedRekordV002"]);
        log
    }

    fn check(&self) -> Result<(), Reason> {
        self.check_as(true)
    }

    fn check_as(&self, logged: bool) -> Result<(), Reason> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let public = PublicKey::from_ed25519(pair.public_key().as_ref()).unwrap();
        let id = Sha256::digest([b"log.example\n\x01", pair.public_key().as_ref()].concat());
        let root = json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [{
                "baseUrl": self.address,
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": STANDARD.encode(public.spki()),
                    "keyDetails": "PKIX_ED25519",
                    "validFor": {"start": self.since},
                },
                "logId": {"keyId": STANDARD.encode(if self.fault == Some(Fault::OtherRoot) { [9; 32].into() } else { id })},
            }],
        });
        let root = TrustedRoot::parse(root.to_string().as_bytes()).unwrap();

        let body = self.body.to_string().into_bytes();
        let first = hash_leaf(b"an entry of somebody else");
        let tree = hash_children(&first, &hash_leaf(&body));
        let note = format!(
            "{}\n{}\n{}\n",
            self.origin,
            self.size,
            STANDARD.encode(tree.as_bytes())
        );
        let signer = if self.fault == Some(Fault::OtherKey) {
            [8; 32]
        } else {
            [7; 32]
        };
        let signer = Ed25519KeyPair::from_seed_unchecked(&signer).unwrap();
        let signature = [&id[..4], signer.sign(note.as_bytes()).as_ref()].concat();
        let note = format!("{note}\n— {} {}\n", self.name, STANDARD.encode(signature));
        let mut entry = json!({
            "logIndex": self.position.to_string(),
            "logId": {"keyId": STANDARD.encode(id)},
            "kindVersion": {"kind": "hashedrekord", "version": "0.0.2"},
            "canonicalizedBody": STANDARD.encode(&body),
        });
        if self.fault != Some(Fault::NoProof) {
            // What nobody signed is wrong on purpose: it must not matter.
            entry["inclusionProof"] = json!({
                "logIndex": "77", "treeSize": "78", "rootHash": STANDARD.encode([1; 32]),
                "hashes": [STANDARD.encode(first.as_bytes())], "checkpoint": {"envelope": note},
            });
        }
        if self.fault == Some(Fault::Promise) {
            entry["inclusionPromise"] = json!({"signedEntryTimestamp": "AAAA"});
        }
        let entry: TransparencyLogEntry = serde_json::from_value(entry).unwrap();
        let (bundle, key) = recorded();
        assert!(is_unread(&entry, &key));
        let now = Timestamp::from_second(NOW).unwrap();
        check(&entry, &bundle, &key, logged.then_some(&root), now)
    }

    fn refused(&self, part: &str) {
        match self.check() {
            Err(Reason::LogEntry(why)) => assert!(why.contains(part), "{part}: {why}"),
            other => panic!("{part}: {other:?}"),
        }
    }
}

#[test]
fn an_honest_log_is_believed() {
    assert_eq!(Log::honest().check(), Ok(()));
}

#[test]
fn an_entry_of_something_else_is_refused_though_the_log_holds_it() {
    let other = STANDARD.encode([1; 32]);
    Log::with_body(|entry| entry["data"]["digest"] = other.clone().into())
        .refused("something else");
    Log::with_body(|entry| entry["data"]["digest"] = "".into()).refused("something else");
    Log::with_body(|entry| entry["data"]["algorithm"] = "SHA2_512".into())
        .refused("something else");
    Log::with_body(|entry| entry["signature"]["content"] = other.clone().into())
        .refused("another signature");
}

#[test]
fn an_entry_of_another_key_is_refused_though_the_log_holds_it() {
    let verifier =
        |edit: fn(&mut Value)| Log::with_body(|entry| edit(&mut entry["signature"]["verifier"]));
    verifier(|it| it["publicKey"]["rawBytes"] = "AAAA".into()).refused("another key");
    verifier(|it| it["x509Certificate"] = json!({"rawBytes": "AAAA"})).refused("another key");
    verifier(|it| {
        it.as_object_mut().unwrap().remove("publicKey");
    })
    .refused("another key");
    for details in [
        "PKIX_RSA_PKCS1V15_4096_SHA256",
        "PKIX_RSA_PSS_2048_SHA256",
        "PKIX_ECDSA_P256_SHA_256",
        "",
    ] {
        Log::with_body(|entry| entry["signature"]["verifier"]["keyDetails"] = details.into())
            .refused("it calls the key");
    }
}

#[test]
fn an_entry_of_another_kind_is_refused_though_the_log_holds_it() {
    for (place, value) in [("kind", "dsse"), ("apiVersion", "0.0.1")] {
        let mut log = Log::honest();
        log.body[place] = value.into();
        log.refused("another kind");
    }
    Log::with_body(|entry| *entry = json!([])).refused("cannot be read");
    Log::with_body(|entry| entry["data"] = Value::Null).refused("cannot be read");
}

#[test]
fn what_the_log_did_not_prove_is_refused() {
    let with = |edit: fn(&mut Log)| {
        let mut log = Log::honest();
        edit(&mut log);
        log
    };
    with(|log| log.fault = Some(Fault::NoProof)).refused("does not prove");
    with(|log| log.fault = Some(Fault::Promise)).refused("no promises");
    with(|log| log.position = 0).refused("proof is wrong");
    with(|log| log.position = 2).refused("proof is wrong");
    with(|log| log.size = 3).refused("proof is wrong");
    with(|log| log.size = 0).refused("proof is wrong");
    with(|log| log.fault = Some(Fault::OtherKey)).refused("did not sign");
}

#[test]
fn a_checkpoint_of_another_log_is_refused_though_the_key_is_right() {
    let with = |edit: fn(&mut Log)| {
        let mut log = Log::honest();
        edit(&mut log);
        log
    };
    with(|log| log.origin = "other.example").refused("is of `other.example`");
    with(|log| log.name = "other.example").refused("did not sign");
    with(|log| log.address = "https://other.example").refused("not of `other.example`");
    with(|log| log.fault = Some(Fault::OtherRoot)).refused("names no such log");
    let later = with(|log| log.since = "2033-05-18T03:33:21Z").check();
    assert!(matches!(later, Err(Reason::Future { .. })), "{later:?}");
    assert_eq!(
        with(|log| log.since = "2033-05-18T03:33:20Z").check(),
        Ok(())
    );
}

#[test]
fn without_a_log_that_is_asked_for_the_entry_must_still_be_of_this_signature() {
    let mut log = Log::honest();
    log.fault = Some(Fault::OtherKey);
    assert_eq!(log.check_as(false), Ok(()));
    let log = Log::with_body(|entry| entry["data"]["digest"] = "AAAA".into());
    assert!(log.check_as(false).is_err());
}
