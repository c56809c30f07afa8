//! Writes blobs and manifests.

use std::io::SeekFrom;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderValue, LOCATION, RANGE};
use reqwest::{Method, Response, Url};
use reseal_oci::{Descriptor, Digest, RawManifest, Repository};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;

use super::Remote;
use super::pull::{check_stored, text};
use crate::auth::scope::Scopes;
use crate::client::{Call, Client, Payload, Pulse, Upload};
use crate::error::{Class, StoreError};
use crate::store::{BlobReader, BlobSource, Counters, MANIFEST_LIMIT, Target};
use crate::verify::{self, Verified};

/// How much is read and sent at once.
const PIECE: usize = 128 * 1024;
/// What a registry with the referrers API answers when it stores a manifest that has a subject.
const SUBJECT: &str = "oci-subject";
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Where an upload stands.
enum Place {
    /// There is no session at the registry.
    New,
    /// There is one, with nothing in it.
    Fresh(Url),
    /// There is one, and what is in it only the registry knows.
    Unsure(Url),
}

impl Remote {
    /// Stores a manifest, and returns the subject that the registry says it has listed it for.
    pub(super) async fn send_manifest(
        &self,
        raw: &RawManifest,
        target: &Target,
    ) -> Result<Option<Digest>, StoreError> {
        let what = self.named(target);
        if raw.bytes.len() as u64 > MANIFEST_LIMIT {
            return Err(StoreError::TooLarge {
                what,
                limit: MANIFEST_LIMIT,
            });
        }
        let expected = match target {
            Target::Digest(digest) => digest,
            Target::Tag(_) => &raw.digest,
        };
        verify::check(&what, &raw.bytes, expected)?;
        let media_type =
            HeaderValue::from_str(&raw.media_type).map_err(|_| StoreError::BadManifest {
                what: what.clone(),
                why: "its media type has characters that no header can have".to_owned(),
            })?;
        let call = Call::new(Method::PUT, self.manifest_url(target)?, &self.push)
            .header(CONTENT_TYPE, media_type)
            .body(Payload::Bytes(Bytes::copy_from_slice(&raw.bytes)));
        let response = self.client.send(&call).await?;
        match response.status().as_u16() {
            200..=202 => {
                check_stored(&what, &response, expected)?;
                Ok(text(response.headers(), SUBJECT).and_then(|digest| digest.parse().ok()))
            }
            _ => Err(self.client.refusal(&call, response).await),
        }
    }

    pub(super) async fn try_mount(
        &self,
        digest: &Digest,
        from: &Repository,
    ) -> Result<bool, StoreError> {
        if from.registry() != self.repository.registry() {
            return Ok(false);
        }
        let mut url = self.url("blobs/uploads/")?;
        url.query_pairs_mut()
            .append_pair("mount", digest.as_str())
            .append_pair("from", from.path());
        let scopes = self.push.clone().and(&Scopes::pull(from.path()));
        let call = Call::new(Method::POST, url, &scopes);
        match self.client.send(&call).await {
            Ok(response) => match response.status().as_u16() {
                201 => check_stored(&self.named_blob(digest), &response, digest).map(|()| true),
                202 => {
                    let session = self.location(&call.url, &response)?;
                    self.sessions().insert(digest.clone(), session);
                    Ok(false)
                }
                status => {
                    tracing::debug!(status, %digest, %from, "the registry does not mount");
                    self.client.error_text(response).await;
                    Ok(false)
                }
            },
            // Perhaps only the source is out of reach; if it is the destination, the upload will say so better.
            Err(error) if error.class() == Class::Auth => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn upload(
        &self,
        descriptor: &Descriptor,
        source: &BlobSource<'_>,
    ) -> Result<(), StoreError> {
        check_size(descriptor, source).await?;
        let waiting = self.sessions().remove(&descriptor.digest);
        // Sessions that were not opened just now may have ended, or hold something else than we believe.
        let mut second_hand = waiting.is_some();
        let mut place = waiting.map_or(Place::New, Place::Fresh);
        let mut attempt = 0;
        loop {
            second_hand |= matches!(place, Place::Unsure(_));
            match self.upload_once(&mut place, descriptor, source).await {
                Ok(()) => return Ok(()),
                Err(error) if self.client.pause(&error, attempt).await => attempt += 1,
                Err(
                    error @ StoreError::Refused {
                        status: 400 | 404 | 416,
                        ..
                    },
                ) if second_hand => {
                    tracing::debug!(%error, digest = %descriptor.digest, "begins the upload again");
                    second_hand = false;
                    place = Place::New;
                    attempt = self.client.shared.settings.retries;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn upload_once(
        &self,
        place: &mut Place,
        descriptor: &Descriptor,
        source: &BlobSource<'_>,
    ) -> Result<(), StoreError> {
        let known = match std::mem::replace(place, Place::New) {
            Place::New => None,
            Place::Fresh(session) => Some((session, 0)),
            Place::Unsure(session) => {
                // If asking fails, the session must be asked again.
                *place = Place::Unsure(session.clone());
                let progress = self.progress(&session, descriptor.size).await?;
                *place = Place::New;
                // A session that has gone may have ended well, with its answer lost.
                if progress.is_none() && self.head_blob(&descriptor.digest).await? {
                    return Ok(());
                }
                progress
            }
        };
        let (session, offset) = match known {
            Some(known) => known,
            None => (self.begin().await?, 0),
        };
        *place = Place::Unsure(session.clone());
        let part = Part {
            client: &self.client,
            what: self.named_blob(&descriptor.digest),
            source,
            descriptor,
            offset,
            failure: Arc::default(),
        };
        if offset == 0 {
            return self
                .finish(session, descriptor, Payload::Upload(&part))
                .await;
        }
        tracing::debug!(offset, size = descriptor.size, digest = %descriptor.digest, "resumes an upload");
        let mut end = session;
        if offset < descriptor.size {
            end = self.append(&end, &part).await?;
            *place = Place::Unsure(end.clone());
        }
        self.finish(end, descriptor, Payload::None).await
    }

    /// Opens a session.
    async fn begin(&self) -> Result<Url, StoreError> {
        let call = Call::new(Method::POST, self.url("blobs/uploads/")?, &self.push);
        let response = self.client.attempt(&call).await?;
        match response.status().as_u16() {
            202 => self.location(&call.url, &response),
            _ => Err(self.client.refusal(&call, response).await),
        }
    }

    /// Asks how many bytes a session has; `None` if it is better to begin a new one.
    async fn progress(&self, session: &Url, size: u64) -> Result<Option<(Url, u64)>, StoreError> {
        let mut call = Call::new(Method::GET, session.clone(), &self.push);
        call.follow = false;
        let response = self.client.attempt(&call).await?;
        if !matches!(response.status().as_u16(), 202 | 204) {
            self.client.error_text(response).await;
            return Ok(None);
        }
        let range = text(response.headers(), RANGE).map(|range| range.trim_start_matches("bytes="));
        let last = range
            .and_then(|range| range.strip_prefix("0-"))
            .and_then(|last| last.parse::<u64>().ok());
        // `0-0` is said for one byte and for none.
        let Some(offset) = last
            .filter(|&last| last > 0 && last < size)
            .map(|last| last + 1)
        else {
            return Ok(None);
        };
        let session = if response.headers().contains_key(LOCATION) {
            self.location(session, &response)?
        } else {
            session.clone()
        };
        Ok(Some((session, offset)))
    }

    /// Sends the rest of a blob to a session.
    async fn append(&self, session: &Url, part: &Part<'_, '_>) -> Result<Url, StoreError> {
        let range = format!("{}-{}", part.offset, part.descriptor.size.saturating_sub(1));
        let call = Call::new(Method::PATCH, session.clone(), &self.push)
            .header(CONTENT_TYPE, OCTETS)
            .header(
                CONTENT_RANGE,
                HeaderValue::try_from(range).expect("digits are valid in a header"),
            )
            .body(Payload::Upload(part));
        let response = self.client.attempt(&call).await?;
        match response.status().as_u16() {
            202 | 204 => self.location(session, &response),
            _ => Err(self.client.refusal(&call, response).await),
        }
    }

    /// Ends a session: what it has, with the body, is the blob.
    async fn finish(
        &self,
        mut session: Url,
        descriptor: &Descriptor,
        body: Payload<'_>,
    ) -> Result<(), StoreError> {
        session
            .query_pairs_mut()
            .append_pair("digest", descriptor.digest.as_str());
        let call = Call::new(Method::PUT, session, &self.push)
            .header(CONTENT_TYPE, OCTETS)
            .body(body);
        let response = self.client.attempt(&call).await?;
        match response.status().as_u16() {
            200 | 201 | 204 => check_stored(
                &self.named_blob(&descriptor.digest),
                &response,
                &descriptor.digest,
            ),
            _ => Err(self.client.refusal(&call, response).await),
        }
    }

    /// Reads where a session goes on. The address may be relative, and carries a state that is the registry's own.
    fn location(&self, asked: &Url, response: &Response) -> Result<Url, StoreError> {
        let mut url = text(response.headers(), LOCATION)
            .and_then(|location| asked.join(location).ok())
            .ok_or_else(|| self.client.nonsense("an upload without a valid location"))?;
        // A registry behind a proxy that ends TLS often does not know its own scheme.
        if asked.scheme() == "https" && url.scheme() == "http" && url.host_str() == asked.host_str()
        {
            let port = url.port().filter(|&port| port != 80).or(asked.port());
            if url.set_scheme("https").is_err() || url.set_port(port).is_err() {
                return Err(self.client.nonsense("an upload without a valid location"));
            }
        }
        self.client.refuse_downgrade(asked, &url)?;
        Ok(url)
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, std::collections::BTreeMap<Digest, Url>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A blob from `offset` on, as the body of a request.
struct Part<'a, 'b> {
    client: &'a Client,
    what: String,
    source: &'a BlobSource<'b>,
    descriptor: &'a Descriptor,
    offset: u64,
    failure: Arc<Mutex<Option<StoreError>>>,
}

#[async_trait]
impl Upload for Part<'_, '_> {
    async fn open(&self, pulse: &Pulse) -> Result<reqwest::Body, StoreError> {
        let reader = open_at(self.source, self.offset).await?;
        // A part cannot be checked here; the registry checks the whole.
        let reader: BlobReader = if self.offset == 0 {
            let what = format!("the content to upload as {}", self.what);
            Box::pin(Verified::new(
                reader,
                what,
                self.descriptor.digest.clone(),
                self.descriptor.size,
            ))
        } else {
            Box::pin(reader.take(self.length()))
        };
        let (pulse, failure, what) = (pulse.clone(), Arc::clone(&self.failure), self.what.clone());
        let (counts, shared) = (
            Arc::clone(&self.client.counts),
            Arc::clone(&self.client.shared),
        );
        let pieces = ReaderStream::with_capacity(reader, PIECE)
            .inspect_ok(move |piece| {
                pulse.beat();
                Counters::add(&counts.bytes_out, piece.len());
                Counters::add(&shared.totals.bytes_out, piece.len());
            })
            .map_err(move |error| {
                let error = StoreError::from_read(&what, error);
                let text = error.to_string();
                *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                std::io::Error::other(text)
            });
        Ok(reqwest::Body::wrap_stream(pieces))
    }

    fn length(&self) -> u64 {
        self.descriptor.size - self.offset
    }

    fn failure(&self) -> Option<StoreError> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

async fn open_at(source: &BlobSource<'_>, offset: u64) -> Result<BlobReader, StoreError> {
    match source {
        BlobSource::Bytes(bytes) => {
            let start = usize::try_from(offset)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            Ok(Box::pin(std::io::Cursor::new(bytes.slice(start..))))
        }
        BlobSource::File(path) => {
            let read = |error| StoreError::file("read", path, &error);
            let mut file = tokio::fs::File::open(path).await.map_err(read)?;
            file.seek(SeekFrom::Start(offset)).await.map_err(read)?;
            Ok(Box::pin(file))
        }
        BlobSource::Stream(open) => {
            let mut reader = open().await?;
            let skipped =
                tokio::io::copy(&mut (&mut reader).take(offset), &mut tokio::io::sink()).await;
            skipped.map_err(|error| StoreError::from_read("the content to upload", error))?;
            Ok(reader)
        }
    }
}

/// Finds out before the first request that the content cannot be what the descriptor says.
async fn check_size(descriptor: &Descriptor, source: &BlobSource<'_>) -> Result<(), StoreError> {
    let found = match source {
        BlobSource::Bytes(bytes) => bytes.len() as u64,
        BlobSource::File(path) => tokio::fs::metadata(path)
            .await
            .map_err(|error| StoreError::file("read", path, &error))?
            .len(),
        BlobSource::Stream(_) => return Ok(()),
    };
    if found == descriptor.size {
        return Ok(());
    }
    let what = format!("the content to upload as blob {}", descriptor.digest);
    Err(StoreError::SizeMismatch {
        what,
        expected: descriptor.size,
        found,
    })
}
