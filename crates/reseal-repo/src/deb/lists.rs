//! Reads the package lists of the releases, fetched or kept from an earlier run.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use reseal_pkg::dpkg::stanza_field;
use tokio::sync::mpsc;

use super::index::{Index, Variant};
use super::plain;
use super::repositories::{Release, Repositories};
use crate::digest::ContentDigest;
use crate::error::RepoError;
use crate::http::blocking;

/// How many stanzas go from the reading thread to the caller at once.
const BATCH: usize = 256;

/// One stanza of a package list.
#[derive(Debug, Clone, Copy)]
pub struct Stanza<'a> {
    /// All of it, without the empty line at its end.
    pub bytes: &'a [u8],
}

impl Stanza<'_> {
    /// Returns a field's value; names match in any case.
    pub fn field(&self, name: &str) -> Option<Cow<'_, str>> {
        stanza_field(self.bytes, name)
    }
}

impl Repositories {
    /// Calls `wanted` with every stanza of a release's lists, in their order. The digest of a list is checked before its first
    /// stanza is shown, and again while they are: what `wanted` has seen counts only if there is no error.
    pub async fn scan(
        &self,
        release: &Release,
        wanted: &mut (dyn FnMut(&Stanza<'_>) + Send),
    ) -> Result<(), RepoError> {
        for index in &release.indexes {
            let nothing = |(): &mut (), _: &[u8]| ControlFlow::Continue(());
            self.list(release, index, nothing).await?;
            let (send, mut receive) = mpsc::channel(4);
            let reading = self.list(release, index, move |batch: &mut Batch, stanza| {
                batch.send.get_or_insert_with(|| send.clone());
                batch.stanzas.push(stanza.to_vec());
                if batch.stanzas.len() < BATCH {
                    return ControlFlow::Continue(());
                }
                batch.flush()
            });
            let reading = async {
                // The last batch goes when the list is known to be whole; then the channel ends.
                reading.await.map(|mut rest| rest.take())
            };
            let passing = async {
                while let Some(batch) = receive.recv().await {
                    show(&batch, wanted);
                }
            };
            let (rest, ()) = futures_util::future::join(reading, passing).await;
            show(&rest?, wanted);
        }
        Ok(())
    }

    /// Reads a list into a value that starts empty: one that turns out to be damaged is begun again with a new one.
    pub(super) async fn list<T: Default + Send + 'static>(
        &self,
        release: &Release,
        index: &Index,
        each: impl Fn(&mut T, &[u8]) -> ControlFlow<()> + Send + Sync + 'static,
    ) -> Result<T, RepoError> {
        let what = format!("{}{}", release.source.release_url(), index.path);
        let cache = self.downloads().cache();
        // The same list for two images is fetched and unpacked once.
        let _turn = cache.turn(ContentDigest::of(what.as_bytes())).await;
        let each = Arc::new(each);
        let mut again = true;
        loop {
            if let Some(plain) = index.plain {
                let _permit = cache.unpacking().await;
                let (cache, each) = (cache.clone(), Arc::clone(&each));
                let kept = blocking(move || {
                    let mut value = T::default();
                    let mut pass = |stanza: &[u8]| each(&mut value, stanza);
                    let whole = plain.0 == 0 || plain::read_kept(&cache, plain, &mut pass)?;
                    Ok(whole.then_some(value))
                })
                .await?;
                if let Some(value) = kept {
                    self.downloads().count_cached();
                    return Ok(value);
                }
            }
            let (path, variant) = self.fetch_list(release, index, &what).await?;
            let _permit = cache.unpacking().await;
            let read = {
                let (cache, each) = (cache.clone(), Arc::clone(&each));
                let (path, plain, what) = (path.clone(), index.plain, what.clone());
                let (suffix, digest) = (variant.suffix, variant.digest);
                blocking(move || {
                    let mut value = T::default();
                    let mut pass = |stanza: &[u8]| each(&mut value, stanza);
                    plain::read_fetched(&cache, &path, suffix, plain, &what, &mut pass)?;
                    if plain.is_some() {
                        // The form that unpacks faster has taken its place.
                        cache.drop_content(digest);
                    }
                    Ok(value)
                })
            };
            match read.await {
                // Another run has just done the same.
                Err(RepoError::File { .. }) if again && !path.exists() => again = false,
                result => return result,
            }
        }
    }

    async fn fetch_list<'a>(
        &self,
        release: &Release,
        index: &'a Index,
        what: &str,
    ) -> Result<(PathBuf, &'a Variant), RepoError> {
        let folder = release.source.release_url();
        let mut missing = RepoError::Unsupported {
            what: format!("the compression of {what}"),
            why: "it is offered neither as xz, zstd or gzip nor plain".to_owned(),
        };
        for variant in &index.variants {
            let path = format!("{}{}", index.path, variant.suffix);
            let within = path.rsplit_once('/').map_or("", |(within, _)| within);
            let slash = if within.is_empty() { "" } else { "/" };
            let by_hash = format!("{folder}{within}{slash}by-hash/SHA256/{}", variant.digest);
            let by_path = format!("{folder}{path}");
            let urls = [index.by_hash.then_some(by_hash), Some(by_path)];
            for url in urls.into_iter().flatten() {
                match self
                    .downloads()
                    .content(&url, variant.size, variant.digest)
                    .await
                {
                    Ok(path) => return Ok((path, variant)),
                    // Not everything that a release lists is on every server.
                    Err(error @ RepoError::NotFound { .. }) => missing = error,
                    Err(error) => return Err(error),
                }
            }
        }
        Err(missing)
    }
}

/// Stanzas on their way to the caller.
#[derive(Default)]
struct Batch {
    send: Option<mpsc::Sender<Vec<Vec<u8>>>>,
    stanzas: Vec<Vec<u8>>,
}

impl Batch {
    fn flush(&mut self) -> ControlFlow<()> {
        let stanzas = self.take();
        let sent = match &self.send {
            Some(send) => send.blocking_send(stanzas).is_ok(),
            None => false,
        };
        if sent {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    }

    fn take(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.stanzas)
    }
}

fn show(stanzas: &[Vec<u8>], wanted: &mut (dyn FnMut(&Stanza<'_>) + Send)) {
    for bytes in stanzas {
        wanted(&Stanza { bytes });
    }
}
