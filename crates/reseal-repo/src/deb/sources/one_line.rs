//! The form with one line for a source: `deb [option=value …] URI SUITE [COMPONENT …]`.

use super::Raw;
use crate::error::RepoError;

/// The options of this form, and what they are called in the other one.
const OPTIONS: [(&str, &str); 3] = [
    ("arch", "architectures"),
    ("target", "targets"),
    ("lang", "languages"),
];

/// Reads a file.
pub(super) fn read(path: &str, bytes: &[u8]) -> Result<Vec<Raw>, RepoError> {
    let text = String::from_utf8_lossy(bytes);
    let mut out = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let place = format!("{path}:{}", index + 1);
        if let Some(raw) = entry(line, &place).map_err(|why| RepoError::Configuration {
            place: place.clone(),
            why: why.to_owned(),
        })? {
            out.push(raw);
        }
    }
    Ok(out)
}

fn entry(line: &str, place: &str) -> Result<Option<Raw>, &'static str> {
    let line = without_comment(line).trim();
    let Some((kind, rest)) = line.split_once(char::is_whitespace) else {
        return if line.is_empty() {
            Ok(None)
        } else {
            Err("a source has an address and a suite")
        };
    };
    match kind {
        "deb" => {}
        "deb-src" => return Ok(None),
        _ => return Err("a source is of type `deb` or `deb-src`"),
    }
    let mut raw = Raw {
        place: place.to_owned(),
        ..Raw::default()
    };
    let mut rest = rest.trim_start();
    if let Some(inner) = rest.strip_prefix('[') {
        let (options, after) = inner.split_once(']').ok_or("`[` is not closed")?;
        for option in options.split_whitespace() {
            set(&mut raw, option)?;
        }
        rest = after;
    }
    let mut words = rest.split_whitespace().map(unquoted);
    raw.uri = words.next().ok_or("the address is missing")?;
    raw.suite = words.next().ok_or("the suite is missing")?;
    raw.components = words.collect();
    Ok(Some(raw))
}

fn set(raw: &mut Raw, option: &str) -> Result<(), &'static str> {
    let (name, value) = option
        .split_once('=')
        .ok_or("an option has the form `name=value`")?;
    let (name, suffix) = match name {
        name if name.ends_with('+') => (name.trim_end_matches('+'), "-add"),
        name if name.ends_with('-') => (name.trim_end_matches('-'), "-remove"),
        name => (name, ""),
    };
    let name = name.to_ascii_lowercase();
    let known = OPTIONS.iter().find(|(short, _)| *short == name);
    let name = known.map_or(name.as_str(), |(_, long)| long);
    raw.options
        .insert(format!("{name}{suffix}"), unquoted(value));
    Ok(())
}

fn unquoted(word: &str) -> String {
    word.trim_matches('"').to_owned()
}

/// Cuts a comment off: `#` at the start of a line or after a blank.
fn without_comment(line: &str) -> &str {
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        if c == '#' && before.is_whitespace() {
            return &line[..at];
        }
        before = c;
    }
    line
}
