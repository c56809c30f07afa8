//! Why a command failed, in the form that rendering needs.

use std::error::Error;

use reseal_buildkit::{BuildError, ConnectError};
use reseal_pipeline::{Class, PipelineError, RunResult};

use crate::exit::Reason;

/// A failure: what, why, what next.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Decides the exit code.
    pub(crate) reason: Reason,
    /// What failed, one line.
    pub(crate) message: String,
    /// Why, from the outer cause to the inner one.
    pub(crate) causes: Vec<String>,
    /// What the user can do.
    pub(crate) hint: Option<String>,
    /// The end of the output of the program that failed.
    pub(crate) log: Option<String>,
    /// The result, where the run got that far.
    pub(crate) result: Option<Box<RunResult>>,
}

impl Failure {
    /// Returns a failure without causes.
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            causes: Vec::new(),
            hint: None,
            log: None,
            result: None,
        }
    }

    /// Returns a request that cannot be meant.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Reason::Class(Class::Usage), message)
    }

    /// Adds what the user can do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds why it failed.
    pub(crate) fn because(mut self, error: &(dyn Error + 'static)) -> Self {
        self.causes = chain(Some(error));
        self
    }
}

impl From<PipelineError> for Failure {
    fn from(error: PipelineError) -> Self {
        let (message, causes) = match &error {
            // Each place that was looked at gets a line of its own.
            PipelineError::Connect(ConnectError::NothingFound { attempts }) => (
                "Could not find a usable BuildKit daemon".to_owned(),
                attempts
                    .iter()
                    .map(|tried| format!("{} ({}): {}", tried.address, tried.chosen, tried.outcome))
                    .collect(),
            ),
            PipelineError::Connect(source) => (source.to_string(), chain(source.source())),
            error => (error.to_string(), chain(error.source())),
        };
        let (reason, hint) = (Reason::Class(error.class()), error.hint());
        let (log, result) = match error {
            PipelineError::Install { log, .. }
            | PipelineError::Build(BuildError::Exec { log_tail: log, .. }) => {
                (Some(log).filter(|log| !log.trim().is_empty()), None)
            }
            PipelineError::Gate { result, .. } | PipelineError::Unsealed { result, .. } => {
                (None, Some(result))
            }
            _ => (None, None),
        };
        Self {
            reason,
            message,
            causes,
            hint,
            log,
            result,
        }
    }
}

/// Returns the messages of an error and its causes. A message that only repeats the one before it is left out.
fn chain(mut error: Option<&(dyn Error + 'static)>) -> Vec<String> {
    let mut causes: Vec<String> = Vec::new();
    while let Some(cause) = error {
        let message = cause.to_string();
        if causes.last() != Some(&message) {
            causes.push(message);
        }
        error = cause.source();
    }
    causes
}

#[cfg(test)]
mod tests {
    use reseal_buildkit::Attempt;

    use super::*;

    #[test]
    fn every_place_that_was_searched_is_a_cause_of_its_own() {
        let attempt = |address: &str| Attempt {
            address: address.into(),
            chosen: "usual socket".into(),
            outcome: "there is no such socket".into(),
        };
        let error = ConnectError::NothingFound {
            attempts: vec![attempt("unix:///a"), attempt("unix:///b")],
        };
        let failure = Failure::from(PipelineError::Connect(error));
        assert_eq!(failure.message, "Could not find a usable BuildKit daemon");
        assert_eq!(
            failure.causes,
            [
                "unix:///a (usual socket): there is no such socket",
                "unix:///b (usual socket): there is no such socket"
            ]
        );
        assert_eq!(failure.reason.code(), 20);
        assert!(failure.hint.is_some());
    }
}
