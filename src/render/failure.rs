//! Failures as text and as JSON.

use serde::Serialize;

use crate::{escape, failure::Failure};

/// Lines of a log that are shown with a failure.
const LOG_LINES: usize = 30;

/// The error object of `--format json`; documented in `docs/exit-codes.md`.
#[derive(Serialize)]
struct ErrorObject<'a> {
    schema: &'static str,
    class: &'static str,
    exit_code: u8,
    message: &'a str,
    causes: &'a [String],
    hint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a reseal_pipeline::RunResult>,
}

/// Returns the error object.
pub(crate) fn json(failure: &Failure) -> serde_json::Value {
    let object = ErrorObject {
        schema: "reseal.dev/error/v1",
        class: failure.reason.name(),
        exit_code: failure.reason.code(),
        message: &failure.message,
        causes: &failure.causes,
        hint: failure.hint.as_deref(),
        log: failure
            .log
            .as_deref()
            .map(|log| escape::last_lines(log, LOG_LINES).join("\n")),
        result: failure.result.as_deref(),
    };
    serde_json::to_value(object).expect("results have string keys only")
}

/// Returns the lines that a person reads.
pub(crate) fn text(failure: &Failure, colour: bool) -> String {
    let label = |code: &str, word: &str| {
        if colour {
            format!("\u{1b}[{code}m{word}\u{1b}[0m")
        } else {
            word.to_owned()
        }
    };
    let mut out = String::new();
    let mut push = |line: String| {
        out.push_str(&line);
        out.push('\n');
    };
    if let Some(log) = &failure.log {
        push("The end of the output:".into());
        for line in escape::last_lines(log, LOG_LINES) {
            push(format!("  | {line}"));
        }
    }
    block(&mut push, &label("1;31", "error:"), "  ", &failure.message);
    for cause in &failure.causes {
        block(&mut push, "  Caused by:", "    ", cause);
    }
    if let Some(hint) = &failure.hint {
        block(&mut push, &label("1;36", "hint:"), "  ", hint);
    }
    out
}

/// Writes text behind a label; further lines are indented below it.
fn block(push: &mut impl FnMut(String), label: &str, indent: &str, text: &str) {
    for (at, line) in escape::lines(text).into_iter().enumerate() {
        push(if at == 0 {
            format!("{label} {line}")
        } else {
            format!("{indent}{line}")
        });
    }
}

#[cfg(test)]
mod tests {
    use reseal_pipeline::{Class, PipelineError};

    use super::*;
    use crate::exit::Reason;

    #[test]
    fn a_failure_says_what_why_and_what_next() {
        let source = std::io::Error::other("disk \u{1b}[2J full");
        let failure = Failure::from(PipelineError::Io {
            action: "write the layer".into(),
            source,
        });
        assert_eq!(
            text(&failure, false),
            "error: Could not write the layer\n  Caused by: disk \\u{1b}[2J full\n\
             hint: Check free space and rights of the folder named in TMPDIR\n"
        );
        assert!(text(&failure, true).starts_with("\u{1b}[1;31merror:\u{1b}[0m Could"));
    }

    #[test]
    fn the_end_of_a_package_managers_log_comes_with_the_failure() {
        let log = (1..=40)
            .map(|line| format!("line {line}"))
            .collect::<Vec<_>>()
            .join("\n");
        let failure = Failure::from(PipelineError::Install {
            platform: "linux/arm64".into(),
            message: "apt-get ended with 100".into(),
            log,
            hint: "Look above".into(),
        });
        let text = text(&failure, false);
        assert!(
            text.starts_with("The end of the output:\n  | … 10 lines left out\n  | line 11\n"),
            "{text}"
        );
        assert!(text.contains("  | line 40\nerror: Could not upgrade the packages of linux/arm64: apt-get ended with 100\n"));
        assert_eq!(failure.reason.code(), 12);
    }

    #[test]
    fn the_error_object_has_its_class_and_code() {
        let failure = Failure::new(Reason::Class(Class::Mismatch), "no").hint("yes");
        let value = json(&failure);
        assert_eq!(
            value.to_string(),
            r#"{"schema":"reseal.dev/error/v1","class":"mismatch","exit_code":41,"message":"no","causes":[],"hint":"yes"}"#
        );
    }
}
