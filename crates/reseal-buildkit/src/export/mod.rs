//! What the daemon hands back: where the blobs go, and how they are read afterwards.

mod result;
mod sink;

pub(crate) use result::read_exported;
pub use result::{Exported, ExportedLayer, ExportedManifest};
pub use sink::ExportSink;
pub(crate) use sink::{Ingest, SinkError, read_range};
