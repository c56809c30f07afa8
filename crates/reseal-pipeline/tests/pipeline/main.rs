//! Whole runs, with the real clients against fakes that speak the real protocols.

#![expect(clippy::unwrap_used, reason = "tests")]

mod again;
mod builder;
mod gates;
mod image;
mod images;
mod index;
mod layouts;
mod promotion;
mod push;
mod reports;
mod sealing;
mod verify;
mod world;
