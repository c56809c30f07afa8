//! `.sig` and `.att` layers, made into bundles, so that one verifier serves both forms.
//!
//! cosign keeps what proves a signature in annotations of the layer. The same facts have a place in Sigstore's bundles: with an
//! entry of a log that is version 0.1 (a promise of the log is enough there), without one it is 0.2.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sigstore_types::{Bundle, DerCertificate, DsseEnvelope};

use super::Reason;
use super::statement::shown;
use crate::store::{
    CERTIFICATE_ANNOTATION, CHAIN_ANNOTATION, FoundLegacy, LOG_ANNOTATION, SIGNATURE_ANNOTATION,
    TIMESTAMP_ANNOTATION,
};

/// The most certificates that a chain may have.
const CHAIN_LIMIT: usize = 10;

/// What the annotations of a layer hold, read but not verified.
#[derive(Debug)]
pub(super) struct Legacy<'a> {
    payload: &'a [u8],
    certificates: Vec<Vec<u8>>,
    log: Option<LogAnnotation>,
    timestamp: Option<Vec<u8>>,
    /// Of a `.sig` layer.
    signature: Option<Vec<u8>>,
    /// Of an `.att` layer.
    envelope: Option<DsseEnvelope>,
}

#[derive(Debug, Deserialize)]
struct LogAnnotation {
    #[serde(rename = "SignedEntryTimestamp")]
    promise: String,
    #[serde(rename = "Payload")]
    payload: LogPayload,
}

#[derive(Debug, Deserialize)]
struct LogPayload {
    body: String,
    #[serde(rename = "integratedTime")]
    integrated_time: i64,
    #[serde(rename = "logIndex")]
    log_index: i64,
    #[serde(rename = "logID")]
    log_id: String,
}

#[derive(Deserialize)]
struct TimestampAnnotation {
    #[serde(rename = "SignedRFC3161Timestamp")]
    token: String,
}

#[derive(Deserialize)]
struct Body {
    kind: String,
    #[serde(rename = "apiVersion")]
    version: String,
}

fn malformed(what: &str, why: impl std::fmt::Display) -> Reason {
    Reason::Malformed(format!("its {what} is wrong: {why}"))
}

impl<'a> Legacy<'a> {
    /// Reads a layer of a `.sig` tag.
    pub(super) fn signature(layer: &'a FoundLegacy) -> Result<Self, Reason> {
        let text = layer
            .annotations
            .get(SIGNATURE_ANNOTATION)
            .ok_or_else(|| Reason::Malformed("it has no signature".to_owned()))?;
        let signature = STANDARD
            .decode(text)
            .map_err(|e| malformed("signature", e))?;
        Ok(Self {
            signature: Some(signature),
            ..Self::evidence(layer)?
        })
    }

    /// Reads a layer of an `.att` tag. An envelope of several signatures is refused: the annotations prove one.
    pub(super) fn attestation(layer: &'a FoundLegacy) -> Result<Self, Reason> {
        let envelope: DsseEnvelope =
            serde_json::from_slice(&layer.payload).map_err(|e| malformed("envelope", e))?;
        Ok(Self {
            envelope: Some(envelope),
            ..Self::evidence(layer)?
        })
    }

    fn evidence(layer: &'a FoundLegacy) -> Result<Self, Reason> {
        let annotation = |name: &str| layer.annotations.get(name).filter(|text| !text.is_empty());
        let mut certificates = Vec::new();
        if let Some(leaf) = annotation(CERTIFICATE_ANNOTATION) {
            let leaf = DerCertificate::from_pem(leaf).map_err(|e| malformed("certificate", e))?;
            certificates.push(leaf.as_bytes().to_vec());
            if let Some(chain) = annotation(CHAIN_ANNOTATION) {
                certificates.extend(pem_certificates(chain)?);
            }
        }
        let log = annotation(LOG_ANNOTATION)
            .map(|text| serde_json::from_str(text).map_err(|e| malformed("log entry", e)))
            .transpose()?;
        let timestamp = annotation(TIMESTAMP_ANNOTATION)
            .map(|text| serde_json::from_str(text).map_err(|e| malformed("timestamp", e)))
            .transpose()?
            .map(|found: TimestampAnnotation| {
                STANDARD
                    .decode(found.token)
                    .map_err(|e| malformed("timestamp", e))
            })
            .transpose()?;
        Ok(Self {
            payload: &layer.payload,
            certificates,
            log,
            timestamp,
            signature: None,
            envelope: None,
        })
    }

    /// Returns the layer's bytes.
    pub(super) fn payload(&self) -> &[u8] {
        self.payload
    }

    /// Returns the envelope of an `.att` layer.
    pub(super) fn envelope(&self) -> Option<&DsseEnvelope> {
        self.envelope.as_ref()
    }

    /// Returns the signature of a `.sig` layer.
    pub(super) fn raw_signature(&self) -> Option<&[u8]> {
        self.signature.as_deref()
    }

    /// Tells whether an entry of a log comes along.
    pub(super) fn is_logged(&self) -> bool {
        self.log.is_some()
    }

    /// Tells whether a certificate comes along.
    pub(super) fn is_certified(&self) -> bool {
        !self.certificates.is_empty()
    }

    /// Returns whom the certificate names. Nothing of it has been verified: it is for messages.
    pub(super) fn identity(&self) -> Option<String> {
        let der = DerCertificate::new(self.certificates.first()?.clone());
        let certificate = sigstore_crypto::parse_certificate_info(&der).ok()?;
        Some(shown(certificate.identity?.as_str()))
    }

    /// Returns the timestamp of an `.att` layer. cosign has it made for the whole envelope, not for the signature in it, so it has
    /// no place in a bundle.
    pub(super) fn envelope_timestamp(&self) -> Option<&[u8]> {
        self.timestamp
            .as_deref()
            .filter(|_| self.envelope.is_some())
    }

    /// Makes the bundle. With `keyed`, a certificate that is there is left out: the key that the user named is what counts.
    /// Without `logged`, an entry of a log need not be there.
    pub(super) fn bundle(&self, keyed: bool, logged: bool) -> Result<Bundle, Reason> {
        let mut material = if keyed || self.certificates.is_empty() {
            json!({"publicKey": {"hint": ""}})
        } else {
            let chain: Vec<Value> = self
                .certificates
                .iter()
                .map(|der| json!({"rawBytes": STANDARD.encode(der)}))
                .collect();
            json!({"x509CertificateChain": {"certificates": chain}})
        };
        if let Some(log) = &self.log {
            material["tlogEntries"] = json!([entry(log)?]);
        }
        if let Some(token) = self.timestamp.as_ref().filter(|_| self.envelope.is_none()) {
            material["timestampVerificationData"] =
                json!({"rfc3161Timestamps": [{"signedTimestamp": STANDARD.encode(token)}]});
        }
        let version = if logged { "0.1" } else { "0.2" };
        let mut bundle = json!({
            "mediaType": format!("application/vnd.dev.sigstore.bundle+json;version={version}"),
            "verificationMaterial": material,
        });
        if let Some(envelope) = &self.envelope {
            bundle["dsseEnvelope"] =
                serde_json::to_value(envelope).map_err(|e| malformed("envelope", e))?;
        } else {
            let digest = STANDARD.encode(Sha256::digest(self.payload));
            let signature = STANDARD.encode(self.signature.as_deref().unwrap_or_default());
            bundle["messageSignature"] = json!({
                "messageDigest": {"algorithm": "SHA2_256", "digest": digest},
                "signature": signature,
            });
        }
        Bundle::from_json(&bundle.to_string()).map_err(|e| Reason::Malformed(e.to_string()))
    }
}

fn entry(log: &LogAnnotation) -> Result<Value, Reason> {
    let LogPayload {
        body,
        integrated_time,
        log_index,
        log_id,
    } = &log.payload;
    let raw = STANDARD
        .decode(body)
        .map_err(|e| malformed("log entry", e))?;
    let Body { kind, version } =
        serde_json::from_slice(&raw).map_err(|e| malformed("log entry", e))?;
    let id = unhex(log_id).ok_or_else(|| malformed("log entry", "the log's name is no hex"))?;
    Ok(json!({
        "logIndex": log_index.to_string(),
        "logId": {"keyId": STANDARD.encode(id)},
        "kindVersion": {"kind": kind, "version": version},
        "integratedTime": integrated_time.to_string(),
        "inclusionPromise": {"signedEntryTimestamp": log.promise},
        "canonicalizedBody": body,
    }))
}

fn pem_certificates(text: &str) -> Result<Vec<Vec<u8>>, Reason> {
    const END: &str = "-----END CERTIFICATE-----";
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.find(END) {
        if out.len() == CHAIN_LIMIT {
            return Err(malformed("certificate chain", "it is too long"));
        }
        let (block, after) = rest.split_at(end + END.len());
        let certificate = DerCertificate::from_pem(block.trim())
            .map_err(|e| malformed("certificate chain", e))?;
        out.push(certificate.as_bytes().to_vec());
        rest = after;
    }
    Ok(out)
}

pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let bytes = text.as_bytes();
    if !bytes.len().is_multiple_of(2) {
        return None;
    }
    bytes
        .chunks_exact(2)
        .map(|pair| u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok())
        .collect()
}
