//! What signs: a key for ever, or one that is made and certified for some minutes.

use std::sync::Arc;

use super::{Identity, Session};
use crate::error::SignError;
use crate::key::{FileKey, Signer};
use crate::oidc::{self, TokenSource};
use crate::service::fulcio::{self, Certificate};
use crate::service::rekor::Signatory;
use crate::service::{ServiceError, ServiceName};

/// A certificate is not used in the last seconds of its time: what is signed with it must still reach the log.
const CERTIFICATE_MARGIN: i64 = 60;

pub(super) struct Ephemeral {
    pub(super) key: FileKey,
    pub(super) certificate: Certificate,
    /// Who vouched for the identity in it.
    issuer: String,
    /// Until when it is used, by the clock of this machine.
    until: i64,
}

/// What signs right now.
pub(super) enum Credential {
    Key(Arc<dyn Signer>),
    Ephemeral(Arc<Ephemeral>),
}

impl Credential {
    pub(super) fn signatory(&self) -> Signatory<'_> {
        match self {
            Self::Key(signer) => Signatory::Key(signer.public_key()),
            Self::Ephemeral(ephemeral) => Signatory::Certificate(&ephemeral.certificate),
        }
    }

    pub(super) async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        match self {
            Self::Key(signer) => signer.sign(message).await,
            Self::Ephemeral(ephemeral) => Ok(ephemeral.key.sign_message(message)?),
        }
    }
}

impl Session {
    pub(super) async fn credential(&self) -> Result<Credential, SignError> {
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

    /// Returns the identity that signed without a key and the issuer that vouched for it, once something was signed.
    pub async fn identity(&self) -> Option<(String, String)> {
        let held = self.ephemeral.lock().await;
        let ephemeral = held.as_ref()?;
        let identity = ephemeral.certificate.identity.clone()?;
        Some((identity, ephemeral.issuer.clone()))
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
            issuer: token.claims().issuer.clone(),
            until,
        })
    }
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
