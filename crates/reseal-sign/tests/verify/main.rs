//! Genuine signatures of cosign 2.5 and 3.1 are accepted, and every forgery of them is refused. `tests/data` tells how the
//! genuine ones were made.
#![expect(
    unreachable_pub,
    reason = "one test binary of several files, none of which has a public interface"
)]
#![expect(
    clippy::unwrap_used,
    reason = "clippy lets tests unwrap, and does not see that their helpers are tests too"
)]

mod bundles;
mod certificates;
mod claims;
mod genuine;
mod layers;
mod ours;
mod policy;
mod samples;
mod world;
