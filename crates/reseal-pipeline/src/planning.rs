//! Facts, a report and the policy become the plan of a platform: in the same way for each engine, the dry run and `verify`.

use reseal_plan::{Facts, PlatformPlan, Policy, plan_platform};
use reseal_report::Report;

use crate::{error::PipelineError, event::Event};

/// Plans one platform.
pub(crate) fn plan(
    facts: &Facts,
    report: Option<&Report>,
    policy: &Policy,
) -> Result<PlatformPlan, PipelineError> {
    plan_platform(facts, report, policy).map_err(|source| PipelineError::Plan {
        platform: facts.platform.to_string(),
        source,
    })
}

/// Returns what is told of a plan.
pub(crate) fn planned(plan: &PlatformPlan) -> Event {
    Event::Planned {
        platform: plan.platform.clone(),
        packages: plan.packages.len(),
        findings: plan
            .packages
            .iter()
            .map(|package| package.closes.len())
            .sum(),
    }
}
