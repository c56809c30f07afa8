//! Whole signings against strict fakes: what is asked of which service, what comes out, and every fault of a service.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod faults;
mod forms;
mod support;
