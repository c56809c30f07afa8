//! Says where in a JSON text an error lies: as a byte offset and as a JSON path.

use std::fmt::Write as _;

/// Steps of a path that are shown; hostile nesting is cut there.
const MAX_STEPS: usize = 48;
/// Characters of a key that are shown.
const MAX_KEY: usize = 64;

/// Returns the byte offset of an error in the text that `serde_json` was given.
pub(crate) fn offset_of(text: &str, error: &serde_json::Error) -> usize {
    if error.is_eof() {
        return text.len();
    }
    let line = error.line().saturating_sub(1);
    let start = text
        .split_inclusive('\n')
        .take(line)
        .map(str::len)
        .sum::<usize>();
    (start + error.column().saturating_sub(1)).min(text.len())
}

/// One open object or array.
enum Frame<'a> {
    /// The key whose value is being read, without its quotes.
    Object(Option<&'a str>),
    /// The index of the element being read.
    Array(usize),
}

/// A place in a JSON text.
pub(crate) struct Place {
    /// The path of the value, such as `$.Results[0].Vulnerabilities[3].Severity`.
    pub(crate) path: String,
    /// Where the token begins that holds the byte.
    pub(crate) token: usize,
}

/// Returns the place of the byte at `offset`.
///
/// Walks the tokens before it; what comes after may be any garbage.
pub(crate) fn locate(text: &str, offset: usize) -> Place {
    let bytes = text.as_bytes();
    let mut frames: Vec<Frame<'_>> = Vec::new();
    // Levels open beyond those that are kept.
    let mut beyond = 0_usize;
    let mut at = 0;
    let mut token = 0;
    // Whether the byte before belongs to a number, `true`, `false` or `null`.
    let mut in_word = false;
    while at < bytes.len() && at <= offset {
        let word = !b"{}[],:\" \t\r\n".contains(&bytes[at]);
        if !(word && in_word || bytes[at].is_ascii_whitespace()) {
            token = at;
        }
        in_word = word;
        match bytes[at] {
            // A bracket at the offset itself stands for the whole value that it opens or closes.
            b'{' | b'[' | b'}' | b']' if at == offset => {}
            b'{' | b'[' if frames.len() == MAX_STEPS => beyond += 1,
            b'{' => frames.push(Frame::Object(None)),
            b'[' => frames.push(Frame::Array(0)),
            b'}' | b']' if beyond > 0 => beyond -= 1,
            b'}' | b']' => {
                frames.pop();
            }
            b',' if beyond == 0 => match frames.last_mut() {
                Some(Frame::Object(key)) => *key = None,
                Some(Frame::Array(index)) => *index += 1,
                None => {}
            },
            b'"' => {
                let end = string_end(bytes, at);
                if beyond == 0
                    && let Some(Frame::Object(key @ None)) = frames.last_mut()
                {
                    *key = text.get(at + 1..end);
                }
                at = end;
            }
            _ => {}
        }
        at += 1;
    }
    Place {
        path: render(&frames, beyond > 0),
        token,
    }
}

/// Returns the index of the quote that ends the string which begins at `start`.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn render(frames: &[Frame<'_>], cut: bool) -> String {
    let mut out = "$".to_owned();
    for frame in frames {
        // Writing to a String cannot fail.
        let _ = match frame {
            Frame::Array(index) => write!(out, "[{index}]"),
            Frame::Object(None) => Ok(()),
            Frame::Object(Some(key)) => {
                let short: String = key.chars().take(MAX_KEY).collect();
                let cut = if short.len() < key.len() { "…" } else { "" };
                if !short.is_empty() && short.chars().all(|c| c.is_alphanumeric() || c == '_') {
                    write!(out, ".{short}{cut}")
                } else {
                    write!(out, "[\"{short}{cut}\"]")
                }
            }
        };
    }
    if cut {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_at(text: &str, offset: usize) -> String {
        locate(text, offset).path
    }

    #[test]
    fn the_path_leads_to_the_value_at_the_offset() {
        let text = r#"{"a": 1, "Results": [{}, {"V": [{"k\"}": "x"}, true]}], "z-z": [7]}"#;
        for (needle, path) in [
            ("1,", "$.a"),
            ("\"x\"", r#"$.Results[1].V[0]["k\"}"]"#),
            ("true", "$.Results[1].V[1]"),
            ("7", r#"$["z-z"][0]"#),
        ] {
            let offset = text.find(needle).unwrap();
            assert_eq!(path_at(text, offset), path, "at {needle}");
        }
        assert_eq!(path_at("garbage", 3), "$");
        assert_eq!(path_at("", 9), "$");
    }

    #[test]
    fn a_token_begins_where_its_value_does() {
        let text = r#"{"a": "x\"y" , "b": [ -12.5 ]}"#;
        for (within, token) in [
            ("y", r#""x\"y""#),
            ("2.5", "-12.5"),
            ("b\"", "\"b\""),
            ("]", "]"),
        ] {
            let place = locate(text, text.rfind(within).unwrap());
            assert_eq!(place.token, text.find(token).unwrap(), "{within}");
        }
    }

    #[test]
    fn hostile_nesting_gives_a_short_path() {
        let text = "[".repeat(1 << 20);
        let path = path_at(&text, text.len());
        assert!(path.len() < 200 && path.ends_with('…'), "{path}");
        let key = format!("{{\"{}\": [", "k".repeat(1 << 20));
        assert!(path_at(&key, key.len()).len() < 100);
    }
}
