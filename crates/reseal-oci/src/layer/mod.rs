//! Image layers: tar archives that are reached through compression, stacked as an overlay and written again.
//!
//! Reading bottom-up means unpacking everything; so [`Overlay`] takes the layers from the top and stops caring for a path
//! as soon as an upper layer has it or hides it. [`normalise`] turns the raw diff of a build into the patch layer: the
//! same set of files gives the same bytes, however the daemon ordered and dated them.
//!
//! The tar reader is our own because layers come from strangers: every length is bounded, every path is checked, and a
//! reader that follows the rules of container runtimes (Go's `archive/tar`) must see the same files as they do.

mod compression;
mod error;
mod files;
mod gzip;
mod header;
mod members;
mod normalise;
mod overlay;
mod path;
mod pax;
mod scan;
mod sparse;
mod squash;
mod visit;
mod write;

pub use compression::{Compression, decompress, detect};
pub use error::LayerError;
pub use files::{LayerFiles, Wanted, read};
pub use normalise::{Classify, Keep, Normalised, normalise};
pub use overlay::Overlay;
pub use scan::{EntryInfo, EntryKind, Scan, read_entry, scan};
pub use squash::squash;
pub use visit::{Meaning, Visited, try_visit, visit};
