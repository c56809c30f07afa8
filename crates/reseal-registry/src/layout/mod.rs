//! An OCI image layout folder as a store.
//!
//! What is written appears whole or not at all: files are made under another name and renamed. `index.json` is changed under a
//! lock, so that two runs on one folder lose nothing of each other. Names in the folder come from digests only.

mod files;
mod index;
mod kind;
mod referrers;

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use reseal_oci::{Descriptor, Digest, Index, Kind, RawManifest, Repository, Tag};
use tokio::io::{AsyncRead, AsyncWriteExt as _};

use crate::error::StoreError;
use crate::store::{BlobReader, BlobSource, Counters, Counts, MANIFEST_LIMIT, Store, Target};
use crate::verify::{self, Verified};
use index::IndexFile;

/// How deep indexes are followed when the type of a manifest has to be found.
const DEEPEST: usize = 4;

/// An OCI image layout folder.
#[derive(Debug)]
pub struct Layout {
    path: PathBuf,
    counts: std::sync::Arc<Counters>,
}

impl Layout {
    /// Opens a folder that is a layout.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        if !path.is_dir() {
            return Err(StoreError::NotFound {
                what: format!("OCI layout folder {}", path.display()),
            });
        }
        files::check_marker(&path)?;
        IndexFile::load(&path)?;
        Ok(Self {
            path,
            counts: std::sync::Arc::default(),
        })
    }

    /// Opens a layout, or makes one where there is nothing or an empty folder.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        if !path.join(files::MARKER).exists() {
            files::make(&path)?;
        }
        Self::open(path)
    }

    /// Returns the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lists the entries of `index.json`, in order, with their names if they have one.
    pub fn entries(&self) -> Result<Vec<(Option<String>, Descriptor)>, StoreError> {
        let entries = IndexFile::load(&self.path)?.descriptors()?;
        Ok(entries
            .into_iter()
            .map(|entry| (entry.annotations.get(index::REF_NAME).cloned(), entry))
            .collect())
    }

    /// Returns the only image of the layout: what is meant when neither tag nor digest was named. Signatures and what else
    /// belongs to an image are none.
    pub fn only_image(&self) -> Result<Descriptor, StoreError> {
        let mut entries = self.entries()?;
        entries.retain(|(_, entry)| kind::is_image(entry));
        let digests: BTreeSet<&Digest> = entries.iter().map(|(_, entry)| &entry.digest).collect();
        if digests.len() == 1 {
            return Ok(entries.swap_remove(0).1);
        }
        let names: Vec<String> = entries
            .into_iter()
            .map(|(name, entry)| name.unwrap_or_else(|| entry.digest.to_string()))
            .collect();
        let why = if names.is_empty() {
            "it holds no image".to_owned()
        } else {
            format!(
                "it holds several images, name one of them: {}",
                names.join(", ")
            )
        };
        Err(StoreError::Layout {
            path: self.path.clone(),
            why,
        })
    }

    /// Returns where a blob lies, whether it is there or not.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        files::blob_path(&self.path, digest)
    }

    fn named(&self, target: &Target) -> String {
        match target {
            Target::Tag(tag) => format!("tag `{tag}` in {}", self.describe()),
            Target::Digest(digest) => format!("manifest {digest} in {}", self.describe()),
        }
    }

    fn named_blob(&self, digest: &Digest) -> String {
        format!("blob {digest} in {}", self.describe())
    }

    /// Reads a blob; `None` if there is none.
    fn read(&self, digest: &Digest, what: &str, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.blob_path(digest);
        let file = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::file("read", &path, &error)),
        };
        let mut bytes = Vec::new();
        // One byte more than allowed tells that there is more.
        file.take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| StoreError::file("read", &path, &error))?;
        if bytes.len() as u64 > limit {
            return Err(StoreError::TooLarge {
                what: what.to_owned(),
                limit,
            });
        }
        verify::check(what, &bytes, digest)?;
        Counters::add(&self.counts.bytes_in, bytes.len());
        Ok(Some(bytes))
    }

    fn find(&self, target: &Target) -> Result<Option<(Descriptor, RawManifest)>, StoreError> {
        let what = self.named(target);
        let (digest, entry) = match target {
            Target::Digest(digest) => (digest.clone(), None),
            Target::Tag(tag) => match IndexFile::load(&self.path)?.tagged(tag)? {
                Some(entry) => (entry.digest.clone(), Some(entry)),
                None => return Ok(None),
            },
        };
        let Some(bytes) = self.read(&digest, &what, MANIFEST_LIMIT)? else {
            return match entry {
                None => Ok(None),
                Some(_) => Err(StoreError::Layout {
                    path: self.path.clone(),
                    why: format!("index.json names {digest}, and there is no such blob"),
                }),
            };
        };
        let given = entry
            .as_ref()
            .map(|entry| entry.media_type.clone())
            .unwrap_or_default();
        let mut raw = RawManifest::new(given, bytes);
        if raw.media_type.is_empty() {
            // Neither the document's own field nor its shape tells: whoever points to it knows.
            raw.media_type = self.pointed_type(&digest)?.unwrap_or_default();
        }
        if raw.kind() == Kind::Other && !raw.media_type.contains("json") {
            return Err(StoreError::BadManifest {
                what,
                why: "it is no manifest or index".to_owned(),
            });
        }
        raw.digest = digest;
        Ok(Some((raw.descriptor(), raw)))
    }

    /// Looks for a descriptor of `digest` in `index.json` and the indexes below.
    fn pointed_type(&self, digest: &Digest) -> Result<Option<String>, StoreError> {
        let mut level = IndexFile::load(&self.path)?.descriptors()?;
        let mut seen = BTreeSet::new();
        for _ in 0..DEEPEST {
            if let Some(found) = level.iter().find(|entry| entry.digest == *digest) {
                return Ok(Some(found.media_type.clone()));
            }
            let mut below = Vec::new();
            for entry in level
                .iter()
                .filter(|entry| Kind::of(&entry.media_type) == Kind::Index)
            {
                if !seen.insert(entry.digest.clone()) {
                    continue;
                }
                if let Some(bytes) = self.read(
                    &entry.digest,
                    &self.named_blob(&entry.digest),
                    MANIFEST_LIMIT,
                )? && let Ok(index) =
                    Index::parse(&RawManifest::new(entry.media_type.clone(), bytes))
                {
                    below.extend(index.children);
                }
            }
            level = below;
        }
        Ok(None)
    }

    async fn write_blob(
        &self,
        descriptor: &Descriptor,
        reader: impl AsyncRead + Send + Unpin,
    ) -> Result<(), StoreError> {
        let target = self.blob_path(&descriptor.digest);
        let what = format!("the content for {}", self.named_blob(&descriptor.digest));
        let (temporary, handle) = files::temporary(&target)?;
        let write = |error: &std::io::Error| StoreError::file("write", &target, error);
        let mut file = tokio::fs::File::from_std(handle);
        let mut reader = Verified::new(
            reader,
            what.clone(),
            descriptor.digest.clone(),
            descriptor.size,
        );
        let mut buffer = vec![0; 128 * 1024];
        loop {
            let count = tokio::io::AsyncReadExt::read(&mut reader, &mut buffer)
                .await
                .map_err(|error| StoreError::from_read(&what, error))?;
            if count == 0 {
                break;
            }
            file.write_all(&buffer[..count])
                .await
                .map_err(|error| write(&error))?;
            Counters::add(&self.counts.bytes_out, count);
        }
        file.flush().await.map_err(|error| write(&error))?;
        files::keep(temporary, &target)
    }

    fn write_manifest(&self, raw: &RawManifest, target: &Target) -> Result<(), StoreError> {
        let what = self.named(target);
        if raw.bytes.len() as u64 > MANIFEST_LIMIT {
            return Err(StoreError::TooLarge {
                what,
                limit: MANIFEST_LIMIT,
            });
        }
        let digest = match target {
            Target::Digest(digest) => digest,
            Target::Tag(_) => &raw.digest,
        };
        verify::check(&what, &raw.bytes, digest)?;
        let path = self.blob_path(digest);
        if !files::has_size(&path, raw.bytes.len() as u64) {
            files::write_whole(&path, &raw.bytes)?;
            Counters::add(&self.counts.bytes_out, raw.bytes.len());
        }
        let Target::Tag(tag) = target else {
            return Ok(());
        };
        let _lock = files::lock(&self.path)?;
        let mut index = IndexFile::load(&self.path)?;
        index.set_tag(tag, &raw.descriptor())?;
        index.mark_kinds()?;
        files::write_whole(&self.path.join(index::FILE), &index.to_bytes())
    }
}

#[async_trait]
impl Store for Layout {
    fn describe(&self) -> String {
        format!("oci:{}", self.path.display())
    }

    async fn resolve(&self, reference: &Target) -> Result<Option<Descriptor>, StoreError> {
        Ok(self.find(reference)?.map(|(descriptor, _)| descriptor))
    }

    async fn manifest(&self, reference: &Target) -> Result<RawManifest, StoreError> {
        match self.find(reference)? {
            Some((_, raw)) => Ok(raw),
            None => Err(StoreError::NotFound {
                what: self.named(reference),
            }),
        }
    }

    async fn blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
        let what = self.named_blob(digest);
        self.read(digest, &what, limit)?
            .ok_or(StoreError::NotFound { what })
    }

    async fn blob_stream(&self, descriptor: &Descriptor) -> Result<BlobReader, StoreError> {
        let path = self.blob_path(&descriptor.digest);
        let what = self.named_blob(&descriptor.digest);
        let file = tokio::fs::File::open(&path)
            .await
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => StoreError::NotFound { what: what.clone() },
                _ => StoreError::file("read", &path, &error),
            })?;
        let found = file
            .metadata()
            .await
            .map_err(|error| StoreError::file("read", &path, &error))?
            .len();
        if found != descriptor.size {
            return Err(StoreError::SizeMismatch {
                what,
                expected: descriptor.size,
                found,
            });
        }
        let counts = std::sync::Arc::clone(&self.counts);
        let file = tokio_util::io::InspectReader::new(file, move |piece| {
            Counters::add(&counts.bytes_in, piece.len());
        });
        Ok(Box::pin(Verified::new(
            Box::pin(file),
            what,
            descriptor.digest.clone(),
            descriptor.size,
        )))
    }

    async fn has_blob(&self, digest: &Digest) -> Result<bool, StoreError> {
        Ok(self.blob_path(digest).is_file())
    }

    async fn put_blob(
        &self,
        descriptor: &Descriptor,
        source: &BlobSource<'_>,
    ) -> Result<(), StoreError> {
        if files::has_size(&self.blob_path(&descriptor.digest), descriptor.size) {
            return Ok(());
        }
        match source {
            BlobSource::Bytes(bytes) => self.write_blob(descriptor, bytes.as_ref()).await,
            BlobSource::File(path) => {
                let file = tokio::fs::File::open(path)
                    .await
                    .map_err(|error| StoreError::file("read", path, &error))?;
                self.write_blob(descriptor, file).await
            }
            BlobSource::Stream(open) => self.write_blob(descriptor, open().await?).await,
        }
    }

    async fn put_manifest(&self, raw: &RawManifest, target: &Target) -> Result<(), StoreError> {
        let (layout, raw, target) = (
            Self {
                path: self.path.clone(),
                counts: std::sync::Arc::clone(&self.counts),
            },
            raw.clone(),
            target.clone(),
        );
        // Waiting for the lock must not hold up other tasks.
        blocking(&self.path, "write", move || {
            layout.write_manifest(&raw, &target)
        })
        .await
    }

    async fn mount(&self, _digest: &Digest, _from: &Repository) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn repository(&self) -> Option<&Repository> {
        None
    }

    fn counts(&self) -> Counts {
        self.counts.snapshot()
    }

    async fn referrers(&self, digest: &Digest) -> Result<Vec<Descriptor>, StoreError> {
        let (path, digest) = (self.path.clone(), digest.clone());
        blocking(&self.path, "read", move || referrers::scan(&path, &digest)).await
    }
}

/// Does what takes its time on another thread.
async fn blocking<T: Send + 'static>(
    path: &Path,
    action: &'static str,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| {
            Err(StoreError::File {
                action,
                path: path.to_owned(),
                why: error.to_string(),
                full: false,
            })
        })
}

/// Tells whether an entry's name is this tag.
fn is_named(entry: &Descriptor, tag: &Tag) -> bool {
    entry
        .annotations
        .get(index::REF_NAME)
        .is_some_and(|name| name == tag.as_str())
}

#[cfg(test)]
mod tests;
