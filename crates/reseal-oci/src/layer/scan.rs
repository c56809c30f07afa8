//! The table of contents of a layer in a file.

use std::io::{Read, Seek, SeekFrom, Write};

use super::LayerError;
use super::members::{Member, Members, Seeking, Type};
use super::path::{Meaning, meaning};
use super::sparse::{self, Failure};

/// Most entries that a patch may have.
const ENTRY_LIMIT: usize = 2_000_000;
/// Most memory for names and attributes of a patch, in bytes.
const WEIGHT_LIMIT: u64 = 256 << 20;

/// What an entry of a layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// One more name of a file.
    Hardlink,
    /// A character or block device.
    Device,
    /// A named pipe.
    Fifo,
    /// Hides a path of the lower layers.
    Whiteout,
    /// Hides what the lower layers have in a directory.
    Opaque,
}

/// An entry of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryInfo {
    /// The clean path relative to the root: for a whiteout what it hides, for an opaque marker its directory. Bytes that
    /// are not UTF-8 show as U+FFFD.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// The size of a regular file, in bytes.
    pub size: u64,
    /// The modification time, in seconds since 1970, fractions cut off.
    pub mtime: i64,
    /// The target of a symbolic or hard link.
    pub link: Option<String>,
}

/// The table of contents of a layer.
#[derive(Debug, Clone)]
pub struct Scan {
    /// The entries, in the archive's order.
    pub entries: Vec<EntryInfo>,
    /// The same entries as they stand in the archive.
    pub(super) items: Vec<Item>,
}

/// An entry with its meaning.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// As in [`EntryInfo::path`], in bytes.
    pub(super) path: Vec<u8>,
    pub(super) kind: EntryKind,
    pub(super) member: Member,
}

/// Reads the table of contents of an uncompressed layer.
///
/// # Errors
///
/// When the archive is malformed or unsafe, or has more entries than any patch.
pub fn scan<T: Read + Seek>(tar: &mut T) -> Result<Scan, LayerError> {
    let mut members = Members::new(Seeking::new(tar).map_err(LayerError::Read)?);
    let mut scan = Scan {
        entries: Vec::new(),
        items: Vec::new(),
    };
    let mut weight = 0;
    while let Some(mut member) = members.next()? {
        weight += member.weight();
        if scan.items.len() >= ENTRY_LIMIT {
            return Err(LayerError::TooMuch {
                what: "entries",
                limit: ENTRY_LIMIT as u64,
            });
        }
        if weight > WEIGHT_LIMIT {
            return Err(LayerError::TooMuch {
                what: "bytes of names and attributes",
                limit: WEIGHT_LIMIT,
            });
        }
        let (path, kind) = match meaning(&member.path, member.offset)? {
            Meaning::Ignored => continue,
            Meaning::Whiteout(path) => (path, EntryKind::Whiteout),
            Meaning::Opaque(path) => (path, EntryKind::Opaque),
            Meaning::Plain => (std::mem::take(&mut member.path), kind(member.kind)),
        };
        let link =
            (!member.link.is_empty()).then(|| String::from_utf8_lossy(&member.link).into_owned());
        let text = String::from_utf8_lossy(&path).into_owned();
        scan.entries.push(EntryInfo {
            path: text,
            kind,
            size: member.size,
            mtime: member.mtime,
            link,
        });
        scan.items.push(Item { path, kind, member });
    }
    Ok(scan)
}

pub(super) fn kind(kind: Type) -> EntryKind {
    match kind {
        Type::File => EntryKind::File,
        Type::Dir => EntryKind::Dir,
        Type::Symlink => EntryKind::Symlink,
        Type::Hardlink => EntryKind::Hardlink,
        Type::Char | Type::Block => EntryKind::Device,
        Type::Fifo => EntryKind::Fifo,
    }
}

/// Returns the contents of a file of a scanned layer; `None` when it has no regular file of that path.
///
/// Hard links within the layer are followed, symbolic ones are not.
///
/// # Errors
///
/// When the file is larger than `limit` bytes or cannot be read.
pub fn read_entry<T: Read + Seek>(
    tar: &mut T,
    scan: &Scan,
    path: &str,
    limit: u64,
) -> Result<Option<Vec<u8>>, LayerError> {
    let find = |path: &[u8]| {
        let plain = |item: &&Item| !matches!(item.kind, EntryKind::Whiteout | EntryKind::Opaque);
        scan.items
            .iter()
            .rev()
            .filter(plain)
            .find(|item| item.path == path)
    };
    let mut item = find(path.as_bytes());
    for _ in 0..40 {
        match item {
            Some(link) if link.kind == EntryKind::Hardlink => item = find(&link.member.link),
            _ => break,
        }
    }
    let Some(item) = item.filter(|item| item.kind == EntryKind::File) else {
        return Ok(None);
    };
    if item.member.size > limit {
        return Err(LayerError::too_large(
            path.as_bytes(),
            item.member.size,
            limit,
        ));
    }
    let mut out = Vec::new();
    copy_contents(tar, &item.member, &mut out)?;
    Ok(Some(out))
}

/// Copies a file's contents out of the archive, holes as zeros.
pub(super) fn copy_contents<T: Read + Seek>(
    tar: &mut T,
    member: &Member,
    sink: &mut impl Write,
) -> Result<(), LayerError> {
    let data = &member.data;
    tar.seek(SeekFrom::Start(data.at))
        .map_err(LayerError::Read)?;
    let done = match &data.segments {
        Some(segments) => sparse::expand(tar, segments, member.size, sink),
        None => sparse::copy(tar, data.stored, sink),
    };
    done.map_err(|failure| match failure {
        Failure::Read(error) => LayerError::read(error, member.offset),
        Failure::Write(error) => LayerError::Write(error),
    })
}
