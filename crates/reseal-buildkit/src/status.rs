//! Reads gRPC statuses: which of them come from the transport, and what `BuildKit`'s typed details say.

use std::error::Error as StdError;

use prost::Message;
use serde::Deserialize;
use tonic::{Code, Status};

use crate::BuildError;

/// A message repeats the whole command line of a failed process; users get the ends of it.
const MESSAGE_LIMIT: usize = 4096;

/// Turns a status into the error that the user sees. `log_tail` of an exec error is left empty: logs come over the
/// status stream.
pub(crate) fn classify(status: &Status) -> BuildError {
    if let Some(source) = status.source() {
        // Statuses that a server sent have no source; only the transport's own do.
        return BuildError::Lost { why: chain(source) };
    }
    let details = Details::parse(status.details());
    let message = clean(status.message());
    match (details.exit_code, status.code()) {
        (Some(exit_code), _) => BuildError::Exec {
            vertex: details.vertex,
            exit_code,
            message,
            log_tail: String::new(),
        },
        (None, Code::Cancelled) => BuildError::Cancelled,
        (None, code) => BuildError::Solve {
            code,
            vertex: details.vertex,
            message,
        },
    }
}

/// Returns one line about a status, whoever made it.
pub(crate) fn describe(status: &Status) -> String {
    match status.source() {
        Some(source) => chain(source),
        None if status.message().is_empty() => format!("{:?}", status.code()),
        None => clean(status.message()),
    }
}

/// Returns an error and its causes in one line; a cause that its parent already names is not repeated.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        next = cause.source();
    }
    line
}

/// What `BuildKit` attaches to an error. Each detail is JSON in a protobuf `Any`, its type ending in `+json`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Details {
    exit_code: Option<i32>,
    vertex: Option<String>,
}

#[derive(Deserialize)]
struct ExitMessage {
    /// An unsigned number in Go: a process that could not be started has 4294967295.
    #[serde(rename = "Code", default)]
    code: u32,
}

#[derive(Deserialize)]
struct Vertex {
    #[serde(default)]
    digest: String,
}

impl Details {
    fn parse(bytes: &[u8]) -> Self {
        let mut found = Self::default();
        let Ok(status) = reseal_proto::rpc::Status::decode(bytes) else {
            return found;
        };
        for detail in status.details {
            let kind = detail.type_url.rsplit('/').next().unwrap_or_default();
            match kind {
                "gatewayapi.ExitMessage+json" => {
                    let exit = serde_json::from_slice::<ExitMessage>(&detail.value);
                    found.exit_code = found
                        .exit_code
                        .or(exit.ok().map(|exit| exit.code.cast_signed()));
                }
                "errdefs.Vertex+json" => {
                    let vertex = serde_json::from_slice::<Vertex>(&detail.value)
                        .ok()
                        .map(|vertex| vertex.digest);
                    found.vertex = found.vertex.or(vertex.filter(|digest| !digest.is_empty()));
                }
                _ => {}
            }
        }
        found
    }
}

/// Cuts Go's stack traces and the middle of overlong messages.
fn clean(message: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for line in message.lines() {
        if line.starts_with("goroutine ") {
            break;
        }
        if is_frame_position(line) {
            // The line before a position names its function.
            kept.pop();
            continue;
        }
        kept.push(line);
    }
    let text = kept.join("\n");
    shorten(text.trim_end(), MESSAGE_LIMIT)
}

/// A line such as `\t/src/solver/llbsolver/ops/exec.go:493`.
fn is_frame_position(line: &str) -> bool {
    line.starts_with("\t/") && line.contains(".go:")
}

/// Keeps both ends: the start says where, the end says what.
fn shorten(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let border = |at: &usize| text.is_char_boundary(*at);
    let head = (0..=limit / 2).rev().find(border).unwrap_or(0);
    let tail = (text.len() - limit / 2..text.len())
        .find(border)
        .unwrap_or(text.len());
    format!("{} … {}", &text[..head], &text[tail..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail(kind: &str, json: &str) -> prost_types::Any {
        prost_types::Any {
            type_url: format!("github.com/moby/buildkit/{kind}"),
            value: json.as_bytes().to_vec(),
        }
    }

    fn status(code: Code, message: &str, details: Vec<prost_types::Any>) -> Status {
        let bytes = reseal_proto::rpc::Status {
            code: code.into(),
            message: message.to_owned(),
            details,
        }
        .encode_to_vec();
        Status::with_details(code, message, bytes.into())
    }

    #[test]
    fn an_exit_code_makes_an_exec_error_of_its_vertex() {
        let error = classify(&status(
            Code::Unknown,
            "process \"/bin/sh -c false\" did not complete successfully: exit code: 3",
            vec![
                detail("stack.Stack+json", r#"{"frames":[]}"#),
                detail("gatewayapi.ExitMessage+json", r#"{"Code":3}"#),
                detail("errdefs.Vertex+json", r#"{"digest":"sha256:ab"}"#),
            ],
        ));
        let BuildError::Exec {
            vertex,
            exit_code,
            message,
            log_tail,
        } = error
        else {
            panic!("{error:?}")
        };
        assert_eq!(
            (vertex.as_deref(), exit_code, log_tail.as_str()),
            (Some("sha256:ab"), 3, "")
        );
        assert!(message.ends_with("exit code: 3"));
    }

    #[test]
    fn a_failure_without_an_exit_code_keeps_its_code_and_vertex() {
        let error = classify(&status(
            Code::NotFound,
            "not found",
            vec![detail("errdefs.Vertex+json", r#"{"digest":"sha256:ab"}"#)],
        ));
        assert!(
            matches!(
                error,
                BuildError::Solve {
                    code: Code::NotFound,
                    vertex: Some(_),
                    ..
                }
            ),
            "{error:?}"
        );
    }

    #[test]
    fn a_process_that_never_started_has_exit_code_minus_one() {
        let error = classify(&status(
            Code::Unknown,
            "",
            vec![detail(
                "gatewayapi.ExitMessage+json",
                r#"{"Code":4294967295}"#,
            )],
        ));
        assert!(
            matches!(error, BuildError::Exec { exit_code: -1, .. }),
            "{error:?}"
        );
    }

    #[test]
    fn damaged_details_are_no_details() {
        for details in [b"\xff\xff".to_vec(), Vec::new()] {
            assert_eq!(Details::parse(&details), Details::default());
        }
        let wrong = status(
            Code::Unknown,
            "x",
            vec![
                detail("gatewayapi.ExitMessage+json", r#"{"Code":"three"}"#),
                detail("errdefs.Vertex+json", "["),
            ],
        );
        assert!(matches!(
            classify(&wrong),
            BuildError::Solve { vertex: None, .. }
        ));
    }

    #[test]
    fn transport_failures_are_a_lost_daemon_and_cancellation_is_its_own() {
        let broken = Status::from_error(Box::new(std::io::Error::new(
            std::io::ErrorKind::BrokenPipe,
            "broken pipe",
        )));
        assert!(matches!(classify(&broken), BuildError::Lost { .. }));
        assert!(matches!(
            classify(&Status::cancelled("context canceled")),
            BuildError::Cancelled
        ));
    }

    #[test]
    fn stack_traces_are_cut() {
        let table = [
            ("plain", "plain"),
            (
                "failed\ngithub.com/moby/buildkit/solver.run\n\t/src/solver/x.go:10\nmain.main\n\t/src/main.go:1\n",
                "failed",
            ),
            (
                "panic: oops\n\ngoroutine 17 [running]:\nmain.main()\n",
                "panic: oops",
            ),
        ];
        for (message, expected) in table {
            assert_eq!(clean(message), expected);
        }
    }

    #[test]
    fn long_messages_keep_both_ends_on_character_borders() {
        let text = format!("start{}end", "é".repeat(5000));
        let short = shorten(&text, MESSAGE_LIMIT);
        assert!(
            short.len() <= MESSAGE_LIMIT + 8
                && short.starts_with("start")
                && short.ends_with("end")
        );
    }
}
