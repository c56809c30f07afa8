//! The dynamic linker's cache, as the image's ldconfig would write it.

use std::collections::BTreeMap;
use std::ops::Range;

use reseal_rootfs::NodeKind;
use reseal_rootfs::ldcache::{
    Cache, Directories, ElfFacts, Found, Library, elf_facts, generator, name_places, update,
};

use super::peek::Peeked;
use super::{Part, Run};
use crate::order::{Effect, Scripts};
use crate::raw::Attributes;
use crate::view::Place;
use crate::{NativeError, Refusal};

const CACHE: &str = "etc/ld.so.cache";
/// The trigger that has the cache written.
const TRIGGER: &str = "ldconfig";
/// Packages whose own scripts have the cache written.
const WRITERS: [&str; 2] = ["libc-bin", "libc6"];
/// Most bytes that the names of a library and of those that it wants may be in.
const NAMES_LIMIT: usize = 4 << 20;

/// What libraries of this run say of themselves.
#[derive(Debug, Default)]
pub(super) struct Libraries {
    /// By path without links; `None` for what is no library.
    facts: BTreeMap<String, Option<ElfFacts>>,
    /// What a new ldconfig calls itself.
    generator: Option<String>,
}

impl Libraries {
    /// Tells whether a file has to be looked into, by its path without links.
    pub(super) fn wants(path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        name.contains(".so") || path.ends_with("sbin/ldconfig")
    }

    /// Looks into a file, of which not all may have been kept. Returns the parts that are missing, and without which
    /// nothing is known of it.
    pub(super) fn read(&mut self, path: &str, peeked: &Peeked) -> Vec<Range<usize>> {
        if path.ends_with("sbin/ldconfig") {
            self.generator = generator(&peeked.bytes).map(str::to_owned);
            return Vec::new();
        }
        let mut places = name_places(&peeked.bytes);
        if places.iter().map(Range::len).sum::<usize>() > NAMES_LIMIT {
            return Vec::new();
        }
        places.retain(|place| !peeked.has(place));
        if places.is_empty() {
            self.facts.insert(path.to_owned(), elf_facts(&peeked.bytes));
        }
        places
    }
}

impl Run<'_, '_, '_> {
    /// Writes the cache where dpkg would have had it written; tells whether it was.
    pub(super) fn write_linker_cache(&mut self, parts: &[Part<'_>]) -> Result<bool, NativeError> {
        let runs = |part: &Part<'_>| {
            let postinst = part.control.get("postinst").unwrap_or_default();
            let said = postinst
                .windows(TRIGGER.len())
                .any(|word| word == TRIGGER.as_bytes());
            said || (WRITERS.contains(&part.deb.name) && part.control.get("postinst").is_some())
        };
        let triggered = self.activated.iter().any(|(name, _)| name == TRIGGER);
        // Those that stay unpacked have it written by their own scripts.
        if !triggered && !parts.iter().any(|part| !part.left && runs(part)) {
            return Ok(false);
        }
        match self.linker_cache() {
            Ok(bytes) => {
                self.record(CACHE, Attributes::written(0o644), &bytes)?;
                self.effects.push(Effect::LinkerCache);
                Ok(true)
            }
            Err(_) if self.order.scripts == Scripts::Configure && triggered => Ok(false),
            Err(why) => Err(Refusal::new(CACHE, why).into()),
        }
    }

    /// Returns the cache after this run: that of the image, less what is gone and with what came.
    fn linker_cache(&self) -> Result<Vec<u8>, String> {
        let bytes = self.tree.contents(CACHE).ok_or("the image has none")?;
        let cache = Cache::parse(bytes).map_err(|error| error.to_string())?;
        let directories =
            Directories::read(self.tree, &cache).map_err(|error| error.to_string())?;
        if let Some((path, _)) = self
            .view
            .changes()
            .find(|(path, _)| path.starts_with("etc/ld.so.conf"))
        {
            return Err(format!("`{path}` changes where libraries are looked for"));
        }
        let is_file = |path: &str| self.view.stat(path).kind() == Some(NodeKind::File);
        let removed: Vec<String> = cache
            .libraries()
            .iter()
            .map(|library| library.path.clone())
            .filter(|path| !is_file(path))
            .collect();
        let mut added: Vec<Library> = Vec::new();
        for (path, change) in self.view.changes() {
            let name = path.rsplit('/').next().unwrap_or(path);
            let Some(seen) = change.filter(|_| name.contains(".so")) else {
                continue;
            };
            let found = match seen.node.kind {
                NodeKind::File => Found::File,
                NodeKind::Symlink => Found::Link,
                _ => continue,
            };
            let Place::There(file, _) = self.view.stat(path) else {
                continue;
            };
            let elf = match self.libraries.facts.get(&file) {
                Some(Some(elf)) => elf,
                Some(None) => continue,
                // A link of this run to a file that stays, or a file too large to look into.
                None if self.is_cached_as(&cache, path) => continue,
                None => return Err(format!("what `{file}` calls itself is not known")),
            };
            let library = directories
                .library(&cache, path, found, elf)
                .map_err(|error| error.to_string())?;
            let Some(library) = library else { continue };
            if !is_file(&library.path) {
                return Err(format!(
                    "`{}` would have to be made by ldconfig",
                    library.path
                ));
            }
            added.push(library);
        }
        let mut next = update(&cache, &directories, &removed, &added);
        if let Some(generator) = &self.libraries.generator {
            next.set_generator(generator);
        }
        Ok(next.write())
    }

    /// Tells whether the cache has the library that a path is or leads to, and still does.
    fn is_cached_as(&self, cache: &Cache, path: &str) -> bool {
        let Place::There(file, seen) = self.view.stat(path) else {
            return false;
        };
        // One that came in this run may be anything.
        seen.by.is_none()
            && cache.libraries().iter().any(|library| {
                matches!(self.view.stat(&library.path), Place::There(other, _) if other == file)
            })
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::super::peek::Peek;
    use super::*;

    /// A 64-bit library of that size, whose dynamic section is at its end and whose names are where they are said to be.
    fn library(size: usize, names: usize) -> Vec<u8> {
        let mut out = vec![0; size];
        let dynamic = size - 64;
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &[0x7f, b'E', b'L', b'F', 2, 1, 1]);
        let half = |value: u16| value.to_le_bytes();
        let word = |value: usize| (value as u64).to_le_bytes();
        for (at, value) in [(16, 3), (18, 62), (54, 56), (56, 2)] {
            put(at, &half(value));
        }
        put(32, &word(64));
        for (at, kind, offset, length) in [(64, 1, 0, size), (120, 2, dynamic, 64)] {
            put(at, &half(kind));
            for (place, value) in [(8, offset), (16, offset), (32, length)] {
                put(at + place, &word(value));
            }
        }
        for (index, (tag, value)) in [(5, names), (1, 1), (14, 11)].into_iter().enumerate() {
            put(dynamic + 16 * index, &word(tag));
            put(dynamic + 16 * index + 8, &word(value));
        }
        put(names, b"\0libc.so.6\0libbig.so.1\0");
        out
    }

    fn peeked(bytes: &[u8], asked: Vec<Range<usize>>) -> Peeked {
        let mut source = bytes;
        let mut peek = Peek::new(&mut source, bytes.len() as u64, asked).unwrap();
        io::copy(&mut peek, &mut io::sink()).unwrap();
        peek.finish()
    }

    #[test]
    fn names_far_inside_a_large_library_are_asked_for_and_found() {
        let (size, names) = (9 << 20, 6 << 20);
        let bytes = library(size, names);
        let mut libraries = Libraries::default();
        let missing = libraries.read("usr/lib/libbig.so.1", &peeked(&bytes, Vec::new()));
        let place = |at: usize| names + at..names + at + 4096;
        assert_eq!(missing, [place(11), place(1)]);
        assert!(libraries.facts.is_empty());
        let missing = libraries.read("usr/lib/libbig.so.1", &peeked(&bytes, missing));
        assert!(missing.is_empty());
        let facts = libraries.facts["usr/lib/libbig.so.1"].as_ref().unwrap();
        assert_eq!(facts.soname.as_deref(), Some("libbig.so.1"));
        // Where the names are in the beginning, once is enough.
        let bytes = library(size, 1 << 19);
        assert!(
            libraries
                .read("usr/lib/libbig.so.2", &peeked(&bytes, Vec::new()))
                .is_empty()
        );
        assert_eq!(libraries.facts.len(), 2);
    }
}
