//! dpkg's records, written as dpkg writes them.

pub mod conffiles;
pub mod marks;
pub mod stanza;
pub mod triggers;

pub use conffiles::{Conffile, Declared, declared};
pub use stanza::Standing;
pub use triggers::{Directive, Interests};
