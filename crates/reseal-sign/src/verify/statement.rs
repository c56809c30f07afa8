//! What is signed: in-toto statements in DSSE envelopes, and cosign's older payloads. Read strictly, after nothing but a look.

use std::collections::BTreeMap;

use reseal_oci::Digest;
use serde::Deserialize;
use serde_json::Value;

use super::Reason;

/// Payload type of the envelopes that hold statements.
pub(super) const IN_TOTO: &str = "application/vnd.in-toto+json";
/// Predicate type of an image signature in a bundle.
pub const SIGN_PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";
/// What a payload of a `.sig` layer must call itself.
const SIGNATURE_TYPE: &str = "cosign container image signature";
/// The longest piece of a stranger's text that goes into a message.
const SHOWN: usize = 200;

/// A statement that is about the digest that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Statement {
    pub(super) predicate_type: String,
    pub(super) predicate: Value,
    /// Name of the subject with the digest.
    pub(super) name: Option<String>,
    /// Annotations of the subject with the digest.
    pub(super) annotations: BTreeMap<String, Value>,
}

// Types and not values, because these refuse a field that is there twice.
#[derive(Deserialize)]
struct Wire {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    #[serde(default)]
    predicate: Option<Value>,
}

#[derive(Deserialize)]
struct Subject {
    #[serde(default)]
    name: Option<String>,
    digest: BTreeMap<String, String>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, Value>>,
}

/// Reads a statement of the in-toto attestation specification, version 1 or 0.1.
pub(super) fn statement(payload: &[u8], about: &Digest) -> Result<Statement, Reason> {
    let wire: Wire = serde_json::from_slice(payload)
        .map_err(|e| Reason::Malformed(format!("its statement is no in-toto statement: {e}")))?;
    if !matches!(
        wire.kind.as_str(),
        "https://in-toto.io/Statement/v1" | "https://in-toto.io/Statement/v0.1"
    ) {
        return Err(Reason::Malformed(format!(
            "its statement is a `{}`",
            shown(&wire.kind)
        )));
    }
    let found: Vec<String> = wire
        .subject
        .iter()
        .flat_map(|subject| &subject.digest)
        .map(|(algorithm, hex)| format!("{algorithm}:{hex}"))
        .collect();
    let subject = wire.subject.into_iter().find(|subject| {
        subject.digest.get(about.algorithm()).map(String::as_str) == Some(about.hex())
    });
    let Some(subject) = subject else {
        return Err(Reason::OtherSubject {
            found: shown(&found.join(", ")),
        });
    };
    Ok(Statement {
        predicate_type: wire.predicate_type,
        predicate: wire
            .predicate
            .unwrap_or_else(|| Value::Object(serde_json::Map::new())),
        name: subject.name.filter(|name| !name.is_empty()),
        annotations: subject.annotations.unwrap_or_default(),
    })
}

/// What a `.sig` layer says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SimpleSigning {
    pub(super) reference: String,
    pub(super) annotations: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct SimpleWire {
    critical: Critical,
    #[serde(default)]
    optional: Option<BTreeMap<String, Value>>,
}

#[derive(Deserialize)]
struct Critical {
    identity: Identity,
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Identity {
    #[serde(rename = "docker-reference")]
    reference: String,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

/// Reads a payload of the "simple signing" format. The reference in it is not compared: copies of an image keep its signature.
pub(super) fn simple_signing(payload: &[u8], about: &Digest) -> Result<SimpleSigning, Reason> {
    let wire: SimpleWire = serde_json::from_slice(payload)
        .map_err(|e| Reason::Malformed(format!("it is no simple signing payload: {e}")))?;
    if wire.critical.kind != SIGNATURE_TYPE {
        return Err(Reason::Malformed(format!(
            "it calls itself `{}`, not `{SIGNATURE_TYPE}`",
            shown(&wire.critical.kind)
        )));
    }
    if wire.critical.image.digest != about.as_str() {
        return Err(Reason::OtherSubject {
            found: shown(&wire.critical.image.digest),
        });
    }
    Ok(SimpleSigning {
        reference: wire.critical.identity.reference,
        annotations: wire.optional.unwrap_or_default(),
    })
}

/// Makes a stranger's text fit for a message: one line, no control characters, not too long.
pub(super) fn shown(text: &str) -> String {
    let mut out: String = text
        .chars()
        .take(SHOWN)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if text.chars().count() > SHOWN {
        out.push('…');
    }
    out
}
