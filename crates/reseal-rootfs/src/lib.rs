//! What the layers of an image add up to: the type of every path, and the contents of a few.
//!
//! A layer is read once, as a stream, into [`LayerFacts`]: a few dozen bytes a path and the files that were asked for.
//! They depend on the layer alone, so they can be kept by its digest. Stacked, the facts of all layers are a [`Tree`],
//! which answers what the kernel would answer in a container of the image: with links followed inside the root.
//! [`ldcache`] knows the one derived file that packages share, the dynamic linker's cache.
//!
//! Knows nothing of packages, networks or file systems.
//!
//! **Invariant:** a tree of stacked layers has the paths that unpacking them in order gives.
//!
//! ```
//! use reseal_rootfs::{LayerFacts, NodeKind, Tree, wanted};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut layer = tar::Builder::new(Vec::new());
//! let mut header = tar::Header::new_gnu();
//! header.set_size(2);
//! layer.append_data(&mut header, "etc/os-release", &b"x\n"[..])?;
//! let facts = LayerFacts::from_layer(&layer.into_inner()?[..], &wanted())?;
//! let tree = Tree::stack([facts])?;
//! assert_eq!(tree.node("etc").map(|node| node.kind), Some(NodeKind::Dir));
//! assert_eq!(tree.contents("etc/os-release"), Some(&b"x\n"[..]));
//! # Ok(())
//! # }
//! ```

mod error;
mod facts;
pub mod ldcache;
mod node;
mod tree;
mod wanted;

pub use error::RootfsError;
pub use facts::{LayerFacts, Listing};
pub use node::{Node, NodeKind};
pub use reseal_oci::layer::Wanted;
pub use tree::Tree;
pub use wanted::wanted;
