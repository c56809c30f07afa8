//! `index.json` as a list of raw values: what is not ours comes out byte for byte as it went in.

use std::fmt;
use std::path::{Path, PathBuf};

use reseal_oci::{Descriptor, Index, RawManifest, Tag};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{is_named, kind};
use crate::error::StoreError;
use crate::referrers::subject_of;
use crate::store::MANIFEST_LIMIT;

pub(super) const FILE: &str = "index.json";
/// The annotation that holds an entry's name (OCI image specification).
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

/// The members of `index.json`, with the list of manifests taken apart.
pub(super) struct IndexFile {
    path: PathBuf,
    /// Name and value, in order; the value of `manifests` is in `manifests`.
    members: Vec<(String, Box<RawValue>)>,
    manifests: Vec<Box<RawValue>>,
}

/// A JSON object whose values stay text.
struct RawObject(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for RawObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = RawObject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawObject, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<String, Box<RawValue>>()? {
                    members.push(member);
                }
                Ok(RawObject(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

impl IndexFile {
    pub(super) fn load(layout: &Path) -> Result<Self, StoreError> {
        let path = layout.join(FILE);
        let bytes = super::files::read_limited(&path, MANIFEST_LIMIT)?;
        Self::parse(path, &bytes)
    }

    pub(super) fn parse(path: PathBuf, bytes: &[u8]) -> Result<Self, StoreError> {
        let broken = |why: String| StoreError::Layout {
            path: path.clone(),
            why,
        };
        let RawObject(members) =
            serde_json::from_slice(bytes).map_err(|error| broken(error.to_string()))?;
        let mut lists = members.iter().filter(|(name, _)| name == "manifests");
        let manifests = match (lists.next(), lists.next()) {
            (Some((_, list)), None) => serde_json::from_str(list.get())
                .map_err(|error| broken(format!("`manifests`: {error}")))?,
            (None, _) => return Err(broken("it has no `manifests`".to_owned())),
            (Some(_), Some(_)) => return Err(broken("it has `manifests` twice".to_owned())),
        };
        Ok(Self {
            path,
            members,
            manifests,
        })
    }

    /// Reads all entries.
    pub(super) fn descriptors(&self) -> Result<Vec<Descriptor>, StoreError> {
        self.manifests
            .iter()
            .map(|entry| self.descriptor(entry))
            .collect()
    }

    fn descriptor(&self, entry: &RawValue) -> Result<Descriptor, StoreError> {
        // A one-entry index is what the parser of descriptors can be asked for.
        let document = format!(
            r#"{{"schemaVersion":2,"mediaType":"{INDEX_TYPE}","manifests":[{}]}}"#,
            entry.get()
        );
        Index::parse(&RawManifest::new(INDEX_TYPE, document.into_bytes()))
            .map_err(|error| error.to_string())
            .and_then(|index| {
                index
                    .children
                    .into_iter()
                    .next()
                    .ok_or_else(|| "an entry is empty".to_owned())
            })
            .map_err(|why| StoreError::Layout {
                path: self.path.clone(),
                why,
            })
    }

    /// Finds the entry with a name. Of several with one name the last counts, as for the tools that append.
    pub(super) fn tagged(&self, tag: &Tag) -> Result<Option<Descriptor>, StoreError> {
        let entries = self.descriptors()?;
        let named = entries.iter().rev().find(|entry| is_named(entry, tag));
        Ok(named
            .cloned()
            .or_else(|| kind::unnamed(tag.as_str(), &entries)))
    }

    /// Gives the name to `descriptor`, and takes it from whatever had it. Other entries are not touched.
    pub(super) fn set_tag(&mut self, tag: &Tag, descriptor: &Descriptor) -> Result<(), StoreError> {
        let mut entry = descriptor.clone();
        entry
            .annotations
            .insert(REF_NAME.to_owned(), tag.as_str().to_owned());
        let entries = self.descriptors()?;
        if let Some(kind) = kind::wanted(&entry, tag.as_str(), &entries) {
            entry
                .annotations
                .insert(kind::KIND.to_owned(), kind.to_owned());
        }
        let entry = self.raw(entry.to_json())?;
        // What has no name of its own is replaced where it was found.
        let unnamed = kind::unnamed(tag.as_str(), &entries);
        let named: Vec<bool> = entries
            .iter()
            .map(|entry| is_named(entry, tag) || Some(entry) == unnamed.as_ref())
            .collect();
        let Some(place) = named.iter().position(|&named| named) else {
            self.manifests.push(entry);
            return Ok(());
        };
        self.manifests[place] = entry;
        let mut at = 0;
        self.manifests.retain(|_| {
            let keep = at <= place || !named[at];
            at += 1;
            keep
        });
        Ok(())
    }

    /// Marks the signatures and attestations of images that have become entries, and no others.
    pub(super) fn mark_kinds(&mut self) -> Result<(), StoreError> {
        let entries = self.descriptors()?;
        for (place, entry) in entries.iter().enumerate() {
            let Some(name) = entry.annotations.get(REF_NAME) else {
                continue;
            };
            let wanted = kind::wanted(entry, name, &entries);
            let has = entry.annotations.get(kind::KIND).map(String::as_str);
            if subject_of(name).is_some() && has != wanted {
                self.manifests[place] = self.annotated(&self.manifests[place], wanted)?;
            }
        }
        Ok(())
    }

    /// Returns an entry with its kind set or removed, and everything else as it was.
    fn annotated(&self, entry: &RawValue, kind: Option<&str>) -> Result<Box<RawValue>, StoreError> {
        let broken = |error: serde_json::Error| StoreError::Layout {
            path: self.path.clone(),
            why: error.to_string(),
        };
        let RawObject(mut members) = serde_json::from_str(entry.get()).map_err(broken)?;
        for (name, value) in &mut members {
            if name == "annotations" {
                let RawObject(mut annotations) =
                    serde_json::from_str(value.get()).map_err(broken)?;
                annotations.retain(|(name, _)| name != kind::KIND);
                if let Some(kind) = kind {
                    let text = self.raw(serde_json::Value::from(kind).to_string())?;
                    annotations.push((kind::KIND.to_owned(), text));
                }
                *value = self.raw(joined(&annotations))?;
            }
        }
        self.raw(joined(&members))
    }

    fn raw(&self, text: String) -> Result<Box<RawValue>, StoreError> {
        RawValue::from_string(text).map_err(|error| StoreError::Layout {
            path: self.path.clone(),
            why: format!("the new entry is no JSON: {error}"),
        })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let list: Vec<&str> = self.manifests.iter().map(|entry| entry.get()).collect();
        let list = format!("[{}]", list.join(","));
        let members: Vec<String> = self
            .members
            .iter()
            .map(|(name, value)| {
                let value = if name == "manifests" {
                    list.as_str()
                } else {
                    value.get()
                };
                format!("{}:{value}", serde_json::Value::from(name.as_str()))
            })
            .collect();
        format!("{{{}}}", members.join(",")).into_bytes()
    }
}

/// Puts an object together again.
fn joined(members: &[(String, Box<RawValue>)]) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("{}:{}", serde_json::Value::from(name.as_str()), value.get()))
        .collect();
    format!("{{{}}}", members.join(","))
}
