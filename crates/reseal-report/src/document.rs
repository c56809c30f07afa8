//! Finds out what a document is and hands it to its reader.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{Report, ReportError, envelope, formats, grype, position, text::Text, trivy};

/// Envelopes inside each other that are opened: a signed statement holds a predicate holds a report.
const MAX_ENVELOPES: usize = 6;

/// A JSON text being read; every part of it is a slice of it, so that errors can say where they are.
#[derive(Clone, Copy)]
pub(crate) struct Document<'a> {
    file: &'a Text<'a>,
    /// How many envelopes hold this document.
    depth: usize,
}

/// The members of an object by lower-case key, unread.
pub(crate) struct Members<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Members<'a> {
    /// Returns the value of a key, which is given in lower case; `null` counts as absent.
    pub(crate) fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.0.get(key).copied().filter(|raw| raw.get() != "null")
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Returns the value of a key if it is a string.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        serde_json::from_str(self.get(key)?.get()).ok()
    }

    /// Returns the members of a key's value; none if it is no object.
    pub(crate) fn object(&self, key: &str) -> Members<'a> {
        self.get(key)
            .and_then(|raw| serde_json::from_str(raw.get()).ok())
            .unwrap_or(Members(BTreeMap::new()))
    }

    /// Tells whether the value of a key is an array.
    pub(crate) fn is_array(&self, key: &str) -> bool {
        self.get(key).is_some_and(|raw| raw.get().starts_with('['))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut out = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                    out.insert(key.to_ascii_lowercase(), value);
                }
                Ok(Members(out))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

impl<'a> Document<'a> {
    /// Returns the depth of what this document holds, or the error for too many envelopes.
    pub(crate) fn depth_within(&self) -> Result<usize, ReportError> {
        if self.depth == MAX_ENVELOPES {
            return Err(formats::wrong("a report in too many envelopes"));
        }
        Ok(self.depth + 1)
    }

    /// Reads the report that a part of this document, as an envelope, holds.
    pub(crate) fn open(&self, part: &'a RawValue) -> Result<Report, ReportError> {
        let depth = self.depth_within()?;
        parse_value(Document { depth, ..*self }, part.get())
    }

    /// Reads a part of the document; errors tell the place in the whole of it.
    pub(crate) fn read<T: Deserialize<'a>>(&self, part: &'a str) -> Result<T, ReportError> {
        serde_json::from_str(part).map_err(|error| self.failure(part, &error))
    }

    /// Reads the value of a member, or the default of its type if it is absent.
    pub(crate) fn member<T: Deserialize<'a> + Default>(
        &self,
        members: &Members<'a>,
        key: &str,
    ) -> Result<T, ReportError> {
        members
            .get(key)
            .map_or_else(|| Ok(T::default()), |raw| self.read(raw.get()))
    }

    fn failure(&self, part: &str, error: &serde_json::Error) -> ReportError {
        let text: &str = &self.file.text;
        // A part is a slice of the text, so the difference of the addresses is its place.
        let start = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
        let offset = start + position::offset_of(part, error);
        if error.is_eof() {
            return ReportError::Truncated {
                offset: self.file.file_offset(text.trim_end().len()),
            };
        }
        let message = error.to_string();
        let why = message.split(" at line ").next().unwrap_or(&message);
        let place = position::locate(text, offset);
        // A value of the wrong type was read before it was refused: its beginning is what to show.
        let offset = if error.is_data() { place.token } else { offset };
        ReportError::Malformed {
            path: place.path,
            offset: self.file.file_offset(offset),
            why: why.chars().take(MAX_WHY).collect(),
        }
    }
}

/// The longest reason that is kept, in characters: it may repeat a value of the report.
const MAX_WHY: usize = 200;

/// Reads a report that lies in `depth` envelopes.
pub(crate) fn parse(bytes: &[u8], depth: usize) -> Result<Report, ReportError> {
    if bytes.len() > crate::MAX_REPORT_BYTES {
        return Err(ReportError::TooLarge {
            size: bytes.len(),
            limit: crate::MAX_REPORT_BYTES,
        });
    }
    if let Some(found) = formats::of_bytes(bytes) {
        return Err(formats::wrong(found));
    }
    let file = Text::decode(bytes)?;
    let text = file.text.trim();
    let document = Document { file: &file, depth };
    match text.as_bytes().first() {
        None => Err(ReportError::Empty),
        Some(b'{' | b'[') => parse_value(document, text),
        Some(_) if text == "null" => Err(ReportError::Empty),
        Some(_) => Err(formats::wrong(formats::of_text(text))),
    }
}

/// Reads the report that a piece of a document is, or holds.
fn parse_value<'a>(document: Document<'a>, part: &'a str) -> Result<Report, ReportError> {
    let part = part.trim();
    if part.starts_with('[') {
        let elements: Vec<&RawValue> = document.read(part)?;
        let first = elements
            .first()
            .and_then(|raw| serde_json::from_str::<Members<'_>>(raw.get()).ok());
        return match first {
            Some(first) if !first.has("target") && !first.has("file") => {
                Err(formats::wrong(formats::of_array(&first)))
            }
            None if !elements.is_empty() => Err(formats::wrong("a JSON list of something else")),
            _ => trivy::parse_array(document, part),
        };
    }
    let members: Members<'_> = document.read(part)?;
    if let Some(report) = envelope::open(document, &members) {
        return report;
    }
    if let Some(found) = formats::of_object(&members) {
        return Err(formats::wrong(found));
    }
    if members.is_array("matches") {
        return grype::parse(document, &members);
    }
    trivy::parse_object(document, &members)
}
