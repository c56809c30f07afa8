//! Turns the bytes of a file into text: byte-order marks and UTF-16, which shells on Windows write.

use std::borrow::Cow;

use crate::ReportError;

/// A file's text, and what is needed to say where in the file a piece of it lies.
pub(crate) struct Text<'a> {
    pub(crate) text: Cow<'a, str>,
    encoding: Encoding,
}

#[derive(Clone, Copy)]
enum Encoding {
    /// UTF-8 after so many bytes of byte-order mark.
    Utf8(usize),
    /// UTF-16 after so many bytes of byte-order mark.
    Utf16(usize),
}

impl<'a> Text<'a> {
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, ReportError> {
        match bytes {
            [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest, 3),
            [0xff, 0xfe, rest @ ..] => utf16(rest, 2, u16::from_le_bytes),
            [0xfe, 0xff, rest @ ..] => utf16(rest, 2, u16::from_be_bytes),
            // JSON begins with two ASCII characters, so without a mark the NUL tells the order.
            [1..=255, 0, ..] => utf16(bytes, 0, u16::from_le_bytes),
            [0, 1..=255, ..] => utf16(bytes, 0, u16::from_be_bytes),
            _ => utf8(bytes, 0),
        }
    }

    /// Returns where in the file a byte of the text lies.
    pub(crate) fn file_offset(&self, offset: usize) -> usize {
        match self.encoding {
            Encoding::Utf8(mark) => mark + offset,
            Encoding::Utf16(mark) => {
                let before = self.text.get(..offset).unwrap_or(&self.text);
                mark + 2 * before.encode_utf16().count()
            }
        }
    }
}

fn utf8(bytes: &[u8], mark: usize) -> Result<Text<'_>, ReportError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Text {
            text: Cow::Borrowed(text),
            encoding: Encoding::Utf8(mark),
        }),
        Err(error) if error.error_len().is_none() => Err(ReportError::Truncated {
            offset: mark + bytes.len(),
        }),
        Err(error) => Err(not_text("UTF-8", mark + error.valid_up_to())),
    }
}

fn utf16(bytes: &[u8], mark: usize, unit: fn([u8; 2]) -> u16) -> Result<Text<'_>, ReportError> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let mut text = String::with_capacity(bytes.len());
    let mut units = 0;
    for c in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
        let c = c.map_err(|_| not_text("UTF-16", mark + 2 * units))?;
        units += c.len_utf16();
        text.push(c);
    }
    if !rest.is_empty() {
        return Err(ReportError::Truncated {
            offset: mark + bytes.len(),
        });
    }
    Ok(Text {
        text: Cow::Owned(text),
        encoding: Encoding::Utf16(mark),
    })
}

fn not_text(encoding: &str, offset: usize) -> ReportError {
    ReportError::Malformed {
        path: "$".to_owned(),
        offset,
        why: format!("the bytes are not {encoding} text"),
    }
}
