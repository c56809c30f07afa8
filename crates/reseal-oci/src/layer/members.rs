//! The entries of a tar archive, one after the other, with what their extended headers say already put in.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use super::LayerError;
use super::header::{BLOCK, Block, Header, text};
use super::path::{PATH_LIMIT, check, clean};
use super::pax::Pax;
use super::sparse::{self, Failure, Segment};

/// Largest extended header that is read, in bytes; Go's reader has the same limit.
const EXTENSION_LIMIT: u64 = 1 << 20;
/// Most extended headers before one entry.
const EXTENSIONS: usize = 16;

/// A source in which bytes can be passed over.
pub(super) trait Source: Read {
    fn skip(&mut self, length: u64) -> io::Result<()>;
}

/// Passes over bytes by reading them.
pub(super) struct Forward<R>(pub(super) R);

impl<R: Read> Read for Forward<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R: Read> Source for Forward<R> {
    fn skip(&mut self, length: u64) -> io::Result<()> {
        let done = io::copy(&mut self.0.by_ref().take(length), &mut io::sink())?;
        if done == length {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
}

/// Passes over bytes by moving, but never past the end.
pub(super) struct Seeking<'a, T> {
    inner: BufReader<&'a mut T>,
    left: u64,
}

impl<'a, T: Read + Seek> Seeking<'a, T> {
    pub(super) fn new(inner: &'a mut T) -> io::Result<Self> {
        let left = inner.seek(SeekFrom::End(0))?;
        inner.seek(SeekFrom::Start(0))?;
        Ok(Self {
            inner: BufReader::with_capacity(64 << 10, inner),
            left,
        })
    }
}

impl<T: Read + Seek> Read for Seeking<'_, T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let done = self.inner.read(buffer)?;
        self.left = self.left.saturating_sub(done as u64);
        Ok(done)
    }
}

impl<T: Read + Seek> Source for Seeking<'_, T> {
    fn skip(&mut self, length: u64) -> io::Result<()> {
        let step = i64::try_from(length).ok().filter(|_| length <= self.left);
        self.inner
            .seek_relative(step.ok_or(io::ErrorKind::UnexpectedEof)?)?;
        self.left -= length;
        Ok(())
    }
}

/// What an entry is, before its name is given a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    File,
    Dir,
    Symlink,
    Hardlink,
    Char,
    Block,
    Fifo,
}

/// An entry.
#[derive(Debug, Clone)]
pub(super) struct Member {
    /// Clean and relative; empty for the root.
    pub(super) path: Vec<u8>,
    pub(super) kind: Type,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) mtime: i64,
    /// A clean path for hard links, the raw target for symbolic ones.
    pub(super) link: Vec<u8>,
    pub(super) device: (u32, u32),
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The file's size, with the holes of a sparse one.
    pub(super) size: u64,
    pub(super) data: Data,
    /// Where its first header begins.
    pub(super) offset: u64,
}

/// Where an entry's contents are.
#[derive(Debug, Clone, Default)]
pub(super) struct Data {
    pub(super) at: u64,
    pub(super) stored: u64,
    /// The pieces of a sparse file.
    pub(super) segments: Option<Vec<Segment>>,
}

impl Member {
    /// Roughly what it takes in memory beyond its fixed part.
    pub(super) fn weight(&self) -> u64 {
        let xattrs: usize = self
            .xattrs
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        let segments = self
            .data
            .segments
            .as_ref()
            .map_or(0, |segments| 16 * segments.len());
        (self.path.len() + self.link.len() + xattrs + segments) as u64
    }
}

/// Extended headers that wait for their entry.
#[derive(Debug, Default)]
struct Extensions {
    pax: Pax,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    count: usize,
}

/// Reads entries.
#[derive(Debug)]
pub(super) struct Members<S> {
    source: S,
    at: u64,
    /// Where the last entry began.
    started: u64,
    /// Bytes up to the next header.
    pending: u64,
}

impl<S: Source> Members<S> {
    pub(super) fn new(source: S) -> Self {
        Self {
            source,
            at: 0,
            started: 0,
            pending: 0,
        }
    }

    /// Returns the next entry; `None` at the end of the archive.
    pub(super) fn next(&mut self) -> Result<Option<Member>, LayerError> {
        self.skip_rest(self.started)?;
        let start = self.at;
        self.started = start;
        let mut extensions = Extensions::default();
        loop {
            let offset = self.at;
            let Some(block) = self.header_block(start)? else {
                return if extensions.count == 0 {
                    Ok(None)
                } else {
                    Err(LayerError::Truncated { offset: start })
                };
            };
            let header = Header::parse(&block, offset)?;
            match header.kind {
                b'x' => extensions.pax = Pax::parse(&self.extension(&header, offset)?, offset)?,
                b'L' => extensions.name = Some(text(&self.extension(&header, offset)?).to_vec()),
                b'K' => extensions.link = Some(text(&self.extension(&header, offset)?).to_vec()),
                // Runtimes pass over global headers and volume labels.
                b'g' | b'V' => {
                    self.pending = padded(size(&header, offset)?, offset)?;
                    self.skip_rest(offset)?;
                }
                _ => return self.member(&block, &header, extensions, start).map(Some),
            }
            extensions.count += 1;
            if extensions.count > EXTENSIONS {
                return Err(LayerError::Malformed {
                    offset: start,
                    why: "it has too many extended headers",
                });
            }
        }
    }

    /// Returns the contents of the entry that was read last.
    pub(super) fn contents(&mut self, member: &Member, limit: u64) -> Result<Vec<u8>, LayerError> {
        if member.size > limit {
            return Err(LayerError::too_large(&member.path, member.size, limit));
        }
        let mut out = Vec::new();
        let done = match &member.data.segments {
            Some(segments) => sparse::expand(&mut self.source, segments, member.size, &mut out),
            None => sparse::copy(&mut self.source, member.data.stored, &mut out),
        };
        done.map_err(|(Failure::Read(error) | Failure::Write(error))| {
            LayerError::read(error, member.offset)
        })?;
        self.at += member.data.stored;
        self.pending -= member.data.stored;
        Ok(out)
    }

    /// Reads a part of the contents of the entry that was read last, which the caller knows to be there.
    pub(super) fn read_contents(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let done = self.source.read(buffer)?;
        self.at += done as u64;
        self.pending -= done as u64;
        Ok(done)
    }

    /// Reads what follows the archive, so that a source which checks itself at its end does so.
    pub(super) fn drain(mut self) -> Result<(), LayerError> {
        io::copy(&mut self.source, &mut io::sink())
            .map(drop)
            .map_err(LayerError::Read)
    }

    fn skip_rest(&mut self, offset: u64) -> Result<(), LayerError> {
        self.source
            .skip(self.pending)
            .map_err(|error| LayerError::read(error, offset))?;
        self.at += self.pending;
        self.pending = 0;
        Ok(())
    }

    /// The next header; `None` where two blocks of zeros or nothing at all ends the archive.
    fn header_block(&mut self, offset: u64) -> Result<Option<Block>, LayerError> {
        let Some(block) = self.block(offset)? else {
            return Ok(None);
        };
        if block != [0; BLOCK] {
            return Ok(Some(block));
        }
        match self.block(offset)? {
            Some(second) if second != [0; BLOCK] => Err(LayerError::Malformed {
                offset: self.at - BLOCK as u64,
                why: "an entry follows the archive's end",
            }),
            _ => Ok(None),
        }
    }

    /// The next block; `None` at the end of the source.
    fn block(&mut self, offset: u64) -> Result<Option<Block>, LayerError> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.source.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(LayerError::Truncated { offset }),
                Ok(done) => filled += done,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(LayerError::read(error, offset)),
            }
        }
        self.at += BLOCK as u64;
        Ok(Some(block))
    }

    fn extension(&mut self, header: &Header, offset: u64) -> Result<Vec<u8>, LayerError> {
        let size = size(header, offset)?;
        if size > EXTENSION_LIMIT {
            return Err(LayerError::Malformed {
                offset,
                why: "its extended header is too large",
            });
        }
        self.pending = padded(size, offset)?;
        let mut out = Vec::new();
        let done = sparse::copy(&mut self.source, size, &mut out);
        done.map_err(|(Failure::Read(error) | Failure::Write(error))| {
            LayerError::read(error, offset)
        })?;
        self.at += size;
        self.pending -= size;
        self.skip_rest(offset)?;
        Ok(out)
    }

    fn member(
        &mut self,
        block: &Block,
        header: &Header,
        extensions: Extensions,
        offset: u64,
    ) -> Result<Member, LayerError> {
        let fail = |why| LayerError::Malformed { offset, why };
        let Extensions {
            pax, name, link, ..
        } = extensions;
        let pax_text = |key: &str, long: Option<Vec<u8>>, short| {
            pax.get(key).map(<[u8]>::to_vec).or(long).unwrap_or(short)
        };
        let raw_path = match pax.get("GNU.sparse.name") {
            Some(name) => name.to_vec(),
            None => pax_text("path", name, header.name.clone()),
        };
        let raw_link = pax_text("linkpath", link, header.link.clone());
        let kind = match header.kind {
            // Before POSIX, only the slash told a directory.
            0 if raw_path.last() == Some(&b'/') => Type::Dir,
            0 | b'0' | b'7' | b'S' => Type::File,
            b'1' => Type::Hardlink,
            b'2' => Type::Symlink,
            b'3' => Type::Char,
            b'4' => Type::Block,
            b'5' => Type::Dir,
            b'6' => Type::Fifo,
            _ => return Err(fail("it is of an unknown type")),
        };
        let id = |key, field: i64| -> Result<u64, LayerError> {
            let number = pax.number(key, offset)?.unwrap_or(field);
            u64::try_from(number).map_err(|_| fail("its owner is negative"))
        };
        let mtime = pax.number("mtime", offset)?.unwrap_or(header.mtime);
        let (uid, gid) = (id("uid", header.uid)?, id("gid", header.gid)?);
        let (size, data) = if kind == Type::File {
            let stored = u64::try_from(pax.number("size", offset)?.unwrap_or(header.size))
                .map_err(|_| fail("its size is negative"))?;
            self.data(block, header.kind, &pax, stored, offset)?
        } else {
            // Go's reader, and so every runtime, takes no contents for these whatever their size says.
            let at = self.at;
            (
                0,
                Data {
                    at,
                    ..Data::default()
                },
            )
        };
        let link = match kind {
            Type::Hardlink => clean(&raw_link, offset)?,
            Type::Symlink => {
                check(&raw_link, offset)?;
                raw_link
            }
            _ => Vec::new(),
        };
        let (mode, device) = (header.mode, header.device);
        let path = clean(&raw_path, offset)?;
        debug_assert!(path.len() <= PATH_LIMIT);
        Ok(Member {
            path,
            kind,
            mode,
            uid,
            gid,
            mtime,
            link,
            device,
            xattrs: pax.into_xattrs(),
            size,
            data,
            offset,
        })
    }

    /// Finds a file's contents, which for sparse files may follow a map. Sets what is to be passed over after them.
    fn data(
        &mut self,
        block: &Block,
        kind: u8,
        pax: &Pax,
        mut stored: u64,
        offset: u64,
    ) -> Result<(u64, Data), LayerError> {
        let malformed = LayerError::Malformed {
            offset,
            why: "the size of its sparse file is malformed",
        };
        let real = |key| {
            pax.number(key, offset)
                .map(|n| n.and_then(|n| u64::try_from(n).ok()))
        };
        let mut map = None;
        if kind == b'S' {
            map = Some(sparse::old(block, offset, || {
                self.block(offset)?.ok_or(LayerError::Truncated { offset })
            })?);
        } else if pax.get("GNU.sparse.major") == Some(b"1") {
            let size = real("GNU.sparse.realsize")?.ok_or(malformed)?;
            let (segments, taken) = sparse::leading(offset, || {
                self.block(offset)?.ok_or(LayerError::Truncated { offset })
            })?;
            let short = LayerError::Malformed {
                offset,
                why: "the map of its sparse file is longer than the file",
            };
            stored = stored.checked_sub(taken).ok_or(short)?;
            map = Some((segments, size));
        } else if let Some(size) = real("GNU.sparse.size")? {
            let segments = match pax.get("GNU.sparse.map") {
                Some(text) => sparse::list(text, offset)?,
                None => pax.segments.clone(),
            };
            map = Some((segments, size));
        }
        self.pending = padded(stored, offset)?;
        let (segments, size) =
            map.map_or((None, stored), |(segments, size)| (Some(segments), size));
        if let Some(segments) = &segments {
            sparse::check(segments, size, stored, offset)?;
        }
        Ok((
            size,
            Data {
                at: self.at,
                stored,
                segments,
            },
        ))
    }
}

fn size(header: &Header, offset: u64) -> Result<u64, LayerError> {
    u64::try_from(header.size).map_err(|_| LayerError::Malformed {
        offset,
        why: "its size is negative",
    })
}

/// The size in whole blocks.
fn padded(size: u64, offset: u64) -> Result<u64, LayerError> {
    size.checked_next_multiple_of(BLOCK as u64)
        .ok_or(LayerError::Malformed {
            offset,
            why: "its size is larger than any archive",
        })
}
