//! What the fake holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Fault, Recorded};

#[derive(Default)]
pub(crate) struct State {
    pub(crate) repositories: BTreeMap<String, Contents>,
    pub(crate) uploads: BTreeMap<String, UploadSession>,
    pub(crate) files: BTreeMap<String, Bytes>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) requests: Vec<Recorded>,
    /// Tokens with what they allow: `(repository, action)`.
    pub(crate) tokens: BTreeMap<String, BTreeSet<(String, String)>>,
    serial: u64,
}

#[derive(Default)]
pub(crate) struct Contents {
    pub(crate) blobs: BTreeMap<String, Bytes>,
    pub(crate) manifests: BTreeMap<String, (String, Bytes)>,
    pub(crate) tags: BTreeMap<String, String>,
}

pub(crate) struct UploadSession {
    pub(crate) repository: String,
    pub(crate) bytes: Vec<u8>,
    /// Changes with every piece, and must come back with the next request.
    pub(crate) state: String,
}

impl Contents {
    pub(crate) fn manifest(&self, reference: &str) -> Option<&(String, Bytes)> {
        self.manifests
            .get(self.tags.get(reference).map_or(reference, String::as_str))
    }

    /// Descriptors of the manifests whose subject is `subject`, with what the specification wants of them.
    pub(crate) fn referrers(&self, subject: &str) -> Vec<Value> {
        let describe = |(digest, (media_type, bytes)): (&String, &(String, Bytes))| {
            let document: Value = serde_json::from_slice(bytes).ok()?;
            if document["subject"]["digest"] != subject {
                return None;
            }
            let mut entry = json!({"mediaType": media_type, "digest": digest, "size": bytes.len()});
            let kind = document["artifactType"]
                .as_str()
                .or(document["config"]["mediaType"].as_str());
            if let Some(kind) = kind {
                entry["artifactType"] = json!(kind);
            }
            if document["annotations"].is_object() {
                entry["annotations"] = document["annotations"].clone();
            }
            Some(entry)
        };
        self.manifests.iter().filter_map(describe).collect()
    }

    /// Names the first blob or manifest that a manifest points to and that is not here.
    pub(crate) fn missing(&self, document: &Value) -> Option<String> {
        let digests = |value: &Value| -> Vec<String> {
            let list = value.as_array().cloned().unwrap_or_default();
            list.iter()
                .filter_map(|entry| Some(entry["digest"].as_str()?.to_owned()))
                .collect()
        };
        let mut blobs = digests(&document["layers"]);
        blobs.extend(document["config"]["digest"].as_str().map(str::to_owned));
        let missing_blob = blobs
            .into_iter()
            .find(|digest| !self.blobs.contains_key(digest));
        let mut manifests = digests(&document["manifests"]).into_iter();
        missing_blob.or_else(|| manifests.find(|digest| !self.manifests.contains_key(digest)))
    }
}

impl State {
    pub(crate) fn repository(&mut self, name: &str) -> &mut Contents {
        self.repositories.entry(name.to_owned()).or_default()
    }

    pub(crate) fn store_manifest(
        &mut self,
        repository: &str,
        media_type: &str,
        bytes: Bytes,
        tag: Option<&str>,
    ) -> String {
        let digest = digest(&bytes);
        let contents = self.repository(repository);
        contents
            .manifests
            .insert(digest.clone(), (media_type.to_owned(), bytes));
        if let Some(tag) = tag {
            contents.tags.insert(tag.to_owned(), digest.clone());
        }
        digest
    }

    /// Returns a name that was not used before.
    pub(crate) fn fresh(&mut self, kind: &str) -> String {
        self.serial += 1;
        format!("{kind}-{}", self.serial)
    }
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold("sha256:".to_owned(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}
