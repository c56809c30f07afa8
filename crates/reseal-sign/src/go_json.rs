//! JSON in the bytes that Go writes: payloads are the same then, whoever signs, and one signature serves both.

use serde::Serialize;

/// Writes compact JSON with `<`, `>`, `&`, U+2028 and U+2029 escaped.
pub(crate) fn to_vec(value: &impl Serialize) -> Vec<u8> {
    let plain = serde_json::to_string(value).expect("strings, numbers and maps are always JSON");
    let mut out = String::with_capacity(plain.len() + 16);
    for c in plain.chars() {
        // These stand in strings alone, so that escaping them all is right.
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            _ => out.push(c),
        }
    }
    out.into_bytes()
}
