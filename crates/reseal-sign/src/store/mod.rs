//! Where cosign keeps what belongs to an image: `.sig` and `.att` tags, and bundles that refer to it.

mod entry;

pub use entry::*;
