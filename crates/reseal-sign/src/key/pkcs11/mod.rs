//! Keys in hardware tokens, through the vendor's PKCS#11 module.
//!
//! The private key stays where it is: the token gets the digest (ECDSA) or the message (RSA), and gives the signature.

mod uri;

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use sha2::{Digest as _, Sha256};

use super::der::{self, Reader};
use super::{Algorithm, KeyError, PublicKey, Signer};
use crate::SignError;
use uri::Uri;

/// A key in a token. It holds a session that is logged in.
pub(super) struct TokenKey {
    public: PublicKey,
    session: Arc<Mutex<Session>>,
    handle: ObjectHandle,
}

fn failed(action: &str, error: &Error) -> KeyError {
    let why = match error {
        Error::Pkcs11(RvError::PinIncorrect, _) => "the PIN is wrong".to_owned(),
        Error::Pkcs11(RvError::PinLocked, _) => "the PIN is locked".to_owned(),
        other => other.to_string(),
    };
    KeyError::Token {
        why: format!("could not {action}: {why}"),
    }
}

fn token(why: impl Into<String>) -> KeyError {
    KeyError::Token { why: why.into() }
}

impl TokenKey {
    /// Opens the key that a `pkcs11:` URI names. What it does not say comes from cosign's variables
    /// `COSIGN_PKCS11_MODULE_PATH` and `COSIGN_PKCS11_PIN`.
    pub(super) fn open(
        reference: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, KeyError> {
        let uri = Uri::parse(reference).map_err(|why| KeyError::Reference {
            reference: shown(reference),
            why,
        })?;
        let module = uri
            .module
            .clone()
            .or_else(|| environment("COSIGN_PKCS11_MODULE_PATH"))
            .ok_or_else(|| token("no module is named: add `?module-path=/path/module.so`, or set COSIGN_PKCS11_MODULE_PATH"))?;
        let context = Pkcs11::new(&module)
            .map_err(|error| failed(&format!("load the module {module}"), &error))?;
        match context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // Another key of this run is in the same module.
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(failed("start the module", &error)),
        }
        let slot = slot(&context, &uri)?;
        let session = context
            .open_ro_session(slot)
            .map_err(|error| failed("open the token", &error))?;
        if let Some(pin) = pin(&uri, environment)? {
            match session.login(UserType::User, Some(&AuthPin::from(pin))) {
                Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
                Err(error) => return Err(failed("log in to the token", &error)),
            }
        }
        let handle = only(&session, &uri, ObjectClass::PRIVATE_KEY, "private key")?;
        let public = public_key(&session, &uri)?;
        Ok(Self {
            public,
            session: Arc::new(Mutex::new(session)),
            handle,
        })
    }
}

/// The reference without the part that can hold a PIN.
fn shown(reference: &str) -> String {
    let (path, query) = reference.split_once('?').unwrap_or((reference, ""));
    let kept: Vec<&str> = query
        .split('&')
        .filter(|part| !part.is_empty() && !part.starts_with("pin-value"))
        .collect();
    if kept.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", kept.join("&"))
    }
}

fn pin(
    uri: &Uri,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<String>, KeyError> {
    if let Some(pin) = &uri.pin {
        return Ok(Some(pin.expose().to_owned()));
    }
    if let Some(path) = &uri.pin_file {
        let text = std::fs::read_to_string(path).map_err(|error| KeyError::Unreadable {
            place: path.clone(),
            why: error.to_string(),
        })?;
        return Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()));
    }
    Ok(environment("COSIGN_PKCS11_PIN"))
}

fn slot(context: &Pkcs11, uri: &Uri) -> Result<cryptoki::slot::Slot, KeyError> {
    let slots = context
        .get_slots_with_initialized_token()
        .map_err(|error| failed("list the tokens", &error))?;
    let mut labels = Vec::new();
    let mut found = Vec::new();
    for slot in slots {
        let info = context
            .get_token_info(slot)
            .map_err(|error| failed("read the token", &error))?;
        let label = info.label().trim_end().to_owned();
        let fits = uri.token.as_ref().is_none_or(|wanted| *wanted == label)
            && uri
                .serial
                .as_ref()
                .is_none_or(|wanted| wanted == info.serial_number().trim_end())
            && uri.slot.is_none_or(|wanted| wanted == slot.id());
        if fits {
            found.push(slot);
        }
        labels.push(label);
    }
    match found.as_slice() {
        [slot] => Ok(*slot),
        [] => Err(token(format!(
            "no token fits; there are: `{}`",
            labels.join("`, `")
        ))),
        _ => Err(token(
            "more than one token fits: name one with `token=` or `slot-id=`",
        )),
    }
}

/// Finds the one object of a class that the URI names.
fn only(
    session: &Session,
    uri: &Uri,
    class: ObjectClass,
    kind: &str,
) -> Result<ObjectHandle, KeyError> {
    let mut template = vec![Attribute::Class(class)];
    if let Some(label) = &uri.object {
        template.push(Attribute::Label(label.clone().into_bytes()));
    }
    if let Some(id) = &uri.id {
        template.push(Attribute::Id(id.clone()));
    }
    let found = session
        .find_objects(&template)
        .map_err(|error| failed("look for the key", &error))?;
    match found.as_slice() {
        [handle] => Ok(*handle),
        [] => Err(token(format!("the token has no {kind} of this name"))),
        _ => Err(token(format!(
            "the token has more than one {kind} of this name: add `id=%..`"
        ))),
    }
}

/// Reads the public half, which tokens keep as an object of its own beside the private one.
fn public_key(session: &Session, uri: &Uri) -> Result<PublicKey, KeyError> {
    let handle = only(session, uri, ObjectClass::PUBLIC_KEY, "public key")?;
    let wanted = [
        AttributeType::KeyType,
        AttributeType::EcParams,
        AttributeType::EcPoint,
        AttributeType::Modulus,
        AttributeType::PublicExponent,
    ];
    let attributes = session
        .get_attributes(handle, &wanted)
        .map_err(|error| failed("read the public key", &error))?;
    let (mut kind, mut curve, mut point, mut modulus, mut exponent) =
        (None, None, None, None, None);
    for attribute in attributes {
        match attribute {
            Attribute::KeyType(value) => kind = Some(value),
            Attribute::EcParams(bytes) => curve = Some(bytes),
            Attribute::EcPoint(bytes) => point = Some(bytes),
            Attribute::Modulus(bytes) => modulus = Some(bytes),
            Attribute::PublicExponent(bytes) => exponent = Some(bytes),
            _ => {}
        }
    }
    match (kind, curve, point, modulus, exponent) {
        (Some(KeyType::EC), Some(curve), Some(point), ..) => {
            let name = Reader::new(&curve)
                .take(der::OID)
                .ok_or_else(|| token("the curve of the key has no name"))?;
            // By the standard the point is in an octet string; some modules give it bare.
            let mut wrapped = Reader::new(&point);
            let bare = match wrapped.take(der::OCTET_STRING) {
                Some(inner) if wrapped.is_empty() => inner,
                _ => &point,
            };
            PublicKey::from_point(name, bare)
        }
        (Some(KeyType::RSA), .., Some(modulus), Some(exponent)) => {
            let key = der::value(
                der::SEQUENCE,
                &[&der::unsigned(&modulus), &der::unsigned(&exponent)],
            );
            PublicKey::from_rsa(&key)
        }
        _ => Err(KeyError::Unsupported {
            kind: "a token's key of another kind than ECDSA and RSA".to_owned(),
        }),
    }
}

/// Signs in the token. It may take as long as a person needs to touch it.
fn sign(
    session: &Session,
    handle: ObjectHandle,
    algorithm: Algorithm,
    message: &[u8],
) -> Result<Vec<u8>, KeyError> {
    let signed = |mechanism: &Mechanism<'_>, data: &[u8]| {
        session
            .sign(mechanism, handle, data)
            .map_err(|error| failed("sign", &error))
    };
    match algorithm {
        Algorithm::EcdsaP256 | Algorithm::EcdsaP384 | Algorithm::EcdsaP521 => {
            let raw = signed(&Mechanism::Ecdsa, &Sha256::digest(message))?;
            let (r, s) = raw.split_at(raw.len() / 2);
            Ok(der::value(
                der::SEQUENCE,
                &[&der::unsigned(r), &der::unsigned(s)],
            ))
        }
        Algorithm::Rsa { .. } => signed(&Mechanism::Sha256RsaPkcs, message),
        Algorithm::Ed25519 => Err(KeyError::Unsupported {
            kind: "an Ed25519 key in a token".to_owned(),
        }),
    }
}

#[async_trait]
impl Signer for TokenKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let (session, handle) = (self.session.clone(), self.handle);
        let (algorithm, message) = (self.public.algorithm(), message.to_vec());
        let public = self.public.clone();
        let work = move || {
            let session = session.lock().unwrap_or_else(PoisonError::into_inner);
            let signature = sign(&session, handle, algorithm, &message)?;
            // Private and public object are only said to belong together.
            public.verify(&message, &signature).map_err(|_| {
                token("the private and the public key of this name do not belong together")
            })?;
            Ok(signature)
        };
        let done: Result<Vec<u8>, KeyError> = tokio::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|error| Err(token(format!("the module failed: {error}"))));
        Ok(done?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_shown_without_its_pin() {
        for (reference, expected) in [
            (
                "pkcs11:token=t?module-path=/m.so&pin-value=1234",
                "pkcs11:token=t?module-path=/m.so",
            ),
            ("pkcs11:token=t?pin-value=1234", "pkcs11:token=t"),
            ("pkcs11:token=t", "pkcs11:token=t"),
        ] {
            assert_eq!(shown(reference), expected);
        }
    }

    #[test]
    fn a_module_that_is_not_there_is_named() {
        let none = |_: &str| None;
        let error = TokenKey::open("pkcs11:object=k", &none).err().unwrap();
        assert!(
            error.to_string().contains("COSIGN_PKCS11_MODULE_PATH"),
            "{error}"
        );
        let reference = "pkcs11:object=k?module-path=/nonexistent/module.so&pin-value=4321";
        let error = TokenKey::open(reference, &none).err().unwrap();
        assert!(
            error.to_string().contains("/nonexistent/module.so"),
            "{error}"
        );
        assert!(!error.to_string().contains("4321"), "{error}");
    }
}
