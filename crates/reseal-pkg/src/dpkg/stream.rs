//! Splits an index of packages while it is read: 50 MB of them are never in memory at once.

use std::{
    borrow::Cow,
    io::{self, BufRead, ErrorKind},
    ops::ControlFlow,
};

/// The longest stanza that is accepted, in bytes; the archive's longest is under 100 KiB.
const MAX_STANZA: usize = 4 << 20;

/// Calls `each` with every stanza of a file as it is read, without the empty line after it.
///
/// Stops where `each` says so, then leaving the rest unread. A stanza over 4 MiB is an error of kind
/// `InvalidData`, others are the reader's own.
pub fn split_stream(
    mut reader: impl BufRead,
    each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> io::Result<()> {
    let mut stanza: Vec<u8> = Vec::with_capacity(8 << 10);
    let mut line_start = 0;
    loop {
        let chunk = match reader.fill_buf() {
            Ok(chunk) => chunk,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        if chunk.is_empty() {
            break;
        }
        let (mut used, mut stop) = (0, false);
        for line in chunk.split_inclusive(|c| *c == b'\n') {
            used += line.len();
            stanza.extend_from_slice(line);
            if stanza.len() > MAX_STANZA {
                return Err(io::Error::new(
                    ErrorKind::InvalidData,
                    "a stanza is longer than 4 MiB",
                ));
            }
            if line.last() != Some(&b'\n') {
                continue;
            }
            let whole = &stanza[line_start..];
            if whole == b"\n" || whole == b"\r\n" {
                stop = line_start > 0 && each(&stanza[..line_start]).is_break();
                stanza.clear();
            }
            line_start = stanza.len();
            if stop {
                break;
            }
        }
        reader.consume(used);
        if stop {
            return Ok(());
        }
    }
    if !stanza.trim_ascii().is_empty() {
        let _ = each(&stanza);
    }
    Ok(())
}

/// Returns the value of a stanza's field, trimmed, continued lines included; names match in any case.
///
/// Of a field that is there twice the first counts. Bytes that are no UTF-8 become U+FFFD.
pub fn stanza_field<'a>(stanza: &'a [u8], name: &str) -> Option<Cow<'a, str>> {
    let name = name.as_bytes();
    let (mut start, mut found) = (0, None);
    for line in stanza.split_inclusive(|c| *c == b'\n') {
        let here = start;
        start += line.len();
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            continue;
        }
        if let Some(begin) = found {
            return Some(text(&stanza[begin..here]));
        }
        if line.len() > name.len()
            && line[name.len()] == b':'
            && line[..name.len()].eq_ignore_ascii_case(name)
        {
            found = Some(here + name.len() + 1);
        }
    }
    found.map(|begin| text(&stanza[begin..]))
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes.trim_ascii())
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn stanzas(text: &str, capacity: usize) -> Vec<String> {
        let mut out = Vec::new();
        let reader = BufReader::with_capacity(capacity, text.as_bytes());
        split_stream(reader, &mut |stanza| {
            out.push(String::from_utf8(stanza.to_vec()).unwrap());
            ControlFlow::Continue(())
        })
        .unwrap();
        out
    }

    #[test]
    fn stanzas_are_the_same_whatever_the_reader_gives_at_once() {
        for (text, expected) in [
            ("", vec![]),
            ("\n\n", vec![]),
            ("a: 1\nb: 2\n\nc: 3\n", vec!["a: 1\nb: 2\n", "c: 3\n"]),
            ("\n\na: 1\n\n\n\nb: 2\n\n", vec!["a: 1\n", "b: 2\n"]),
            ("a: 1\r\n\r\nb: 2", vec!["a: 1\r\n", "b: 2"]),
            ("a:\n x\n .\n\nb: 2\n", vec!["a:\n x\n .\n", "b: 2\n"]),
        ] {
            for capacity in [1, 2, 3, 7, 4096] {
                assert_eq!(stanzas(text, capacity), expected, "{text:?} by {capacity}");
            }
        }
    }

    #[test]
    fn reading_stops_where_the_caller_has_enough() {
        let mut seen = 0;
        split_stream(&b"a: 1\n\nb: 2\n\nc: 3\n"[..], &mut |_| {
            seen += 1;
            if seen == 2 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .unwrap();
        assert_eq!(seen, 2);
    }

    #[test]
    fn a_stanza_without_end_is_refused() {
        let endless = BufReader::new(io::Read::take(io::repeat(b'a'), 1 << 30));
        let error = split_stream(endless, &mut |_| ControlFlow::Continue(())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn a_field_is_found_with_its_continued_lines() {
        let stanza = b"Package: a\ndepends: x,\n y\n\tz\nDepends: second\nEmpty:\nLast:  v ";
        let field = |name| stanza_field(stanza, name).map(Cow::into_owned);
        for (name, value) in [
            ("Package", Some("a")),
            ("Depends", Some("x,\n y\n\tz")),
            ("Empty", Some("")),
            ("last", Some("v")),
            ("Pack", None),
            ("y", None),
        ] {
            assert_eq!(field(name).as_deref(), value, "{name}");
        }
    }
}
