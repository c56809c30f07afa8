//! Connecting: against daemons made of an HTTP/2 server that answers one call, and programs made of scripts that bridge to it.

#![expect(
    clippy::unwrap_used,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod address;
mod discovery;
mod docker;
mod private;
mod process;
mod sockets;
mod support;
mod tls;
