//! The checks of `doctor` as a table and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use crate::{
    doctor::{Check, Status},
    escape,
};

/// The JSON document of `doctor`.
#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    ok: bool,
    checks: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    name: &'static str,
    status: &'static str,
    detail: &'a str,
    hint: Option<&'a str>,
    class: Option<&'static str>,
}

/// Returns the document.
pub(crate) fn json(checks: &[Check]) -> serde_json::Value {
    let document = Document {
        schema: "reseal.dev/doctor/v1",
        ok: checks
            .iter()
            .all(|check| !matches!(check.status, Status::Failed(_))),
        checks: checks
            .iter()
            .map(|check| Entry {
                name: check.name,
                status: word(check.status),
                detail: &check.detail,
                hint: check.hint.as_deref(),
                class: match check.status {
                    Status::Failed(reason) => Some(reason.name()),
                    _ => None,
                },
            })
            .collect(),
    };
    serde_json::to_value(document).expect("strings and booleans only")
}

/// Returns one line a check, and its hint below.
pub(crate) fn text(checks: &[Check], colour: bool) -> String {
    let width = checks
        .iter()
        .map(|check| check.name.len())
        .max()
        .unwrap_or(0);
    let mut out = String::new();
    for check in checks {
        let word = word(check.status);
        let code = match check.status {
            Status::Passed => "32",
            Status::Warned => "33",
            Status::Failed(_) => "31",
            Status::Skipped => "2",
        };
        let pad = " ".repeat(4_usize.saturating_sub(word.len()));
        let word = if colour {
            format!("\u{1b}[{code}m{word}\u{1b}[0m")
        } else {
            word.to_owned()
        };
        let mut details = escape::lines(&check.detail).into_iter();
        let _ = writeln!(
            out,
            "{word}{pad}  {:<width$}  {}",
            check.name,
            details.next().unwrap_or_default()
        );
        let indent = " ".repeat(width + 8);
        for line in details {
            let _ = writeln!(out, "{indent}{line}");
        }
        if let Some(hint) = &check.hint {
            for (at, line) in escape::lines(hint).into_iter().enumerate() {
                let label = if at == 0 { "hint: " } else { "      " };
                let _ = writeln!(out, "{indent}{label}{line}");
            }
        }
    }
    out
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Passed => "ok",
        Status::Warned => "warn",
        Status::Failed(_) => "fail",
        Status::Skipped => "skip",
    }
}

#[cfg(test)]
mod tests {
    use reseal_pipeline::Class;

    use super::*;
    use crate::exit::Reason;

    #[test]
    fn checks_are_lines_and_json() {
        let checks = [
            Check {
                name: "builder",
                status: Status::Failed(Reason::Class(Class::Unreachable)),
                detail: "none".into(),
                hint: Some("start one".into()),
            },
            Check {
                name: "disk",
                status: Status::Passed,
                detail: "fine".into(),
                hint: None,
            },
        ];
        assert_eq!(
            text(&checks, false),
            "fail  builder  none\n               hint: start one\nok    disk     fine\n"
        );
        let json = json(&checks);
        assert_eq!(json["ok"], false);
        assert_eq!(json["checks"][0]["class"], "unreachable");
        assert_eq!(json["checks"][1]["status"], "ok");
    }
}
