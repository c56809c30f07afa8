//! Who made a signature.

use std::collections::BTreeMap;

use sigstore_crypto::{CertificateInfo, SubjectAltName};
use sigstore_verify::VerificationResult;

use super::statement::shown;
use super::{Claim, Reason, Who};
use crate::key::PublicKey;

/// Who signed, as it was proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// The holder of the key that was asked for.
    Key {
        /// Base64 of the SHA-256 over the public key.
        hint: String,
    },
    /// The subject of a certificate.
    Identity {
        /// E-mail address or URI.
        identity: String,
        /// Who vouched for it.
        issuer: String,
        /// What else the certificate says about the job that signed.
        claims: BTreeMap<Claim, String>,
    },
}

impl Signer {
    /// The holder of a key that has been seen to fit.
    pub(super) fn of(key: &PublicKey) -> Self {
        Self::Key { hint: key.hint() }
    }

    /// Compares whom the verified certificate names with whom the policy asks for.
    pub(super) fn proved(who: &Who, result: &VerificationResult) -> Result<Self, Reason> {
        let (identity, issuer, claims) = match who {
            Who::Key(key) => return Ok(Self::of(key)),
            Who::Identity {
                identity,
                issuer,
                claims,
            } => (identity, issuer, claims),
        };
        let certificate = result
            .certificate()
            .filter(|_| result.certificate_verified())
            .ok_or_else(|| Reason::Certificate("it has not been verified".to_owned()))?;
        let found = identity_of(certificate).unwrap_or_default();
        if !identity.matches(found) {
            return Err(Reason::OtherIdentity {
                found: shown(found),
                wanted: identity.to_string(),
            });
        }
        let vouching = certificate.issuer.as_deref().unwrap_or_default();
        if !issuer.matches(vouching) {
            return Err(Reason::OtherIssuer {
                found: shown(vouching),
                wanted: issuer.to_string(),
            });
        }
        let value = |claim: Claim| claim.of(&certificate.ci_claims);
        for (claim, wanted) in claims {
            if !value(*claim).is_some_and(|value| wanted.matches(value)) {
                return Err(Reason::OtherClaim {
                    claim: *claim,
                    found: value(*claim).map(shown),
                    wanted: wanted.to_string(),
                });
            }
        }
        Ok(Self::Identity {
            identity: found.to_owned(),
            issuer: vouching.to_owned(),
            claims: Claim::ALL
                .iter()
                .filter_map(|claim| Some((*claim, value(*claim)?.to_owned())))
                .collect(),
        })
    }
}

/// Returns whom a certificate names. An empty name is nobody's.
pub(super) fn identity_of(certificate: &CertificateInfo) -> Option<&str> {
    certificate.identity.as_ref().map(SubjectAltName::as_str)
}
