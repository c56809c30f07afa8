//! Entries in transparency logs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::config::Rekor;
use super::error::ServiceError;
use super::http::Http;
use super::{rekor_v1, rekor_v2};
use crate::dsse::{self, Envelope};
use crate::key::PublicKey;
use crate::service::fulcio::Certificate;

/// Who a log is told to have signed.
#[derive(Debug, Clone, Copy)]
pub enum Signatory<'a> {
    /// A key.
    Key(&'a PublicKey),
    /// A certificate.
    Certificate(&'a Certificate),
}

impl Signatory<'_> {
    /// Base64 of the PEM, as logs of the first protocol take it.
    pub(super) fn pem(self) -> String {
        STANDARD.encode(match self {
            Self::Key(key) => key.to_pem(),
            Self::Certificate(certificate) => certificate.leaf_pem(),
        })
    }
}

/// An entry, as the two places that keep it have it.
#[derive(Debug, Clone, PartialEq)]
pub struct LogEntry {
    /// A `TransparencyLogEntry` of a bundle.
    pub in_bundle: Value,
    /// The value of the annotation `dev.sigstore.cosign/bundle`; there is none for Rekor v2.
    pub annotation: Option<String>,
}

/// Enters an attestation or a bundle's signature.
pub async fn enter_envelope(
    http: &Http,
    log: &Rekor,
    envelope: &Envelope,
    signatory: Signatory<'_>,
) -> Result<LogEntry, ServiceError> {
    match log {
        Rekor::V1(url) => rekor_v1::enter_envelope(http, url, envelope, signatory).await,
        Rekor::V2(url) => {
            let signed = dsse::pae(dsse::IN_TOTO, &envelope.payload);
            let digest = Sha256::digest(signed).into();
            rekor_v2::enter(http, url, digest, &envelope.signature, signatory).await
        }
    }
}

pub use rekor_v1::enter_signature;

/// Compares what a log says it holds with what it was given.
pub(super) fn check(body: &Value, pairs: &[(&str, &str)]) -> Result<(), String> {
    for (pointer, expected) in pairs {
        match body.pointer(pointer).and_then(Value::as_str) {
            Some(found) if found == *expected => {}
            Some(_) => return Err(format!("the entry holds something else at `{pointer}`")),
            None => return Err(format!("the entry holds nothing at `{pointer}`")),
        }
    }
    Ok(())
}

/// Decodes the body of an entry.
pub(super) fn body(text: &str) -> Result<Value, String> {
    let bytes = STANDARD
        .decode(text)
        .map_err(|error| format!("the entry's body is not base64: {error}"))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("the entry's body is not JSON: {error}"))
}
