//! Repositories of Debian's family, as apt reads and trusts them.

mod auth;
mod config;
mod fetch;
mod fields;
mod index;
mod lists;
mod plain;
mod release;
mod repositories;
mod settings;
mod signed;
mod sources;

pub use auth::{read_auth, read_logins};
pub use index::{Index, Variant};
pub use lists::Stanza;
pub use repositories::{Release, Repositories};
pub use settings::{AptSettings, read_settings};
pub use sources::{SignedBy, Source, Sources, read_sources, read_sources_for};
