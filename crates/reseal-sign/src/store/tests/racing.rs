//! A store during whose use others write.

use std::sync::Mutex;

use async_trait::async_trait;
use reseal_oci::{Descriptor, Digest, RawManifest, Repository};
use reseal_registry::{BlobReader, BlobSource, Counts, Store, StoreError, Target};

/// What others do at a moment.
pub(super) type Others = Box<dyn Fn() + Send + Sync>;

/// Passes everything on to another store, and lets others write meanwhile.
pub(super) struct Racing<'a> {
    inner: &'a dyn Store,
    /// Called once, before the first config is stored: after the list was read, before it is written.
    before_config: Mutex<Option<Others>>,
    /// Called after manifests were stored, so often.
    after_manifest: Mutex<(usize, Others)>,
}

impl<'a> Racing<'a> {
    pub(super) fn new(
        inner: &'a dyn Store,
        before_config: Option<Others>,
        times: usize,
        after_manifest: Others,
    ) -> Self {
        Self {
            inner,
            before_config: Mutex::new(before_config),
            after_manifest: Mutex::new((times, after_manifest)),
        }
    }
}

#[async_trait]
impl Store for Racing<'_> {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    async fn resolve(&self, reference: &Target) -> Result<Option<Descriptor>, StoreError> {
        self.inner.resolve(reference).await
    }

    async fn manifest(&self, reference: &Target) -> Result<RawManifest, StoreError> {
        self.inner.manifest(reference).await
    }

    async fn blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
        self.inner.blob(digest, limit).await
    }

    async fn blob_stream(&self, descriptor: &Descriptor) -> Result<BlobReader, StoreError> {
        self.inner.blob_stream(descriptor).await
    }

    async fn has_blob(&self, digest: &Digest) -> Result<bool, StoreError> {
        self.inner.has_blob(digest).await
    }

    async fn put_blob(
        &self,
        descriptor: &Descriptor,
        source: &BlobSource<'_>,
    ) -> Result<(), StoreError> {
        if descriptor.media_type.contains("config")
            && let Some(others) = self.before_config.lock().unwrap().take()
        {
            others();
        }
        self.inner.put_blob(descriptor, source).await
    }

    async fn put_manifest(&self, raw: &RawManifest, target: &Target) -> Result<(), StoreError> {
        self.inner.put_manifest(raw, target).await?;
        let mut after = self.after_manifest.lock().unwrap();
        if after.0 > 0 {
            after.0 -= 1;
            after.1();
        }
        Ok(())
    }

    async fn mount(&self, digest: &Digest, from: &Repository) -> Result<bool, StoreError> {
        self.inner.mount(digest, from).await
    }

    fn repository(&self) -> Option<&Repository> {
        self.inner.repository()
    }

    fn counts(&self) -> Counts {
        self.inner.counts()
    }

    async fn referrers(&self, digest: &Digest) -> Result<Vec<Descriptor>, StoreError> {
        self.inner.referrers(digest).await
    }
}
