//! The signing of one run: one identity, as many signatures as the run has images and statements.

mod credential;
mod forms;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Mutex;

use crate::error::SignError;
use crate::key::Signer;
use crate::oidc::TokenSource;
use crate::service::{Http, Rekor, ServiceName, Services};
use crate::statement::{self, Subject, predicate_type};
use crate::store::{BundleEntry, LegacyEntry};
use credential::Ephemeral;
use forms::seal;

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
        /// The audience that is asked for; [`crate::oidc::AUDIENCE`] for the public instance.
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
    /// Whether signatures are entered in a transparency log. Without one, timestamp authorities of `services` are still asked.
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
                if settings.tlog && !algorithm.fits_bundles() {
                    return Err(SignError::LogKey { algorithm });
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

    /// Tells whether the only log of bundles is the very log that `.att` entries go to.
    fn shares_log_entry(&self) -> bool {
        let services = &self.settings.services;
        self.settings.format == SignatureFormat::Both
            && matches!(services.rekor.services.as_slice(), [Rekor::V1(url)] if Some(url) == services.rekor_v1.as_ref())
    }
}
