//! Writes a cache.

use std::collections::BTreeMap;

use super::read::{EXTENSION_MAGIC, MAGIC, OLD_MAGIC};
use super::{Cache, EXTENSION, Strings};

/// Sizes of the headers and entries of both formats, in bytes.
pub(super) const OLD_HEADER: usize = 16;
pub(super) const OLD_ENTRY: usize = 12;
pub(super) const HEADER: usize = 48;
pub(super) const ENTRY: usize = 24;
/// Size of the extensions' header, and of what each has there.
pub(super) const EXTENSION_HEADER: usize = 8;
pub(super) const SECTION: usize = 16;

/// The kinds of extensions.
pub(super) const GENERATOR: u32 = 0;
pub(super) const HWCAPS: u32 = 1;

/// Collects numbers in one byte order.
struct Out {
    bytes: Vec<u8>,
    big_endian: bool,
}

impl Out {
    fn number(&mut self, number: u32) {
        self.bytes.extend(if self.big_endian {
            number.to_be_bytes()
        } else {
            number.to_le_bytes()
        });
    }

    /// A length or offset. Larger ones cannot be: a cache is read from less than four gigabytes.
    fn size(&mut self, size: usize) {
        self.number(u32::try_from(size).unwrap_or(u32::MAX));
    }

    fn long(&mut self, number: u64) {
        self.bytes.extend(if self.big_endian {
            number.to_be_bytes()
        } else {
            number.to_le_bytes()
        });
    }
}

/// Strings with their places, counted from the first.
struct Table<'a> {
    bytes: Vec<u8>,
    shared: BTreeMap<&'a str, usize>,
    /// Places of name and path, for each library.
    places: Vec<(usize, usize)>,
}

pub(super) fn write(cache: &Cache) -> Vec<u8> {
    let form = cache.form;
    let table = match form.strings {
        Strings::Sequence => sequence(cache),
        Strings::Shared => shared(cache),
    };
    let mut out = Out {
        bytes: Vec::new(),
        big_endian: form.big_endian,
    };
    // Places count from the start of the new format's part.
    let first = HEADER + ENTRY * cache.libraries.len();
    if let Some(align) = form.old_first {
        old(cache, &table, first, align, &mut out);
    }
    let base = out.bytes.len();
    let hwcaps = hwcaps(cache);
    out.bytes.extend(MAGIC);
    out.size(cache.libraries.len());
    out.size(table.bytes.len());
    out.bytes.extend(form.flags);
    let end = base + first + table.bytes.len();
    let extension = end.next_multiple_of(4);
    out.size(if cache.generator.is_some() {
        extension
    } else {
        0
    });
    out.bytes.extend(form.unused);
    for (library, (name, path)) in cache.libraries.iter().zip(&table.places) {
        out.number(library.flags);
        out.size(first + name);
        out.size(first + path);
        out.number(library.os_version);
        out.long(match &library.hwcaps {
            Some(hwcaps_name) => {
                let index = hwcaps.iter().position(|name| name == hwcaps_name);
                EXTENSION | library.hwcap << 32 | index.unwrap_or_default() as u64
            }
            None => library.hwcap,
        });
    }
    out.bytes.extend(&table.bytes);
    if let Some(generator) = &cache.generator {
        out.bytes.resize(extension, 0);
        let places: Vec<usize> = hwcaps
            .iter()
            .map(|name| first + table.shared.get(name).copied().unwrap_or_default())
            .collect();
        extensions(generator, &places, &mut out);
    }
    out.bytes
}

/// The subdirectories of `glibc-hwcaps` that are in use, in order.
fn hwcaps(cache: &Cache) -> Vec<&str> {
    let mut names: Vec<&str> = cache
        .libraries
        .iter()
        .filter_map(|library| library.hwcaps.as_deref())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The part in the old format, which has all but what an older numbering says is for particular processors.
fn old(cache: &Cache, table: &Table<'_>, first: usize, align: usize, out: &mut Out) {
    let plain = |library: &super::Library| library.hwcap == 0 || library.hwcaps.is_some();
    let mut entries: Vec<_> = cache
        .libraries
        .iter()
        .zip(&table.places)
        .filter(|(library, _)| plain(library))
        .collect();
    // An even count, so that what follows is aligned everywhere.
    if !entries.len().is_multiple_of(2)
        && let Some(&last) = entries.last()
    {
        entries.push(last);
    }
    out.bytes.extend(OLD_MAGIC);
    out.bytes.push(0);
    out.size(entries.len());
    let end = OLD_HEADER + OLD_ENTRY * entries.len();
    let aligned = end.next_multiple_of(align);
    for (library, (name, path)) in entries {
        out.number(library.flags);
        // These count from the end of this part's entries.
        out.size(first + name + aligned - end);
        out.size(first + path + aligned - end);
    }
    out.bytes.resize(aligned, 0);
}

fn sequence(cache: &Cache) -> Table<'_> {
    let mut bytes = Vec::new();
    let mut push = |text: &str| {
        let at = bytes.len();
        bytes.extend(text.as_bytes());
        bytes.push(0);
        at
    };
    let places = cache
        .libraries
        .iter()
        .map(|library| (push(&library.soname), push(&library.path)))
        .collect();
    Table {
        bytes,
        shared: BTreeMap::new(),
        places,
    }
}

/// Sorted from their ends, so that a string directly follows the one that it ends.
fn shared(cache: &Cache) -> Table<'_> {
    let mut strings: Vec<&str> = cache
        .libraries
        .iter()
        .flat_map(|library| {
            [library.soname.as_str(), library.path.as_str()]
                .into_iter()
                .chain(library.hwcaps.as_deref())
        })
        .collect();
    strings.sort_unstable_by(|a, b| b.bytes().rev().cmp(a.bytes().rev()));
    strings.dedup();
    let mut bytes = Vec::new();
    let mut shared = BTreeMap::new();
    let mut last = ("", 0);
    for text in strings {
        let at = if !bytes.is_empty() && last.0.ends_with(text) {
            last.1 + last.0.len() - text.len()
        } else {
            let at = bytes.len();
            bytes.extend(text.as_bytes());
            bytes.push(0);
            at
        };
        shared.insert(text, at);
        last = (text, at);
    }
    let place = |text: &str| shared.get(text).copied().unwrap_or_default();
    let places = cache
        .libraries
        .iter()
        .map(|library| (place(&library.soname), place(&library.path)))
        .collect();
    Table {
        bytes,
        shared,
        places,
    }
}

/// Who wrote it, and the names of subdirectories, which stand before it.
fn extensions(generator: &str, hwcaps: &[usize], out: &mut Out) {
    let sections = if hwcaps.is_empty() { 1 } else { 2 };
    let names = out.bytes.len() + EXTENSION_HEADER + SECTION * sections;
    out.number(EXTENSION_MAGIC);
    out.size(sections);
    out.number(GENERATOR);
    out.number(0);
    out.size(names + 4 * hwcaps.len());
    out.size(generator.len());
    if !hwcaps.is_empty() {
        out.number(HWCAPS);
        out.number(0);
        out.size(names);
        out.size(4 * hwcaps.len());
    }
    for &place in hwcaps {
        out.size(place);
    }
    out.bytes.extend(generator.as_bytes());
}
