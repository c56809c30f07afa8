//! Tests against real servers; `integration/up.sh` starts them and tells the environment where they are.

mod connect;
mod patch;
mod registry;
mod solve;
