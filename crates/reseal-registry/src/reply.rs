//! Reads what registries and token services say when they refuse.

use serde::Deserialize;

use crate::text::one_line;

/// Longer texts are cut.
const LIMIT: usize = 300;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Wire {
    errors: Vec<WireError>,
    // The forms that token services use.
    error: Option<String>,
    error_description: Option<String>,
    details: Option<String>,
    message: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WireError {
    code: Option<serde_json::Value>,
    message: Option<String>,
}

/// Returns `CODE: message` of an error body, or the start of a plain text; `None` for HTML and for nothing.
pub(crate) fn error_message(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let Ok(wire) = serde_json::from_slice::<Wire>(body) else {
        let text = text.trim_start();
        return if text.starts_with(['<', '{', '[', '"']) {
            None
        } else {
            one_line(text, LIMIT)
        };
    };
    let pair = |code: Option<String>, message: Option<String>| match (code, message) {
        (Some(code), Some(message)) if !message.is_empty() && code != message => {
            Some(format!("{code}: {message}"))
        }
        (Some(only), _) | (None, Some(only)) => Some(only),
        (None, None) => None,
    };
    let listed: Vec<String> = wire
        .errors
        .into_iter()
        .filter_map(|error| {
            let code = error.code.map(|code| {
                code.as_str()
                    .map_or_else(|| code.to_string(), str::to_owned)
            });
            pair(code, error.message)
        })
        .collect();
    let found = if listed.is_empty() {
        pair(wire.error, wire.error_description)
            .or(wire.details)
            .or(wire.message)?
    } else {
        listed.join("; ")
    };
    one_line(&found, LIMIT)
}

#[cfg(test)]
mod tests {
    use super::error_message;

    #[test]
    fn error_bodies_become_one_line() {
        let long = format!(r#"{{"message": "{}"}}"#, "x".repeat(1000));
        for (body, expected) in [
            (
                r#"{"errors":[{"code":"DENIED","message":"requested access is denied","detail":[1]}]}"#,
                Some("DENIED: requested access is denied"),
            ),
            (
                r#"{"errors":[{"code":"A"},{"code":"B","message":"b\n\u001b[1mb"}]}"#,
                Some("A; B: b [1mb"),
            ),
            (r#"{"errors":[{"code":401,"message":"x"}]}"#, Some("401: x")),
            (
                r#"{"error":"invalid_grant","error_description":"expired"}"#,
                Some("invalid_grant: expired"),
            ),
            (
                r#"{"details":"incorrect username or password"}"#,
                Some("incorrect username or password"),
            ),
            (r#"{"errors":[]}"#, None),
            ("404 page not found\n", Some("404 page not found")),
            ("<html>…", None),
            ("", None),
            ("\u{0}\u{1}", None),
            ("[1", None),
        ] {
            assert_eq!(
                error_message(body.as_bytes()).as_deref(),
                expected,
                "{body}"
            );
        }
        assert_eq!(error_message(long.as_bytes()).unwrap().chars().count(), 301);
        assert_eq!(
            error_message(b"\xff\xfe").as_deref(),
            Some("\u{fffd}\u{fffd}")
        );
    }
}
