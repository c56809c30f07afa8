//! Tests against real servers; `integration/up.sh` starts them and tells the environment where they are.

mod caches;
mod connect;
mod engines;
mod faults;
mod lock;
mod patch;
mod registry;
mod sign;
mod site;
mod solve;
