//! How a user names a key.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use super::{KeyError, Password, Signer, load_key};

/// Where a private key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyReference {
    /// A file.
    File(PathBuf),
    /// `env://VARIABLE`: the PEM text itself is in an environment variable.
    Env(String),
    /// `pkcs11:…` (RFC 7512): a hardware token.
    Pkcs11(String),
}

impl FromStr for KeyReference {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let wrong = |why: &str| KeyError::Reference {
            reference: text.to_owned(),
            why: why.to_owned(),
        };
        if text.is_empty() {
            return Err(wrong("it is empty"));
        }
        if let Some(variable) = text.strip_prefix("env://") {
            if variable.is_empty() || variable.contains(['=', '\0']) {
                return Err(wrong("there must be the name of a variable after env://"));
            }
            return Ok(Self::Env(variable.to_owned()));
        }
        if text.starts_with("pkcs11:") {
            return Ok(Self::Pkcs11(text.to_owned()));
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            return match scheme {
                "file" => Ok(Self::File(rest.into())),
                "awskms" | "azurekms" | "gcpkms" | "hashivault" | "openbao" | "k8s" | "gitlab"
                | "github" => Err(KeyError::Service {
                    scheme: scheme.to_owned(),
                }),
                _ => Err(wrong("its scheme is unknown")),
            };
        }
        Ok(Self::File(text.into()))
    }
}

impl KeyReference {
    /// Opens the key. `environment` gives the value of a variable; for tokens, `COSIGN_PKCS11_MODULE_PATH` and
    /// `COSIGN_PKCS11_PIN` are asked for what the reference does not say.
    pub fn open(
        &self,
        environment: &dyn Fn(&str) -> Option<String>,
        password: Password<'_>,
    ) -> Result<Arc<dyn Signer>, KeyError> {
        match self {
            Self::File(path) => {
                let text = std::fs::read(path).map_err(|error| KeyError::Unreadable {
                    place: path.display().to_string(),
                    why: error.to_string(),
                })?;
                Ok(Arc::new(load_key(&text, password)?))
            }
            Self::Env(variable) => {
                let text = environment(variable).ok_or_else(|| KeyError::Unreadable {
                    place: format!("the environment variable {variable}"),
                    why: "it is not set".to_owned(),
                })?;
                Ok(Arc::new(load_key(text.as_bytes(), password)?))
            }
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11(reference) => Ok(Arc::new(super::pkcs11::TokenKey::open(
                reference,
                environment,
            )?)),
            #[cfg(not(feature = "pkcs11"))]
            Self::Pkcs11(reference) => Err(KeyError::Reference {
                reference: reference.split('?').next().unwrap_or_default().to_owned(),
                why: "this build of reseal has no support for PKCS#11; one made with `cargo build --features pkcs11` has"
                    .to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_say_what_they_are() {
        for (text, expected) in [
            ("cosign.key", KeyReference::File("cosign.key".into())),
            ("/keys/a b.pem", KeyReference::File("/keys/a b.pem".into())),
            ("file:///keys/k", KeyReference::File("/keys/k".into())),
            ("env://COSIGN_KEY", KeyReference::Env("COSIGN_KEY".into())),
            (
                "pkcs11:token=t;object=o",
                KeyReference::Pkcs11("pkcs11:token=t;object=o".into()),
            ),
        ] {
            assert_eq!(text.parse::<KeyReference>(), Ok(expected), "{text}");
        }
        for (text, part) in [
            ("", "it is empty"),
            ("env://", "name of a variable"),
            ("awskms:///alias/x", "keys of awskms cannot be used"),
            ("k8s://ns/secret", "keys of k8s cannot be used"),
            ("https://example/key", "its scheme is unknown"),
        ] {
            let error = text.parse::<KeyReference>().unwrap_err();
            assert!(error.to_string().contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_key_that_is_not_there_is_named() {
        let none = || -> Result<_, _> { unreachable!("nothing is there to be opened") };
        for (text, part) in [
            ("/nonexistent/cosign.key", "/nonexistent/cosign.key"),
            ("env://NOT_SET", "the environment variable NOT_SET"),
        ] {
            let reference: KeyReference = text.parse().unwrap();
            let error = reference.open(&|_| None, &none).err().unwrap();
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
