//! Recorded signatures, ways to change them, and policies to judge them by.

use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reseal_oci::{Descriptor, Digest};
use reseal_sign::key::PublicKey;
use reseal_sign::store::{Collected, FoundBundle, FoundLegacy};
use reseal_sign::verify::{
    Log, Match, Reason, SIGN_PREDICATE, Timestamps, TrustedRoot, Verified, VerifyError,
    VerifyPolicy, Who, public_key, verify_attestation, verify_signature,
};
use serde_json::Value;
use sigstore_crypto::KeyPair;

/// A time after all signatures: May 2033.
pub const NOW: i64 = 2_000_000_000;
pub const ALICE: &str = "alice@example.com";
pub const OPENVEX: &str = "https://openvex.dev/ns";

pub fn file(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name);
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// What is stored about an image, and the image.
#[derive(Clone)]
pub struct Case {
    pub subject: Digest,
    pub collected: Collected,
}

pub fn case(name: &str) -> Case {
    let wire: Value = serde_json::from_slice(&file(&format!("{name}.json"))).unwrap();
    let list = |name: &str| wire[name].as_array().unwrap().clone();
    let layers = |name: &str| {
        list(name)
            .into_iter()
            .map(|layer| FoundLegacy {
                media_type: text(&layer["media_type"]),
                payload: text(&layer["payload"]).into_bytes(),
                annotations: serde_json::from_value(layer["annotations"].clone()).unwrap(),
            })
            .collect()
    };
    let bundles = list("bundles")
        .into_iter()
        .map(|bundle| FoundBundle {
            descriptor: Descriptor::new(
                "application/vnd.oci.image.manifest.v1+json",
                text(&bundle["manifest"]).parse().unwrap(),
                1,
            ),
            bytes: text(&bundle["bundle"]).into_bytes(),
            predicate_type: bundle["predicate_type"].as_str().map(str::to_owned),
        })
        .collect();
    Case {
        subject: text(&wire["subject"]).parse().unwrap(),
        collected: Collected {
            bundles,
            signatures: layers("signatures"),
            attestations: layers("attestations"),
            skipped: Vec::new(),
        },
    }
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

impl Case {
    /// Changes the first bundle.
    pub fn bundle(mut self, edit: impl FnOnce(&mut Value)) -> Self {
        let bytes = &mut self.collected.bundles[0].bytes;
        let mut value: Value = serde_json::from_slice(bytes).unwrap();
        edit(&mut value);
        *bytes = serde_json::to_vec(&value).unwrap();
        self
    }

    /// Changes what the first bundle's statement says, and nothing else.
    pub fn statement(self, edit: impl FnOnce(&mut Value)) -> Self {
        self.bundle(|bundle| change_base64(&mut bundle["dsseEnvelope"]["payload"], edit))
    }

    /// Changes what the first bundle's statement says and signs it by a new key, which is returned.
    pub fn sign_anew(&mut self, edit: impl FnOnce(&mut Value)) -> Who {
        let pair = KeyPair::generate_ecdsa_p256().unwrap();
        let changed = self.clone().statement(edit).bundle(|bundle| {
            let envelope = &mut bundle["dsseEnvelope"];
            let payload = STANDARD.decode(text(&envelope["payload"])).unwrap();
            let signed = sigstore_types::dsse::pae(&text(&envelope["payloadType"]), &payload);
            let signature = pair.sign(&signed).unwrap();
            envelope["signatures"][0]["sig"] = STANDARD.encode(signature.as_bytes()).into();
        });
        *self = changed;
        let public = pair.public_key_der().unwrap();
        Who::Key(PublicKey::from_spki(public.as_bytes().to_vec()).unwrap())
    }

    /// Changes the first layer of the `.sig` tag.
    pub fn layer(mut self, edit: impl FnOnce(&mut FoundLegacy)) -> Self {
        edit(&mut self.collected.signatures[0]);
        self
    }

    /// Changes a JSON annotation of the first layer of the `.sig` tag.
    pub fn annotation(self, name: &str, edit: impl FnOnce(&mut Value)) -> Self {
        self.layer(|layer| {
            let text = layer.annotations.get_mut(name).unwrap();
            let mut value: Value = serde_json::from_str(text).unwrap();
            edit(&mut value);
            *text = value.to_string();
        })
    }

    /// The first bundle.
    pub fn first(&self) -> Value {
        serde_json::from_slice(&self.collected.bundles[0].bytes).unwrap()
    }

    pub fn verify(&self, policy: &VerifyPolicy) -> Result<Vec<Verified>, VerifyError> {
        verify_signature(&self.collected, &self.subject, policy, NOW)
    }

    /// Verifies the only candidate, which must be refused, and returns why.
    pub fn refused(&self, policy: &VerifyPolicy) -> Reason {
        only_reason(self.verify(policy).map(|found| format!("{found:?}")))
    }

    /// Verifies the only candidate for another image, which must be refused for that.
    pub fn refused_for_another_image(&self, name: &str, policy: &VerifyPolicy) {
        let other = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
        let outcome = verify_signature(&self.collected, &other, policy, NOW);
        let reason = only_reason(outcome.map(|found| format!("{found:?}")));
        assert!(
            matches!(&reason, Reason::OtherSubject { found } if *found == self.subject.to_string()),
            "{name}: {reason}"
        );
    }

    /// The same of an attestation.
    pub fn attestation_refused(&self, predicate_type: &str, policy: &VerifyPolicy) -> Reason {
        let outcome =
            verify_attestation(&self.collected, &self.subject, predicate_type, policy, NOW);
        only_reason(outcome.map(|found| format!("{found:?}")))
    }
}

pub fn only_reason(outcome: Result<String, VerifyError>) -> Reason {
    match outcome {
        Err(VerifyError::NoneAccepted { mut rejected, .. }) if rejected.len() == 1 => {
            rejected.remove(0).reason
        }
        Err(other) => panic!("another error than one refused candidate: {other}"),
        Ok(found) => panic!("accepted: {found}"),
    }
}

/// Changes JSON that is stored in base64.
pub fn change_base64(place: &mut Value, edit: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&STANDARD.decode(text(place)).unwrap()).unwrap();
    edit(&mut value);
    *place = STANDARD.encode(value.to_string()).into();
}

/// Changes one bit in the middle of something stored in base64.
pub fn flip(place: &mut Value) {
    let mut bytes = STANDARD.decode(text(place)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    *place = STANDARD.encode(bytes).into();
}

pub fn root() -> TrustedRoot {
    TrustedRoot::parse(&file("trusted_root.json")).unwrap()
}

/// The trusted root with a change.
pub fn root_with(edit: impl FnOnce(&mut Value)) -> TrustedRoot {
    let mut value: Value = serde_json::from_slice(&file("trusted_root.json")).unwrap();
    edit(&mut value);
    TrustedRoot::parse(value.to_string().as_bytes()).unwrap()
}

pub fn key(name: &str) -> Who {
    Who::Key(public_key(&file(&format!("{name}.pub"))).unwrap())
}

/// A key, and nothing but the key.
pub fn key_alone(name: &str) -> VerifyPolicy {
    VerifyPolicy {
        log: Log::Off,
        ..VerifyPolicy::new(key(name), None)
    }
}

/// A key whose signatures are in a log.
pub fn key_logged(name: &str) -> VerifyPolicy {
    VerifyPolicy::new(key(name), Some(root()))
}

/// The issuer of the recorded tokens.
pub fn issuer(kind: &str) -> Match {
    Match::pattern(format!(r"http://127\.0\.0\.1:\d+/{kind}")).unwrap()
}

/// Alice, whose signatures are in a log.
pub fn alice() -> VerifyPolicy {
    VerifyPolicy::new(
        Who::Identity {
            identity: Match::exact(ALICE).unwrap(),
            issuer: issuer("email"),
            claims: Vec::new(),
        },
        Some(root()),
    )
}

/// Alice, by signed timestamps and without a log.
pub fn alice_timed() -> VerifyPolicy {
    VerifyPolicy {
        log: Log::Off,
        timestamps: Timestamps::Required,
        ..alice()
    }
}

pub fn with_root(policy: VerifyPolicy, root: TrustedRoot) -> VerifyPolicy {
    VerifyPolicy {
        trusted_root: Some(root),
        ..policy
    }
}

/// Checks that the statement of a case is what a signature of an image says; guards against samples that test nothing.
pub fn states_a_signature(case: &Case) -> bool {
    let payload = STANDARD
        .decode(text(&case.first()["dsseEnvelope"]["payload"]))
        .unwrap();
    let statement: Value = serde_json::from_slice(&payload).unwrap();
    statement["predicateType"] == SIGN_PREDICATE
}
