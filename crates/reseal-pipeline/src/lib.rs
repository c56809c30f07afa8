//! The order of the stages and the types between them.
//!
//! A reference is resolved once; reports are bound to platforms; facts and findings become a plan, the plan one graph a
//! platform, all of them one solve a builder; the layer that comes back is cleaned and appended to the original
//! manifest; the index is rebuilt around it, pushed by digest, read back, and only then does the tag move.
//!
//! Prints nothing, reads no environment, knows no flags.
//!
//! **Invariant:** until the last step nothing that a user can pull by name has changed.

mod assign;
mod cache;
mod created;
mod daemon_auth;
mod destination;
mod dry_run;
mod engine;
mod error;
mod event;
mod facts;
mod fetch;
mod gate;
mod history;
mod layout_source;
mod listed;
mod lock;
mod make;
mod native;
mod nothing;
mod outcome;
mod patch;
mod patch_layer;
mod planning;
mod promote;
mod proof;
mod publish;
mod read_back;
mod reports;
mod reproduce;
mod rollback;
mod seal;
mod settings;
mod solve;
mod source;
mod statements;
mod verify;

pub use cache::{CacheUse, cache};
pub use dry_run::{PLAN_SCHEMA, lock, plan};
pub use engine::EngineChoice;
pub use error::{Class, PipelineError};
pub use event::{Event, Events, Stage};
pub use fetch::{Fetched, fetch};
pub use lock::{
    LOCK_SCHEMA, Lock, LockedIndex, LockedPackage, LockedPlatform, LockedRepository, LockedSource,
};
pub use outcome::{
    LayerResult, Outcome, PackageResult, PackageSource, Pinned, PlanResult, PlatformResult,
    Preserved, RunResult, SCHEMA,
};
pub use patch::patch;
pub use promote::{MovedTag, PROMOTION_SCHEMA, PromoteSettings, Promotion, Record, promote};
pub use proof::{NotProved, Proof, Requirement, Trust, verify_signature};
pub use reproduce::{Reproduction, reproduce};
pub use reseal_native::Scripts;
pub use rollback::{Rollback, read_record, rollback};
pub use seal::{SealSettings, Sealed, SignSettings, Statement, attest, sign};
pub use settings::{
    Builder, Builders, CLEAN_UP, Input, NamedReport, NativeSettings, PatchSettings, Proxy,
    Unreported,
};
pub use verify::{VerifySettings, verify};
