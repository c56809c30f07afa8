//! Private keys that are held in memory.

use std::fmt;

use async_trait::async_trait;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P521_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use p384::ecdsa::signature::hazmat::PrehashSigner as _;
use reseal_registry::Secret;
use sha2::{Digest as _, Sha256};

use super::der::{self, Reader, oid};
use super::{Algorithm, KeyError, PublicKey, Signer, cosign, pem};
use crate::SignError;

/// Asks for a password. Called once at most, and only if the key is encrypted.
pub type Password<'a> = &'a dyn Fn() -> Result<Secret, KeyError>;

/// A private key in memory. It never shows itself.
pub struct FileKey {
    public: PublicKey,
    pair: Pair,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    // The other library signs with this curve over SHA-384 alone.
    P384(Box<p384::ecdsa::SigningKey>),
    Rsa(Box<RsaKeyPair>),
    Ed25519(Ed25519KeyPair),
}

/// Reads a private key: cosign's encrypted form (both of its labels), PKCS#8, or the older `EC PRIVATE KEY` and
/// `RSA PRIVATE KEY`, all PEM.
pub fn load_key(text: &[u8], password: Password<'_>) -> Result<FileKey, KeyError> {
    FileKey::from_pkcs8(&private_key(text, password)?)
}

/// Finds the private key in PEM text and returns it as PKCS#8, DER.
pub(super) fn private_key(text: &[u8], password: Password<'_>) -> Result<Vec<u8>, KeyError> {
    let text = std::str::from_utf8(text).map_err(|_| KeyError::NoKey { labels: Vec::new() })?;
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(KeyError::Encrypted {
            label: "Proc-Type: 4,ENCRYPTED".to_owned(),
        });
    }
    let blocks = pem::blocks(text);
    for block in &blocks {
        match block.label.as_str() {
            "ENCRYPTED SIGSTORE PRIVATE KEY" | "ENCRYPTED COSIGN PRIVATE KEY" => {
                return cosign::open(&block.contents, password);
            }
            "PRIVATE KEY" => return Ok(block.contents.clone()),
            "EC PRIVATE KEY" => return wrap_ec(&block.contents),
            "RSA PRIVATE KEY" => return Ok(wrap_rsa(&block.contents)),
            label @ ("ENCRYPTED PRIVATE KEY" | "OPENSSH PRIVATE KEY") => {
                return Err(KeyError::Encrypted {
                    label: label.to_owned(),
                });
            }
            _ => {}
        }
    }
    Err(KeyError::NoKey {
        labels: blocks.into_iter().map(|block| block.label).collect(),
    })
}

fn wrap(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    der::value(
        der::SEQUENCE,
        &[
            &der::unsigned(&[0]),
            algorithm,
            &der::value(der::OCTET_STRING, &[key]),
        ],
    )
}

fn wrap_rsa(key: &[u8]) -> Vec<u8> {
    let algorithm = der::value(
        der::SEQUENCE,
        &[
            &der::value(der::OID, &[oid::RSA]),
            &der::value(der::NULL, &[]),
        ],
    );
    wrap(&algorithm, key)
}

/// RFC 5915: the curve is inside the key, PKCS#8 wants it outside.
fn wrap_ec(key: &[u8]) -> Result<Vec<u8>, KeyError> {
    let curve = (|| {
        let mut inner = Reader::new(key).enter(der::SEQUENCE)?;
        inner.take(der::INTEGER)?;
        inner.take(der::OCTET_STRING)?;
        inner.enter(der::CONTEXT_0)?.take(der::OID)
    })()
    .ok_or_else(|| malformed("it does not name its curve"))?;
    let algorithm = der::value(
        der::SEQUENCE,
        &[
            &der::value(der::OID, &[oid::EC_PUBLIC_KEY]),
            &der::value(der::OID, &[curve]),
        ],
    );
    Ok(wrap(&algorithm, key))
}

fn malformed(why: &str) -> KeyError {
    KeyError::Malformed {
        why: why.to_owned(),
    }
}

impl FileKey {
    /// Makes a new ECDSA P-256 key.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(|_| {
            KeyError::Crypto {
                action: "make a key",
            }
        })?;
        Ok(Self {
            public: PublicKey::from_point(oid::P256, pair.public_key().as_ref())?,
            pair: Pair::Ecdsa(pair),
        })
    }

    /// Reads PKCS#8, DER.
    pub fn from_pkcs8(bytes: &[u8]) -> Result<Self, KeyError> {
        let (name, parameter, key) = (|| {
            let mut outer = Reader::new(bytes).enter(der::SEQUENCE)?;
            outer.take(der::INTEGER)?;
            let mut algorithm = outer.enter(der::SEQUENCE)?;
            let name = algorithm.take(der::OID)?;
            let parameter = if algorithm.peek() == Some(der::OID) {
                algorithm.take(der::OID)?
            } else {
                &[]
            };
            Some((name, parameter, outer.take(der::OCTET_STRING)?))
        })()
        .ok_or_else(|| malformed("it is no PKCS#8"))?;
        match (name, parameter) {
            (oid::EC_PUBLIC_KEY, oid::P256 | oid::P521) => {
                let kind = if parameter == oid::P256 {
                    &ECDSA_P256_SHA256_ASN1_SIGNING
                } else {
                    &ECDSA_P521_SHA256_ASN1_SIGNING
                };
                let pair = EcdsaKeyPair::from_pkcs8(kind, bytes)
                    .map_err(|error| malformed(&error.to_string()))?;
                Ok(Self {
                    public: PublicKey::from_point(parameter, pair.public_key().as_ref())?,
                    pair: Pair::Ecdsa(pair),
                })
            }
            (oid::EC_PUBLIC_KEY, oid::P384) => Self::p384(key),
            (oid::RSA, _) => {
                let pair = RsaKeyPair::from_pkcs8(bytes).map_err(|error| rsa_refused(&error))?;
                Ok(Self {
                    public: PublicKey::from_rsa(pair.public_key().as_ref())?,
                    pair: Pair::Rsa(Box::new(pair)),
                })
            }
            (oid::ED25519, _) => {
                // Files of OpenSSL do not hold the public half that the checking function wants.
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes)
                    .map_err(|error| malformed(&error.to_string()))?;
                Ok(Self {
                    public: PublicKey::from_ed25519(pair.public_key().as_ref())?,
                    pair: Pair::Ed25519(pair),
                })
            }
            (oid::EC_PUBLIC_KEY, _) => Err(KeyError::Unsupported {
                kind: "an ECDSA key of another curve than P-256, P-384 and P-521".to_owned(),
            }),
            _ => Err(KeyError::Unsupported {
                kind: "a private key of another kind than ECDSA, RSA and Ed25519".to_owned(),
            }),
        }
    }

    fn p384(key: &[u8]) -> Result<Self, KeyError> {
        let scalar = (|| {
            let mut inner = Reader::new(key).enter(der::SEQUENCE)?;
            inner.take(der::INTEGER)?;
            inner.take(der::OCTET_STRING)
        })()
        .ok_or_else(|| malformed("it is no EC private key"))?;
        let pair = p384::ecdsa::SigningKey::from_slice(scalar)
            .map_err(|_| malformed("its number is none of the curve"))?;
        let point = pair.verifying_key().to_encoded_point(false);
        Ok(Self {
            public: PublicKey::from_point(oid::P384, point.as_bytes())?,
            pair: Pair::P384(Box::new(pair)),
        })
    }

    /// Returns the key that its signatures are verified with.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs a message: DER for ECDSA, over the SHA-256 of the message but for Ed25519.
    pub fn sign_message(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let failed = || KeyError::Crypto { action: "sign" };
        let random = SystemRandom::new();
        Ok(match &self.pair {
            Pair::Ecdsa(pair) => pair
                .sign(&random, message)
                .map_err(|_| failed())?
                .as_ref()
                .to_vec(),
            Pair::P384(pair) => {
                let signature: p384::ecdsa::Signature = pair
                    .sign_prehash(&Sha256::digest(message))
                    .map_err(|_| failed())?;
                signature.to_der().as_bytes().to_vec()
            }
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map_err(|_| failed())?;
                signature
            }
            Pair::Ed25519(pair) => pair
                .try_sign(message)
                .map_err(|_| failed())?
                .as_ref()
                .to_vec(),
        })
    }

    /// Returns the private key as PKCS#8, DER, for a key that was just made.
    pub(super) fn to_pkcs8(&self) -> Result<Vec<u8>, KeyError> {
        let failed = KeyError::Crypto {
            action: "write the key",
        };
        match &self.pair {
            Pair::Ecdsa(pair) => Ok(pair.to_pkcs8v1().map_err(|_| failed)?.as_ref().to_vec()),
            _ => Err(failed),
        }
    }
}

fn rsa_refused(error: &aws_lc_rs::error::KeyRejected) -> KeyError {
    let text = error.to_string();
    if text.contains("Small") || text.contains("Large") {
        KeyError::Unsupported {
            kind: "an RSA key of less than 2048 or more than 8192 bits".to_owned(),
        }
    } else {
        malformed(&text)
    }
}

#[async_trait]
impl Signer for FileKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(self.sign_message(message)?)
    }
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileKey({:?})", self.public)
    }
}

impl FileKey {
    /// Tells the kind of key.
    pub fn algorithm(&self) -> Algorithm {
        self.public.algorithm()
    }
}
