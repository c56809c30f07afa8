//! Caches of real images, and what ldconfig makes of them.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod golden;
mod objects;
mod whole;
