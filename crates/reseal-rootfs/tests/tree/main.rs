//! Layers and the trees that they add up to.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod layers;
mod properties;
mod stack;
