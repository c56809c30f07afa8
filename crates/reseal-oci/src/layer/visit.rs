//! Shows every member of a tar archive while it streams by, with access to its contents.

use std::borrow::Cow;
use std::io::{self, BufReader, Read};

use super::members::{Forward, Member, Members, Source, Type};
use super::path::{self, meaning};
use super::scan::kind;
use super::sparse::Segment;
use super::{EntryKind, LayerError};

/// What names that begin with `.wh.` mean in an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Meaning {
    /// An image's layer: they are whiteouts and opaque markers, and names that are not UTF-8 show with U+FFFD, because
    /// nobody may ask for them but directories must not look empty.
    Layer,
    /// Any other archive, such as a package's: they are names like all others, and one that is not UTF-8 is an error,
    /// because what it names could not be written again.
    Plain,
}

/// A member of an archive.
#[derive(Debug)]
pub struct Visited<'a> {
    /// The clean path relative to the root, which is empty itself: for a whiteout what it hides, for an opaque marker its
    /// directory.
    pub path: &'a str,
    /// What it is.
    pub kind: EntryKind,
    /// Tells a block device from a character device.
    pub block: bool,
    /// The twelve permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u64,
    /// The owner's group.
    pub gid: u64,
    /// The size of a regular file in bytes, holes included; zero for all else.
    pub size: u64,
    /// The modification time, in seconds since 1970, fractions cut off.
    pub mtime: i64,
    /// The target of a symbolic link as it stands, and that of a hard link as a clean path.
    pub link: Option<&'a str>,
    /// The major and minor number of a device.
    pub device: (u32, u32),
    /// The extended attributes, by name.
    pub xattrs: Vec<(&'a [u8], &'a [u8])>,
}

/// Shows every member of an uncompressed tar to `each`, in the archive's order, and reads the archive to its end.
///
/// The second argument of `each` reads the member's contents, with the holes of sparse files as zeros; what is left
/// unread is passed over. A claimed size may be far larger than the archive where a file is sparse, so whoever reads
/// contents has to have a limit.
///
/// # Errors
///
/// When the archive is malformed, has an unsafe path or ends early, and whatever `each` returns.
pub fn visit<R: Read>(
    tar: R,
    names: Meaning,
    each: &mut dyn FnMut(&Visited<'_>, &mut dyn Read) -> Result<(), LayerError>,
) -> Result<(), LayerError> {
    try_visit(tar, names, each)
}

/// As [`visit`], for callers with errors of their own.
///
/// # Errors
///
/// When the archive is malformed, has an unsafe path or ends early, and whatever `each` returns.
pub fn try_visit<R: Read, E: From<LayerError>>(
    tar: R,
    names: Meaning,
    each: &mut dyn FnMut(&Visited<'_>, &mut dyn Read) -> Result<(), E>,
) -> Result<(), E> {
    let mut members = Members::new(Forward(BufReader::with_capacity(64 << 10, tar)));
    while let Some(member) = members.next()? {
        let place = match names {
            Meaning::Plain => path::Meaning::Plain,
            Meaning::Layer => meaning(&member.path, member.offset)?,
        };
        let (path, kind) = match &place {
            path::Meaning::Ignored => continue,
            path::Meaning::Plain => (&member.path, kind(member.kind)),
            path::Meaning::Whiteout(path) => (path, EntryKind::Whiteout),
            path::Meaning::Opaque(path) => (path, EntryKind::Opaque),
        };
        show(&mut members, &member, path, kind, names, each)?;
    }
    members.drain()?;
    Ok(())
}

fn show<S: Source, E: From<LayerError>>(
    members: &mut Members<S>,
    member: &Member,
    path: &[u8],
    kind: EntryKind,
    names: Meaning,
    each: &mut dyn FnMut(&Visited<'_>, &mut dyn Read) -> Result<(), E>,
) -> Result<(), E> {
    let text = |bytes| text(bytes, names, member.offset);
    let path = text(path)?;
    let link = if member.link.is_empty() && member.kind != Type::Symlink {
        None
    } else {
        Some(text(&member.link)?)
    };
    let visited = Visited {
        path: &path,
        kind,
        block: member.kind == Type::Block,
        mode: member.mode,
        uid: member.uid,
        gid: member.gid,
        size: member.size,
        mtime: member.mtime,
        link: link.as_deref(),
        device: member.device,
        xattrs: member
            .xattrs
            .iter()
            .map(|(name, value)| (name.as_slice(), value.as_slice()))
            .collect(),
    };
    let whole = [Segment {
        at: 0,
        length: member.data.stored,
    }];
    let mut contents = Contents {
        members,
        segments: member.data.segments.as_deref().unwrap_or(&whole),
        at: 0,
        size: member.size,
        cut: false,
    };
    let done = each(&visited, &mut contents);
    if contents.cut {
        // The cause of whatever `each` made of it.
        return Err(LayerError::Truncated {
            offset: member.offset,
        }
        .into());
    }
    done
}

fn text(bytes: &[u8], names: Meaning, offset: u64) -> Result<Cow<'_, str>, LayerError> {
    let text = String::from_utf8_lossy(bytes);
    if names == Meaning::Plain && matches!(text, Cow::Owned(_)) {
        return Err(LayerError::Malformed {
            offset,
            why: "its name or link is not UTF-8",
        });
    }
    Ok(text)
}

/// Reads one member's contents.
struct Contents<'a, S> {
    members: &'a mut Members<S>,
    /// The pieces that are still ahead or under way, in order; all else is zero.
    segments: &'a [Segment],
    /// Position in the file.
    at: u64,
    size: u64,
    /// The archive ended within it.
    cut: bool,
}

impl<S: Source> Read for Contents<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let [first, rest @ ..] = self.segments
            && first.at + first.length <= self.at
        {
            self.segments = rest;
        }
        let (end, zeros) = match self.segments.first() {
            Some(segment) if segment.at <= self.at => (segment.at + segment.length, false),
            Some(segment) => (segment.at, true),
            None => (self.size, true),
        };
        let left = usize::try_from(end - self.at).unwrap_or(usize::MAX);
        let length = left.min(buffer.len());
        let buffer = &mut buffer[..length];
        if buffer.is_empty() {
            return Ok(0);
        }
        let done = if zeros {
            buffer.fill(0);
            buffer.len()
        } else {
            self.members.read_contents(buffer)?
        };
        if done == 0 {
            self.cut = true;
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += done as u64;
        Ok(done)
    }
}
