//! Drives a `BuildKit` daemon over gRPC: connects, runs one build with its session, looks into results and takes over
//! what is exported. Knows nothing of packages, registries or terminals.
//!
//! **Invariant:** a build never outlives the future that runs it. Whoever drops [`build`] stops the daemon's work.
//!
//! ```no_run
//! use reseal_buildkit::{BuildOptions, Client, ConnectOptions, Output, build, dial};
//! use reseal_llb::Definition;
//!
//! async fn release_of(image: &Definition) -> Result<String, Box<dyn std::error::Error>> {
//!     let address = "unix:///run/buildkit/buildkitd.sock".parse()?;
//!     let client = Client::new(dial(&address, &ConnectOptions::default()).await?);
//!     let (events, _progress) = tokio::sync::mpsc::unbounded_channel();
//!     let mut release = None;
//!     build(&client, BuildOptions::new(events), async |gateway| {
//!         release = gateway.solve(image, false).await?.read("/etc/os-release", 64 << 10).await?;
//!         Ok(Output::default())
//!     })
//!     .await?;
//!     Ok(String::from_utf8(release.unwrap_or_default().to_vec())?)
//! }
//! ```

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
pub use reseal_net::Secret;
pub use session::{AuthProvider, ContentSource, Credentials, Token, TokenRequest};
pub use solve::{BuildOptions, Output, build};
