//! `index.json` as a list of raw values: what is not ours comes out byte for byte as it went in.

use std::fmt;
use std::path::{Path, PathBuf};

use reseal_oci::{Descriptor, Index, RawManifest, Tag};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::is_named;
use crate::error::StoreError;
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
        Ok(self
            .descriptors()?
            .into_iter()
            .rev()
            .find(|entry| is_named(entry, tag)))
    }

    /// Gives the name to `descriptor`, and takes it from whatever had it. Other entries are not touched.
    pub(super) fn set_tag(&mut self, tag: &Tag, descriptor: &Descriptor) -> Result<(), StoreError> {
        let mut entry = descriptor.clone();
        entry
            .annotations
            .insert(REF_NAME.to_owned(), tag.as_str().to_owned());
        let text = entry.to_json();
        let entry = RawValue::from_string(text).map_err(|error| StoreError::Layout {
            path: self.path.clone(),
            why: format!("the new entry is no JSON: {error}"),
        })?;
        let named: Vec<bool> = self
            .descriptors()?
            .iter()
            .map(|entry| is_named(entry, tag))
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
