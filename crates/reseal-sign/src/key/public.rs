//! Public keys: what they are, how they are written, what they have signed.

use std::fmt;

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::der::{self, Reader, oid};
use super::{KeyError, pem};

/// Kinds of keys. All but Ed25519 sign the SHA-256 of a message: that is what cosign verifies, whatever the curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// ECDSA on NIST's P-256.
    EcdsaP256,
    /// ECDSA on NIST's P-384.
    EcdsaP384,
    /// ECDSA on NIST's P-521.
    EcdsaP521,
    /// RSA with PKCS#1 v1.5 padding, 2048 to 8192 bits.
    Rsa {
        /// Bits of the modulus.
        bits: usize,
    },
    /// Ed25519 (not the pre-hashed form).
    Ed25519,
}

impl Algorithm {
    /// Tells whether released versions of cosign verify a *bundle* of such a key; they do not even verify their own ones of
    /// other keys. The same kinds are those whose signatures over SHA-256 Rekor takes.
    pub fn fits_bundles(self) -> bool {
        matches!(self, Self::EcdsaP256 | Self::Rsa { .. })
    }

    /// The name that Rekor v2 and trusted roots have for it; `None` for what they have no name for, with SHA-256.
    pub fn key_details(self) -> Option<&'static str> {
        match self {
            Self::EcdsaP256 => Some("PKIX_ECDSA_P256_SHA_256"),
            Self::Rsa { bits: 2048 } => Some("PKIX_RSA_PKCS1V15_2048_SHA256"),
            Self::Rsa { bits: 3072 } => Some("PKIX_RSA_PKCS1V15_3072_SHA256"),
            Self::Rsa { bits: 4096 } => Some("PKIX_RSA_PKCS1V15_4096_SHA256"),
            Self::Ed25519 => Some("PKIX_ED25519"),
            Self::Rsa { .. } | Self::EcdsaP384 | Self::EcdsaP521 => None,
        }
    }

    fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::EcdsaP256 => &signature::ECDSA_P256_SHA256_ASN1,
            Self::EcdsaP384 => &signature::ECDSA_P384_SHA256_ASN1,
            Self::EcdsaP521 => &signature::ECDSA_P521_SHA256_ASN1,
            Self::Rsa { .. } => &signature::RSA_PKCS1_2048_8192_SHA256,
            Self::Ed25519 => &signature::ED25519,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EcdsaP256 => f.write_str("ECDSA P-256"),
            Self::EcdsaP384 => f.write_str("ECDSA P-384"),
            Self::EcdsaP521 => f.write_str("ECDSA P-521"),
            Self::Rsa { bits } => write!(f, "RSA {bits}"),
            Self::Ed25519 => f.write_str("Ed25519"),
        }
    }
}

/// A public key. If you hold one, its kind is known and its form is right.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: Algorithm,
    spki: Vec<u8>,
}

impl PublicKey {
    /// Reads PEM: the first `PUBLIC KEY` block counts.
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyError> {
        let text = std::str::from_utf8(text).map_err(|_| KeyError::NoKey { labels: Vec::new() })?;
        let blocks = pem::blocks(text);
        match blocks.iter().find(|block| block.label == "PUBLIC KEY") {
            Some(block) => Self::from_spki(block.contents.clone()),
            None => Err(KeyError::NoKey {
                labels: blocks.into_iter().map(|block| block.label).collect(),
            }),
        }
    }

    /// Reads a `SubjectPublicKeyInfo` (RFC 5280), DER.
    pub fn from_spki(spki: Vec<u8>) -> Result<Self, KeyError> {
        let (algorithm, _) = parse(&spki)?;
        Ok(Self { algorithm, spki })
    }

    /// Makes the key of an elliptic curve from its point.
    pub(crate) fn from_point(curve: &[u8], point: &[u8]) -> Result<Self, KeyError> {
        let algorithm = der::value(
            der::SEQUENCE,
            &[
                &der::value(der::OID, &[oid::EC_PUBLIC_KEY]),
                &der::value(der::OID, &[curve]),
            ],
        );
        Self::from_spki(der::value(der::SEQUENCE, &[&algorithm, &der::bits(point)]))
    }

    /// Makes an RSA key from its `RSAPublicKey`, DER.
    pub(crate) fn from_rsa(key: &[u8]) -> Result<Self, KeyError> {
        let algorithm = der::value(
            der::SEQUENCE,
            &[
                &der::value(der::OID, &[oid::RSA]),
                &der::value(der::NULL, &[]),
            ],
        );
        Self::from_spki(der::value(der::SEQUENCE, &[&algorithm, &der::bits(key)]))
    }

    /// Makes an Ed25519 key from its 32 bytes.
    pub(crate) fn from_ed25519(key: &[u8]) -> Result<Self, KeyError> {
        let algorithm = der::value(der::SEQUENCE, &[&der::value(der::OID, &[oid::ED25519])]);
        Self::from_spki(der::value(der::SEQUENCE, &[&algorithm, &der::bits(key)]))
    }

    /// Returns the kind of key.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns the `SubjectPublicKeyInfo`, DER.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Returns the key as PEM.
    pub fn to_pem(&self) -> String {
        pem::write("PUBLIC KEY", &self.spki)
    }

    /// Returns what bundles name the key by: base64 of the SHA-256 of [`Self::spki`].
    pub fn hint(&self) -> String {
        STANDARD.encode(Sha256::digest(&self.spki))
    }

    /// Checks a signature over a message: DER for ECDSA, SHA-256 but for Ed25519.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        let (_, raw) = parse(&self.spki)?;
        UnparsedPublicKey::new(self.algorithm.verification(), raw)
            .verify(message, signature)
            .map_err(|_| KeyError::Mismatch)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({}, {})", self.algorithm, self.hint())
    }
}

/// Returns the kind of a key and the contents of its bit string.
fn parse(spki: &[u8]) -> Result<(Algorithm, &[u8]), KeyError> {
    let malformed = || KeyError::Malformed {
        why: "it is no SubjectPublicKeyInfo".to_owned(),
    };
    let mut outer = Reader::new(spki);
    let mut inner = outer.enter(der::SEQUENCE).ok_or_else(malformed)?;
    let mut algorithm = inner.enter(der::SEQUENCE).ok_or_else(malformed)?;
    let name = algorithm.take(der::OID).ok_or_else(malformed)?;
    let raw = inner
        .take(der::BIT_STRING)
        .and_then(|bits| bits.strip_prefix(&[0]))
        .ok_or_else(malformed)?;
    if !outer.is_empty() || !inner.is_empty() {
        return Err(malformed());
    }
    let point = |length: usize, algorithm: Algorithm| {
        // Compressed points are refused as cosign's verifiers do.
        if raw.len() == 2 * length + 1 && raw[0] == 4 {
            Ok((algorithm, raw))
        } else {
            Err(malformed())
        }
    };
    match name {
        oid::EC_PUBLIC_KEY => match algorithm.take(der::OID).ok_or_else(malformed)? {
            oid::P256 => point(32, Algorithm::EcdsaP256),
            oid::P384 => point(48, Algorithm::EcdsaP384),
            oid::P521 => point(66, Algorithm::EcdsaP521),
            _ => Err(KeyError::Unsupported {
                kind: "an ECDSA key of another curve than P-256, P-384 and P-521".to_owned(),
            }),
        },
        oid::RSA => {
            let bits = modulus_bits(raw).ok_or_else(malformed)?;
            if (2048..=8192).contains(&bits) {
                Ok((Algorithm::Rsa { bits }, raw))
            } else {
                Err(KeyError::Unsupported {
                    kind: format!("an RSA key of {bits} bits"),
                })
            }
        }
        oid::ED25519 if raw.len() == 32 => Ok((Algorithm::Ed25519, raw)),
        oid::ED25519 => Err(malformed()),
        _ => Err(KeyError::Unsupported {
            kind: "a public key of another kind than ECDSA, RSA and Ed25519".to_owned(),
        }),
    }
}

fn modulus_bits(key: &[u8]) -> Option<usize> {
    let modulus = Reader::new(key).enter(der::SEQUENCE)?.take(der::INTEGER)?;
    let digits: &[u8] = modulus.strip_prefix(&[0]).unwrap_or(modulus);
    let first = digits.first()?;
    Some(digits.len() * 8 - usize::try_from(first.leading_zeros()).ok()?)
}
