//! Referrers in a layout: whatever manifest among the blobs names the subject.
//!
//! Tools disagree on whether `index.json` lists referrers, so the blobs themselves are asked, as cosign does.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use reseal_oci::{Artifact, Descriptor, Digest, RawManifest};

use super::files;
use crate::error::StoreError;
use crate::store::MANIFEST_LIMIT;

/// Lists the manifests whose subject is `subject`, in the order of their digests.
pub(super) fn scan(layout: &Path, subject: &Digest) -> Result<Vec<Descriptor>, StoreError> {
    let mut found = Vec::new();
    let blobs = layout.join("blobs");
    for algorithm in names(&blobs)? {
        for hex in names(&blobs.join(&algorithm))? {
            if let Ok(digest) = format!("{algorithm}:{hex}").parse::<Digest>() {
                found.extend(referrer(layout, &digest, subject));
            }
        }
    }
    found.sort_by(|a: &Descriptor, b| a.digest.cmp(&b.digest));
    Ok(found)
}

fn names(folder: &Path) -> Result<Vec<String>, StoreError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(StoreError::file("read", folder, &error)),
    };
    Ok(entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect())
}

/// Reads a blob if it may be a manifest. What is damaged belongs to nothing.
fn referrer(layout: &Path, digest: &Digest, subject: &Digest) -> Option<Descriptor> {
    let path = files::blob_path(layout, digest);
    let mut file = File::open(&path).ok()?;
    let size = file
        .metadata()
        .ok()
        .filter(std::fs::Metadata::is_file)?
        .len();
    // Layers are many and large: the first byte tells that they are none.
    let mut first = [0];
    if size > MANIFEST_LIMIT || file.read_exact(&mut first).is_err() {
        return None;
    }
    if first[0] != b'{' && !first[0].is_ascii_whitespace() {
        return None;
    }
    let mut bytes = first.to_vec();
    file.take(MANIFEST_LIMIT).read_to_end(&mut bytes).ok()?;
    let raw = RawManifest::new("", bytes);
    let artifact = Artifact::parse(&raw).ok()?;
    let belongs = artifact.subject.as_ref()?.digest == *subject;
    if !belongs || raw.media_type.is_empty() || !digest.matches(&raw.bytes) {
        return None;
    }
    Some(Descriptor {
        digest: digest.clone(),
        ..artifact.entry(&raw)
    })
}

#[cfg(test)]
mod tests {
    use super::super::Layout;
    use crate::store::Store as _;

    use super::*;

    #[tokio::test]
    async fn whatever_manifest_names_the_subject_is_a_referrer() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::create(folder.path().join("out")).unwrap();
        let subject = Digest::of(b"subject");
        assert_eq!(layout.referrers(&subject).await.unwrap(), []);
        let manifest = |start: &str, subject: &Digest| {
            format!(
                r#"{start}{{"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/x","annotations":{{"a":"b"}},"subject":{{"mediaType":"x","digest":"{subject}","size":7}}}}"#
            )
        };
        let write = |text: &str| {
            let digest = Digest::of(text.as_bytes());
            std::fs::write(layout.blob_path(&digest), text).unwrap();
            digest
        };
        let mut expected = [
            write(&manifest("", &subject)),
            write(&manifest(" \n", &subject)),
            write(&format!(
                r#"{{"manifests":[],"subject":{{"digest":"{subject}","size":7}}}}"#
            )),
        ];
        write(&manifest("", &Digest::of(b"other")));
        write("{}");
        write("");
        write("[1]");
        write("{\"subject\":7}");
        write(&format!(
            r#"{{"neither":1,"subject":{{"digest":"{subject}","size":7}}}}"#
        ));
        write(&format!("{}{}", manifest("", &subject), "x"));
        let damaged = layout.blob_path(&Digest::of(b"what it was"));
        std::fs::write(damaged, manifest("  ", &subject)).unwrap();
        std::fs::create_dir(layout.blob_path(&Digest::of(b"folder"))).unwrap();
        std::fs::write(
            layout.path().join("blobs/sha256/no-digest"),
            manifest("", &subject),
        )
        .unwrap();
        std::fs::write(layout.path().join("blobs/file"), "x").unwrap();
        expected.sort();
        let found = layout.referrers(&subject).await.unwrap();
        let digests: Vec<_> = found.iter().map(|entry| entry.digest.clone()).collect();
        assert_eq!(digests, expected);
        let typed: Vec<_> = found
            .iter()
            .filter(|entry| entry.artifact_type.as_deref() == Some("application/x"))
            .collect();
        assert_eq!(typed.len(), 2);
        assert!(typed.iter().all(|entry| entry.annotations["a"] == "b"));
    }
}
