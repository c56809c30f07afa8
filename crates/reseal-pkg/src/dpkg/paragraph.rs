//! Splits control files into stanzas and fields (deb822(5)), keeping every byte.

use crate::PkgError;

/// One stanza: its fields, and its bytes with the empty lines after it.
pub(super) struct Paragraph<'a> {
    fields: Vec<(&'a [u8], &'a [u8])>,
    pub(super) bytes: &'a [u8],
    /// The line it starts in, counted from 1.
    pub(super) line: usize,
}

impl Paragraph<'_> {
    /// Returns the first line of a field's value, trimmed; names match in any case. Of a field that
    /// is there twice the first counts.
    pub(super) fn field(&self, name: &str) -> Option<String> {
        self.fields
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| String::from_utf8_lossy(value.trim_ascii()).into_owned())
    }
}

/// Splits a file into its stanzas; `what` names the kind of file in errors.
pub(super) fn split<'a>(
    file: &'a [u8],
    what: &'static str,
) -> Result<Vec<Paragraph<'a>>, PkgError> {
    let mut out: Vec<Paragraph<'a>> = Vec::new();
    let (mut fields, mut start, mut first_line) = (Vec::new(), 0, 1);
    let mut ended = false;
    let mut position = 0;
    for (index, raw) in file.split_inclusive(|c| *c == b'\n').enumerate() {
        let fail = |why| {
            Err(PkgError::Malformed {
                what,
                line: index + 1,
                why,
            })
        };
        let line = trim_newline(raw);
        if line.is_empty() {
            ended = !fields.is_empty();
        } else {
            if ended {
                out.push(Paragraph {
                    fields: std::mem::take(&mut fields),
                    bytes: &file[start..position],
                    line: first_line,
                });
                ended = false;
                start = position;
            }
            if fields.is_empty() {
                first_line = index + 1;
            }
            if line[0] == b' ' || line[0] == b'\t' {
                if fields.is_empty() {
                    return fail("a continued line comes before any field");
                }
            } else {
                let Some(colon) = line.iter().position(|c| *c == b':') else {
                    return fail("a line is neither `Field: value` nor a continued one");
                };
                let (key, value) = line.split_at(colon);
                if key.is_empty() || key.iter().any(u8::is_ascii_whitespace) {
                    return fail("a field has no name");
                }
                fields.push((key, &value[1..]));
            }
        }
        position += raw.len();
    }
    if !fields.is_empty() {
        out.push(Paragraph {
            fields,
            bytes: &file[start..],
            line: first_line,
        });
    }
    Ok(out)
}

/// Removes the end of a line, the `\r` of a file that was carried over Windows included.
fn trim_newline(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}
