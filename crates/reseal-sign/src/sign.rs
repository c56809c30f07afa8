//! The signing of one run: one identity, as many signatures as the run has images and statements.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::dsse::{self, Envelope};
use crate::error::SignError;
use crate::key::{FileKey, Signer};
use crate::oidc::{self, TokenSource};
use crate::service::fulcio::{self, Certificate};
use crate::service::rekor::{self, LogEntry, Signatory};
use crate::service::{Choice, Http, Rekor, ServiceError, ServiceName, Services, tsa};
use crate::statement::{self, Subject, predicate_type};
use crate::store::{
    BundleEntry, CERTIFICATE_ANNOTATION, CHAIN_ANNOTATION, DSSE_ENVELOPE, LOG_ANNOTATION,
    LegacyEntry, PREDICATE_TYPE_ANNOTATION, SIGNATURE_ANNOTATION, SIMPLE_SIGNING,
    TIMESTAMP_ANNOTATION,
};
use crate::{bundle, payload};

/// A certificate is not used in the last seconds of its time: what is signed with it must still reach the log.
const CERTIFICATE_MARGIN: i64 = 60;

/// Which forms are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum SignatureFormat {
    /// Both, so that every cosign finds one that it knows.
    #[default]
    Both,
    /// Bundles that refer to the image: cosign 3, and 2.6 by preference.
    Bundle,
    /// `.sig` and `.att` tags: cosign 1 and 2, and most policy engines.
    Legacy,
}

impl SignatureFormat {
    fn has_bundle(self) -> bool {
        self != Self::Legacy
    }

    fn has_legacy(self) -> bool {
        self != Self::Bundle
    }
}

/// Who signs.
#[derive(Clone)]
pub enum Identity {
    /// A key.
    Key(Arc<dyn Signer>),
    /// Whoever the token names: a key is made, and Fulcio certifies it for some minutes.
    Keyless {
        /// Where the token comes from.
        tokens: TokenSource,
        /// The audience that is asked for; [`oidc::AUDIENCE`] for the public instance.
        audience: String,
    },
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(signer) => write!(f, "Key({:?})", signer.public_key()),
            Self::Keyless { tokens, .. } => write!(f, "Keyless({tokens:?})"),
        }
    }
}

/// How a run signs.
#[derive(Debug, Clone)]
pub struct SignSettings {
    /// Who signs.
    pub identity: Identity,
    /// The services.
    pub services: Services,
    /// Whether signatures are entered in a transparency log.
    pub tlog: bool,
    /// Which forms are written.
    pub format: SignatureFormat,
    /// What is signed along with an image (`-a key=value`).
    pub annotations: BTreeMap<String, String>,
}

/// A signature or attestation, ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// A layer of the `.sig` or `.att` tag.
    pub legacy: Option<LegacyEntry>,
    /// A bundle.
    pub bundle: Option<BundleEntry>,
}

/// The signing of one run.
pub struct Session {
    settings: SignSettings,
    http: Http,
    ephemeral: Mutex<Option<Arc<Ephemeral>>>,
}

struct Ephemeral {
    key: FileKey,
    certificate: Certificate,
    /// Until when it is used, by the clock of this machine.
    until: i64,
}

/// What signs right now.
enum Credential {
    Key(Arc<dyn Signer>),
    Ephemeral(Arc<Ephemeral>),
}

impl Credential {
    fn signatory(&self) -> Signatory<'_> {
        match self {
            Self::Key(signer) => Signatory::Key(signer.public_key()),
            Self::Ephemeral(ephemeral) => Signatory::Certificate(&ephemeral.certificate),
        }
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        match self {
            Self::Key(signer) => signer.sign(message).await,
            Self::Ephemeral(ephemeral) => Ok(ephemeral.key.sign_message(message)?),
        }
    }
}

impl Session {
    /// Checks that the settings can make signatures that somebody can verify. Nothing is asked yet.
    pub fn open(settings: SignSettings, http: Http) -> Result<Self, SignError> {
        let services = &settings.services;
        let bundle_logs = settings.tlog && !services.rekor.is_empty();
        match &settings.identity {
            Identity::Key(signer) => {
                let algorithm = signer.public_key().algorithm();
                if settings.format.has_bundle() && !algorithm.fits_bundles() {
                    return Err(SignError::BundleKey { algorithm });
                }
            }
            Identity::Keyless { .. } => {
                if !settings.tlog {
                    return Err(SignError::KeylessWithoutLog);
                }
                if services.fulcio.is_none() {
                    return Err(SignError::NoService {
                        service: ServiceName::Fulcio,
                    });
                }
                if services.rekor.is_empty() && services.rekor_v1.is_none() {
                    return Err(SignError::NoService {
                        service: ServiceName::Rekor,
                    });
                }
                let timeless = services
                    .rekor
                    .services
                    .iter()
                    .any(|log| matches!(log, Rekor::V2(_)));
                if settings.format.has_bundle()
                    && bundle_logs
                    && timeless
                    && services.tsa.is_empty()
                {
                    return Err(SignError::NoTime);
                }
            }
        }
        if settings.tlog {
            if settings.format.has_bundle() && !bundle_logs
                || services.rekor.is_empty() && services.rekor_v1.is_none()
            {
                return Err(SignError::NoService {
                    service: ServiceName::Rekor,
                });
            }
            if settings.format == SignatureFormat::Legacy && services.rekor_v1.is_none() {
                return Err(SignError::LegacyLog);
            }
        }
        Ok(Self {
            settings,
            http,
            ephemeral: Mutex::default(),
        })
    }

    /// Returns what is not written although [`SignatureFormat::Both`] asks for it, as a sentence for the user.
    pub fn omission(&self) -> Option<&'static str> {
        (self.settings.format == SignatureFormat::Both && !self.writes_legacy()).then_some(
            "only bundles are written: `.sig` and `.att` tags can hold no entry of a Rekor v2 log, and cosign before 3.0 finds neither",
        )
    }

    fn writes_legacy(&self) -> bool {
        self.settings.format.has_legacy()
            && (!self.settings.tlog || self.settings.services.rekor_v1.is_some())
    }

    /// Signs an image.
    pub async fn sign_image(&self, subject: &Subject) -> Result<Signed, SignError> {
        let credential = self.credential().await?;
        let legacy = async {
            if !self.writes_legacy() {
                return Ok(None);
            }
            self.legacy_signature(&credential, subject).await.map(Some)
        };
        let bundle = async {
            if !self.settings.format.has_bundle() {
                return Ok(None);
            }
            let statement = statement::signature_statement(subject, &self.settings.annotations);
            let envelope = seal(&credential, statement).await?;
            let entries = self.bundle_entries(&credential, &envelope).await?;
            self.bundle(&credential, &envelope, &entries, predicate_type::SIGNATURE)
                .await
                .map(Some)
        };
        let (legacy, bundle) = tokio::try_join!(legacy, bundle)?;
        Ok(Signed { legacy, bundle })
    }

    /// Signs a statement about an image.
    pub async fn attest(
        &self,
        subject: &Subject,
        predicate_type: &str,
        predicate: &Value,
    ) -> Result<Signed, SignError> {
        let credential = self.credential().await?;
        let statement = statement::statement(subject, predicate_type, predicate);
        let envelope = seal(&credential, statement).await?;
        let entries = async {
            if self.settings.format.has_bundle() {
                self.bundle_entries(&credential, &envelope).await
            } else {
                Ok(Vec::new())
            }
        };
        // Both forms hold the same envelope, so that one entry of a log of the first protocol serves both.
        let shared = self.shares_log_entry();
        let own_entry = async {
            if shared {
                return Ok(None);
            }
            self.legacy_envelope_entry(&credential, &envelope).await
        };
        let (entries, own_entry) = tokio::try_join!(entries, own_entry)?;
        let legacy = async {
            if !self.writes_legacy() {
                return Ok(None);
            }
            let entry = own_entry.as_ref().or(entries.first().filter(|_| shared));
            self.legacy_attestation(&credential, &envelope, predicate_type, entry)
                .await
                .map(Some)
        };
        let bundle = async {
            if !self.settings.format.has_bundle() {
                return Ok(None);
            }
            self.bundle(&credential, &envelope, &entries, predicate_type)
                .await
                .map(Some)
        };
        let (legacy, bundle) = tokio::try_join!(legacy, bundle)?;
        Ok(Signed { legacy, bundle })
    }

    /// Tells whether the first log of bundles is the very log that `.att` entries go to, whichever service answers.
    fn shares_log_entry(&self) -> bool {
        let services = &self.settings.services;
        let Choice { services: logs, .. } = &services.rekor;
        self.settings.format == SignatureFormat::Both
            && matches!(logs.as_slice(), [Rekor::V1(url), ..] if logs.len() == 1 && Some(url) == services.rekor_v1.as_ref())
    }

    async fn credential(&self) -> Result<Credential, SignError> {
        match &self.settings.identity {
            Identity::Key(signer) => Ok(Credential::Key(signer.clone())),
            Identity::Keyless { tokens, audience } => {
                let mut held = self.ephemeral.lock().await;
                if let Some(ephemeral) = held
                    .as_ref()
                    .filter(|ephemeral| self.http.now() < ephemeral.until)
                {
                    return Ok(Credential::Ephemeral(ephemeral.clone()));
                }
                let fresh = Arc::new(self.certify(tokens, audience).await?);
                *held = Some(fresh.clone());
                Ok(Credential::Ephemeral(fresh))
            }
        }
    }

    /// Makes a key and gets its certificate.
    async fn certify(&self, tokens: &TokenSource, audience: &str) -> Result<Ephemeral, SignError> {
        let fulcio = self
            .settings
            .services
            .fulcio
            .as_ref()
            .ok_or(SignError::NoService {
                service: ServiceName::Fulcio,
            })?;
        let token = tokens.token(&self.http, audience).await?;
        token.check_time(self.http.now())?;
        let key = FileKey::generate()?;
        let certificate = match fulcio::certificate(&self.http, fulcio, &token, &key).await {
            Ok(certificate) => certificate,
            Err(SignError::Service(
                error @ ServiceError::Refused {
                    status: 400..=403, ..
                },
            )) => {
                let issuers = fulcio::issuers(&self.http, fulcio).await;
                return Err(explain(error, &token, &issuers));
            }
            Err(error) => return Err(error),
        };
        let now = self.http.now();
        let off = certificate.not_before - now;
        if off.abs() > oidc::CLOCK_LEEWAY {
            return Err(SignError::Clock { seconds: off });
        }
        tracing::info!(
            identity = certificate.identity,
            "signing with a certificate"
        );
        // By its length and not by its end: the clock of this machine may be somewhat off.
        let until = now + (certificate.not_after - certificate.not_before) - CERTIFICATE_MARGIN;
        Ok(Ephemeral {
            key,
            certificate,
            until,
        })
    }

    async fn bundle_entries(
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

    async fn bundle(
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

    async fn legacy_signature(
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
        let mut annotations = self.annotations(credential, entry.as_ref(), timestamp);
        annotations.insert(SIGNATURE_ANNOTATION.into(), STANDARD.encode(&signature));
        Ok(LegacyEntry {
            media_type: SIMPLE_SIGNING,
            payload,
            annotations,
        })
    }

    async fn legacy_attestation(
        &self,
        credential: &Credential,
        envelope: &Envelope,
        predicate_type: &str,
        entry: Option<&LogEntry>,
    ) -> Result<LegacyEntry, SignError> {
        let payload = envelope.to_json().into_bytes();
        // Of an attestation cosign wants the time of the whole envelope, not of the signature in it.
        let timestamp = self.legacy_timestamp(&payload).await?;
        let mut annotations = self.annotations(credential, entry, timestamp);
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

    async fn legacy_envelope_entry(
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

    /// One timestamp: the annotation has no room for more.
    async fn legacy_timestamp(&self, bytes: &[u8]) -> Result<Option<Vec<u8>>, ServiceError> {
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

    fn annotations(
        &self,
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
}

async fn seal(credential: &Credential, statement: Vec<u8>) -> Result<Envelope, SignError> {
    let signature = credential
        .sign(&dsse::pae(dsse::IN_TOTO, &statement))
        .await?;
    Ok(Envelope {
        payload: statement,
        signature,
    })
}

/// Says why Fulcio did not take a token, where what it tells about itself shows that.
fn explain(
    error: ServiceError,
    token: &oidc::IdentityToken,
    issuers: &[fulcio::Issuer],
) -> SignError {
    if issuers.is_empty() {
        return SignError::Service(error);
    }
    let claims = token.claims();
    let Some(issuer) = issuers.iter().find(|known| known.matches(&claims.issuer)) else {
        return SignError::UnknownIssuer {
            issuer: claims.issuer.clone(),
            known: issuers
                .iter()
                .map(|known| {
                    if known.issuer_url.is_empty() {
                        known.wildcard_issuer_url.clone()
                    } else {
                        known.issuer_url.clone()
                    }
                })
                .collect(),
        };
    };
    if !issuer.audience.is_empty() && !claims.audience.contains(&issuer.audience) {
        return SignError::Audience {
            place: token.place().to_owned(),
            found: claims.audience.clone(),
            wanted: issuer.audience.clone(),
        };
    }
    SignError::Service(error)
}
