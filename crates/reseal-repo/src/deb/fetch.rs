//! Fetches a release file with its signature, and accepts it or says why not.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::release::{self, ReleaseFile};
use super::settings::AptSettings;
use super::signed::{self, Accepted};
use super::sources::Source;
use crate::cache::Note;
use crate::digest::ContentDigest;
use crate::error::RepoError;
use crate::http::{Downloads, blocking};
use crate::openpgp::{Keyring, Signer};

/// Debian's largest is 0.2 MB.
const RELEASE_LIMIT: u64 = 16 << 20;
const SIGNATURE_LIMIT: u64 = 1 << 20;
/// A package list that no release file names the size of.
const LIST_LIMIT: u64 = 512 << 20;

/// An accepted release file.
pub(super) struct Fetched {
    pub(super) file: ReleaseFile,
    /// Empty if the repository has none.
    pub(super) url: String,
    pub(super) digest: ContentDigest,
    pub(super) signers: Vec<Signer>,
    pub(super) warning: Option<String>,
}

/// A file as it came, and what to remember once it is accepted.
struct Raw {
    url: String,
    bytes: Vec<u8>,
    note: Option<Note>,
}

/// Fetches the release file of a source: the clear-signed one, else that with a signature beside it.
pub(super) async fn release(
    downloads: &Downloads,
    source: &Source,
    keyring: &Arc<Keyring>,
    settings: &AptSettings,
    now: i64,
) -> Result<Fetched, RepoError> {
    let folder = source.release_url();
    let inline = format!(
        "{folder}{}",
        source.inrelease_path.as_deref().unwrap_or("InRelease")
    );
    let (signer, ring) = (source.clone(), Arc::clone(keyring));
    let (raw, accepted) = match conditional(downloads, &inline).await {
        Ok(raw) => {
            // Signatures take a processor for some milliseconds each.
            blocking(move || {
                let accepted = signed::accept_inline(&inline, &raw.bytes, &signer, &ring, now)?;
                Ok((raw, accepted))
            })
            .await?
        }
        Err(error) if is_absent(&error) => {
            let raw = match conditional(downloads, &format!("{folder}Release")).await {
                Ok(raw) => raw,
                Err(error) if is_absent(&error) && source.trusted == Some(true) => {
                    return without_release(downloads, source).await;
                }
                Err(error) => return Err(error),
            };
            let signature = signature(downloads, &format!("{folder}Release.gpg")).await?;
            blocking(move || {
                let accepted = signed::accept_detached(
                    &raw.url,
                    raw.bytes.clone(),
                    signature.as_deref(),
                    &signer,
                    &ring,
                    now,
                )?;
                Ok((raw, accepted))
            })
            .await?
        }
        Err(error) => return Err(error),
    };
    let Accepted {
        text,
        signers,
        warning,
    } = accepted;
    let file = release::parse(&text).map_err(|why| RepoError::malformed(raw.url.clone(), why))?;
    signed::check_dates(
        &raw.url,
        &file,
        source,
        settings,
        downloads.allow_expired(),
        now,
    )?;
    let digest = ContentDigest::of(&raw.bytes);
    remember(downloads, &raw).await;
    Ok(Fetched {
        file,
        url: raw.url,
        digest,
        signers,
        warning,
    })
}

/// Tells whether a file is not there. Some storage services say so with 403.
fn is_absent(error: &RepoError) -> bool {
    matches!(
        error,
        RepoError::NotFound { .. } | RepoError::Unauthorized { status: 403, .. }
    )
}

/// Fetches a small file, or takes it from the cache if the server says that it is still the same.
async fn conditional(downloads: &Downloads, url: &str) -> Result<Raw, RepoError> {
    let (cache, address) = (downloads.cache().clone(), url.to_owned());
    let known = blocking(move || {
        let Some(note) = cache.note(&address) else {
            return Ok(None);
        };
        let bytes = cache.read(note.digest, RELEASE_LIMIT)?;
        Ok(bytes.map(|bytes| (note, bytes)))
    })
    .await?;
    let note = known.as_ref().map(|(note, _)| note);
    let small = downloads.small(url, RELEASE_LIMIT, note).await?;
    match (small, known) {
        (Some(small), _) => {
            let note = (small.etag.is_some() || small.last_modified.is_some()).then(|| Note {
                url: url.to_owned(),
                etag: small.etag,
                last_modified: small.last_modified,
                digest: ContentDigest::of(&small.bytes),
            });
            Ok(Raw {
                url: url.to_owned(),
                bytes: small.bytes,
                note,
            })
        }
        (None, Some((_, bytes))) => {
            downloads.count_cached();
            Ok(Raw {
                url: url.to_owned(),
                bytes,
                note: None,
            })
        }
        (None, None) => Err(RepoError::malformed(
            url,
            "the server says that it is unchanged, but was not asked that",
        )),
    }
}

/// Keeps an accepted file for the next run; a cache that cannot be written costs only time.
async fn remember(downloads: &Downloads, raw: &Raw) {
    let Some(note) = raw.note.clone() else {
        return;
    };
    let (cache, bytes) = (downloads.cache().clone(), raw.bytes.clone());
    let kept = blocking(move || {
        cache.write(&bytes)?;
        cache.set_note(&note)
    });
    if let Err(error) = kept.await {
        tracing::debug!(%error, "a release file could not be kept in the cache");
    }
}

async fn signature(downloads: &Downloads, url: &str) -> Result<Option<Vec<u8>>, RepoError> {
    match downloads.small(url, SIGNATURE_LIMIT, None).await {
        Ok(small) => Ok(small.map(|small| small.bytes)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes up a release file for a repository that has none and is trusted anyway: its lists are fetched to learn their digests.
async fn without_release(downloads: &Downloads, source: &Source) -> Result<Fetched, RepoError> {
    let folder = source.release_url();
    let mut file = ReleaseFile::default();
    let mut lists = Vec::new();
    if source.is_flat() {
        lists.push("Packages".to_owned());
    }
    for component in &source.components {
        for architecture in &source.architectures {
            lists.push(format!("{component}/binary-{architecture}/Packages"));
        }
    }
    for list in lists {
        for suffix in [".xz", ".gz", ""] {
            let path = format!("{list}{suffix}");
            match downloads
                .unverified(&format!("{folder}{path}"), LIST_LIMIT)
                .await
            {
                Ok((digest, size)) => {
                    file.files.insert(path, (size, digest));
                    break;
                }
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
    if file.files.is_empty() {
        return Err(RepoError::NotFound {
            url: format!("{folder}Release"),
        });
    }
    let listed: BTreeMap<_, _> = file.files.iter().collect();
    let digest = ContentDigest::of(format!("{listed:?}").as_bytes());
    Ok(Fetched {
        warning: Some(format!(
            "{folder} has no release file and is used only because {} says that it is trusted",
            source.place
        )),
        file,
        url: String::new(),
        digest,
        signers: Vec::new(),
    })
}
