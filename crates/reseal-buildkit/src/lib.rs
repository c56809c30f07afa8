//! Drives a `BuildKit` daemon over gRPC: connects, runs one build with its session, looks into results and takes over
//! what is exported. Knows nothing of packages, registries or terminals.
//!
//! **Invariant:** a build never outlives the future that runs it. Whoever drops [`build`] stops the daemon's work.

mod capabilities;
mod client;
mod error;
mod export;
mod gateway;
mod progress;
mod random;
mod session;
mod solve;
mod status;

pub mod connect;
pub mod discover;
pub mod private_daemon;

pub use capabilities::{Capabilities, CapabilityError};
pub use client::{Client, Worker};
pub use connect::*;
pub use discover::*;
pub use error::BuildError;
pub use export::{ExportSink, Exported, ExportedLayer, ExportedManifest};
pub use gateway::{DirEntry, Gateway, Ref, Stat};
pub use private_daemon::*;
pub use progress::SolveEvent;
pub use session::{AuthProvider, ContentSource, Credentials, Secret, Token, TokenRequest};
pub use solve::{BuildOptions, Output, build};
