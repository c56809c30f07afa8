//! What every client of a server needs: whom it trusts, when it asks again, what went wrong, and secrets that stay secret.
//!
//! Knows no protocol but HTTP, and none of the servers that are spoken to.

mod cause;
mod client;
mod loopback;
mod names;
#[cfg(feature = "resolver")]
mod resolver;
mod retry;
mod secret;
pub mod tls;

pub use cause::{causes, disk, tls_errors};
pub use client::client;
pub use loopback::is_loopback;
pub use names::connect;
pub use retry::{Again, back_off, may_pass, retry_after};
pub use secret::Secret;
