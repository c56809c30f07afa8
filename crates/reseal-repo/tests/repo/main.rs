//! Whole runs against a server of repositories that are generated and signed here.

#![expect(
    clippy::unwrap_used,
    reason = "clippy lets tests unwrap, and does not see that their helpers are tests too"
)]

mod cache;
mod fetch;
mod hostile;
mod key;
mod kinds;
mod make;
mod server;
mod trust;
