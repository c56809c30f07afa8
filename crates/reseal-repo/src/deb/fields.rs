//! Small files in the form of deb822(5): source files and release files.

use std::str;

/// One stanza.
pub(super) struct Fields {
    /// The line it starts in, counted from 1.
    pub(super) line: usize,
    fields: Vec<(String, String)>,
}

impl Fields {
    /// Returns a field's value, continued lines included; names match in any case.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    /// Returns the words of a field.
    pub(super) fn words(&self, name: &str) -> Vec<String> {
        self.get(name)
            .map(|value| value.split_whitespace().map(str::to_owned).collect())
            .unwrap_or_default()
    }
}

/// Splits a file. Lines that start with `#` are comments. The error says in which line what is wrong.
pub(super) fn parse(file: &[u8]) -> Result<Vec<Fields>, (usize, &'static str)> {
    let mut out = Vec::new();
    let mut open: Option<Fields> = None;
    for (index, line) in file.split(|c| *c == b'\n').enumerate() {
        let number = index + 1;
        let Ok(line) = str::from_utf8(line) else {
            return Err((number, "it is not UTF-8"));
        };
        let line = line.trim_end();
        if line.is_empty() {
            out.extend(open.take());
        } else if line.starts_with('#') {
        } else if line.starts_with([' ', '\t']) {
            let last = open.as_mut().and_then(|stanza| stanza.fields.last_mut());
            let Some((_, value)) = last else {
                return Err((number, "a continued line comes before any field"));
            };
            value.push('\n');
            value.push_str(line.get(1..).unwrap_or_default());
        } else {
            let Some((name, value)) = line.split_once(':') else {
                return Err((
                    number,
                    "a line is neither `Field: value` nor a continued one",
                ));
            };
            if name.is_empty() || name.contains(char::is_whitespace) {
                return Err((number, "a field has no name"));
            }
            open.get_or_insert_with(|| Fields {
                line: number,
                fields: Vec::new(),
            })
            .fields
            .push((name.to_owned(), value.trim().to_owned()));
        }
    }
    out.extend(open);
    Ok(out)
}
