//! Turns findings, facts and a policy into a plan, and a plan into LLB. Knows nothing of servers.
//!
//! **Invariant:** a plan says *what* is to change, never *how*; the same plan lowers to the same bytes every time,
//! and no name that comes from outside becomes part of a command.

mod bind;
mod dpkg;
mod error;
mod facts;
mod lower;
mod model;
mod plan;
mod policy;
mod verdict;

pub use bind::{BindError, Binding, Candidate, bind};
pub use dpkg::exit;
pub use error::PlanError;
pub use facts::Facts;
pub use lower::{
    Base, Surroundings, base, configure, configure_capabilities, patch, required_capabilities,
    to_llb,
};
pub use model::{
    Counts, Decision, FindingKey, FindingResult, Mode, PatchPlan, Planned, PlannedFinding,
    PlatformPlan, Verdict,
};
pub use plan::plan_platform;
pub use policy::{LeftOut, Policy};
pub use reseal_llb::Proxy;
pub use verdict::{Gate, count, gate, verdicts};
