//! Reads package lists: unpacks, checks, keeps a form that unpacks fast, and hands out stanza by stanza.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::ops::ControlFlow;
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};
use memchr::memmem;
use tempfile::NamedTempFile;

use crate::cache::Cache;
use crate::digest::{ContentDigest, HasherAside};
use crate::error::RepoError;

const BUFFER: usize = 256 << 10;
/// The longest stanza of any archive is under 100 KiB.
const LONGEST_STANZA: usize = 4 << 20;
/// What a list may unpack to where the release file does not say.
const LIMIT: u64 = 2 << 30;
/// What the unpackers may need; lists that need more are not made by any archive.
const XZ_MEMORY: u64 = 80 << 20;
const ZSTD_WINDOW_LOG: u32 = 25;
/// Three times the speed of gzip at its size.
const LEVEL: i32 = 1;

/// Size and digest of an unpacked list, by the release file.
pub(super) type Plain = (u64, ContentDigest);

/// Reads a list that was recompressed earlier; `false` if there is none, or none that is whole. In that case `each` has seen
/// nothing that counts.
pub(super) fn read_kept(
    cache: &Cache,
    plain: Plain,
    each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<bool, RepoError> {
    let Some(file) = cache.open_plain(plain.1)? else {
        return Ok(false);
    };
    if matches!(unpack_kept(file, plain, each), Ok(true)) {
        return Ok(true);
    }
    cache.drop_plain(plain.1);
    Ok(false)
}

fn unpack_kept(
    file: File,
    plain: Plain,
    each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> io::Result<bool> {
    let mut tee = Tee::new(zstd::Decoder::new(file)?, None, plain.0)?;
    split(&mut tee, each)?;
    Ok(tee.finish()?.0 == plain)
}

/// Reads a fetched list, whose own digest has been checked, and keeps it in a form that unpacks faster. What `each` has seen
/// counts only if this returns without error.
pub(super) fn read_fetched(
    cache: &Cache,
    path: &Path,
    suffix: &str,
    plain: Option<Plain>,
    what: &str,
    each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<(), RepoError> {
    let broken = |error: &io::Error| RepoError::malformed(what, error.to_string());
    let file = File::open(path).map_err(|e| RepoError::file("read", path, &e))?;
    let reader = BufReader::with_capacity(BUFFER, file);
    let unpacked: Box<dyn Read> = match suffix {
        ".xz" => {
            let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)
                .map_err(|e| broken(&e.into()))?;
            Box::new(XzDecoder::new_stream(reader, stream))
        }
        ".gz" => Box::new(MultiGzDecoder::new(reader)),
        ".zst" => {
            let mut decoder = zstd::Decoder::with_buffer(reader).map_err(|e| broken(&e))?;
            decoder
                .window_log_max(ZSTD_WINDOW_LOG)
                .map_err(|e| broken(&e))?;
            Box::new(decoder)
        }
        _ => Box::new(reader),
    };
    let keep = match plain {
        Some(_) => Some(Keep::new(cache)?),
        None => None,
    };
    let limit = plain.map_or(LIMIT, |(size, _)| size);
    let mut tee = Tee::new(unpacked, keep, limit).map_err(|e| broken(&e))?;
    split(&mut tee, each).map_err(|e| broken(&e))?;
    let (found, keep) = tee.finish().map_err(|e| broken(&e))?;
    let Some(expected) = plain else {
        return Ok(());
    };
    if found.0 != expected.0 {
        return Err(RepoError::SizeMismatch {
            what: format!("{what}, unpacked,"),
            expected: expected.0,
            found: found.0,
        });
    }
    if found.1 != expected.1 {
        return Err(RepoError::DigestMismatch {
            what: format!("{what}, unpacked,"),
            expected: expected.1.to_string(),
            found: found.1.to_string(),
        });
    }
    if let Some(keep) = keep {
        keep.store(cache, expected.1);
    }
    Ok(())
}

/// Calls `each` with every stanza, until it says that it has seen enough. Most of a list is of no interest: it is not even
/// split into lines.
fn split(reader: &mut dyn Read, each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> io::Result<()> {
    let separator = memmem::Finder::new(b"\n\n");
    let mut buffer = vec![0; 2 * BUFFER];
    let mut filled = 0;
    loop {
        if buffer.len() - filled < BUFFER {
            if buffer.len() >= LONGEST_STANZA {
                return Err(io::Error::other("a paragraph is longer than 4 MiB"));
            }
            buffer.resize(2 * buffer.len(), 0);
        }
        let count = match reader.read(&mut buffer[filled..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result?,
        };
        // The separator may have begun with the last byte of the read before.
        let mut from = filled.saturating_sub(1);
        filled += count;
        let mut start = 0;
        while let Some(at) = separator.find(&buffer[from..filled]) {
            let end = from + at + 1;
            if pass(&buffer[start..end], each).is_break() {
                return Ok(());
            }
            // More empty lines are empty stanzas, which are left out.
            (start, from) = (end, end);
        }
        if count == 0 {
            let _ = pass(&buffer[start..filled], each);
            return Ok(());
        }
        buffer.copy_within(start..filled, 0);
        filled -= start;
    }
}

fn pass(stanza: &[u8], each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> ControlFlow<()> {
    let from = stanza.iter().position(|c| *c != b'\n');
    from.map_or(ControlFlow::Continue(()), |from| each(&stanza[from..]))
}

/// A recompressed copy that is being written. A full disk is no reason to stop: the copy is a convenience.
struct Keep(Option<zstd::Encoder<'static, NamedTempFile>>);

impl Keep {
    fn new(cache: &Cache) -> Result<Self, RepoError> {
        Ok(Self(zstd::Encoder::new(cache.temporary()?, LEVEL).ok()))
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(encoder) = &mut self.0
            && encoder.write_all(bytes).is_err()
        {
            self.0 = None;
        }
    }

    fn store(self, cache: &Cache, digest: ContentDigest) {
        let stored = self
            .0
            .and_then(|encoder| encoder.finish().ok())
            .is_some_and(|file| cache.store_plain(file, digest).is_ok());
        if !stored {
            tracing::debug!("a package list could not be kept in the cache");
        }
    }
}

/// A reader that computes the digest of what passes, keeps a copy, and ends one byte after the limit.
struct Tee<R> {
    inner: R,
    hasher: HasherAside,
    keep: Option<Keep>,
    size: u64,
    limit: u64,
}

impl<R: Read> Tee<R> {
    fn new(inner: R, keep: Option<Keep>, limit: u64) -> io::Result<Self> {
        Ok(Self {
            inner,
            hasher: HasherAside::start()?,
            keep,
            size: 0,
            limit,
        })
    }

    /// Reads what is left, up to the limit, and returns the size and the digest of all, and the copy.
    fn finish(mut self) -> io::Result<(Plain, Option<Keep>)> {
        let mut rest = vec![0; BUFFER];
        while self.read(&mut rest)? > 0 {}
        Ok(((self.size, self.hasher.finish()?), self.keep))
    }
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.size > self.limit {
            return Ok(0);
        }
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count])?;
        if let Some(keep) = &mut self.keep {
            keep.write(&buffer[..count]);
        }
        self.size += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn stanzas(text: &str, step: usize) -> Vec<String> {
        let mut out = Vec::new();
        split(&mut Slow(text.as_bytes(), step), &mut |stanza| {
            out.push(String::from_utf8(stanza.to_vec()).unwrap());
            ControlFlow::Continue(())
        })
        .unwrap();
        out
    }

    #[test]
    fn lists_are_split_the_same_wherever_reads_end() {
        for (text, expected) in [
            ("A: 1\nB: 2\n\nA: 3\n", vec!["A: 1\nB: 2\n", "A: 3\n"]),
            ("\n\nA: 1\n\n\n\nA: 2\n\n", vec!["A: 1\n", "A: 2\n"]),
            ("A: 1", vec!["A: 1"]),
            ("\n", vec![]),
            ("", vec![]),
        ] {
            for step in 1..=text.len().max(1) {
                assert_eq!(stanzas(text, step), expected, "{text:?} by {step}");
            }
        }
        let long = format!("A: {}\n", "x".repeat(3 * BUFFER));
        assert_eq!(
            stanzas(&format!("{long}\n{long}"), 100_000),
            [long.clone(), long]
        );
    }

    #[test]
    fn reading_stops_when_enough_was_seen_and_at_what_never_ends() {
        let mut seen = 0;
        split(&mut Slow(b"A: 1\n\nA: 2\n\n", 100), &mut |_| {
            seen += 1;
            ControlFlow::Break(())
        })
        .unwrap();
        assert_eq!(seen, 1);
        let endless = vec![b'x'; 2 * LONGEST_STANZA];
        let error = split(&mut endless.as_slice(), &mut |_| ControlFlow::Continue(()));
        assert!(error.unwrap_err().to_string().contains("4 MiB"));
    }
}
