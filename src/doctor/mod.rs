//! Is everything there that a run needs? All checks run at once, and none takes longer than four seconds.

mod builder;
mod local;
mod registry;

use std::{future::Future, time::Duration};

use reseal_oci::Location;

use crate::{
    args::RegistryArgs, environment::Env, exit::Reason, failure::Failure, settings::BuilderSettings,
};

/// Time of one group of checks.
const PATIENCE: Duration = Duration::from_secs(4);
/// Time of a connection, so that the search can say what it tried.
const CONNECT: Duration = Duration::from_millis(3500);
/// Time of everything.
pub(crate) const LIMIT: Duration = Duration::from_millis(4900);

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Check {
    /// Its name.
    pub(crate) name: &'static str,
    /// How it went.
    pub(crate) status: Status,
    /// What was found.
    pub(crate) detail: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// As it should be.
    Passed,
    /// A run may still work.
    Warned,
    /// A run would fail, with this class.
    Failed(Reason),
    /// It could not be looked at, because of another failure.
    Skipped,
}

impl Check {
    fn passed(name: &'static str, detail: impl Into<String>) -> Self {
        Self {
            name,
            status: Status::Passed,
            detail: detail.into(),
            hint: None,
        }
    }

    fn warned(name: &'static str, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            name,
            status: Status::Warned,
            detail: detail.into(),
            hint: Some(hint.into()),
        }
    }

    fn skipped(name: &'static str, detail: impl Into<String>) -> Self {
        Self {
            name,
            status: Status::Skipped,
            detail: detail.into(),
            hint: None,
        }
    }

    fn failed(name: &'static str, failure: impl Into<Failure>) -> Self {
        let failure = failure.into();
        let mut detail = failure.message;
        for cause in failure.causes {
            detail.push('\n');
            detail.push_str(&cause);
        }
        Self {
            name,
            status: Status::Failed(failure.reason),
            detail,
            hint: failure.hint,
        }
    }
}

/// Runs all checks.
pub(crate) async fn run(
    image: Option<&Location>,
    builder: BuilderSettings,
    registry: &RegistryArgs,
    env: &Env,
) -> Vec<Check> {
    let (builder, registry, local) = tokio::join!(
        builder::check(builder),
        registry::check(image, registry, env),
        within("temporary files", local::check(env.temp_dir())),
    );
    [builder, registry, local].concat()
}

/// Gives up on a group of checks that takes too long.
async fn within(name: &'static str, checks: impl Future<Output = Vec<Check>>) -> Vec<Check> {
    match tokio::time::timeout(PATIENCE, checks).await {
        Ok(checks) => checks,
        Err(_) => vec![Check::warned(
            name,
            "no answer within 4 seconds",
            "Try again, or look at it by hand",
        )],
    }
}
