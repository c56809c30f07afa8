//! The one interface that everything above uses: a place with manifests, blobs and tags.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use reseal_oci::{Descriptor, Digest, RawManifest, Repository, Tag};
use tokio::io::AsyncRead;

use crate::error::StoreError;

/// The largest manifest that is read or written, in bytes (the bound that the OCI distribution specification suggests).
pub const MANIFEST_LIMIT: u64 = 4 * 1024 * 1024;

/// A blob on its way. Size and digest are checked while it is read; what is wrong comes as an [`std::io::Error`] that wraps a
/// [`StoreError`] (see [`StoreError::from_read`]) instead of the end of the stream.
pub type BlobReader = Pin<Box<dyn AsyncRead + Send>>;

/// Names a manifest inside of one repository or layout.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// By a name that can move.
    Tag(Tag),
    /// By its content.
    Digest(Digest),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => write!(f, "{tag}"),
            Self::Digest(digest) => write!(f, "{digest}"),
        }
    }
}

impl From<Tag> for Target {
    fn from(tag: Tag) -> Self {
        Self::Tag(tag)
    }
}

impl From<Digest> for Target {
    fn from(digest: Digest) -> Self {
        Self::Digest(digest)
    }
}

/// A future that opens a blob once more.
pub type OpenBlob<'a> = Pin<Box<dyn Future<Output = Result<BlobReader, StoreError>> + Send + 'a>>;

/// Where the bytes of an upload come from. Each form can be read again, because an upload may have to be repeated or resumed.
pub enum BlobSource<'a> {
    /// In memory; for configs and other small things.
    Bytes(Bytes),
    /// A file, streamed.
    File(PathBuf),
    /// Anything else, usually another store; called once for every try.
    Stream(Box<dyn Fn() -> OpenBlob<'a> + Send + Sync + 'a>),
}

impl fmt::Debug for BlobSource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// What a store cost so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// HTTP requests, with those for tokens and redirects; 0 for a layout.
    pub requests: u64,
    /// Bytes of content read.
    pub bytes_in: u64,
    /// Bytes of content written.
    pub bytes_out: u64,
}

/// The running form of [`Counts`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, amount: usize) {
        counter.fetch_add(amount as u64, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Counts {
        Counts {
            requests: self.requests.load(Ordering::Relaxed),
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
        }
    }
}

/// A repository of a registry, or an OCI layout folder.
#[async_trait]
pub trait Store: Send + Sync {
    /// Returns the place in words for messages, `registry.example/shop/cart` or `oci:/tmp/out`.
    fn describe(&self) -> String;

    /// Asks what a tag or digest stands for, without fetching the manifest; `None` if there is nothing.
    ///
    /// The descriptor has no platform and no annotations: those belong to the entry of an index.
    async fn resolve(&self, reference: &Target) -> Result<Option<Descriptor>, StoreError>;

    /// Fetches a manifest of at most [`MANIFEST_LIMIT`] bytes. Asked by digest, the bytes are those with that digest.
    async fn manifest(&self, reference: &Target) -> Result<RawManifest, StoreError>;

    /// Fetches a small blob of at most `limit` bytes and checks its digest.
    async fn blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, StoreError>;

    /// Opens a blob of any size; see [`BlobReader`] for what is checked.
    async fn blob_stream(&self, descriptor: &Descriptor) -> Result<BlobReader, StoreError>;

    /// Tells whether the store has a blob.
    async fn has_blob(&self, digest: &Digest) -> Result<bool, StoreError>;

    /// Stores a blob. A registry is not asked first whether it has it: that costs a request and the caller often knows;
    /// call [`Store::has_blob`] or [`Store::mount`] before, or use [`copy_blob`].
    async fn put_blob(
        &self,
        descriptor: &Descriptor,
        source: &BlobSource<'_>,
    ) -> Result<(), StoreError>;

    /// Stores a manifest under a tag, or under its digest alone. What it refers to must be there already.
    async fn put_manifest(&self, raw: &RawManifest, target: &Target) -> Result<(), StoreError>;

    /// Takes a blob over from another repository of the same registry without moving bytes; `false` if that did not happen,
    /// for whatever reason: the upload that follows tells.
    async fn mount(&self, digest: &Digest, from: &Repository) -> Result<bool, StoreError>;

    /// Returns the repository; `None` for a layout.
    fn repository(&self) -> Option<&Repository>;

    /// Returns what this store cost so far.
    fn counts(&self) -> Counts;

    /// Lists the manifests that name `digest` as their subject: by the referrers API, else by the tag that the specification
    /// gives for registries without it. Order is the store's; none is an empty list.
    async fn referrers(&self, digest: &Digest) -> Result<Vec<Descriptor>, StoreError> {
        crate::referrers::by_tag(self, digest).await
    }
}

/// How a blob came to its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copied {
    /// It was there already.
    Present,
    /// The registry took it over from the other repository.
    Mounted,
    /// Its bytes were moved.
    Streamed,
}

/// Brings one blob from a store to another, with as little traffic as possible: a cross-repository mount if both are in one
/// registry, else nothing if the destination has it, else a stream whose size and digest are checked on the way.
pub async fn copy_blob(
    from: &dyn Store,
    to: &dyn Store,
    descriptor: &Descriptor,
) -> Result<Copied, StoreError> {
    if let (Some(source), Some(destination)) = (from.repository(), to.repository())
        && source.registry() == destination.registry()
    {
        if source == destination {
            return Ok(Copied::Present);
        }
        if to.mount(&descriptor.digest, source).await? {
            return Ok(Copied::Mounted);
        }
    }
    if to.has_blob(&descriptor.digest).await? {
        return Ok(Copied::Present);
    }
    let source = BlobSource::Stream(Box::new(|| from.blob_stream(descriptor)));
    to.put_blob(descriptor, &source).await?;
    Ok(Copied::Streamed)
}
