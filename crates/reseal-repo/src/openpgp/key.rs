//! Which keys of a certificate may sign at a moment, by the certificate's own signatures.

use pgp::composed::{SignedPublicKey, SignedPublicSubKey};
use pgp::packet::{KeyFlags, Signature, SignatureType, SubpacketData};
use pgp::ser::Serialize as _;
use pgp::types::{KeyDetails, PublicParams, Tag};

/// Smaller RSA keys are within reach of those who would want to.
const LEAST_RSA_BITS: u16 = 2048;

/// Returns why the primary key may not sign now; `None` if it may.
pub(super) fn primary_refused(key: &SignedPublicKey, now: i64) -> Option<String> {
    if let Some(why) = certificate_refused(key, now) {
        return Some(why);
    }
    let may_sign = newest_self_signature(key, now)
        .and_then(flags)
        .is_none_or(KeyFlags::sign);
    if may_sign {
        weak(&key.primary_key)
    } else {
        Some("the key is not for signing".to_owned())
    }
}

/// Returns why a subkey may not sign now; `None` if it may.
pub(super) fn subkey_refused(
    key: &SignedPublicKey,
    subkey: &SignedPublicSubKey,
    now: i64,
) -> Option<String> {
    if let Some(why) = certificate_refused(key, now) {
        return Some(why);
    }
    let binds = |signature: &Signature| {
        signature
            .verify_subkey_binding(&key.primary_key, &subkey.key)
            .is_ok()
    };
    if subkey
        .signatures
        .iter()
        .filter(|s| s.typ() == Some(SignatureType::SubkeyRevocation))
        .any(binds)
    {
        return Some("the key is revoked".to_owned());
    }
    let binding = newest(
        subkey
            .signatures
            .iter()
            .filter(|s| s.typ() == Some(SignatureType::SubkeyBinding))
            .filter(|s| in_force(s, now)),
        binds,
    );
    let Some(binding) = binding else {
        return Some("the key does not belong to its certificate".to_owned());
    };
    if let Some(when) = expiry(&subkey.key, binding)
        && when <= now
    {
        return Some(format!("the key expired on {}", date(when)));
    }
    if !flags(binding).is_none_or(KeyFlags::sign) {
        return Some("the key is not for signing".to_owned());
    }
    // Without it, anybody could claim the signatures of a foreign key as made for theirs.
    let agreed = binding.embedded_signature().is_some_and(|back| {
        back.verify_primary_key_binding(&subkey.key, &key.primary_key)
            .is_ok()
    });
    if !agreed {
        return Some("the key never agreed to belong to its certificate".to_owned());
    }
    weak(&subkey.key)
}

fn certificate_refused(key: &SignedPublicKey, now: i64) -> Option<String> {
    let revoked = key
        .details
        .revocation_signatures
        .iter()
        .any(|s| s.verify_key(&key.primary_key).is_ok());
    if revoked {
        return Some("the key is revoked".to_owned());
    }
    let Some(signature) = newest_self_signature(key, now) else {
        return Some("the key has no valid signature of its own".to_owned());
    };
    if i64::from(key.created_at().as_secs()) > now {
        return Some("the key is from the future".to_owned());
    }
    match expiry(&key.primary_key, signature) {
        Some(when) if when <= now => Some(format!("the key expired on {}", date(when))),
        _ => None,
    }
}

/// Returns the self-signature that says how long the certificate is good: a direct one that names a time, else the newest of
/// a user identity that is not revoked.
fn newest_self_signature(key: &SignedPublicKey, now: i64) -> Option<&Signature> {
    let direct = newest(
        key.details
            .direct_signatures
            .iter()
            .filter(|s| s.typ() == Some(SignatureType::Key))
            .filter(|s| in_force(s, now)),
        |s| s.verify_key(&key.primary_key).is_ok(),
    );
    if let Some(direct) = direct
        && direct.key_expiration_time().is_some()
    {
        return Some(direct);
    }
    let identities = key.details.users.iter().filter_map(|user| {
        let own = newest(
            user.signatures
                .iter()
                .filter(|s| s.is_certification() && in_force(s, now))
                .filter(|s| super::verify::named(s, &key.primary_key)),
            |s| {
                s.verify_certification(&key.primary_key, Tag::UserId, &user.id)
                    .is_ok()
            },
        )?;
        (own.typ() != Some(SignatureType::CertRevocation)).then_some(own)
    });
    identities.max_by_key(|s| s.created()).or(direct)
}

/// Returns the newest signature that is right. Those of others and those that a newer one replaces are not computed:
/// the certificates of archives carry many.
fn newest<'a>(
    signatures: impl Iterator<Item = &'a Signature>,
    is_right: impl Fn(&Signature) -> bool,
) -> Option<&'a Signature> {
    let mut sorted: Vec<&Signature> = signatures.collect();
    sorted.sort_by_key(|s| s.created());
    sorted.into_iter().rev().find(|s| is_right(s))
}

/// Tells whether a signature was made by now and has not expired.
pub(super) fn in_force(signature: &Signature, now: i64) -> bool {
    let Some(created) = signature.created() else {
        return false;
    };
    let created = i64::from(created.as_secs());
    let lasts = signature
        .signature_expiration_time()
        .map_or(0, pgp::types::Duration::as_secs);
    created <= now && (lasts == 0 || created + i64::from(lasts) > now)
}

/// Returns when a key expires by one of its self-signatures; `None` for never.
fn expiry(key: &impl KeyDetails, signature: &Signature) -> Option<i64> {
    let lasts = signature.key_expiration_time()?.as_secs();
    (lasts > 0).then(|| i64::from(key.created_at().as_secs()) + i64::from(lasts))
}

fn flags(signature: &Signature) -> Option<&KeyFlags> {
    signature
        .config()?
        .hashed_subpackets()
        .find_map(|packet| match &packet.data {
            SubpacketData::KeyFlags(flags) => Some(flags),
            _ => None,
        })
}

fn weak(key: &impl KeyDetails) -> Option<String> {
    match key.public_params() {
        PublicParams::RSA(rsa) => {
            let mut bytes = Vec::new();
            // The first number of RSA's public key is the modulus; a number starts with its length in bits.
            let bits = match rsa.to_writer(&mut bytes) {
                Ok(()) => bytes
                    .first_chunk()
                    .map_or(0, |bits| u16::from_be_bytes(*bits)),
                Err(_) => 0,
            };
            (bits < LEAST_RSA_BITS).then(|| format!("the key is too weak (RSA with {bits} bits)"))
        }
        PublicParams::ECDSA(_)
        | PublicParams::EdDSALegacy(_)
        | PublicParams::Ed25519(_)
        | PublicParams::Ed448(_) => None,
        PublicParams::DSA(_) => Some("the key is too weak (DSA)".to_owned()),
        _ => Some("the key's algorithm is not known".to_owned()),
    }
}

fn date(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(
        |_| format!("second {seconds}"),
        |time| time.strftime("%Y-%m-%d").to_string(),
    )
}
