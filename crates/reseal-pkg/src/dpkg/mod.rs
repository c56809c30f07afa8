//! dpkg's database: what is installed, what changed, and which path belongs to what.

mod candidate;
mod changes;
pub mod extended_states;
mod lists;
mod ownership;
mod package;
mod paragraph;
mod paths;
mod relation;
mod status;
mod stream;

pub use candidate::{Candidate, MultiArch};
pub use changes::{Change, changes};
pub use extended_states::auto_marks;
pub use lists::{md5sums_paths, parse_list};
pub use ownership::{Owner, Ownership};
pub use package::{Package, State, Want};
pub use relation::{Operator, Relation, Relations};
pub use status::Database;
pub use stream::{split_stream, stanza_field};
