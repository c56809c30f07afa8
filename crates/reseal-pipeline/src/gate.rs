//! The gate: what remains after a run decides whether a tag moves.

use reseal_plan::{Gate, gate};

use crate::{
    error::{Class, PipelineError},
    outcome::{Outcome, RunResult},
};

/// Shuts the gate when a planned or gated finding remains: the result then travels in the error.
pub(crate) fn pass_gate(result: &mut RunResult) -> Result<(), PipelineError> {
    let (class, outcome, message) = match gate(
        result
            .platforms
            .iter()
            .flat_map(|platform| &platform.findings),
    ) {
        Gate::Open => return Ok(()),
        Gate::Residual(number) => (
            Class::Residual,
            Outcome::Residual,
            format!("findings remain that should be fixed: {number}"),
        ),
        Gate::NoFix(number) => (
            Class::NoFix,
            Outcome::NoFix,
            format!("findings at or above the gate have no fix: {number}"),
        ),
    };
    result.outcome = outcome;
    Err(PipelineError::Gate {
        message,
        class,
        result: Box::new(result.clone()),
    })
}
