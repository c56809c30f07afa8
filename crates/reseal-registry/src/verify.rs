//! Checks size and digest of content while it passes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use reseal_oci::Digest;
use sha2::{Digest as _, Sha256, Sha512};
use tokio::io::{AsyncRead, ReadBuf};

use crate::error::StoreError;

/// A running digest of either algorithm that a [`Digest`] can have.
#[derive(Clone)]
pub(crate) enum Running {
    Sha256(Sha256),
    Sha512(Box<Sha512>),
}

impl Running {
    pub(crate) fn like(expected: &Digest) -> Self {
        if expected.algorithm() == "sha512" {
            Self::Sha512(Box::default())
        } else {
            Self::Sha256(Sha256::new())
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::Sha512(hash) => hash.update(bytes),
        }
    }

    pub(crate) fn finish(&self) -> String {
        use std::fmt::Write as _;
        let (name, sum) = match self {
            Self::Sha256(hash) => ("sha256", hash.clone().finalize().to_vec()),
            Self::Sha512(hash) => ("sha512", hash.clone().finalize().to_vec()),
        };
        sum.iter().fold(format!("{name}:"), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// Checks bytes in memory.
pub(crate) fn check(what: &str, bytes: &[u8], expected: &Digest) -> Result<(), StoreError> {
    let mut running = Running::like(expected);
    running.update(bytes);
    let found = running.finish();
    if found == expected.as_str() {
        Ok(())
    } else {
        Err(StoreError::mismatch(what, expected, found))
    }
}

/// Passes bytes through. The last ones come only if the digest is right, because a reader that knows the size may not ask for
/// the end; a byte too many or too few is an error too.
pub(crate) struct Verified<R> {
    inner: R,
    what: String,
    expected: Digest,
    size: u64,
    seen: u64,
    running: Running,
    checked: bool,
}

impl<R> Verified<R> {
    pub(crate) fn new(inner: R, what: String, expected: Digest, size: u64) -> Self {
        let running = Running::like(&expected);
        Self {
            inner,
            what,
            expected,
            size,
            seen: 0,
            running,
            checked: false,
        }
    }

    /// Judges what was read so far; `ended` says that there is no more.
    fn verdict(&mut self, ended: bool) -> Result<(), StoreError> {
        if self.seen > self.size || ended && self.seen < self.size {
            return Err(StoreError::SizeMismatch {
                what: self.what.clone(),
                expected: self.size,
                found: self.seen,
            });
        }
        if self.seen < self.size || self.checked {
            return Ok(());
        }
        self.checked = true;
        let found = self.running.finish();
        if found == self.expected.as_str() {
            Ok(())
        } else {
            Err(StoreError::mismatch(
                self.what.clone(),
                &self.expected,
                found,
            ))
        }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Verified<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        match Pin::new(&mut self.inner).poll_read(context, buffer) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => {}
        }
        let fresh = &buffer.filled()[before..];
        let count = fresh.len() as u64;
        self.running.update(fresh);
        self.seen += count;
        if let Err(error) = self.verdict(count == 0) {
            buffer.set_filled(before);
            return Poll::Ready(Err(io::Error::other(error)));
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    async fn read(
        content: &'static [u8],
        expected: &[u8],
        size: u64,
    ) -> Result<Vec<u8>, StoreError> {
        let mut reader = Verified::new(content, "blob".into(), Digest::of(expected), size);
        let mut out = Vec::new();
        match reader.read_to_end(&mut out).await {
            Ok(_) => Ok(out),
            Err(error) => Err(StoreError::from_read("blob", error)),
        }
    }

    #[tokio::test]
    async fn a_stream_ends_well_only_with_the_right_size_and_digest() {
        assert_eq!(read(b"hello", b"hello", 5).await.unwrap(), b"hello");
        assert_eq!(read(b"", b"", 0).await.unwrap(), b"");
        assert!(matches!(
            read(b"hello", b"hallo", 5).await,
            Err(StoreError::DigestMismatch { .. })
        ));
        assert!(matches!(
            read(b"hell", b"hello", 5).await,
            Err(StoreError::SizeMismatch {
                expected: 5,
                found: 4,
                ..
            })
        ));
        assert!(matches!(
            read(b"hello!", b"hello", 5).await,
            Err(StoreError::SizeMismatch { .. })
        ));
    }

    #[test]
    fn sha512_is_checked_with_sha512() {
        let digest: Digest = "sha512:9b71d224bd62f3785d96d46ad3ea3d73319bfbc2890caadae2dff72519673ca72323c3d99ba5c11d7c7acc6e14b8c5da0c4663475c2e5c3adef46f73bcdec043"
            .parse()
            .unwrap();
        check("x", b"hello", &digest).unwrap();
        assert!(check("x", b"hallo", &digest).is_err());
    }
}
