//! The cryptography of one bundle: key or certificate, log entries, timestamps. What it says has been looked at before.

use std::borrow::Cow;

use jiff::Timestamp;
use sigstore_crypto::SigningScheme;
use sigstore_types::bundle::VerificationMaterialContent;
use sigstore_types::{Artifact, Bundle, DerPublicKey, SignatureBytes};
use sigstore_verify::{
    Error, PublicKeyVerificationPolicy, TimestampError, VerificationPolicy, VerificationResult,
    Verifier,
};

use super::rekor2;
use super::signer::identity_of;
use super::statement::shown;
use super::{Log, Reason, Signer, Timestamps, TrustedRoot, VerifyError, VerifyPolicy, Who};
use crate::key::{Algorithm, PublicKey};

/// The most log entries, and the most timestamps, that one bundle may carry; each costs a signature to check.
const EVIDENCE_LIMIT: usize = 16;

/// What was proved beside the signature itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proof {
    /// Positions in transparency logs; empty if logs were not asked for.
    pub log_indexes: Vec<u64>,
    /// Whether a log proved that the entry is in it. If not but logged, the log has promised to take it in.
    pub inclusion: bool,
    /// Number of timestamps of timestamp authorities.
    pub timestamps: usize,
    /// Whether a certificate transparency log has seen the certificate.
    pub certificate_logged: bool,
    /// Every proved time of signing, in seconds since 1970.
    pub times: Vec<i64>,
}

/// A policy made ready for use.
pub(super) struct Judge<'a> {
    policy: &'a VerifyPolicy,
    root: Option<(&'a TrustedRoot, Verifier)>,
    now: i64,
}

impl<'a> Judge<'a> {
    pub(super) fn new(policy: &'a VerifyPolicy, now: i64) -> Result<Self, VerifyError> {
        policy.check()?;
        let root = policy
            .trusted_root
            .as_ref()
            .map(|root| root.verifier().map(|verifier| (root, verifier)))
            .transpose()?;
        Ok(Self { policy, root, now })
    }

    pub(super) fn policy(&self) -> &VerifyPolicy {
        self.policy
    }

    /// Tells whether log entries are asked for.
    pub(super) fn logged(&self) -> bool {
        self.policy.log == Log::Required
    }

    /// Tells whether a key is asked for, not a certificate.
    pub(super) fn keyed(&self) -> bool {
        matches!(self.policy.who, Who::Key(_))
    }

    /// Tells whether nothing but the key counts, so that there is no need to make a bundle.
    pub(super) fn key_alone(&self) -> bool {
        self.keyed() && !self.logged() && self.policy.timestamps == Timestamps::WhenPresent
    }

    /// Checks a signature by the key alone. `Ok(None)` if a certificate is asked for.
    pub(super) fn by_key(&self, signed: &Signed<'_>) -> Result<Option<Signer>, Reason> {
        let Who::Key(key) = &self.policy.who else {
            return if signed.keyed {
                Err(Reason::Keyed)
            } else {
                Ok(None)
            };
        };
        if !signed.keyed {
            return Err(Reason::Certified {
                identity: signed.identity.clone(),
            });
        }
        if fits(key, signed) {
            Ok(Some(Signer::of(key)))
        } else {
            Err(match &signed.identity {
                Some(identity) => Reason::Certified {
                    identity: Some(identity.clone()),
                },
                None => Reason::NotByKey,
            })
        }
    }

    /// Checks a timestamp that does not travel in a bundle.
    pub(super) fn timestamp(&self, token: &[u8], bytes: &[u8]) -> Result<Timestamp, Reason> {
        self.trust()?.0.timestamp(token, bytes)
    }

    fn trust(&self) -> Result<&(&'a TrustedRoot, Verifier), Reason> {
        self.root.as_ref().ok_or_else(|| {
            Reason::Unsupported("there is no trusted root to verify it by".to_owned())
        })
    }

    /// Checks all of a bundle whose signature is known to be one by the key, if a key is asked for. `outside` are times that have
    /// been proved and have no place in the bundle.
    pub(super) fn by_bundle(
        &self,
        bundle: &Bundle,
        artifact: &Artifact<'_>,
        outside: &[Timestamp],
    ) -> Result<(Signer, Proof), Reason> {
        let material = &bundle.verification_material;
        let entries = &material.tlog_entries;
        let inside = material
            .timestamp_verification_data
            .rfc3161_timestamps
            .len();
        let timestamps = inside + outside.len();
        if entries.len() > EVIDENCE_LIMIT || timestamps > EVIDENCE_LIMIT {
            return Err(Reason::Malformed(format!(
                "it carries more than {EVIDENCE_LIMIT} log entries or timestamps"
            )));
        }
        if self.logged() {
            if entries.is_empty() {
                return Err(Reason::NotLogged);
            }
            if entries
                .iter()
                .any(|e| e.inclusion_proof.is_none() && e.inclusion_promise.is_none())
            {
                return Err(Reason::LogEntry(
                    "the log neither proves it nor promises it".to_owned(),
                ));
            }
        }
        if self.policy.timestamps == Timestamps::Required && timestamps == 0 {
            return Err(Reason::NoTimestamp);
        }
        let (root, verifier) = self.trust()?;
        let outcome = self
            .run(root, verifier, bundle, artifact)
            .map_err(|reason| {
                if reason == Reason::NoTimestamp && !outside.is_empty() {
                    // The certificate would have to be checked at that time, which the library has no way to be told.
                    Reason::Unsupported(
                        "a timestamp of a whole envelope proves no certificate without a log"
                            .to_owned(),
                    )
                } else {
                    reason
                }
            })?;
        let (signer, mut times, certificate_logged) = match (&self.policy.who, outcome) {
            (Who::Key(key), None) => (Signer::of(key), Vec::new(), false),
            (Who::Identity { .. }, None) => {
                return Err(Reason::Certificate("it has not been verified".to_owned()));
            }
            (who, Some(result)) => {
                if let Some(certificate) = result.certificate()
                    && let Some(time) = outside.iter().find(|&&time| {
                        time < certificate.not_before || time > certificate.not_after
                    })
                {
                    return Err(Reason::Certificate(format!("it was not valid at {time}")));
                }
                let times = result.verified_timestamps().to_vec();
                (Signer::proved(who, &result)?, times, result.sct_verified())
            }
        };
        times.extend(outside);
        if let Some(late) = times.iter().find(|time| time.as_second() > self.now) {
            return Err(Reason::Future {
                time: late.to_string(),
            });
        }
        // A log's key may be trusted for a while only. The library minds that where the log itself signed a time; a proof of
        // inclusion has none, so what other evidence proved is what counts.
        if self.logged()
            && !times.is_empty()
            && let Some(reduced) = root.with_logs_of(&times)
        {
            let verifier = reduced
                .verifier()
                .map_err(|e| Reason::Unsupported(e.to_string()))?;
            self.run(&reduced, &verifier, bundle, artifact)
                .map_err(|_| Reason::LogNotTrusted)?;
        }
        let proof = Proof {
            log_indexes: if self.logged() {
                entries.iter().map(|entry| entry.log_index.get()).collect()
            } else {
                Vec::new()
            },
            inclusion: self.logged() && bundle.has_inclusion_proof(),
            timestamps,
            certificate_logged,
            times: times.iter().map(|time| time.as_second()).collect(),
        };
        Ok((signer, proof))
    }

    /// `Ok(None)` if there was nothing for the library to check: of a signature by key that is in no log and has no timestamp, or
    /// whose log entries all were checked here.
    fn run(
        &self,
        root: &TrustedRoot,
        verifier: &Verifier,
        bundle: &Bundle,
        artifact: &Artifact<'_>,
    ) -> Result<Option<VerificationResult>, Reason> {
        let outcome = match &self.policy.who {
            Who::Key(key) => {
                let rest = self.left_to_the_library(root, bundle, key)?;
                let material = &rest.verification_material;
                let logged = self.logged() && !material.tlog_entries.is_empty();
                let times = &material.timestamp_verification_data.rfc3161_timestamps;
                if !logged && times.is_empty() {
                    return Ok(None);
                }
                let mut policy =
                    PublicKeyVerificationPolicy::new(DerPublicKey::new(key.spki().to_vec()));
                if !logged {
                    policy = policy.skip_tlog_unsafe();
                }
                verifier.verify(artifact.clone(), &rest, &policy)
            }
            Who::Identity { .. } => {
                // Patterns are ours to match, so the library is asked for the cryptography alone.
                let mut policy = VerificationPolicy::any_identity();
                if !self.logged() {
                    policy = policy.skip_tlog_unsafe();
                }
                if self.policy.certificate_log == Log::Off {
                    policy = policy.skip_sct();
                }
                verifier.verify(artifact.clone(), bundle, &policy)
            }
        };
        outcome.map(Some).map_err(|error| reason(&error))
    }

    /// Checks the log entries that the library cannot read, and returns the bundle without them.
    fn left_to_the_library<'b>(
        &self,
        root: &TrustedRoot,
        bundle: &'b Bundle,
        key: &PublicKey,
    ) -> Result<Cow<'b, Bundle>, Reason> {
        let unread = |entry: &&_| rekor2::is_unread(entry, key);
        let entries = &bundle.verification_material.tlog_entries;
        if !entries.iter().any(|entry| unread(&entry)) {
            return Ok(Cow::Borrowed(bundle));
        }
        let now = Timestamp::from_second(self.now)
            .map_err(|e| Reason::Unsupported(format!("the clock is wrong: {e}")))?;
        for entry in entries.iter().filter(unread) {
            let logs = self.logged().then_some(root);
            rekor2::check(entry, bundle, key, logs, now)?;
        }
        let mut rest = bundle.clone();
        let entries = &mut rest.verification_material.tlog_entries;
        entries.retain(|entry| !rekor2::is_unread(entry, key));
        Ok(Cow::Owned(rest))
    }
}

/// A message with its signature, as it can be checked by a key alone.
pub(super) struct Signed<'a> {
    pub(super) message: &'a [u8],
    pub(super) signature: &'a [u8],
    /// Whether it may be a key's. Bundles say so; a layer's annotations can have both.
    pub(super) keyed: bool,
    /// Whom the certificate that is there names. Nothing of it has been verified: it is for messages.
    pub(super) identity: Option<String>,
    /// Whether it is of a bundle.
    pub(super) bundle: bool,
}

fn fits(key: &PublicKey, signed: &Signed<'_>) -> bool {
    if key.verify(signed.message, signed.signature).is_ok() {
        return true;
    }
    // Where cosign signs bundles by P-384 keys at all, it hashes with SHA-384.
    signed.bundle
        && key.algorithm() == Algorithm::EcdsaP384
        && sigstore_crypto::verify_signature(
            &DerPublicKey::new(key.spki().to_vec()),
            signed.message,
            &SignatureBytes::new(signed.signature.to_vec()),
            SigningScheme::EcdsaP384Sha384,
        )
        .is_ok()
}

/// Tells whether a bundle is a key's, and whom its certificate names if not.
pub(super) fn material(bundle: &Bundle) -> (bool, Option<String>) {
    let keyed = matches!(
        bundle.verification_material.content,
        VerificationMaterialContent::PublicKey(_)
    );
    let identity = bundle
        .signing_certificate()
        .and_then(|der| sigstore_crypto::parse_certificate_info(der).ok())
        .and_then(|certificate| identity_of(&certificate).map(shown));
    (keyed, identity)
}

/// Says in our words what the library found. Its texts hold pieces of the bundle, so they are cut to a line.
fn reason(error: &Error) -> Reason {
    let text = shown(&error.to_string());
    match error {
        Error::SignatureInvalid(_) => Reason::Signature(text),
        Error::Certificate(_) => Reason::Certificate(text),
        // The subject of the statement has been compared before: what is left is the hash that the log has.
        Error::TransparencyLog(_) | Error::ArtifactMismatch(_) => Reason::LogEntry(text),
        Error::Timestamp(TimestampError::NoVerifiedTimestamp(_)) => Reason::NoTimestamp,
        Error::Timestamp(_) => Reason::Timestamp(text),
        Error::Bundle(inner) => match inner {
            sigstore_bundle::Error::MissingInclusionPromise(_)
            | sigstore_bundle::Error::MissingInclusionProof(_)
            | sigstore_bundle::Error::MissingCheckpoint
            | sigstore_bundle::Error::CheckpointRootMismatch
            | sigstore_bundle::Error::LogIndexOutOfRange { .. } => Reason::LogEntry(text),
            sigstore_bundle::Error::MissingSigningTimeEvidence
            | sigstore_bundle::Error::MissingTimestamp => Reason::NoTimestamp,
            _ => Reason::Malformed(text),
        },
        Error::InvalidBundle(_) | Error::Types(_) => Reason::Malformed(text),
        _ => Reason::Unsupported(text),
    }
}
