//! Keyrings: files of certificates, binary or armoured.

use pgp::composed::{Deserializable as _, SignedPublicKey};
use pgp::types::KeyDetails as _;

const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const END: &str = "-----END PGP PUBLIC KEY BLOCK-----";
/// More certificates than any keyring has; ends the reading of one that is made to have no end.
const MOST: usize = 10_000;

/// What a keyring file must be. The extension decides for apt, and so it does here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `OpenPGP` packets: `.gpg`, `.pgp`.
    Binary,
    /// ASCII armour, several blocks allowed: `.asc`, and keys inside of source files.
    Armored,
}

/// Certificates that may sign. Those that cannot be read are left out: with the signature, not with the key, is decided whether
/// something is missing.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    pub(crate) certificates: Vec<SignedPublicKey>,
    /// What could not be read, for messages.
    pub(crate) notes: Vec<String>,
}

impl Keyring {
    /// Adds the certificates of a file; `name` stands for it in messages.
    pub fn add(&mut self, name: &str, bytes: &[u8], encoding: Encoding) {
        let blocks = match encoding {
            Encoding::Binary => vec![bytes.to_vec()],
            Encoding::Armored => blocks(bytes),
        };
        let before = self.certificates.len();
        for block in blocks {
            let read = match encoding {
                // What GnuPG writes for a certificate's first packet. Its newer container formats are none of a keyring's.
                Encoding::Binary if !matches!(block.first(), Some(0x98 | 0x99 | 0xc6)) => {
                    self.notes.push(format!("{name} is no binary keyring"));
                    continue;
                }
                Encoding::Binary => SignedPublicKey::from_bytes_many(block.as_slice()),
                Encoding::Armored => {
                    SignedPublicKey::from_armor_many(block.as_slice()).map(|(keys, _)| keys)
                }
            };
            match read {
                Ok(keys) => {
                    for key in keys.take(MOST) {
                        match key {
                            Ok(key) => self.certificates.push(key),
                            Err(error) => self.note(name, &error.to_string()),
                        }
                    }
                }
                Err(error) => self.note(name, &error.to_string()),
            }
        }
        if self.certificates.len() == before {
            self.note(name, "it holds no usable key");
        }
    }

    /// Notes that a keyring is not there.
    pub(crate) fn missing(&mut self, name: &str) {
        self.notes
            .push(format!("{name} does not exist in the image"));
    }

    fn note(&mut self, name: &str, why: &str) {
        if self.notes.len() < 20 {
            let why = why.lines().next().unwrap_or_default();
            self.notes.push(format!("could not read {name}: {why}"));
        }
    }

    /// Adds all of another keyring.
    pub fn extend(&mut self, other: &Self) {
        self.certificates.extend(other.certificates.iter().cloned());
        self.notes.extend(other.notes.iter().cloned());
    }

    /// Returns the fingerprints of the certificates in upper-case hexadecimal digits.
    pub fn fingerprints(&self) -> Vec<String> {
        self.certificates
            .iter()
            .map(|key| format!("{:X}", key.fingerprint()))
            .collect()
    }
}

/// Splits armoured text into its blocks; text around them is left out.
fn blocks(bytes: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(bytes);
    let mut out = Vec::new();
    let mut rest: &str = &text;
    while let Some(start) = rest.find(BEGIN) {
        let block = &rest[start..];
        let end = block.find(END).map_or(block.len(), |at| at + END.len());
        out.push(format!("{}\n", &block[..end]).into_bytes());
        rest = &block[end..];
    }
    out
}
