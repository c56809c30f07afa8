//! Whether a signed file can be trusted: apt's rules over gpgv's.

use pgp::composed::{Deserializable as _, DetachedSignature, SignedPublicKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType, SubpacketData};
use pgp::types::{Fingerprint, KeyDetails, VerifyingKey};

use super::clear::ClearSigned;
use super::key;
use super::keyring::Keyring;

/// More signatures than any file has.
const MOST: usize = 64;

/// A key whose signature counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The certificate's fingerprint in upper-case hexadecimal digits.
    pub certificate: String,
    /// That of the key that made the signature: the certificate's own or a subkey's.
    pub key: String,
}

/// What one signature is worth.
enum Worth {
    Good(Signer),
    /// The key is not in the keyring: no harm if another signature is good.
    Unknown(String),
    /// Known and right, but it does not count: no harm either.
    Worthless(String),
    /// By a key of the keyring, and wrong: fatal whatever the others say.
    Bad(String),
}

/// Verifies a clear-signed file and returns the text that is signed, lines ending in LF, with the keys that vouch for it.
///
/// One good signature is enough, as for apt; one wrong by a known key is fatal. The error says why, in words that follow
/// "could not trust FILE:".
pub fn verify_clear(
    message: &ClearSigned,
    keyring: &Keyring,
    now: i64,
) -> Result<(Vec<u8>, Vec<Signer>), String> {
    let (parsed, _) = DetachedSignature::from_armor_many(message.armor.as_slice())
        .map_err(|error| unreadable(&error))?;
    let signers = judge(parsed, &message.signed, keyring, now)?;
    let mut text = message.signed.clone();
    text.retain(|c| *c != b'\r');
    text.push(b'\n');
    Ok((text, signers))
}

/// Verifies a file with its signatures in another one, armoured or not. See [`verify_clear`].
pub fn verify_detached(
    data: &[u8],
    signature: &[u8],
    keyring: &Keyring,
    now: i64,
) -> Result<Vec<Signer>, String> {
    let (parsed, _) =
        DetachedSignature::from_reader_many(signature).map_err(|error| unreadable(&error))?;
    judge(parsed, data, keyring, now)
}

fn unreadable(error: &pgp::errors::Error) -> String {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    format!("its signature is unreadable: {first}")
}

fn judge<'a>(
    signatures: Box<dyn Iterator<Item = pgp::errors::Result<DetachedSignature>> + 'a>,
    data: &[u8],
    keyring: &Keyring,
    now: i64,
) -> Result<Vec<Signer>, String> {
    let (mut good, mut reasons) = (Vec::new(), Vec::new());
    for signature in signatures.take(MOST) {
        let signature = signature.map_err(|error| unreadable(&error))?.signature;
        match worth(&signature, data, keyring, now) {
            Worth::Good(signer) => good.push(signer),
            Worth::Bad(why) => return Err(why),
            Worth::Unknown(why) | Worth::Worthless(why) => reasons.push(why),
        }
    }
    if !good.is_empty() {
        return Ok(good);
    }
    if reasons.is_empty() {
        return Err("it has no signature".to_owned());
    }
    reasons.extend(keyring.notes.iter().cloned());
    Err(reasons.join("; "))
}

fn worth(signature: &Signature, data: &[u8], keyring: &Keyring, now: i64) -> Worth {
    let issuer = issuer(signature);
    let mut wrong = false;
    let mut refused = None;
    for certificate in &keyring.certificates {
        for (found, right) in matching(signature, certificate, data) {
            if !right {
                wrong = true;
                continue;
            }
            let why = unacceptable(signature, now).or_else(|| match found {
                Found::Primary => key::primary_refused(certificate, now),
                Found::Subkey(at) => {
                    key::subkey_refused(certificate, &certificate.public_subkeys[at], now)
                }
            });
            match why {
                None => {
                    let key = match found {
                        Found::Primary => certificate.fingerprint(),
                        Found::Subkey(at) => certificate.public_subkeys[at].fingerprint(),
                    };
                    return Worth::Good(Signer {
                        certificate: hex(&certificate.fingerprint()),
                        key: hex(&key),
                    });
                }
                Some(why) => refused = Some(why),
            }
        }
    }
    match refused {
        Some(why) => Worth::Worthless(format!("the signature by {issuer} does not count: {why}")),
        None if wrong => Worth::Bad(format!("the signature by {issuer} is wrong")),
        None => Worth::Unknown(format!(
            "{issuer} is not among the keys that are trusted for it"
        )),
    }
}

enum Found {
    Primary,
    Subkey(usize),
}

/// Returns the keys of a certificate that the signature says it is by, and whether it really is.
fn matching(
    signature: &Signature,
    certificate: &SignedPublicKey,
    data: &[u8],
) -> Vec<(Found, bool)> {
    let mut out = Vec::new();
    let primary = &certificate.primary_key;
    if named(signature, primary) {
        out.push((Found::Primary, right(signature, primary, data)));
    }
    for (at, subkey) in certificate.public_subkeys.iter().enumerate() {
        if named(signature, &subkey.key) {
            out.push((Found::Subkey(at), right(signature, &subkey.key, data)));
        }
    }
    out
}

/// Tells whether a signature says that it is by this key, or does not say by whom.
pub(super) fn named(signature: &Signature, key: &impl KeyDetails) -> bool {
    let prints = signature.issuer_fingerprint();
    if !prints.is_empty() {
        return prints.contains(&&key.fingerprint());
    }
    let ids = signature.issuer_key_id();
    // A signature that names nobody is tried with every key.
    ids.is_empty() || ids.contains(&&key.legacy_key_id())
}

fn right(signature: &Signature, key: &impl VerifyingKey, data: &[u8]) -> bool {
    signature.verify(key, data).is_ok()
}

/// Returns why a signature that is right does not count.
fn unacceptable(signature: &Signature, now: i64) -> Option<String> {
    let Some(config) = signature.config() else {
        return Some("its version is not known".to_owned());
    };
    if !matches!(config.typ(), SignatureType::Binary | SignatureType::Text) {
        return Some("it is not one over a file".to_owned());
    }
    match config.hash_alg {
        HashAlgorithm::Sha224
        | HashAlgorithm::Sha256
        | HashAlgorithm::Sha384
        | HashAlgorithm::Sha512
        | HashAlgorithm::Sha3_256
        | HashAlgorithm::Sha3_512 => {}
        weak => return Some(format!("its digest {weak} is too weak")),
    }
    let unknown = config.hashed_subpackets().any(|packet| {
        packet.is_critical
            && matches!(
                packet.data,
                SubpacketData::Other(..)
                    | SubpacketData::Experimental(..)
                    | SubpacketData::Notation(_)
            )
    });
    if unknown {
        return Some("it sets a condition that is not known".to_owned());
    }
    (!key::in_force(signature, now)).then(|| "it has expired, or is from the future".to_owned())
}

fn issuer(signature: &Signature) -> String {
    if let Some(print) = signature.issuer_fingerprint().first() {
        return hex(print);
    }
    match signature.issuer_key_id().first() {
        Some(id) => id.to_string().to_ascii_uppercase(),
        None => "an unnamed key".to_owned(),
    }
}

fn hex(fingerprint: &Fingerprint) -> String {
    format!("{fingerprint:X}")
}
