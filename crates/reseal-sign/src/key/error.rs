//! What can be wrong with a key.

/// Why a key cannot be used. No message holds a password or any part of a private key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The reference names no key that this program could open.
    #[error("`{reference}` names no key: {why}")]
    Reference {
        /// As it was given.
        reference: String,
        /// What is wrong with it.
        why: String,
    },
    /// A key service of a cloud.
    #[error("keys of {scheme} cannot be used")]
    Service {
        /// `awskms`, `gcpkms`, …
        scheme: String,
    },
    /// The file cannot be read, or the variable is not set.
    #[error("could not read the key from {place}: {why}")]
    Unreadable {
        /// File or variable.
        place: String,
        /// The system's words.
        why: String,
    },
    /// The text holds no PEM block, or none of a kind that is a key.
    #[error("the text holds no key that can be used{}", found(labels))]
    NoKey {
        /// Labels of the blocks that are there.
        labels: Vec<String>,
    },
    /// A private key that is encrypted in another way than cosign's.
    #[error("the key is encrypted as `{label}`, which only OpenSSL and OpenSSH read")]
    Encrypted {
        /// The PEM label.
        label: String,
    },
    /// The file claims to be a key and is not.
    #[error("the key is damaged: {why}")]
    Malformed {
        /// What is wrong.
        why: String,
    },
    /// The key's parameters would take too much time or memory, or are none that cosign writes.
    #[error("the key file asks for {what}, which is refused")]
    Parameters {
        /// Which parameter, with its value.
        what: String,
    },
    /// The password does not open the key.
    #[error("the password does not open the key")]
    WrongPassword,
    /// There is no password to be had.
    #[error("could not get the password of the key: {why}")]
    NoPassword {
        /// Why not.
        why: String,
    },
    /// The key is of a kind that signs nothing here.
    #[error("{kind} cannot be used")]
    Unsupported {
        /// Which kind, `an RSA key of 1024 bits`.
        kind: String,
    },
    /// The cryptographic library failed.
    #[error("could not {action}")]
    Crypto {
        /// `sign`, `make a key`
        action: &'static str,
    },
    /// The signature is not one of this key over this message.
    #[error("the signature does not match")]
    Mismatch,
    /// A hardware token failed.
    #[error("could not use the key of the PKCS#11 token: {why}")]
    Token {
        /// What failed.
        why: String,
    },
}

impl KeyError {
    /// Returns what the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Service { .. } => "use a key file, env://VARIABLE, or a PKCS#11 module of that service (pkcs11:token=…;object=…?module-path=…)".to_owned(),
            Self::Encrypted { label } if label.contains("OPENSSH") => {
                "write the key as PKCS#8 with `ssh-keygen -p -m PKCS8 -f KEY`, then `reseal key import --key KEY`".to_owned()
            }
            Self::Encrypted { .. } => {
                "decrypt it with `openssl pkcs8 -in KEY -out plain.pem`, then `reseal key import --key plain.pem`".to_owned()
            }
            Self::NoKey { .. } => {
                "give a private key in PEM: cosign's own form, or `BEGIN PRIVATE KEY`".to_owned()
            }
            Self::WrongPassword => {
                "check COSIGN_PASSWORD; it counts when it is set, even when it is empty".to_owned()
            }
            Self::NoPassword { .. } => "set COSIGN_PASSWORD".to_owned(),
            Self::Unsupported { .. } => {
                "use ECDSA P-256 (`reseal key generate`), or RSA with 2048 to 8192 bits".to_owned()
            }
            _ => return None,
        })
    }
}

fn found(labels: &[String]) -> String {
    if labels.is_empty() {
        return ": it is not PEM".to_owned();
    }
    format!(": found `{}`", labels.join("`, `"))
}
