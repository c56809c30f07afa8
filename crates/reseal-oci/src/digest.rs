//! Content digests: `algorithm:hex`, as the OCI image specification writes them.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256, Sha512};

use crate::OciError;
use crate::error::shown;

/// A valid content digest: `sha256:` with 64 or `sha512:` with 128 lower-case hex digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(String);

impl Digest {
    /// Returns the SHA-256 digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_sha256(Sha256::digest(bytes).into())
    }

    /// Wraps the 32 bytes of a finished SHA-256.
    pub fn from_sha256(out: [u8; 32]) -> Self {
        Self(format!("sha256:{}", hex(&out)))
    }

    /// Returns the whole digest, `sha256:…`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the part before the colon.
    pub fn algorithm(&self) -> &str {
        self.split().0
    }

    /// Returns the part after the colon.
    pub fn hex(&self) -> &str {
        self.split().1
    }

    /// Tells whether the bytes have this digest, by its own algorithm.
    pub fn matches(&self, bytes: &[u8]) -> bool {
        match self.algorithm() {
            "sha512" => self.hex() == hex(&Sha512::digest(bytes)),
            _ => *self == Self::of(bytes),
        }
    }

    fn split(&self) -> (&str, &str) {
        self.0
            .split_once(':')
            .expect("every digest is parsed or made with a colon")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
            write!(out, "{byte:02x}").expect("writing to a string does not fail");
            out
        })
}

impl FromStr for Digest {
    type Err = OciError;

    fn from_str(text: &str) -> Result<Self, OciError> {
        let length = match text.split_once(':') {
            Some(("sha256", hex)) if hex.len() == 64 => 64,
            Some(("sha512", hex)) if hex.len() == 128 => 128,
            _ => 0,
        };
        let valid = length > 0
            && text
                .bytes()
                .rev()
                .take(length)
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(OciError::Digest { text: shown(text) })
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Digest {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// A SHA-256 over bytes that arrive in pieces.
#[derive(Debug, Clone, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// Starts with nothing hashed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Ends the hash.
    pub fn finish(self) -> Digest {
        Digest::from_sha256(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_algorithms_with_full_lower_case_hex_are_digests() {
        let good = format!("sha256:{}", "0a".repeat(32));
        assert_eq!(good.parse::<Digest>().unwrap().as_str(), good);
        assert!(
            format!("sha512:{}", "0a".repeat(64))
                .parse::<Digest>()
                .is_ok()
        );
        for bad in [
            String::new(),
            "sha256:".into(),
            good.to_uppercase(),
            format!("sha256:{}", "0A".repeat(32)),
            good[1..].to_owned(),
            format!("{good}0"),
            format!("sha256:{}é", "0".repeat(62)),
            format!("md5:{}", "0a".repeat(16)),
            format!("sha512:{}", "0a".repeat(32)),
        ] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }

    #[test]
    fn pieces_hash_like_the_whole() {
        let mut hasher = Hasher::new();
        hasher.update(b"he");
        hasher.update(b"llo");
        let digest = hasher.finish();
        assert_eq!(digest, Digest::of(b"hello"));
        assert_eq!(
            digest.hex(),
            "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        );
        assert!(digest.matches(b"hello") && !digest.matches(b"hullo"));
    }

    #[test]
    fn a_sha512_digest_is_checked_by_its_own_algorithm() {
        let empty = "sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e";
        let digest: Digest = empty.parse().unwrap();
        assert!(digest.matches(b"") && !digest.matches(b"x"));
    }

    #[test]
    fn json_holds_a_digest_as_a_string() {
        let digest = Digest::of(b"");
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
        assert!(serde_json::from_str::<Digest>("\"sha256:no\"").is_err());
    }
}
