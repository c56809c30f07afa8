//! What one layer says.

mod listing;
mod record;

use std::io::Read;

use md5::{Digest as _, Md5};
use reseal_oci::layer::{EntryKind, LayerError, Meaning, Visited, Wanted, try_visit};

use crate::RootfsError;
use crate::error::shown;
use crate::wanted::{is_of_no_use, is_of_use};
pub use listing::Listing;
use record::{Reader, Writer};
pub(crate) use record::{Record, What};

/// Most entries of a layer.
const ENTRY_LIMIT: u64 = 2_000_000;
/// Most memory for the facts of a layer, in bytes.
const WEIGHT_LIMIT: usize = 256 << 20;
/// Largest file that is hashed, in bytes: no configuration is larger, and a sparse file can claim any size.
const HASH_LIMIT: u64 = 64 << 20;

/// What one layer says: its entries in the archive's order, and the contents of the wanted ones and of certificates.
///
/// Held as the bytes that can be stored, about thirty for an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerFacts {
    bytes: Vec<u8>,
}

impl LayerFacts {
    /// Reads an uncompressed layer to its end.
    ///
    /// # Errors
    ///
    /// When the archive is malformed or unsafe anywhere, has more entries than any image, or a wanted file is larger than
    /// its limit.
    pub fn from_layer(tar: impl Read, wanted: &Wanted) -> Result<Self, RootfsError> {
        let mut facts = Facts::new();
        try_visit(tar, Meaning::Layer, &mut |member, contents| {
            facts.push(&record(member, contents, wanted)?)
        })?;
        Ok(facts.finish())
    }

    /// Takes what [`LayerFacts::as_bytes`] gave.
    ///
    /// # Errors
    ///
    /// When the bytes are of another version, are not complete or have been changed so that they cannot be read. They are
    /// not authenticated: keep them where only the user can write, or with a digest.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, RootfsError> {
        let facts = Self { bytes };
        for record in Reader::new(&facts.bytes)? {
            record?;
        }
        Ok(facts)
    }

    /// Returns the form that can be stored. The same layer and the same wanted files give the same bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn records(
        &self,
    ) -> Result<impl Iterator<Item = Result<Record<'_>, RootfsError>>, RootfsError> {
        Reader::new(&self.bytes)
    }
}

/// Facts in the making.
#[derive(Debug)]
struct Facts {
    out: Writer,
    count: u64,
}

impl Facts {
    fn new() -> Self {
        Self {
            out: Writer::new(),
            count: 0,
        }
    }

    fn push(&mut self, record: &Record<'_>) -> Result<(), RootfsError> {
        self.count += 1;
        if self.count > ENTRY_LIMIT {
            return Err(RootfsError::TooMuch {
                what: "entries in a layer",
                limit: ENTRY_LIMIT,
            });
        }
        self.out.push(record);
        if self.out.len() > WEIGHT_LIMIT {
            return Err(RootfsError::TooMuch {
                what: "bytes of names and wanted files in a layer",
                limit: WEIGHT_LIMIT as u64,
            });
        }
        Ok(())
    }

    fn finish(self) -> LayerFacts {
        LayerFacts {
            bytes: self.out.finish(),
        }
    }
}

/// Tells whether the contents of a path are wanted, and of use.
fn is_wanted(path: &str, wanted: &Wanted) -> bool {
    wanted.takes(path) && !is_of_no_use(path)
}

/// What is done with the contents of a regular file.
struct Use {
    kept: bool,
    hashed: bool,
}

impl Use {
    fn of(path: &str, size: u64, is_wanted: bool) -> Self {
        Self {
            kept: is_wanted || is_of_use(path, size),
            hashed: path.starts_with("etc/") && size <= HASH_LIMIT,
        }
    }

    /// Tells whether they are read at all.
    fn reads(&self) -> bool {
        self.kept || self.hashed
    }
}

fn record<'a>(
    member: &Visited<'a>,
    contents: &mut dyn Read,
    wanted: &Wanted,
) -> Result<Record<'a>, RootfsError> {
    let id = |id| {
        u32::try_from(id).map_err(|_| RootfsError::conflict(member.path, "its owner is no user"))
    };
    let takes = is_wanted(member.path, wanted);
    let link = member.link.unwrap_or_default();
    let what = match member.kind {
        EntryKind::File => file(member, contents, wanted, takes)?,
        EntryKind::Dir => What::Dir,
        EntryKind::Symlink => What::Symlink(link.into()),
        EntryKind::Hardlink => What::Hardlink {
            target: link.into(),
            wanted: takes,
        },
        EntryKind::Device => What::Device,
        EntryKind::Fifo => What::Fifo,
        EntryKind::Whiteout => What::Whiteout,
        EntryKind::Opaque => What::Opaque,
    };
    Ok(Record {
        path: member.path.into(),
        mode: member.mode,
        uid: id(member.uid)?,
        gid: id(member.gid)?,
        mtime: member.mtime,
        what,
    })
}

fn file<'a>(
    member: &Visited<'_>,
    contents: &mut dyn Read,
    wanted: &Wanted,
    takes: bool,
) -> Result<What<'a>, RootfsError> {
    if takes && member.size > wanted.limit {
        return Err(LayerError::TooLarge {
            path: shown(member.path),
            size: member.size,
            limit: wanted.limit,
        }
        .into());
    }
    let done_with = Use::of(member.path, member.size, takes);
    let mut hasher = done_with.hashed.then(Md5::new);
    let mut kept = Vec::new();
    if done_with.reads() {
        let mut buffer = [0; 16 << 10];
        loop {
            let done = contents.read(&mut buffer).map_err(LayerError::Read)?;
            if done == 0 {
                break;
            }
            if let Some(hasher) = &mut hasher {
                hasher.update(&buffer[..done]);
            }
            if done_with.kept {
                kept.extend_from_slice(&buffer[..done]);
            }
        }
    }
    Ok(What::File {
        size: member.size,
        md5: hasher.map(|hasher| hasher.finalize().into()),
        contents: done_with.kept.then(|| kept.into()),
    })
}
