//! Keys: cosign's encrypted files, PKCS#8, and what signs with them.

mod cosign;
pub(crate) mod der;
mod error;
mod file;
pub(crate) mod pem;
#[cfg(feature = "pkcs11")]
mod pkcs11;
mod public;
mod reference;

use async_trait::async_trait;

pub use cosign::{KeyFiles, generate_key, import_key};
pub use error::KeyError;
pub use file::{FileKey, Password, load_key};
pub use public::{Algorithm, PublicKey};
pub use reference::KeyReference;

use crate::SignError;

/// Something that signs: a key file, a hardware token, a key that lives as long as the run.
#[async_trait]
pub trait Signer: Send + Sync {
    /// Returns the key that its signatures are verified with.
    fn public_key(&self) -> &PublicKey;
    /// Signs a message: DER for ECDSA, over the SHA-256 of the message but for Ed25519.
    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
}
