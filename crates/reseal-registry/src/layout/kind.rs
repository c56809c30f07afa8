//! The annotation by which cosign finds its way in a layout (`cosign verify --local-image`): it takes the first image, the
//! first list of signatures and the first list of attestations that have it.

use std::collections::BTreeSet;

use reseal_oci::{Descriptor, Digest, Kind};

use super::index::REF_NAME;
use crate::referrers::subject_of;

/// The annotation's name.
pub(super) const KIND: &str = "kind";
const IMAGE: &str = "dev.cosignproject.cosign/image";
const INDEX: &str = "dev.cosignproject.cosign/imageIndex";
const SIGNATURES: &str = "dev.cosignproject.cosign/sigs";
const ATTESTATIONS: &str = "dev.cosignproject.cosign/atts";

/// Returns what the entry with this name must be annotated with, among all `entries`; `None` for what cosign must not find.
///
/// Signatures of an image that is no entry itself are those of a platform's image below an index: were they marked, cosign would
/// take them for the index's.
pub(super) fn wanted(
    entry: &Descriptor,
    name: &str,
    entries: &[Descriptor],
) -> Option<&'static str> {
    match subject_of(name) {
        None => match Kind::of(&entry.media_type) {
            Kind::Image => Some(IMAGE),
            Kind::Index => Some(INDEX),
            Kind::Other => None,
        },
        Some((subject, suffix)) => {
            let kind = match suffix {
                "sig" => SIGNATURES,
                "att" => ATTESTATIONS,
                _ => return None,
            };
            images(entries).contains(&subject).then_some(kind)
        }
    }
}

fn images(entries: &[Descriptor]) -> BTreeSet<&Digest> {
    let images = entries.iter().filter(|entry| is_image(entry));
    images.map(|entry| &entry.digest).collect()
}

/// Tells whether an entry is there for itself, not for what belongs to another.
pub(super) fn is_image(entry: &Descriptor) -> bool {
    let text = |key| entry.annotations.get(key).map(String::as_str);
    text(REF_NAME).is_none_or(|name| subject_of(name).is_none())
        && text(KIND).is_none_or(|kind| kind != SIGNATURES && kind != ATTESTATIONS)
}

/// Finds the entry that cosign would take for a name of its own, in a layout without names that `cosign save` made: that holds
/// one image, and what belongs to it.
pub(super) fn unnamed(name: &str, entries: &[Descriptor]) -> Option<Descriptor> {
    let (subject, suffix) = subject_of(name)?;
    let kind = match suffix {
        "sig" => SIGNATURES,
        "att" => ATTESTATIONS,
        _ => return None,
    };
    let has = |entry: &&Descriptor, kind: &str| {
        entry.annotations.get(KIND).is_some_and(|own| own == kind)
    };
    let image = entries
        .iter()
        .find(|entry| has(entry, IMAGE) || has(entry, INDEX))?;
    if image.digest != subject {
        return None;
    }
    let found = entries.iter().find(|entry| has(entry, kind))?;
    (!found.annotations.contains_key(REF_NAME)).then(|| found.clone())
}

#[cfg(test)]
mod tests {
    use reseal_oci::{RawManifest, Tag};

    use super::super::Layout;
    use super::*;
    use crate::store::{Store as _, Target};

    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

    fn manifest(media_type: &str, name: &str) -> RawManifest {
        let text = format!(r#"{{"mediaType":"{media_type}","annotations":{{"name":"{name}"}}}}"#);
        RawManifest::new(media_type, text.into_bytes())
    }

    fn tag(text: &str) -> Target {
        Target::Tag(text.parse::<Tag>().unwrap())
    }

    fn of(digest: &Digest, suffix: &str) -> String {
        format!("{}{suffix}", digest.as_str().replace(':', "-"))
    }

    fn kinds(layout: &Layout) -> Vec<(String, Option<String>)> {
        let short = |name: String| match subject_of(&name) {
            Some((_, suffix)) => format!("…{suffix}"),
            None => name,
        };
        layout
            .entries()
            .unwrap()
            .into_iter()
            .map(|(name, entry)| {
                let kind = entry.annotations.get(KIND);
                let kind = kind.map(|kind| kind.rsplit('/').next().unwrap().to_owned());
                (name.map(short).unwrap_or_default(), kind)
            })
            .collect()
    }

    #[tokio::test]
    async fn signatures_are_marked_when_their_image_is_an_entry() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::create(folder.path().join("out")).unwrap();
        let (index, child) = (manifest(INDEX_TYPE, "index"), manifest(MANIFEST, "child"));
        let signatures = [
            (of(&child.digest, ".sig"), "child's"),
            (of(&index.digest, ".sig"), "index's"),
            (of(&index.digest, ".att"), "attestations"),
            (of(&index.digest, ".sbom"), "sbom"),
            (of(&index.digest, ""), "referrers"),
        ];
        for (name, text) in &signatures {
            let raw = manifest(MANIFEST, text);
            layout.put_manifest(&raw, &tag(name)).await.unwrap();
        }
        assert!(kinds(&layout).iter().all(|(_, kind)| kind.is_none()));
        assert!(layout.only_image().is_err());
        layout.put_manifest(&index, &tag("1.4")).await.unwrap();
        let expected = [
            ("…sig", None),
            ("…sig", Some("sigs")),
            ("…att", Some("atts")),
            ("…sbom", None),
            ("…", None),
            ("1.4", Some("imageIndex")),
        ];
        let expected = expected.map(|(name, kind)| (name.to_owned(), kind.map(str::to_owned)));
        assert_eq!(kinds(&layout), expected);
        assert_eq!(layout.only_image().unwrap().digest, index.digest);
        // One more signature, then another image under the tag.
        let more = manifest(MANIFEST, "index's two");
        let name = of(&index.digest, ".sig");
        layout.put_manifest(&more, &tag(&name)).await.unwrap();
        assert_eq!(kinds(&layout), expected);
        assert_eq!(layout.manifest(&tag(&name)).await.unwrap(), more);
        layout.put_manifest(&child, &tag("1.4")).await.unwrap();
        let moved: Vec<_> = kinds(&layout).into_iter().map(|(_, kind)| kind).collect();
        let expected = [Some("sigs"), None, None, None, None, Some("image")];
        assert_eq!(moved, expected.map(|kind| kind.map(str::to_owned)));
    }

    #[tokio::test]
    async fn a_layout_that_cosign_saved_has_its_signatures_without_names() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::create(folder.path().join("out")).unwrap();
        let (image, signatures) = (
            manifest(MANIFEST, "image"),
            manifest(MANIFEST, "signatures"),
        );
        for raw in [&image, &signatures] {
            let target = Target::Digest(raw.digest.clone());
            layout.put_manifest(raw, &target).await.unwrap();
        }
        let entry = |raw: &RawManifest, kind: &str| {
            let mut entry = raw.descriptor();
            entry.annotations.insert(KIND.into(), kind.into());
            entry.to_json()
        };
        let text = format!(
            r#"{{"schemaVersion":2,"manifests":[{},{}]}}"#,
            entry(&image, IMAGE),
            entry(&signatures, SIGNATURES)
        );
        std::fs::write(layout.path().join("index.json"), text).unwrap();
        assert_eq!(layout.only_image().unwrap().digest, image.digest);
        let name = of(&image.digest, ".sig");
        assert_eq!(layout.manifest(&tag(&name)).await.unwrap(), signatures);
        for other in [of(&image.digest, ".att"), of(&signatures.digest, ".sig")] {
            assert_eq!(layout.resolve(&tag(&other)).await.unwrap(), None);
        }
        let more = manifest(MANIFEST, "signatures and mine");
        layout.put_manifest(&more, &tag(&name)).await.unwrap();
        let found = kinds(&layout);
        let kinds: Vec<_> = found.iter().map(|(_, kind)| kind.as_deref()).collect();
        assert_eq!(kinds, [Some("image"), Some("sigs")]);
        assert_eq!(layout.manifest(&tag(&name)).await.unwrap(), more);
    }
}
