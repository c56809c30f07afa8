//! The dynamic linker's cache, as the image's ldconfig would write it.

use std::collections::BTreeMap;

use reseal_rootfs::NodeKind;
use reseal_rootfs::ldcache::{
    Cache, Directories, ElfFacts, Found, Library, elf_facts, generator, update,
};

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

    /// Looks into a file, of which not all may have been kept.
    pub(super) fn read(&mut self, path: &str, (bytes, whole): (Vec<u8>, bool)) {
        if path.ends_with("sbin/ldconfig") {
            self.generator = generator(&bytes).map(str::to_owned);
            return;
        }
        let facts = elf_facts(&bytes);
        // Without a name, what says so may be in a part that was not kept.
        let named = |facts: &ElfFacts| facts.soname.as_ref().is_some_and(|name| !name.is_empty());
        if whole || facts.as_ref().is_none_or(named) {
            self.facts.insert(path.to_owned(), facts);
        }
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
