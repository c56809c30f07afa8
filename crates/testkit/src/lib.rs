//! Fakes of the servers that reseal talks to. They speak the real protocols, never use reseal's own clients, and refuse
//! what a real server would only suffer.

pub mod buildkitd;
pub mod registry;
pub mod sigstore;
