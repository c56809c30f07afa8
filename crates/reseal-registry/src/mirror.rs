//! Reads from mirrors first; what they do not have, or cannot give now, comes from the registry itself.

use async_trait::async_trait;
use reseal_oci::{Descriptor, Digest, RawManifest, Repository};

use crate::client::Shared;
use crate::error::{Class, StoreError};
use crate::referrers::subject_of;
use crate::remote::Remote;
use crate::store::{BlobReader, BlobSource, Counts, Store, Target};

pub(crate) struct Mirrored {
    mirrors: Vec<Remote>,
    origin: Remote,
}

impl Mirrored {
    pub(crate) fn new(mirrors: Vec<Remote>, origin: Remote) -> Self {
        Self { mirrors, origin }
    }

    /// All places to read from, the registry itself last.
    fn places(&self) -> impl Iterator<Item = (&Remote, bool)> {
        self.mirrors
            .iter()
            .map(|mirror| (mirror, false))
            .chain(std::iter::once((&self.origin, true)))
    }
}

/// Tells whether a tag holds a list of what belongs to an image. Such lists are read to be added to and written back: from what a
/// mirror knew some time ago, that would undo what others have added since. So the registry itself is asked first.
fn is_list(reference: &Target) -> bool {
    matches!(reference, Target::Tag(tag) if subject_of(tag.as_str()).is_some())
}

/// Tells whether a registry gave no answer, as where only its mirrors can be reached. It takes no writes then either.
fn is_away(error: &StoreError) -> bool {
    !matches!(error.class(), Class::NotFound | Class::Content)
}

/// Brings the settings' mirrors to the form `host[:port][/prefix]`, and notes which are named with `http://`.
pub(crate) fn check(shared: &mut Shared) -> Result<(), StoreError> {
    let mut plain = Vec::new();
    for mirrors in shared.settings.mirrors.values_mut() {
        for mirror in mirrors {
            let bare = mirror.trim_end_matches('/');
            let (bare, is_plain) = match bare.strip_prefix("http://") {
                Some(bare) => (bare, true),
                None => (bare.strip_prefix("https://").unwrap_or(bare), false),
            };
            let host = bare.split('/').next().unwrap_or(bare);
            // A full repository name is the strictest test there is; without a dot or port the host would be taken for a path.
            let name = format!("{bare}/x")
                .parse::<Repository>()
                .ok()
                .filter(|name| name.registry() == host);
            if name.is_none() {
                return Err(StoreError::Settings {
                    why: format!("`{mirror}` is no mirror; give `https://HOST[:PORT][/PREFIX]`"),
                });
            }
            if is_plain {
                plain.push(host.to_owned());
            }
            *mirror = bare.to_owned();
        }
    }
    if !plain.is_empty() {
        shared.settings.plain_http.extend(plain);
        shared.clients = crate::connect::Clients::new(&shared.settings);
    }
    Ok(())
}

/// Returns the mirrored names of a repository.
pub(crate) fn of(shared: &Shared, repository: &Repository) -> Vec<Repository> {
    let mirrors = shared.settings.mirrors.get(repository.registry());
    mirrors
        .into_iter()
        .flatten()
        .filter_map(|mirror| format!("{mirror}/{}", repository.path()).parse().ok())
        .collect()
}

/// Tries `$method` at each place; a mirror's failure is only logged.
macro_rules! first {
    ($self:ident, $place:ident => $call:expr) => {{
        for ($place, is_origin) in $self.places() {
            match $call.await {
                Err(error) if !is_origin => {
                    tracing::warn!(mirror = %$place.describe(), %error, "a mirror could not answer");
                }
                result => return result,
            }
        }
        Err(StoreError::Settings { why: "there is no place to read from".to_owned() })
    }};
}

#[async_trait]
impl Store for Mirrored {
    fn describe(&self) -> String {
        self.origin.describe()
    }

    async fn resolve(&self, reference: &Target) -> Result<Option<Descriptor>, StoreError> {
        if is_list(reference) {
            match self.origin.resolve(reference).await {
                Err(error) if is_away(&error) => {}
                result => return result,
            }
        }
        for mirror in &self.mirrors {
            match mirror.resolve(reference).await {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(mirror = %mirror.describe(), %error, "a mirror could not answer");
                }
            }
        }
        self.origin.resolve(reference).await
    }

    async fn manifest(&self, reference: &Target) -> Result<RawManifest, StoreError> {
        if is_list(reference) {
            match self.origin.manifest(reference).await {
                Err(error) if is_away(&error) => {}
                result => return result,
            }
        }
        first!(self, place => place.manifest(reference))
    }

    async fn blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
        first!(self, place => place.blob(digest, limit))
    }

    async fn blob_stream(&self, descriptor: &Descriptor) -> Result<BlobReader, StoreError> {
        first!(self, place => place.blob_stream(descriptor))
    }

    async fn has_blob(&self, digest: &Digest) -> Result<bool, StoreError> {
        // Asked before writing, and that goes to the registry itself.
        self.origin.has_blob(digest).await
    }

    async fn put_blob(
        &self,
        descriptor: &Descriptor,
        source: &BlobSource<'_>,
    ) -> Result<(), StoreError> {
        self.origin.put_blob(descriptor, source).await
    }

    async fn put_manifest(&self, raw: &RawManifest, target: &Target) -> Result<(), StoreError> {
        self.origin.put_manifest(raw, target).await
    }

    async fn mount(&self, digest: &Digest, from: &Repository) -> Result<bool, StoreError> {
        self.origin.mount(digest, from).await
    }

    fn repository(&self) -> Option<&Repository> {
        self.origin.repository()
    }

    fn counts(&self) -> Counts {
        self.places()
            .map(|(place, _)| place.counts())
            .fold(Counts::default(), |sum, more| Counts {
                requests: sum.requests + more.requests,
                bytes_in: sum.bytes_in + more.bytes_in,
                bytes_out: sum.bytes_out + more.bytes_out,
            })
    }

    async fn referrers(&self, digest: &Digest) -> Result<Vec<Descriptor>, StoreError> {
        match self.origin.referrers(digest).await {
            Err(error) if is_away(&error) => {
                first!(self, place => place.referrers(digest))
            }
            result => result,
        }
    }
}
