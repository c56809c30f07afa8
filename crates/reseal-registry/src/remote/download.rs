//! Streams one blob; a connection that breaks is taken up where it broke.

use bytes::{Buf as _, Bytes};
use futures_util::stream;
use reqwest::header::{CONTENT_RANGE, HeaderValue, RANGE};
use reqwest::{Method, Response, Url};
use reseal_oci::Descriptor;
use tokio_util::io::StreamReader;

use super::pull::text;
use crate::auth::scope::Scopes;
use crate::client::{Call, Client};
use crate::error::StoreError;
use crate::store::BlobReader;
use crate::verify::Verified;

struct Download {
    client: Client,
    url: Url,
    scopes: Scopes,
    what: String,
    size: u64,
    /// Bytes given out.
    offset: u64,
    /// Bytes of the current answer that were given out before.
    skip: u64,
    attempt: u32,
    response: Option<Response>,
}

pub(super) async fn open(
    client: &Client,
    url: Url,
    scopes: &Scopes,
    descriptor: &Descriptor,
    what: String,
) -> Result<BlobReader, StoreError> {
    let mut download = Download {
        client: client.clone(),
        url,
        scopes: scopes.clone(),
        what: what.clone(),
        size: descriptor.size,
        offset: 0,
        skip: 0,
        attempt: 0,
        response: None,
    };
    // What is missing or forbidden shows now, not at the first read.
    while let Err(error) = download.connect().await {
        if !client.pause(&error, download.attempt).await {
            return Err(error);
        }
        download.attempt += 1;
    }
    let pieces = stream::try_unfold(download, |mut download| async move {
        let piece = download.next().await.map_err(std::io::Error::other)?;
        Ok::<_, std::io::Error>(piece.map(|piece| (piece, download)))
    });
    let reader = StreamReader::new(Box::pin(pieces));
    Ok(Box::pin(Verified::new(
        reader,
        what,
        descriptor.digest.clone(),
        descriptor.size,
    )))
}

impl Download {
    async fn connect(&mut self) -> Result<(), StoreError> {
        let mut call = Call::new(Method::GET, self.url.clone(), &self.scopes);
        if self.offset > 0 {
            let range = HeaderValue::try_from(format!("bytes={}-", self.offset))
                .expect("digits are valid in a header");
            call = call.header(RANGE, range);
        }
        let response = self.client.attempt(&call).await?;
        match response.status().as_u16() {
            200 => {
                if let Some(found) = response.content_length()
                    && found != self.size
                {
                    return Err(StoreError::SizeMismatch {
                        what: self.what.clone(),
                        expected: self.size,
                        found,
                    });
                }
                self.skip = self.offset;
            }
            206 if starts_at(&response) == Some(self.offset) => self.skip = 0,
            206 => {
                return Err(self
                    .client
                    .nonsense("another range than the one that was asked for"));
            }
            404 => {
                self.client.error_text(response).await;
                return Err(StoreError::NotFound {
                    what: self.what.clone(),
                });
            }
            _ => return Err(self.client.refusal(&call, response).await),
        }
        self.response = Some(response);
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        loop {
            match self.piece().await {
                Ok(piece) => return Ok(piece),
                Err(error) => {
                    self.response = None;
                    if !self.client.pause(&error, self.attempt).await {
                        return Err(error);
                    }
                    self.attempt += 1;
                }
            }
        }
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, StoreError> {
        if self.response.is_none() {
            self.connect().await?;
        }
        let Some(response) = &mut self.response else {
            return Ok(None);
        };
        while let Some(mut piece) = self.client.chunk(response).await? {
            let known = usize::try_from(self.skip)
                .unwrap_or(usize::MAX)
                .min(piece.len());
            piece.advance(known);
            self.skip -= known as u64;
            if !piece.is_empty() {
                self.offset += piece.len() as u64;
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }
}

/// Reads where a partial answer starts: `Content-Range: bytes 500-999/1000`.
fn starts_at(response: &Response) -> Option<u64> {
    let range = text(response.headers(), CONTENT_RANGE)?.strip_prefix("bytes ")?;
    range.split('-').next()?.trim().parse().ok()
}
