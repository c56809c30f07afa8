//! Sees to it that a manifest with a subject is found from there, also where the registry does not do so itself.

use std::sync::OnceLock;

use reseal_oci::{Artifact, Digest, RawManifest};
use tokio::sync::Mutex;

use super::Remote;
use crate::error::StoreError;
use crate::referrers;
use crate::settings::Wait;
use crate::store::Target;

/// How often the index of referrers is written when others write to it too.
const TRIES: u32 = 8;

/// What is known about how a repository lists referrers.
#[derive(Default)]
pub(super) struct Listing {
    /// Whether the registry has the referrers API.
    has_api: OnceLock<bool>,
    /// One run does not race with itself.
    turn: Mutex<()>,
}

impl Remote {
    /// Does what is left to do after storing a manifest; `listed` is the subject that the registry said it listed it for.
    pub(super) async fn list_under_subject(
        &self,
        raw: &RawManifest,
        listed: Option<&Digest>,
    ) -> Result<(), StoreError> {
        // What cannot be read has no subject that anybody could read.
        let Ok(artifact) = Artifact::parse(raw) else {
            return Ok(());
        };
        let Some(subject) = &artifact.subject else {
            return Ok(());
        };
        if listed == Some(&subject.digest) || self.has_api(&subject.digest).await? {
            return Ok(());
        }
        let Some(tag) = referrers::tag_of(&subject.digest) else {
            return Ok(());
        };
        let _turn = self.listing.turn.lock().await;
        let (entry, target) = (artifact.entry(raw), Target::Tag(tag));
        let what = self.named(&target);
        for attempt in 0..TRIES {
            let found = self.get_manifest(&target).await?;
            let Some(grown) = referrers::with_entry(found, &subject.digest, &entry, &what)? else {
                return Ok(());
            };
            self.send_manifest(&grown, &target).await?;
            // Somebody may have read what we read, and written after us.
            let after = self.get_manifest(&target).await?;
            if referrers::with_entry(after, &subject.digest, &entry, &what)?.is_none() {
                return Ok(());
            }
            tracing::debug!(attempt, tag = %target, "another writer replaced the index of referrers");
            let pause = reseal_net::back_off(attempt);
            let sleeper = &self.client.shared.settings.sleeper;
            sleeper.sleep(Wait::Retry, pause).await;
        }
        Err(StoreError::Contended { what, tries: TRIES })
    }

    /// Not every registry that has the API says so when it stores a manifest.
    async fn has_api(&self, subject: &Digest) -> Result<bool, StoreError> {
        if let Some(&known) = self.listing.has_api.get() {
            return Ok(known);
        }
        let found = self.list_referrers(subject).await?.is_some();
        Ok(*self.listing.has_api.get_or_init(|| found))
    }
}
