//! The resolver against `apt-get -s`: on small universes made by chance, on pins, and on what this
//! machine and the fixture images have. Each part is skipped, with the reason, where apt or its data
//! are not there.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests: a panic is how they fail, and what they skip or count is said"
)]

mod chance;
mod generated;
mod pins;
mod real;
mod sound;
mod world;
