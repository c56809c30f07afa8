//! Reads and writes images: one [`Store`] trait, with a repository of a registry ([`Registries::open`]) and an OCI layout folder
//! ([`Layout`]) as its forms.
//!
//! Knows nothing of builds, packages or terminals.
//!
//! **Invariant:** content that was asked for by digest has that digest, or there is an error. No blob is ever held in memory,
//! no secret is ever shown, and no request asks for more rights than it needs.
//!
//! Why registries are spoken to directly and not through a ready-made client: `docs/decisions.md`, "D4".

mod auth;
mod client;
mod connect;
mod credentials;
mod error;
mod layout;
mod mirror;
mod referrers;
mod registries;
mod remote;
mod reply;
mod retry;
mod secret;
mod settings;
mod store;
mod text;
mod tls;
mod verify;

pub use credentials::{Credential, CredentialError, CredentialStore};
pub use error::{Class, StoreError};
pub use layout::Layout;
pub use registries::Registries;
pub use secret::Secret;
pub use settings::{RealTime, RegistrySettings, Sleeper, Wait};
pub use store::{
    BlobReader, BlobSource, Copied, Counts, MANIFEST_LIMIT, OpenBlob, Store, Target, copy_blob,
};
