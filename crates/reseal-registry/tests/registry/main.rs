//! The distribution client against a strict fake: what is sent, how often, and what every fault becomes.

#![expect(
    clippy::unwrap_used,
    reason = "clippy lets tests unwrap, and does not see that their helpers are tests too"
)]

mod auth;
mod common;
mod copy;
mod proxy;
mod pull;
mod push;
mod referrers;
mod tls;
