//! Reads manifests and blobs.

use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LINK};
use reqwest::{Method, Response, Url};
use reseal_oci::{Descriptor, Digest, Index, Kind, RawManifest};

use super::Remote;
use crate::client::Call;
use crate::error::StoreError;
use crate::store::{BlobReader, MANIFEST_LIMIT, Target};
use crate::verify;

const ACCEPTED: HeaderValue = HeaderValue::from_static(
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.oci.artifact.manifest.v1+json;q=0.5",
);
/// A registry that links pages in a circle is left after so many.
const MOST_PAGES: usize = 100;

pub(super) fn text(headers: &HeaderMap, name: impl reqwest::header::AsHeaderName) -> Option<&str> {
    headers
        .get(name)?
        .to_str()
        .ok()
        .map(str::trim)
        .filter(|value| !value.is_empty())
}

/// The digest that the registry says the content has; what is no digest counts as not said.
pub(super) fn content_digest(headers: &HeaderMap) -> Option<Digest> {
    text(headers, "docker-content-digest")?.parse().ok()
}

impl Remote {
    fn manifest_call(&self, method: Method, target: &Target) -> Result<Call<'_>, StoreError> {
        let call = Call::new(method, self.manifest_url(target)?, &self.pull);
        Ok(call.header(ACCEPT, ACCEPTED))
    }

    pub(super) async fn head_manifest(
        &self,
        target: &Target,
    ) -> Result<Option<Descriptor>, StoreError> {
        let call = self.manifest_call(Method::HEAD, target)?;
        let response = self.client.send(&call).await?;
        match response.status().as_u16() {
            200 => {}
            404 => return Ok(None),
            // Proxies that know no HEAD.
            405 | 501 => return Ok(self.get_manifest(target).await?.map(|raw| raw.descriptor())),
            _ => return Err(self.client.refusal(&call, response).await),
        }
        let headers = response.headers();
        // Not `content_length()`: of an answer to HEAD that is the length of no body.
        let size = text(headers, CONTENT_LENGTH)
            .and_then(|size| size.parse::<u64>().ok())
            .filter(|&size| size > 0);
        let media_type =
            text(headers, CONTENT_TYPE).map(|full| full.split(';').next().unwrap_or(full).trim());
        let media_type = media_type.filter(|media_type| media_type.starts_with("application/vnd."));
        let (Some(digest), Some(size), Some(media_type)) =
            (content_digest(headers), size, media_type)
        else {
            // The specification only recommends these headers: the manifest itself has no such choice.
            return Ok(self.get_manifest(target).await?.map(|raw| raw.descriptor()));
        };
        if let Target::Digest(asked) = target
            && asked.algorithm() == digest.algorithm()
            && *asked != digest
        {
            return Err(StoreError::mismatch(
                self.named(target),
                asked,
                digest.as_str(),
            ));
        }
        let digest = match target {
            Target::Digest(asked) => asked.clone(),
            Target::Tag(_) => digest,
        };
        Ok(Some(Descriptor::new(media_type, digest, size)))
    }

    pub(super) async fn get_manifest(
        &self,
        target: &Target,
    ) -> Result<Option<RawManifest>, StoreError> {
        let call = self.manifest_call(Method::GET, target)?;
        let what = self.named(target);
        let found = self
            .client
            .retrying(|| self.fetch(&call, &what, MANIFEST_LIMIT))
            .await?;
        let Some((headers, bytes)) = found else {
            return Ok(None);
        };
        let expected = match target {
            Target::Digest(asked) => Some(asked.clone()),
            Target::Tag(_) => content_digest(&headers),
        };
        if let Some(expected) = &expected {
            verify::check(&what, &bytes, expected)?;
        }
        let mut raw = RawManifest::new(text(&headers, CONTENT_TYPE).unwrap_or_default(), bytes);
        if raw
            .media_type
            .starts_with("application/vnd.docker.distribution.manifest.v1+")
        {
            let why = "it has Docker's schema 1, which cannot be patched; pull and push it with a current tool first".to_owned();
            return Err(StoreError::BadManifest { what, why });
        }
        if let Target::Digest(asked) = target {
            raw.digest = asked.clone();
        }
        Ok(Some(raw))
    }

    /// One try at a small body; `None` if there is nothing of that name.
    async fn fetch(
        &self,
        call: &Call<'_>,
        what: &str,
        limit: u64,
    ) -> Result<Option<(HeaderMap, Vec<u8>)>, StoreError> {
        let response = self.client.attempt(call).await?;
        match response.status().as_u16() {
            200 => {
                let headers = response.headers().clone();
                Ok(Some((
                    headers,
                    self.client.collect(response, what, limit).await?,
                )))
            }
            404 => {
                self.client.error_text(response).await;
                Ok(None)
            }
            _ => Err(self.client.refusal(call, response).await),
        }
    }

    pub(super) async fn get_blob(
        &self,
        digest: &Digest,
        limit: u64,
    ) -> Result<Vec<u8>, StoreError> {
        let call = Call::new(Method::GET, self.blob_url(digest)?, &self.pull);
        let what = self.named_blob(digest);
        let found = self
            .client
            .retrying(|| self.fetch(&call, &what, limit))
            .await?;
        let (_, bytes) = found.ok_or_else(|| StoreError::NotFound { what: what.clone() })?;
        verify::check(&what, &bytes, digest)?;
        Ok(bytes)
    }

    pub(super) async fn stream_blob(
        &self,
        descriptor: &Descriptor,
    ) -> Result<BlobReader, StoreError> {
        let what = self.named_blob(&descriptor.digest);
        super::download::open(
            &self.client,
            self.blob_url(&descriptor.digest)?,
            &self.pull,
            descriptor,
            what,
        )
        .await
    }

    pub(super) async fn head_blob(&self, digest: &Digest) -> Result<bool, StoreError> {
        let mut call = Call::new(Method::HEAD, self.blob_url(digest)?, &self.pull);
        // A redirect is answer enough, and its address is often signed for GET only.
        call.follow = false;
        let response = self.client.send(&call).await?;
        match response.status().as_u16() {
            200 | 301 | 302 | 303 | 307 | 308 => Ok(true),
            404 => Ok(false),
            _ => Err(self.client.refusal(&call, response).await),
        }
    }

    /// Asks the referrers API; `None` if the registry has none.
    pub(super) async fn list_referrers(
        &self,
        digest: &Digest,
    ) -> Result<Option<Vec<Descriptor>>, StoreError> {
        let what = format!("list of referrers of {digest} in {}", self.repository);
        let mut url = self.url(&format!("referrers/{digest}"))?;
        let mut all = Vec::new();
        for page in 0..MOST_PAGES {
            let call = Call::new(Method::GET, url.clone(), &self.pull).header(ACCEPT, ACCEPTED);
            let fetched = self
                .client
                .retrying(|| self.fetch(&call, &what, MANIFEST_LIMIT))
                .await;
            let (headers, bytes) = match fetched {
                Ok(Some(found)) => found,
                // The specification wants an empty list for what is unknown: 404 means that there is no such API.
                Ok(None)
                | Err(StoreError::Refused {
                    status: 400 | 405 | 406 | 501,
                    ..
                }) if page == 0 => return Ok(None),
                Ok(None) => return Err(StoreError::NotFound { what }),
                Err(error) => return Err(error),
            };
            let raw = RawManifest::new(text(&headers, CONTENT_TYPE).unwrap_or_default(), bytes);
            if page == 0 && raw.kind() == Kind::Other {
                // A page for people, or what a proxy answers to everything that it does not know.
                return Ok(None);
            }
            let index = Index::parse(&raw).map_err(|error| StoreError::BadManifest {
                what: what.clone(),
                why: error.to_string(),
            })?;
            all.extend(index.children);
            match next_page(&url, &headers) {
                None => return Ok(Some(all)),
                // The login goes along, so another host gets no request.
                Some(next) if next.origin() != url.origin() => {
                    return Err(self
                        .client
                        .nonsense("the next page of referrers is on another host"));
                }
                Some(next) => url = next,
            }
        }
        Err(self.client.nonsense("the list of referrers has no end"))
    }
}

/// Checks what the registry says about the digest of what it stored.
pub(super) fn check_stored(
    what: &str,
    response: &Response,
    expected: &Digest,
) -> Result<(), StoreError> {
    match content_digest(response.headers()) {
        Some(stored) if stored.algorithm() == expected.algorithm() && stored != *expected => Err(
            StoreError::mismatch(format!("{what}, as stored,"), expected, stored.as_str()),
        ),
        _ => Ok(()),
    }
}

/// Reads `Link: <…>; rel="next"` (RFC 8288).
fn next_page(url: &Url, headers: &HeaderMap) -> Option<Url> {
    headers
        .get_all(LINK)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .find_map(|value| {
            let (target, parameters) = value.trim().strip_prefix('<')?.split_once('>')?;
            let next = parameters.split(';').any(|parameter| {
                let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
                name.trim().eq_ignore_ascii_case("rel")
                    && value.trim().trim_matches('"').eq_ignore_ascii_case("next")
            });
            next.then(|| url.join(target).ok())?
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_read_from_the_link_header() {
        let url = Url::parse("https://r.example/v2/a/referrers/sha256:x").unwrap();
        for (link, expected) in [
            (
                r#"</v2/a/referrers/sha256:x?n=2>; rel="next""#,
                Some("https://r.example/v2/a/referrers/sha256:x?n=2"),
            ),
            (
                "<?n=3>;rel=next",
                Some("https://r.example/v2/a/referrers/sha256:x?n=3"),
            ),
            (r#"</x>; rel="prev""#, None),
            ("/x; rel=next", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(LINK, link.parse().unwrap());
            assert_eq!(
                next_page(&url, &headers).as_ref().map(Url::as_str),
                expected,
                "{link}"
            );
        }
    }
}
