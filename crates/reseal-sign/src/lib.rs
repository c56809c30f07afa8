//! Signatures and attestations: statements, signers, verifiers, and where cosign keeps them.

pub mod dsse;
mod error;
mod go_json;
pub mod key;
pub mod payload;
pub mod statement;
pub mod store;

pub use error::SignError;
