//! Makes the patch layer out of a build's raw diff.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{Read, Seek, Write};

use super::LayerError;
use super::members::{Member, Type};
use super::path::{ancestors, split};
use super::scan::{EntryKind, Item, Scan, copy_contents};
use super::write::{Entry, Output};
use crate::PatchLayer;

/// Largest file that a sparse one may become, in bytes: holes cost nothing to claim.
const SPARSE_LIMIT: u64 = 8 << 30;
/// Largest device numbers that the format's fields hold; Linux's own are smaller.
const DEVICE_LIMIT: u32 = 0o7_777_777;

/// Says to whom a path belongs.
pub trait Classify {
    /// Returns what becomes of a clean path relative to the root; whiteouts ask for the path that they hide.
    fn keep(&self, path: &str) -> Keep;
}

impl<F: Fn(&str) -> Keep> Classify for F {
    fn keep(&self, path: &str) -> Keep {
        self(path)
    }
}

/// What becomes of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Keep {
    /// A package's: kept.
    Package,
    /// The package database's: kept.
    Database,
    /// Written by a maintainer script: kept and listed.
    Script,
    /// A leftover of the build: dropped.
    Junk,
}

/// A finished patch layer, with what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Normalised {
    /// Digests and size of the layer that was written.
    pub layer: PatchLayer,
    /// Paths that no package owns, in order; no directories or whiteouts.
    pub script_written: Vec<String>,
    /// Entries that were dropped.
    pub dropped: u64,
    /// Entries that were kept.
    pub kept: u64,
    /// The size of the uncompressed tar, in bytes.
    pub uncompressed: u64,
}

/// Writes the patch layer to `out`: a gzip-compressed tar that follows from the files alone.
///
/// - Sorted by path, component by component: a directory precedes what is in it, and the whiteouts come first in theirs, so that
///   no order of unpacking lets one hide a file of its own layer.
/// - The first name of a file with several, by path, has the contents; the others are hard links to it.
/// - Times later than `epoch` (seconds since 1970) become `epoch`, earlier ones stay, before 1970 becomes 1970. Whiteouts
///   get `epoch`. Fractions, access and change times, user and group names are dropped.
/// - Modes, numeric owners and extended attributes stay, but for those of the build's machine (`trusted.`,
///   `user.overlay.`, `user.fuseoverlayfs.`, `SELinux`).
/// - What is junk is dropped. A directory is kept when something in it is, or when a package or the database owns it; the root itself
///   never is, for the base image has it.
/// - Of several entries of one path the last one counts, as when unpacking.
///
/// Only the table of contents is held in memory.
///
/// # Errors
///
/// When the source or `out` fails, or the entries contradict each other.
pub fn normalise<T: Read + Seek, W: Write>(
    tar: &mut T,
    scan: &Scan,
    classify: &dyn Classify,
    epoch: i64,
    out: W,
) -> Result<Normalised, LayerError> {
    let sorted = sort(&scan.items);
    let by_path: HashMap<&[u8], &Item> = sorted
        .iter()
        .filter(|item| !is_whiteout(item))
        .map(|item| (item.path.as_slice(), *item))
        .collect();
    check_parents(&sorted, &by_path)?;
    let (kept, script_written) = choose(&sorted, classify);
    let mut writer = Writer {
        tar,
        out: Output::new(out).map_err(LayerError::Write)?,
        epoch: u64::try_from(epoch).unwrap_or(0),
        names: HashMap::new(),
    };
    for item in &kept {
        let root = root(item, &by_path)?;
        writer.write(item, root)?;
    }
    let written = writer.out.finish().map_err(LayerError::Write)?;
    Ok(Normalised {
        layer: PatchLayer {
            digest: written.digest,
            size: written.size,
            diff_id: written.diff_id,
        },
        script_written,
        dropped: (scan.items.len() - kept.len()) as u64,
        kept: kept.len() as u64,
        uncompressed: written.uncompressed,
    })
}

fn is_whiteout(item: &Item) -> bool {
    matches!(item.kind, EntryKind::Whiteout | EntryKind::Opaque)
}

/// In order of their paths; of several entries of one path the last one is left.
fn sort(items: &[Item]) -> Vec<&Item> {
    let sorted: BTreeMap<_, _> = items.iter().map(|item| (key(item), item)).collect();
    sorted.into_values().collect()
}

/// Slashes sort before everything else, so that a directory is followed by what is in it; the second part keeps a
/// whiteout apart from a file whose name begins with the byte that puts whiteouts first.
fn key(item: &Item) -> (Vec<u8>, bool) {
    let plain = |path: &[u8]| -> Vec<u8> {
        path.iter()
            .map(|&b| if b == b'/' { 0 } else { b })
            .collect()
    };
    match item.kind {
        EntryKind::Opaque => ([&plain(&item.path)[..], &[0, 1]].concat(), true),
        EntryKind::Whiteout => {
            let (parent, name) = split(&item.path);
            let parent = if parent.is_empty() {
                Vec::new()
            } else {
                [&plain(parent)[..], &[0]].concat()
            };
            ([&parent[..], &[1], name].concat(), true)
        }
        _ => (plain(&item.path), false),
    }
}

/// Refuses what would be unpacked through a link or into a file.
fn check_parents(sorted: &[&Item], by_path: &HashMap<&[u8], &Item>) -> Result<(), LayerError> {
    for item in sorted {
        if item.kind == EntryKind::Opaque && item.path.is_empty() {
            return Err(LayerError::conflict(b"/", "it hides the whole base image"));
        }
        let below = if item.kind == EntryKind::Opaque {
            Some(item.path.as_slice())
        } else {
            None
        };
        let bad = |path: &&[u8]| {
            by_path
                .get(path)
                .is_some_and(|parent| parent.kind != EntryKind::Dir)
        };
        if below
            .into_iter()
            .chain(ancestors(&item.path))
            .any(|path| bad(&path))
        {
            return Err(LayerError::conflict(
                &item.path,
                "it lies below something that is not a directory",
            ));
        }
    }
    Ok(())
}

/// The entries that are kept, in order, and those of them that no package owns.
fn choose<'a>(sorted: &[&'a Item], classify: &dyn Classify) -> (Vec<&'a Item>, Vec<String>) {
    let mut needed: HashSet<&[u8]> = HashSet::new();
    let (mut kept, mut script_written) = (Vec::new(), Vec::new());
    // From the end, so that a directory comes after what is in it.
    for &item in sorted.iter().rev() {
        let text = String::from_utf8_lossy(&item.path);
        let keep = classify.keep(&text);
        let stays = match item.kind {
            EntryKind::Dir if item.path.is_empty() => false,
            EntryKind::Dir => {
                needed.contains(item.path.as_slice())
                    || matches!(keep, Keep::Package | Keep::Database)
            }
            _ => keep != Keep::Junk,
        };
        if !stays {
            continue;
        }
        kept.push(item);
        needed.extend(ancestors(&item.path));
        if item.kind == EntryKind::Opaque {
            needed.insert(&item.path);
        }
        if keep == Keep::Script && item.kind != EntryKind::Dir && !is_whiteout(item) {
            script_written.push(text.into_owned());
        }
    }
    kept.reverse();
    script_written.reverse();
    (kept, script_written)
}

/// The entry that has the contents of a hard link: itself when the link leads out of the layer, and for all else.
fn root<'a>(item: &'a Item, by_path: &HashMap<&[u8], &'a Item>) -> Result<&'a Item, LayerError> {
    let mut at = item;
    let mut steps = 0;
    while at.kind == EntryKind::Hardlink {
        let Some(&next) = by_path.get(at.member.link.as_slice()) else {
            break;
        };
        if next.kind == EntryKind::Dir {
            return Err(LayerError::conflict(
                &item.path,
                "it is a hard link to a directory",
            ));
        }
        steps += 1;
        if steps > by_path.len() {
            return Err(LayerError::conflict(
                &item.path,
                "it is in a ring of hard links",
            ));
        }
        at = next;
    }
    Ok(at)
}

struct Writer<'a, T, W: Write> {
    tar: &'a mut T,
    out: Output<W>,
    epoch: u64,
    /// The first name of every file, by the place of its header in the archive.
    names: HashMap<u64, &'a [u8]>,
}

impl<'a, T: Read + Seek, W: Write> Writer<'a, T, W> {
    fn write(&mut self, item: &'a Item, root: &'a Item) -> Result<(), LayerError> {
        if is_whiteout(item) {
            return self.whiteout(item);
        }
        let member = &root.member;
        let mtime = u64::try_from(member.mtime).unwrap_or(0).min(self.epoch);
        let mut entry = Entry {
            path: &item.path,
            kind: digit(member.kind),
            mode: member.mode,
            uid: member.uid,
            gid: member.gid,
            size: 0,
            mtime,
            link: &member.link,
            device: member.device,
            xattrs: Vec::new(),
        };
        let directory = [&item.path[..], b"/"].concat();
        if root.kind == EntryKind::Dir {
            entry.path = &directory;
        } else if root.kind != EntryKind::Hardlink {
            if let Some(first) = self.names.get(&member.offset) {
                return self.header(&Entry {
                    kind: b'1',
                    link: first,
                    device: (0, 0),
                    ..entry
                });
            }
            self.names.insert(member.offset, &item.path);
        }
        if member.device.0.max(member.device.1) > DEVICE_LIMIT {
            return Err(LayerError::conflict(
                &item.path,
                "its device number is impossible",
            ));
        }
        entry.xattrs = xattrs(member);
        entry.size = member.size;
        if member.data.segments.is_some() && member.size > SPARSE_LIMIT {
            return Err(LayerError::too_large(&item.path, member.size, SPARSE_LIMIT));
        }
        self.header(&entry)?;
        copy_contents(self.tar, member, &mut self.out)?;
        self.out.pad(member.size).map_err(LayerError::Write)
    }

    /// Its time, mode and owner mean nothing, so they are always the same.
    fn whiteout(&mut self, item: &Item) -> Result<(), LayerError> {
        let (parent, name) = match item.kind {
            EntryKind::Opaque => (item.path.as_slice(), &b".wh..opq"[..]),
            _ => split(&item.path),
        };
        let slash: &[u8] = if parent.is_empty() { b"" } else { b"/" };
        self.header(&Entry {
            path: &[parent, slash, b".wh.", name].concat(),
            kind: b'0',
            mode: 0,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: self.epoch,
            link: b"",
            device: (0, 0),
            xattrs: Vec::new(),
        })
    }

    fn header(&mut self, entry: &Entry<'_>) -> Result<(), LayerError> {
        self.out.header(entry).map_err(LayerError::Write)
    }
}

fn digit(kind: Type) -> u8 {
    match kind {
        Type::File => b'0',
        Type::Hardlink => b'1',
        Type::Symlink => b'2',
        Type::Char => b'3',
        Type::Block => b'4',
        Type::Dir => b'5',
        Type::Fifo => b'6',
    }
}

/// The attributes that belong to the file, not to the machine that built it.
fn xattrs(member: &Member) -> Vec<(&[u8], &[u8])> {
    let foreign = |key: &[u8]| {
        key == b"security.selinux"
            || [&b"trusted."[..], b"user.overlay.", b"user.fuseoverlayfs."]
                .iter()
                .any(|prefix| key.starts_with(prefix))
    };
    member
        .xattrs
        .iter()
        .map(|(key, value)| (key.as_slice(), value.as_slice()))
        .filter(|(key, _)| !foreign(key))
        .collect()
}
