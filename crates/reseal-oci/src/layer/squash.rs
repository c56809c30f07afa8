//! Two layers that lie on each other as one.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Seek, SeekFrom, Write};

use super::LayerError;
use super::header::BLOCK;
use super::path::ancestors;
use super::scan::{EntryKind, Item, scan};

/// Writes one uncompressed layer that does what `lower` and then `upper` do, and returns the paths, sorted, of what `lower`
/// had and `upper` replaces or hides; no directories that both have.
///
/// Entries are copied as they stand: those of `lower` that still count, then all of `upper`. Deletions of both stay, also of
/// what only `lower` brought, since nobody here knows what is below.
///
/// # Errors
///
/// When one of them is malformed or `out` fails, and [`LayerError::Conflict`] when `upper` replaces one of several names of
/// a file of `lower`: the others would have to become a file of their own.
pub fn squash<L: Read + Seek, U: Read + Seek, W: Write>(
    lower: &mut L,
    upper: &mut U,
    out: &mut W,
) -> Result<Vec<String>, LayerError> {
    let (below, above) = (scan(lower)?, scan(upper)?);
    let above = Above::new(&above.items);
    let mut gone = BTreeSet::new();
    let mut kept = Vec::new();
    for item in &below.items {
        if above.hides(item) {
            gone.insert(item.path.as_slice());
        } else {
            kept.push(item);
        }
    }
    if let Some(link) = kept
        .iter()
        .find(|item| item.kind == EntryKind::Hardlink && gone.contains(item.member.link.as_slice()))
    {
        return Err(LayerError::conflict(
            &link.path,
            "another name of the same file was replaced by a later step",
        ));
    }
    let mut replaced: Vec<String> = below
        .items
        .iter()
        .filter(|item| !matches!(item.kind, EntryKind::Whiteout | EntryKind::Opaque))
        .filter(|item| gone.contains(item.path.as_slice()) && !above.same_directory(item))
        .map(|item| String::from_utf8_lossy(&item.path).into_owned())
        .collect();
    replaced.sort();
    replaced.dedup();
    for item in kept {
        let (from, length) = extent(item);
        copy(lower, from, length, out)?;
    }
    upper.seek(SeekFrom::Start(0)).map_err(LayerError::Read)?;
    io::copy(upper, out).map_err(LayerError::Write)?;
    Ok(replaced)
}

/// What the upper layer says about paths.
struct Above<'a> {
    /// What is at a path: a directory, or something that has nothing below it.
    here: BTreeMap<&'a [u8], bool>,
    /// Paths that are deleted, and directories that are emptied.
    deleted: BTreeSet<&'a [u8]>,
    emptied: BTreeSet<&'a [u8]>,
}

impl<'a> Above<'a> {
    fn new(items: &'a [Item]) -> Self {
        let mut above = Self {
            here: BTreeMap::new(),
            deleted: BTreeSet::new(),
            emptied: BTreeSet::new(),
        };
        for item in items {
            let path = item.path.as_slice();
            match item.kind {
                EntryKind::Whiteout => {
                    above.deleted.insert(path);
                }
                EntryKind::Opaque => {
                    above.emptied.insert(path);
                }
                kind => {
                    above.here.insert(path, kind == EntryKind::Dir);
                }
            }
        }
        above
    }

    /// Tells whether an entry of the lower layer no longer counts.
    fn hides(&self, item: &Item) -> bool {
        let path = item.path.as_slice();
        let at = match item.kind {
            // What a directory hid stays hidden when there is a directory again: only something else takes its place.
            EntryKind::Opaque | EntryKind::Whiteout => self.here.get(path) == Some(&false),
            _ => self.here.contains_key(path),
        };
        at || self.deleted.contains(path)
            || ancestors(path).any(|above| {
                self.deleted.contains(above)
                    || self.emptied.contains(above)
                    || self.here.get(above) == Some(&false)
            })
    }

    fn same_directory(&self, item: &Item) -> bool {
        item.kind == EntryKind::Dir && self.here.get(item.path.as_slice()) == Some(&true)
    }
}

/// Where an entry stands with all of its headers, and how long it is.
fn extent(item: &Item) -> (u64, u64) {
    let data = &item.member.data;
    let end = data.at + data.stored.next_multiple_of(BLOCK as u64);
    (item.member.offset, end - item.member.offset)
}

fn copy<R: Read + Seek, W: Write>(
    from: &mut R,
    at: u64,
    length: u64,
    out: &mut W,
) -> Result<(), LayerError> {
    from.seek(SeekFrom::Start(at)).map_err(LayerError::Read)?;
    let done = io::copy(&mut from.take(length), out).map_err(LayerError::Write)?;
    if done < length {
        // The last entry of an archive that ends without its padding.
        io::copy(&mut io::repeat(0).take(length - done), out).map_err(LayerError::Write)?;
    }
    Ok(())
}
