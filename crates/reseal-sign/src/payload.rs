//! What a `.sig` signature signs: the "simple signing" payload, in cosign's own bytes.

use std::collections::BTreeMap;

use reseal_oci::Digest;
use serde::Serialize;

/// The value of `critical.type`.
pub const SIGNATURE_TYPE: &str = "cosign container image signature";

#[derive(Serialize)]
struct Payload<'a> {
    critical: Critical<'a>,
    optional: Option<&'a BTreeMap<String, String>>,
}

#[derive(Serialize)]
struct Critical<'a> {
    identity: Identity<'a>,
    image: Image<'a>,
    r#type: &'static str,
}

#[derive(Serialize)]
struct Identity<'a> {
    #[serde(rename = "docker-reference")]
    reference: &'a str,
}

#[derive(Serialize)]
struct Image<'a> {
    #[serde(rename = "docker-manifest-digest")]
    digest: &'a str,
}

/// Returns the payload for a digest in a repository (`registry.example/shop/cart`, without tag and digest).
pub fn simple_signing(
    repository: &str,
    digest: &Digest,
    annotations: &BTreeMap<String, String>,
) -> Vec<u8> {
    let payload = Payload {
        critical: Critical {
            identity: Identity {
                reference: repository,
            },
            image: Image {
                digest: digest.as_str(),
            },
            r#type: SIGNATURE_TYPE,
        },
        optional: (!annotations.is_empty()).then_some(annotations),
    };
    crate::go_json::to_vec(&payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    #[test]
    fn the_payload_is_cosigns_byte_for_byte() {
        let digest: Digest = DIGEST.parse().unwrap();
        let bytes = simple_signing("registry.example/shop/cart", &digest, &BTreeMap::new());
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            r#"{"critical":{"identity":{"docker-reference":"registry.example/shop/cart"},"image":{"docker-manifest-digest":"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},"type":"cosign container image signature"},"optional":null}"#
        );
    }

    #[test]
    fn annotations_are_sorted_and_escaped_as_cosign_does() {
        let annotations = [("b", "x<y&z"), ("a", "\u{2028}ü\"")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        let bytes = simple_signing("r/c", &DIGEST.parse().unwrap(), &annotations.into());
        let text = String::from_utf8(bytes).unwrap();
        let (_, optional) = text.split_once(r#""optional":"#).unwrap();
        assert_eq!(optional, r#"{"a":"\u2028ü\"","b":"x\u003cy\u0026z"}}"#);
    }
}
