//! JSON that remembers where it stands in its document, and edits that leave every other byte alone.
//!
//! A [`Node`] is a borrowed raw value with its offset; [`Edits`] collects replacements of byte ranges. Nothing is ever
//! re-encoded, so what is not edited cannot change.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::OciError;

/// A value within a document.
#[derive(Debug, Clone)]
pub(crate) struct Node<'a> {
    what: &'static str,
    path: String,
    text: &'a str,
    at: usize,
}

/// A member of an object.
#[derive(Debug, Clone)]
pub(crate) struct Member<'a> {
    pub(crate) key: String,
    key_at: usize,
    pub(crate) value: Node<'a>,
}

/// The members of an object, in order, no name twice.
#[derive(Debug, Clone)]
pub(crate) struct Object<'a> {
    pub(crate) node: Node<'a>,
    pub(crate) members: Vec<Member<'a>>,
}

impl<'a> Node<'a> {
    /// Reads a whole document; `what` names its kind in errors.
    pub(crate) fn document(
        what: &'static str,
        bytes: &'a [u8],
        limit: usize,
    ) -> Result<Self, OciError> {
        if bytes.len() > limit {
            return Err(OciError::TooLarge {
                what,
                size: bytes.len(),
                limit,
            });
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|error| OciError::malformed(what, "$", error.to_string()))?;
        let raw: &RawValue = serde_json::from_str(text)
            .map_err(|error| OciError::malformed(what, "$", error.to_string()))?;
        Ok(Self {
            what,
            path: "$".to_owned(),
            text: raw.get(),
            at: offset(text, raw.get()),
        })
    }

    pub(crate) fn fail(&self, why: impl Into<String>) -> OciError {
        OciError::malformed(self.what, &self.path, why)
    }

    pub(crate) fn is_null(&self) -> bool {
        self.text == "null"
    }

    /// The value as it is written.
    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    fn end(&self) -> usize {
        self.at + self.text.len()
    }

    fn child(&self, path: String, raw: &'a RawValue) -> Self {
        Self {
            what: self.what,
            path,
            text: raw.get(),
            at: self.at + offset(self.text, raw.get()),
        }
    }

    fn read<T: Deserialize<'a>>(&self) -> Result<T, OciError> {
        serde_json::from_str(self.text).map_err(|error| {
            // The position counts within the value, so it would mislead; the path says where.
            let text = error.to_string();
            self.fail(text.split(" at line ").next().unwrap_or_default())
        })
    }

    pub(crate) fn string(&self) -> Result<String, OciError> {
        self.read()
    }

    pub(crate) fn number(&self) -> Result<u64, OciError> {
        self.read()
    }

    /// The members of an object whose field names are fixed.
    ///
    /// Names that differ only in case are one name to the decoders of most container tools, which then take the last
    /// one: such a document means different things to different readers and is refused.
    pub(crate) fn object(&self) -> Result<Object<'a>, OciError> {
        self.members(str::to_ascii_lowercase)
    }

    /// The members of an object whose names are data.
    pub(crate) fn map(&self) -> Result<Object<'a>, OciError> {
        self.members(str::to_owned)
    }

    fn members(&self, identity: fn(&str) -> String) -> Result<Object<'a>, OciError> {
        let Pairs(pairs) = self.read()?;
        let mut seen = BTreeSet::new();
        let mut members = Vec::with_capacity(pairs.len());
        for (raw_key, raw) in pairs {
            let key: String = serde_json::from_str(raw_key.get())
                .map_err(|error| self.fail(error.to_string()))?;
            let value = self.child(format!("{}.{key}", self.path), raw);
            if !seen.insert(identity(&key)) {
                return Err(value.fail("the name occurs twice"));
            }
            members.push(Member {
                key,
                key_at: self.at + offset(self.text, raw_key.get()),
                value,
            });
        }
        Ok(Object {
            node: self.clone(),
            members,
        })
    }

    pub(crate) fn array(&self) -> Result<Vec<Self>, OciError> {
        let raws: Vec<&'a RawValue> = self.read()?;
        Ok(raws
            .iter()
            .enumerate()
            .map(|(i, raw)| self.child(format!("{}[{i}]", self.path), raw))
            .collect())
    }

    pub(crate) fn strings(&self) -> Result<Vec<String>, OciError> {
        self.array()?.iter().map(Self::string).collect()
    }
}

impl<'a> Object<'a> {
    /// A member that is there and not null.
    pub(crate) fn get(&self, key: &str) -> Option<&Node<'a>> {
        self.slot(key).filter(|node| !node.is_null())
    }

    pub(crate) fn need(&self, key: &str) -> Result<&Node<'a>, OciError> {
        self.get(key).ok_or_else(|| {
            OciError::malformed(
                self.node.what,
                &format!("{}.{key}", self.node.path),
                "it is missing",
            )
        })
    }

    /// A member that is there, null or not.
    fn slot(&self, key: &str) -> Option<&Node<'a>> {
        self.members
            .iter()
            .find(|member| member.key == key)
            .map(|member| &member.value)
    }
}

/// Where `part` starts in `whole`, of which it is a piece.
fn offset(whole: &str, part: &str) -> usize {
    part.as_ptr() as usize - whole.as_ptr() as usize
}

/// The raw names and values of an object.
struct Pairs<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Vec<(&'de RawValue, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(pairs)
            }

            // An array of pairs is no object, whatever a derived visitor would make of it.
            fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
                Err(serde::de::Error::invalid_type(
                    serde::de::Unexpected::Seq,
                    &self,
                ))
            }
        }

        deserializer.deserialize_map(Members).map(Pairs)
    }
}

/// Changes to a document, made all at once by [`Edits::apply`].
#[derive(Debug)]
pub(crate) struct Edits<'a> {
    source: &'a [u8],
    changes: Vec<(Range<usize>, String)>,
}

impl<'a> Edits<'a> {
    pub(crate) fn new(source: &'a [u8]) -> Self {
        Self {
            source,
            changes: Vec::new(),
        }
    }

    /// Puts other JSON in a value's place.
    pub(crate) fn replace(&mut self, node: &Node<'_>, json: &str) {
        self.changes.push((node.at..node.end(), json.to_owned()));
    }

    /// Sets members: those that are there get the new value in place, the others follow at the end in the given order.
    pub(crate) fn set(&mut self, object: &Object<'_>, members: &[(&str, String)]) {
        let mut added = Vec::new();
        for (key, json) in members {
            match object.slot(key) {
                Some(value) => self.replace(value, json),
                None => added.push(format!("{}:{json}", quoted(key))),
            }
        }
        let spans: Vec<_> = object
            .members
            .iter()
            .map(|member| member.key_at..member.value.end())
            .collect();
        self.extend(&object.node, &spans, &added);
    }

    /// Adds an element at the end of an array.
    pub(crate) fn push(&mut self, array: &Node<'_>, items: &[Node<'_>], json: String) {
        let spans: Vec<_> = items.iter().map(|item| item.at..item.end()).collect();
        self.extend(array, &spans, &[json]);
    }

    /// Removes a member, if there is one.
    pub(crate) fn remove_member(&mut self, object: &Object<'_>, key: &str) {
        let spans: Vec<_> = object
            .members
            .iter()
            .map(|member| member.key_at..member.value.end())
            .collect();
        self.cut(&spans, |i| object.members[i].key == key);
    }

    /// Removes elements by their position.
    pub(crate) fn remove_items(&mut self, items: &[Node<'_>], gone: &BTreeSet<usize>) {
        let spans: Vec<_> = items.iter().map(|item| item.at..item.end()).collect();
        self.cut(&spans, |i| gone.contains(&i));
    }

    fn extend(&mut self, container: &Node<'_>, spans: &[Range<usize>], added: &[String]) {
        if added.is_empty() {
            return;
        }
        let Some(last) = spans.last() else {
            let at = container.at + 1;
            self.changes.push((at..at, added.join(",")));
            return;
        };
        // The white space before the last one, so that an indented document stays one.
        let before = &self.source[..last.start];
        let blank = before.len() - before.trim_ascii_end().len();
        let gap = String::from_utf8_lossy(&before[before.len() - blank..]).into_owned();
        let text = added
            .iter()
            .flat_map(|json| [",", &gap, json])
            .collect::<String>();
        self.changes.push((last.end..last.end, text));
    }

    /// Each one goes with the comma before it; those before the first that stays go with the comma after them.
    fn cut(&mut self, spans: &[Range<usize>], gone: impl Fn(usize) -> bool) {
        let mut leading = true;
        for (i, span) in spans.iter().enumerate() {
            if !gone(i) {
                leading = false;
            } else if leading {
                let end = spans.get(i + 1).map_or(span.end, |next| next.start);
                self.changes.push((span.start..end, String::new()));
            } else {
                self.changes
                    .push((spans[i - 1].end..span.end, String::new()));
            }
        }
    }

    pub(crate) fn apply(mut self) -> Vec<u8> {
        self.changes
            .sort_by_key(|(range, _)| (range.start, range.end));
        let mut out = Vec::with_capacity(self.source.len() + 1024);
        let mut at = 0;
        for (range, text) in &self.changes {
            debug_assert!(range.start >= at, "edits overlap");
            out.extend_from_slice(&self.source[at..range.start]);
            out.extend_from_slice(text.as_bytes());
            at = range.end;
        }
        out.extend_from_slice(&self.source[at..]);
        out
    }
}

/// Text as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Node<'_> {
        Node::document("test", text.as_bytes(), 1000).unwrap()
    }

    #[test]
    fn everything_around_an_edit_stays() {
        let text = " {\n  \"a\" : 1.50e0 ,\n  \"b\\u0062\": [ 1 ],\n  \"c\": {}\n}\n";
        let object = document(text).object().unwrap();
        let mut edits = Edits::new(text.as_bytes());
        let array = object.need("bb").unwrap();
        edits.push(array, &array.array().unwrap(), "2".into());
        edits.set(
            &object.need("c").unwrap().object().unwrap(),
            &[("x", "1".into()), ("y", "2".into())],
        );
        edits.set(&object, &[("d", "null".into())]);
        let out = String::from_utf8(edits.apply()).unwrap();
        let expected = " {\n  \"a\" : 1.50e0 ,\n  \"b\\u0062\": [ 1, 2 ],\n  \"c\": {\"x\":1,\"y\":2},\n  \"d\":null\n}\n";
        assert_eq!(out, expected);
    }

    #[test]
    fn elements_go_with_their_commas() {
        for (gone, left) in [
            (vec![0], "[ 2,3,  4 ]"),
            (vec![0, 1], "[ 3,  4 ]"),
            (vec![3], "[ 1, 2,3 ]"),
            (vec![1, 2], "[ 1,  4 ]"),
            (vec![0, 2], "[ 2,  4 ]"),
            (vec![0, 1, 2, 3], "[  ]"),
            (vec![], "[ 1, 2,3,  4 ]"),
        ] {
            let text = "[ 1, 2,3,  4 ]";
            let mut edits = Edits::new(text.as_bytes());
            edits.remove_items(
                &document(text).array().unwrap(),
                &gone.iter().copied().collect(),
            );
            assert_eq!(String::from_utf8(edits.apply()).unwrap(), left, "{gone:?}");
        }
    }

    #[test]
    fn a_member_goes_with_its_comma() {
        for (text, left) in [
            (r#"{"data":"x"}"#, "{}"),
            (r#"{"data":"x", "b":1}"#, r#"{"b":1}"#),
            (r#"{"a":1, "data":"x"}"#, r#"{"a":1}"#),
            (r#"{"a":1,"data":"x", "b":2}"#, r#"{"a":1, "b":2}"#),
            (r#"{"a":1}"#, r#"{"a":1}"#),
        ] {
            let mut edits = Edits::new(text.as_bytes());
            edits.remove_member(&document(text).object().unwrap(), "data");
            assert_eq!(String::from_utf8(edits.apply()).unwrap(), left);
        }
    }

    #[test]
    fn an_error_names_the_path() {
        let text = r#"{"a":[{"b":"x"}]}"#;
        let root = document(text).object().unwrap();
        let item = root
            .need("a")
            .unwrap()
            .array()
            .unwrap()
            .remove(0)
            .object()
            .unwrap();
        let error = item.need("b").unwrap().number().unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("test is malformed at `$.a[0].b`: invalid type"),
            "{error}"
        );
        assert_eq!(
            item.need("c").unwrap_err().to_string(),
            "test is malformed at `$.a[0].c`: it is missing"
        );
    }

    #[test]
    fn names_that_go_decoders_take_for_one_are_refused() {
        assert!(document(r#"{"layers":1,"Layers":2}"#).object().is_err());
        assert!(document(r#"{"a":1,"\u0061":2}"#).object().is_err());
        assert!(document(r#"{"a":1,"A":2}"#).map().is_ok());
        assert!(document("[[\"a\",1]]").object().is_err());
    }
}
