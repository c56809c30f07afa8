//! Builds `BuildKit` graphs (LLB) and encodes them. Knows nothing of gRPC, daemons, registries, files or clocks.
//!
//! **Invariant:** the same calls give the same bytes, in whatever order independent operations were added; decoding and
//! encoding again changes nothing; and [`Graph::digest`] is the digest that a daemon reports progress and errors under.
//!
//! What a caller cannot get wrong: outputs are numbered by the builder, unused inputs and outputs are marked as such,
//! operations that are equal become one, only what the result needs is sent, and each operation declares the
//! capabilities that it needs of the daemon.
//!
//! ```
//! use reseal_llb::{Exec, Graph, ImageOptions, Platform, RootFs, Src};
//!
//! let platform = Platform::new("linux", "arm64", "v8");
//! let mut graph = Graph::new();
//! let base = graph.image("registry.example/shop/cart@sha256:9c1e", &platform, ImageOptions::default());
//! let upgrade = graph.exec(Exec::new(["/bin/sh", "/run/patch.sh"], RootFs::Writable(base), &platform));
//! let patched = upgrade.root().expect("a writable root is an output");
//! graph.describe(patched, "upgrade packages");
//!
//! let Src::From(layer) = graph.diff(Src::From(base), Src::From(patched)) else { unreachable!("the lower side is an image") };
//! let definition = graph.definition(layer);
//! assert_eq!(reseal_llb::Definition::decode(&definition.encode()), Ok(definition));
//! assert!(graph.required_caps(layer).contains("diffop"));
//! ```

mod capability;
mod definition;
mod exec;
mod explain;
mod file;
mod graph;
mod key;
mod platform;
mod source;

pub use definition::{DecodeError, Definition, OpMetadata};
pub use exec::{Exec, ExecOut, Mount, MountKind, Network, Proxy, RootFs, Sharing, Ulimit};
pub use file::{CopyOptions, FileAction};
pub use graph::{Graph, Out, Src};
pub use platform::Platform;
pub use source::{ImageOptions, ResolveMode};
