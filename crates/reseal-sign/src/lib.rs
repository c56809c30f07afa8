//! Signatures and attestations: statements, signers, verifiers, and where cosign keeps them.

pub mod store;
