//! Tests against real servers; `integration/up.sh` starts them and tells the environment where they are.

mod connect;
mod engines;
mod faults;
mod indexes;
mod lock;
mod patch;
mod registry;
mod sign;
mod site;
mod solve;
