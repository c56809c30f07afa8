//! A repository of a registry that speaks the OCI distribution protocol.
//!
//! Requests are few: nothing is asked that an answer already told, no `/v2/` ping is sent, a mount that was declined leaves its
//! upload session for the upload.

mod download;
mod pull;
mod push;
mod subject;

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use reqwest::Url;
use reseal_oci::{Descriptor, Digest, RawManifest, Repository};

use crate::auth::scope::Scopes;
use crate::client::Client;
use crate::error::StoreError;
use crate::store::{BlobReader, BlobSource, Counts, Store, Target};

pub(crate) struct Remote {
    client: Client,
    repository: Repository,
    /// Or why the registry's name makes no address: `999.1.1.1` looks like a host, and is a wrong IP address.
    base: Result<Url, StoreError>,
    pull: Scopes,
    push: Scopes,
    /// Upload sessions that declined mounts have opened.
    sessions: Mutex<BTreeMap<Digest, Url>>,
    listing: subject::Listing,
}

impl Remote {
    pub(crate) fn new(client: Client, repository: Repository) -> Self {
        Self {
            base: client.shared.clients.base(repository.registry()),
            pull: Scopes::pull(repository.path()),
            push: Scopes::push(repository.path()),
            sessions: Mutex::default(),
            listing: subject::Listing::default(),
            client,
            repository,
        }
    }

    /// Returns the address of something in this repository. Path and rest are of valid references, so they need no escapes.
    fn url(&self, rest: &str) -> Result<Url, StoreError> {
        let mut url = self.base.clone()?;
        url.set_path(&format!("/v2/{}/{rest}", self.repository.path()));
        Ok(url)
    }

    fn manifest_url(&self, target: &Target) -> Result<Url, StoreError> {
        self.url(&format!("manifests/{target}"))
    }

    fn blob_url(&self, digest: &Digest) -> Result<Url, StoreError> {
        self.url(&format!("blobs/{digest}"))
    }

    /// `manifest sha256:… in registry.example/shop/cart`, for messages.
    fn named(&self, target: &Target) -> String {
        match target {
            Target::Tag(tag) => format!("tag `{tag}` in {}", self.repository),
            Target::Digest(digest) => format!("manifest {digest} in {}", self.repository),
        }
    }

    fn named_blob(&self, digest: &Digest) -> String {
        format!("blob {digest} in {}", self.repository)
    }
}

#[async_trait]
impl Store for Remote {
    fn describe(&self) -> String {
        self.repository.to_string()
    }

    async fn resolve(&self, reference: &Target) -> Result<Option<Descriptor>, StoreError> {
        self.head_manifest(reference).await
    }

    async fn manifest(&self, reference: &Target) -> Result<RawManifest, StoreError> {
        self.get_manifest(reference)
            .await?
            .ok_or_else(|| StoreError::NotFound {
                what: self.named(reference),
            })
    }

    async fn blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
        self.get_blob(digest, limit).await
    }

    async fn blob_stream(&self, descriptor: &Descriptor) -> Result<BlobReader, StoreError> {
        self.stream_blob(descriptor).await
    }

    async fn has_blob(&self, digest: &Digest) -> Result<bool, StoreError> {
        self.head_blob(digest).await
    }

    async fn put_blob(
        &self,
        descriptor: &Descriptor,
        source: &BlobSource<'_>,
    ) -> Result<(), StoreError> {
        self.upload(descriptor, source).await
    }

    async fn put_manifest(&self, raw: &RawManifest, target: &Target) -> Result<(), StoreError> {
        let listed = self.send_manifest(raw, target).await?;
        self.list_under_subject(raw, listed.as_ref()).await
    }

    async fn mount(&self, digest: &Digest, from: &Repository) -> Result<bool, StoreError> {
        self.try_mount(digest, from).await
    }

    fn repository(&self) -> Option<&Repository> {
        Some(&self.repository)
    }

    fn counts(&self) -> Counts {
        self.client.counts.snapshot()
    }

    async fn referrers(&self, digest: &Digest) -> Result<Vec<Descriptor>, StoreError> {
        match self.list_referrers(digest).await? {
            Some(found) => Ok(found),
            None => crate::referrers::by_tag(self, digest).await,
        }
    }
}
