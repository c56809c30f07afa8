//! Signatures and attestations: statements, signers, verifiers, and where cosign keeps them.

pub mod bundle;
pub mod dsse;
mod error;
mod go_json;
pub mod key;
pub mod oidc;
pub mod payload;
pub mod service;
mod sign;
pub mod statement;
pub mod store;
pub mod verify;

pub use error::SignError;
pub use sign::{Identity, Session, SignSettings, SignatureFormat, Signed};
