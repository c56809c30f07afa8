//! The two forms, each with what a log and timestamp authorities say.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::Session;
use super::credential::Credential;
use crate::dsse::{self, Envelope};
use crate::error::SignError;
use crate::service::rekor::{self, LogEntry};
use crate::service::{Choice, Rekor, ServiceError, tsa};
use crate::statement::Subject;
use crate::store::{
    BundleEntry, CERTIFICATE_ANNOTATION, CHAIN_ANNOTATION, DSSE_ENVELOPE, LOG_ANNOTATION,
    LegacyEntry, PREDICATE_TYPE_ANNOTATION, SIGNATURE_ANNOTATION, SIMPLE_SIGNING,
    TIMESTAMP_ANNOTATION,
};
use crate::{bundle, payload};

impl Session {
    pub(super) async fn bundle_entries(
        &self,
        credential: &Credential,
        envelope: &Envelope,
    ) -> Result<Vec<LogEntry>, SignError> {
        if !self.settings.tlog {
            return Ok(Vec::new());
        }
        let logs = &self.settings.services.rekor;
        let entries = logs
            .gather(async |log| {
                rekor::enter_envelope(&self.http, log, envelope, credential.signatory()).await
            })
            .await?;
        Ok(entries)
    }

    pub(super) async fn bundle(
        &self,
        credential: &Credential,
        envelope: &Envelope,
        entries: &[LogEntry],
        predicate_type: &str,
    ) -> Result<BundleEntry, SignError> {
        let timestamps = self
            .settings
            .services
            .tsa
            .gather(async |tsa| tsa::timestamp(&self.http, tsa, &envelope.signature).await)
            .await?;
        Ok(BundleEntry {
            bundle: bundle::write(credential.signatory(), entries, &timestamps, envelope),
            predicate_type: predicate_type.to_owned(),
            created: self.created(),
        })
    }

    fn created(&self) -> String {
        jiff::Timestamp::from_second(self.http.now())
            .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
            .to_string()
    }

    pub(super) async fn legacy_signature(
        &self,
        credential: &Credential,
        subject: &Subject,
    ) -> Result<LegacyEntry, SignError> {
        let payload =
            payload::simple_signing(&subject.name, &subject.digest, &self.settings.annotations);
        let signature = credential.sign(&payload).await?;
        let entry = async {
            match self.legacy_log() {
                None => Ok(None),
                Some(log) => {
                    let signatory = credential.signatory();
                    rekor::enter_signature(&self.http, log, &payload, &signature, signatory)
                        .await
                        .map(Some)
                }
            }
        };
        let (entry, timestamp) = tokio::try_join!(entry, self.legacy_timestamp(&signature))?;
        let mut annotations = annotations(credential, entry.as_ref(), timestamp);
        annotations.insert(SIGNATURE_ANNOTATION.into(), STANDARD.encode(&signature));
        Ok(LegacyEntry {
            media_type: SIMPLE_SIGNING,
            payload,
            annotations,
        })
    }

    pub(super) async fn legacy_attestation(
        &self,
        credential: &Credential,
        envelope: &Envelope,
        predicate_type: &str,
        entry: Option<&LogEntry>,
    ) -> Result<LegacyEntry, SignError> {
        let payload = envelope.to_json().into_bytes();
        // Of an attestation cosign wants the time of the whole envelope, not of the signature in it.
        let timestamp = self.legacy_timestamp(&payload).await?;
        let mut annotations = annotations(credential, entry, timestamp);
        annotations.insert(SIGNATURE_ANNOTATION.into(), String::new());
        annotations.insert(PREDICATE_TYPE_ANNOTATION.into(), predicate_type.to_owned());
        Ok(LegacyEntry {
            media_type: DSSE_ENVELOPE,
            payload,
            annotations,
        })
    }

    /// The log of `.sig` and `.att` entries, if one is used.
    fn legacy_log(&self) -> Option<&reqwest::Url> {
        let log = self.settings.services.rekor_v1.as_ref();
        log.filter(|_| self.settings.tlog)
    }

    pub(super) async fn legacy_envelope_entry(
        &self,
        credential: &Credential,
        envelope: &Envelope,
    ) -> Result<Option<LogEntry>, SignError> {
        let Some(log) = self.legacy_log().filter(|_| self.writes_legacy()) else {
            return Ok(None);
        };
        let log = Rekor::V1(log.clone());
        let entry =
            rekor::enter_envelope(&self.http, &log, envelope, credential.signatory()).await?;
        Ok(Some(entry))
    }

    /// One timestamp, for the annotation has no room for more, and none where a log says the time: several versions of cosign
    /// refuse a signature whose timestamp is of an authority that they were not told of, even if they need none.
    async fn legacy_timestamp(&self, bytes: &[u8]) -> Result<Option<Vec<u8>>, ServiceError> {
        if self.legacy_log().is_some() {
            return Ok(None);
        }
        let authorities = &self.settings.services.tsa;
        let one = Choice {
            services: authorities.services.clone(),
            needed: authorities.needed.min(1),
        };
        let mut answers = one
            .gather(async |tsa| tsa::timestamp(&self.http, tsa, bytes).await)
            .await?;
        Ok(answers.pop())
    }
}

/// The annotations that both kinds of entries have.
fn annotations(
    credential: &Credential,
    entry: Option<&LogEntry>,
    timestamp: Option<Vec<u8>>,
) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::new();
    if let Credential::Ephemeral(ephemeral) = credential {
        let certificate = &ephemeral.certificate;
        annotations.insert(CERTIFICATE_ANNOTATION.into(), certificate.leaf_pem());
        annotations.insert(CHAIN_ANNOTATION.into(), certificate.chain_pem());
    }
    if let Some(text) = entry.and_then(|entry| entry.annotation.clone()) {
        annotations.insert(LOG_ANNOTATION.into(), text);
    }
    if let Some(bytes) = timestamp {
        let text = json!({"SignedRFC3161Timestamp": STANDARD.encode(bytes)}).to_string();
        annotations.insert(TIMESTAMP_ANNOTATION.into(), text);
    }
    annotations
}

/// Signs a statement.
pub(super) async fn seal(
    credential: &Credential,
    statement: Vec<u8>,
) -> Result<Envelope, SignError> {
    let signature = credential
        .sign(&dsse::pae(dsse::IN_TOTO, &statement))
        .await?;
    Ok(Envelope {
        payload: statement,
        signature,
    })
}
