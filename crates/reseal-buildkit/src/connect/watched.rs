//! Remembers how a byte stream ended: the layers above report that it did, and mostly forget why.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::channel::BoxIo;
use super::error::causes;

/// Why a stream ended, once it has.
#[derive(Debug, Clone, Default)]
pub(super) struct End(Arc<Mutex<Option<String>>>);

impl End {
    /// Returns the first thing that went wrong, or the orderly end.
    pub(super) fn get(&self) -> Option<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn note(&self, why: impl FnOnce() -> String) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_with(why);
    }

    fn note_error<T>(&self, result: &Poll<io::Result<T>>) {
        if let Poll::Ready(Err(error)) = result {
            self.note(|| causes(error));
        }
    }
}

/// A stream that notes its end.
pub(super) struct Watched {
    inner: BoxIo,
    end: End,
}

impl Watched {
    pub(super) fn new(inner: BoxIo) -> (Self, End) {
        let end = End::default();
        (
            Self {
                inner,
                end: end.clone(),
            },
            end,
        )
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (room, before) = (buffer.remaining(), buffer.filled().len());
        let result = Pin::new(&mut self.inner).poll_read(cx, buffer);
        self.end.note_error(&result);
        if matches!(result, Poll::Ready(Ok(()))) && room > 0 && buffer.filled().len() == before {
            self.end.note(|| "the other side closed it".to_owned());
        }
        result
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.end.note_error(&result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.end.note_error(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_flush(cx);
        self.end.note_error(&result);
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
