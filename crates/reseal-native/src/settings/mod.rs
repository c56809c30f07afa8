//! What the image's administrator told dpkg: filters, diversions and overrides.

mod diversions;
mod filters;
mod overrides;

pub use diversions::Diversions;
pub use filters::{Filters, matches};
pub use overrides::{Override, Overrides};
