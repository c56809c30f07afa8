//! The client's half of the token authority: proves to a daemon that two sessions hold the same credentials, so that
//! it may reuse a registry token, without ever showing the credentials.

use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair};

/// Derives one signing key for each registry host and daemon.
#[derive(Clone)]
pub(crate) struct Authority {
    seed: [u8; 32],
}

impl Authority {
    /// A fresh authority. It lives as long as its client: a token is not reused between processes, which costs one
    /// request and keeps no secret on disk.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            seed: crate::random::bytes()?,
        })
    }

    /// Returns the public key for `host`; `secret` says whether there are credentials for it. Without any, the key
    /// depends on nothing but the daemon's salt: anonymous tokens are everybody's.
    pub(crate) fn public_key(&self, host: &str, salt: &[u8], secret: bool) -> Vec<u8> {
        self.key(host, salt, secret).public_key().as_ref().to_vec()
    }

    /// Signs in `NaCl`'s form: the 64 bytes of the signature, then the payload.
    pub(crate) fn sign(&self, host: &str, salt: &[u8], secret: bool, payload: &[u8]) -> Vec<u8> {
        let mut signed = self.key(host, salt, secret).sign(payload).as_ref().to_vec();
        signed.extend_from_slice(payload);
        signed
    }

    fn key(&self, host: &str, salt: &[u8], secret: bool) -> Ed25519KeyPair {
        let host_seed = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, &self.seed),
            host.as_bytes(),
        );
        let message: &[u8] = if secret { host_seed.as_ref() } else { &[] };
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, salt), message);
        Ed25519KeyPair::from_seed_unchecked(derived.as_ref())
            .expect("HMAC-SHA256 gives the 32 bytes that an Ed25519 seed has")
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority(****)")
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    #[test]
    fn a_signature_verifies_under_the_key_of_the_same_host_and_salt() {
        let authority = Authority::new().unwrap();
        let key = authority.public_key("registry.example", b"salt", true);
        let signed = authority.sign("registry.example", b"salt", true, b"payload");
        let (signature, payload) = signed.split_at(64);
        assert_eq!(payload, b"payload");
        UnparsedPublicKey::new(&ED25519, &key)
            .verify(payload, signature)
            .unwrap();
        let other = authority.public_key("other.example", b"salt", true);
        assert!(
            UnparsedPublicKey::new(&ED25519, &other)
                .verify(payload, signature)
                .is_err()
        );
    }

    #[test]
    fn keys_differ_by_host_salt_and_process_but_anonymous_ones_only_by_salt() {
        let (one, two) = (Authority::new().unwrap(), Authority::new().unwrap());
        let key = one.public_key("a", b"salt", true);
        assert_eq!(key, one.public_key("a", b"salt", true));
        for other in [
            one.public_key("b", b"salt", true),
            one.public_key("a", b"pepper", true),
            two.public_key("a", b"salt", true),
        ] {
            assert_ne!(key, other);
        }
        assert_eq!(
            one.public_key("a", b"salt", false),
            two.public_key("b", b"salt", false)
        );
        assert_ne!(
            one.public_key("a", b"salt", false),
            one.public_key("a", b"pepper", false)
        );
    }
}
