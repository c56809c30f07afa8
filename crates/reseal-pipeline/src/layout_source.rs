//! Serves the blobs of an OCI layout to the daemon, through the session.

use std::{
    io::{self, Read as _, Seek as _, SeekFrom},
    path::PathBuf,
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use reseal_buildkit::ContentSource;
use reseal_oci::Digest;
use reseal_registry::Layout;

/// A layout as a content store that can be read.
pub(crate) struct LayoutSource(pub(crate) Arc<Layout>);

impl LayoutSource {
    fn path(&self, digest: &str) -> Option<PathBuf> {
        Some(self.0.blob_path(&digest.parse::<Digest>().ok()?))
    }
}

#[async_trait]
impl ContentSource for LayoutSource {
    async fn size(&self, digest: &str) -> Option<u64> {
        tokio::fs::metadata(self.path(digest)?)
            .await
            .ok()
            .map(|metadata| metadata.len())
    }

    async fn read(&self, digest: &str, offset: u64, len: u64) -> Result<Bytes, io::Error> {
        let path = self
            .path(digest)
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        read_part(path, offset, len).await
    }
}

/// Reads up to `len` bytes of a file, from `offset` on.
pub(crate) async fn read_part(path: PathBuf, offset: u64, len: u64) -> Result<Bytes, io::Error> {
    tokio::task::spawn_blocking(move || {
        let mut file = std::fs::File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(len).read_to_end(&mut bytes)?;
        Ok(Bytes::from(bytes))
    })
    .await
    .map_err(io::Error::other)?
}
