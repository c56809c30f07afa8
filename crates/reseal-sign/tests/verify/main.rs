//! Genuine signatures of cosign 2.5 and 3.1 are accepted, and every forgery of them is refused. `tests/data` tells how the
//! genuine ones were made.
#![expect(
    unreachable_pub,
    reason = "one test binary of several files, none of which has a public interface"
)]

mod bundles;
mod certificates;
mod claims;
mod genuine;
mod layers;
mod policy;
mod samples;
mod world;
