//! What is trusted without a key: the authorities and logs of a `trusted_root.json`.

use std::fmt;

use jiff::Timestamp;
use reqwest::Url;
use sigstore_crypto::VerificationKey;
use sigstore_trust_root::{SIGSTORE_PRODUCTION_TRUSTED_ROOT, TrustedRoot as Wire};
use sigstore_types::{Sha256Hash, SignatureBytes, TimestampToken};
use sigstore_verify::Verifier;
use sigstore_verify::tsa::verify_timestamp_for_authority;

use super::statement::shown;
use super::{Reason, VerifyError};

/// The most bytes that a trusted root may have. The public one has 7 KB.
const SIZE_LIMIT: usize = 1024 * 1024;

/// Certificate authorities, transparency logs and timestamp authorities, each with the time in which it is trusted.
///
/// This is the one place where the format of `trusted_root.json` (Sigstore's protobuf specification, `dev.sigstore.trustroot.v1`)
/// is known.
#[derive(Clone)]
pub struct TrustedRoot {
    wire: Wire,
}

impl TrustedRoot {
    /// Reads a `trusted_root.json`, and refuses keys and certificates in it that cannot be used.
    pub fn parse(bytes: &[u8]) -> Result<Self, VerifyError> {
        let bad = |why: String| VerifyError::TrustedRoot { why };
        if bytes.len() > SIZE_LIMIT {
            return Err(bad(format!("it is larger than {SIZE_LIMIT} bytes")));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| bad("it is no text".to_owned()))?;
        let wire = Wire::from_json(text).map_err(|e| bad(e.to_string()))?;
        if !wire
            .media_type
            .starts_with("application/vnd.dev.sigstore.trustedroot")
        {
            return Err(bad(format!("its media type is `{}`", wire.media_type)));
        }
        Verifier::new(&wire).map_err(|e| bad(e.to_string()))?;
        Ok(Self { wire })
    }

    /// Returns the trusted root of the public Sigstore instance as it was when this program was built. Nothing is fetched.
    pub fn public_instance() -> Result<Self, VerifyError> {
        Self::parse(SIGSTORE_PRODUCTION_TRUSTED_ROOT.as_bytes())
    }

    /// Tells whether it names a transparency log.
    pub fn has_logs(&self) -> bool {
        !self.wire.tlogs.is_empty()
    }

    /// Tells whether it names a certificate authority.
    pub fn has_certificate_authorities(&self) -> bool {
        !self.wire.certificate_authorities.is_empty()
    }

    /// Tells whether it names a certificate transparency log.
    pub fn has_certificate_logs(&self) -> bool {
        !self.wire.ctlogs.is_empty()
    }

    /// Tells whether it names a timestamp authority.
    pub fn has_timestamp_authorities(&self) -> bool {
        !self.wire.timestamp_authorities.is_empty()
    }

    pub(super) fn verifier(&self) -> Result<Verifier, VerifyError> {
        Verifier::new(&self.wire).map_err(|e| VerifyError::TrustedRoot { why: e.to_string() })
    }

    /// Returns the time in a token (RFC 3161) that one of the authorities, in its time, has signed for these bytes.
    pub(super) fn timestamp(&self, token: &[u8], bytes: &[u8]) -> Result<Timestamp, Reason> {
        let token = TimestampToken::new(token.to_vec());
        let bytes = SignatureBytes::new(bytes.to_vec());
        let mut why = "the trusted root names no timestamp authority".to_owned();
        for authority in self.wire.tsa_authorities() {
            match verify_timestamp_for_authority(&token, &bytes, &authority) {
                Ok(time) => return Ok(time),
                Err(error) => why = shown(&error.to_string()),
            }
        }
        Err(Reason::Timestamp(why))
    }

    /// Returns the log of this name. One that is trusted no longer is still there, for what it took in before.
    pub(super) fn log(&self, id: &Sha256Hash) -> Option<TrustedLog> {
        let log = self
            .wire
            .tlogs
            .iter()
            .find(|log| log.log_id.key_id.as_bytes() == id.as_bytes())?;
        Some(TrustedLog {
            key: VerificationKey::from_spki(&log.public_key.raw_bytes).ok()?,
            host: Url::parse(&log.base_url).ok()?.host_str()?.to_owned(),
            since: log.public_key.valid_for.map(|window| window.start),
        })
    }

    /// Returns the same without the logs whose key was trusted at none of these times; `None` if all stay.
    pub(super) fn with_logs_of(&self, times: &[Timestamp]) -> Option<Self> {
        let mut wire = self.wire.clone();
        wire.tlogs.retain(|log| {
            log.public_key
                .valid_for
                .is_none_or(|window| times.iter().any(|&time| window.contains(time)))
        });
        (wire.tlogs.len() < self.wire.tlogs.len()).then_some(Self { wire })
    }
}

/// A log, as far as one is needed to check what it signed.
pub(super) struct TrustedLog {
    pub(super) key: VerificationKey,
    /// Host name of its address, without the port: what its checkpoints are called by.
    pub(super) host: String,
    /// From when on the key is trusted.
    pub(super) since: Option<Timestamp>,
}

impl fmt::Debug for TrustedRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustedRoot")
            .field("logs", &self.wire.tlogs.len())
            .field("certificates", &self.wire.certificate_authorities.len())
            .field("ct_logs", &self.wire.ctlogs.len())
            .field("timestamps", &self.wire.timestamp_authorities.len())
            .finish()
    }
}
