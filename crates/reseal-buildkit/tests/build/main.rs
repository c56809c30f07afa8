//! Builds against a fake daemon: no socket, no clock, real gRPC.

#![expect(clippy::unwrap_used, reason = "tests")]

mod ending;
mod export;
mod failure;
mod questions;
mod session;
mod support;
