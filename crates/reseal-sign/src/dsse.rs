//! DSSE envelopes: <https://github.com/secure-systems-lab/dsse>.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The payload type of in-toto statements.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";

/// Returns what is signed: the payload and its type, each with its length.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    );
    [head.as_bytes(), payload].concat()
}

/// A signed statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The statement, JSON.
    pub payload: Vec<u8>,
    /// The signature over the statement's [`pae`].
    pub signature: Vec<u8>,
}

impl Envelope {
    /// Returns the envelope as `.att` tags and Rekor v1 have it. The key identifier is there and empty, as cosign writes it.
    pub fn to_json(&self) -> String {
        json!({
            "payloadType": IN_TOTO,
            "payload": STANDARD.encode(&self.payload),
            "signatures": [{"keyid": "", "sig": STANDARD.encode(&self.signature)}],
        })
        .to_string()
    }

    /// Returns the envelope as bundles have it.
    pub(crate) fn in_bundle(&self) -> Value {
        json!({
            "payload": STANDARD.encode(&self.payload),
            "payloadType": IN_TOTO,
            "signatures": [{"sig": STANDARD.encode(&self.signature)}],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_the_specifications_example() {
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
        assert_eq!(
            pae(IN_TOTO, b"{}"),
            b"DSSEv1 28 application/vnd.in-toto+json 2 {}"
        );
        // Lengths are of bytes, not of characters.
        assert_eq!(pae("", "ü".as_bytes()), "DSSEv1 0  2 ü".as_bytes());
    }

    #[test]
    fn the_envelope_is_written_in_two_ways() {
        let envelope = Envelope {
            payload: b"{}".to_vec(),
            signature: vec![0xff, 0xfe],
        };
        assert_eq!(
            envelope.to_json(),
            r#"{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"keyid":"","sig":"//4="}]}"#
        );
        assert_eq!(
            envelope.in_bundle().to_string(),
            r#"{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"//4="}]}"#
        );
    }
}
