//! Manifests that belong to others: what they refer to, what they are made of, and lists that get longer.

use std::collections::BTreeMap;

use crate::append::point_to;
use crate::descriptor::annotations;
use crate::json::{Edits, Node, Object};
use crate::{CONFIG_LIMIT, Descriptor, Digest, MANIFEST_LIMIT, OciError, RawManifest, config};

const WHAT: &str = "manifest";

/// What a manifest of any kind points to: image, index, or the artifact manifests of old, which had `blobs`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Artifact {
    /// What it belongs to.
    pub subject: Option<Descriptor>,
    /// What it is: its `artifactType`, else its config's media type (OCI image specification, "Guidelines for artifact usage").
    pub artifact_type: Option<String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its config, layers and blobs, in this order.
    pub blobs: Vec<Descriptor>,
    /// The manifests that it lists.
    pub manifests: Vec<Descriptor>,
}

impl Artifact {
    /// Reads a manifest, whatever its media type.
    ///
    /// # Errors
    ///
    /// When it is no JSON object, or what it points to makes no sense.
    pub fn parse(raw: &RawManifest) -> Result<Self, OciError> {
        let root = Node::document(WHAT, &raw.bytes, MANIFEST_LIMIT)?.object()?;
        let config = root.get("config").map(Descriptor::read).transpose()?;
        let own_type = root.get("artifactType").map(Node::string).transpose()?;
        let artifact_type = own_type
            .filter(|own| !own.is_empty())
            .or_else(|| config.as_ref().map(|config| config.media_type.clone()));
        let mut blobs: Vec<Descriptor> = config.into_iter().collect();
        blobs.extend(listed(&root, "layers")?);
        blobs.extend(listed(&root, "blobs")?);
        Ok(Self {
            subject: root.get("subject").map(Descriptor::read).transpose()?,
            artifact_type,
            annotations: annotations(&root)?,
            blobs,
            manifests: listed(&root, "manifests")?,
        })
    }

    /// Returns the entry that a list of referrers has for the manifest that this was read from.
    pub fn entry(&self, raw: &RawManifest) -> Descriptor {
        Descriptor {
            artifact_type: self.artifact_type.clone(),
            annotations: self.annotations.clone(),
            ..raw.descriptor()
        }
    }
}

fn listed(root: &Object<'_>, key: &str) -> Result<Vec<Descriptor>, OciError> {
    match root.get(key) {
        Some(node) => node.array()?.iter().map(Descriptor::read).collect(),
        None => Ok(Vec::new()),
    }
}

/// Which list of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// The `layers` of an image manifest.
    Layers,
    /// The `manifests` of an index.
    Manifests,
}

impl List {
    fn key(self) -> &'static str {
        match self {
            Self::Layers => "layers",
            Self::Manifests => "manifests",
        }
    }

    /// Reads the entries as they are written, each with what it says.
    ///
    /// # Errors
    ///
    /// When the manifest cannot be read, or an entry of it.
    pub fn entries(self, raw: &RawManifest) -> Result<Vec<(String, Descriptor)>, OciError> {
        let root = Node::document(WHAT, &raw.bytes, MANIFEST_LIMIT)?.object()?;
        let Some(list) = root.get(self.key()) else {
            return Ok(Vec::new());
        };
        list.array()?
            .iter()
            .map(|node| Ok((node.text().to_owned(), Descriptor::read(node)?)))
            .collect()
    }

    /// Appends entries, given as JSON, and lets the manifest have another config if one is given. Every other byte stays.
    ///
    /// # Errors
    ///
    /// When the manifest cannot be read, or has no config to replace.
    pub fn extend(
        self,
        raw: &RawManifest,
        entries: &[String],
        config: Option<&Descriptor>,
    ) -> Result<RawManifest, OciError> {
        let root = Node::document(WHAT, &raw.bytes, MANIFEST_LIMIT)?.object()?;
        let mut edits = Edits::new(&raw.bytes);
        if let Some(config) = config {
            point_to(&mut edits, &root.need("config")?.object()?, config);
        }
        append(&mut edits, &root, self.key(), entries)?;
        Ok(RawManifest::new(raw.media_type.clone(), edits.apply()))
    }
}

/// Appends layers to a config: their diff IDs, and for each the same entry to the history if that has one for every layer now.
/// Every other byte stays. `None` if the config does not know `layers` layers, so that nothing of it is worth to be kept.
///
/// # Errors
///
/// When the config is too large to be read.
pub fn extend_config(
    bytes: &[u8],
    layers: usize,
    diff_ids: &[Digest],
    history: &str,
) -> Result<Option<Vec<u8>>, OciError> {
    if bytes.len() > CONFIG_LIMIT {
        return Err(OciError::TooLarge {
            what: config::WHAT,
            size: bytes.len(),
            limit: CONFIG_LIMIT,
        });
    }
    Ok(extended_config(bytes, layers, diff_ids, history).ok())
}

fn extended_config(
    bytes: &[u8],
    layers: usize,
    diff_ids: &[Digest],
    history: &str,
) -> Result<Vec<u8>, OciError> {
    let root = Node::document(config::WHAT, bytes, CONFIG_LIMIT)?.object()?;
    let rootfs = root.need("rootfs")?.object()?;
    let known = rootfs.need("diff_ids")?;
    if known.strings()?.len() != layers {
        return Err(known.fail("it has not one for every layer"));
    }
    let mut edits = Edits::new(bytes);
    let ids: Vec<String> = diff_ids
        .iter()
        .map(|id| crate::json::quoted(id.as_str()))
        .collect();
    append(&mut edits, &rootfs, "diff_ids", &ids)?;
    if let Some(list) = root.get("history")
        && list.array()?.len() == layers
    {
        append(
            &mut edits,
            &root,
            "history",
            &vec![history.to_owned(); diff_ids.len()],
        )?;
    }
    Ok(edits.apply())
}

fn append(
    edits: &mut Edits<'_>,
    object: &Object<'_>,
    key: &str,
    entries: &[String],
) -> Result<(), OciError> {
    if entries.is_empty() {
        return Ok(());
    }
    let joined = entries.join(",");
    match object.get(key) {
        Some(list) => edits.push(list, &list.array()?, joined),
        None => edits.set(object, &[(key, format!("[{joined}]"))]),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

    fn raw(media_type: &str, text: &str) -> RawManifest {
        RawManifest::new(media_type, text.as_bytes().to_vec())
    }

    #[test]
    fn a_manifest_of_any_kind_tells_what_it_belongs_to_and_what_it_is_made_of() {
        let d = |text: &str| Digest::of(text.as_bytes()).to_string();
        let one = |text: &str| {
            format!(
                r#"{{"mediaType":"x/{text}","size":1,"digest":"{}"}}"#,
                d(text)
            )
        };
        let table = [
            (
                format!(
                    r#"{{"artifactType":"x/own","config":{},"layers":[{},{}],"subject":{},"annotations":{{"a":"b"}}}}"#,
                    one("c"),
                    one("l"),
                    one("m"),
                    one("s")
                ),
                Some("x/own"),
                vec!["c", "l", "m"],
                vec![],
            ),
            (
                format!(
                    r#"{{"config":{},"layers":null,"subject":{}}}"#,
                    one("c"),
                    one("s")
                ),
                Some("x/c"),
                vec!["c"],
                vec![],
            ),
            (
                format!(
                    r#"{{"artifactType":"","blobs":[{}],"subject":{}}}"#,
                    one("b"),
                    one("s")
                ),
                Some(""),
                vec!["b"],
                vec![],
            ),
            (
                format!(r#"{{"manifests":[{}],"subject":{}}}"#, one("k"), one("s")),
                None,
                vec![],
                vec!["k"],
            ),
        ];
        for (text, kind, blobs, manifests) in table {
            let raw = raw("application/x", &text);
            let found = Artifact::parse(&raw).unwrap();
            let names = |list: &[Descriptor]| {
                list.iter()
                    .map(|d| d.media_type[2..].to_owned())
                    .collect::<Vec<_>>()
            };
            assert_eq!(
                found.artifact_type.as_deref(),
                kind.filter(|kind| !kind.is_empty()),
                "{text}"
            );
            assert_eq!(names(&found.blobs), blobs, "{text}");
            assert_eq!(names(&found.manifests), manifests, "{text}");
            assert_eq!(
                found.subject.as_ref().unwrap().digest.to_string(),
                d("s"),
                "{text}"
            );
            let entry = found.entry(&raw);
            assert_eq!(
                (&entry.digest, entry.size),
                (&raw.digest, text.len() as u64)
            );
            assert_eq!(entry.annotations, found.annotations);
        }
        for bad in [
            "",
            "[]",
            "\"x\"",
            r#"{"subject":{}}"#,
            r#"{"layers":{}}"#,
            r#"{"subject":1,"Subject":2}"#,
        ] {
            assert!(
                Artifact::parse(&raw("application/x", bad)).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_list_grows_at_its_end_and_every_other_byte_stays() {
        for (before, after) in [
            (r#"{"manifests":[]}"#, r#"{"manifests":[{"a":1},{"b":2}]}"#),
            ("{ }", r#"{"manifests":[{"a":1},{"b":2}] }"#),
            (
                "{\"x\":1.0e1,\n \"manifests\": [ 7 ] }",
                "{\"x\":1.0e1,\n \"manifests\": [ 7, {\"a\":1},{\"b\":2} ] }",
            ),
        ] {
            let new = [r#"{"a":1}"#.to_owned(), r#"{"b":2}"#.to_owned()];
            let grown = List::Manifests
                .extend(&raw(INDEX, before), &new, None)
                .unwrap();
            assert_eq!(String::from_utf8(grown.bytes).unwrap(), after);
        }
        let config = Descriptor::new("ignored", Digest::of(b"new"), 3);
        let text = format!(
            r#"{{"config":{{"mediaType":"kept","size":2,"digest":"{}","data":"e30="}},"layers":[{{"x":1}}]}}"#,
            Digest::of(b"{}")
        );
        let grown = List::Layers
            .extend(&raw(MANIFEST, &text), &["{}".to_owned()], Some(&config))
            .unwrap();
        assert_eq!(
            String::from_utf8(grown.bytes).unwrap(),
            format!(
                r#"{{"config":{{"mediaType":"kept","size":3,"digest":"{}"}},"layers":[{{"x":1}},{{}}]}}"#,
                config.digest
            )
        );
    }

    #[test]
    fn a_config_grows_only_if_it_knows_all_layers() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let text = |ids: &str, history: &str| {
            format!(
                r#"{{"created":"x","history":[{history}],"rootfs":{{"diff_ids":[{ids}]}},"config":{{}}}}"#
            )
        };
        let grow = |before: &str| {
            extend_config(before.as_bytes(), 1, std::slice::from_ref(&b), "{}")
                .unwrap()
                .map(|bytes| String::from_utf8(bytes).unwrap())
        };
        let (one, both) = (format!("\"{a}\""), format!("\"{a}\",\"{b}\""));
        assert_eq!(grow(&text(&one, "7")), Some(text(&both, "7,{}")));
        assert_eq!(grow(&text(&one, "")), Some(text(&both, "")));
        for useless in [
            text("", ""),
            text(&both, "7,7"),
            "{}".into(),
            "nonsense".into(),
            "{\"rootfs\":{\"diff_ids\":\"x\"}}".into(),
        ] {
            assert_eq!(grow(&useless), None, "{useless}");
        }
        assert!(extend_config(&vec![b' '; CONFIG_LIMIT + 1], 1, &[], "{}").is_err());
    }
}
