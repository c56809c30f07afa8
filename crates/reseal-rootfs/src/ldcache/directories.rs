//! Where ldconfig looks for libraries.

use super::{Cache, ElfFacts, LdCacheError, Library};
use crate::{NodeKind, Tree};

/// Most files that may include each other.
const DEPTH_LIMIT: usize = 8;

/// Directories that older versions took for libraries of particular processors.
const CAPABILITIES: &[&str] = &[
    "glibc-hwcaps",
    "tls",
    "sse2",
    "x86_64",
    "avx512_1",
    "i386",
    "i486",
    "i586",
    "i686",
    "haswell",
    "xeon_phi",
    "atomics",
    "neon",
    "vfp",
    "vfpv3",
    "thumb",
    "v4l",
    "v5l",
    "v6l",
    "v7l",
    "v8l",
    "power4",
    "power5",
    "power5+",
    "power6",
    "power6x",
    "power7",
    "power8",
    "power9",
    "power10",
    "altivec",
    "z900",
    "z990",
    "z9-109",
    "z10",
    "z196",
    "zEC12",
    "z13",
    "z14",
    "z15",
    "z16",
    "octeon",
    "loongson2e",
    "loongson2f",
];

/// Endings of what package managers and other tools leave for a moment or for themselves.
const PASSED_OVER: &[&str] = &[".dpkg-new", ".dpkg-tmp", "-gdb.py", ".#prelink#"];

/// The directories in which ldconfig looks for libraries, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directories {
    list: Vec<Directory>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Directory {
    /// As it is configured: absolute. Paths in the cache begin so.
    shown: String,
    /// Without links, relative to the root.
    real: String,
}

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A regular file.
    File,
    /// A symbolic link to one.
    Link,
}

impl Directories {
    /// Reads `etc/ld.so.conf`, what it includes, and what the image's ldconfig knows by itself. Directories that do not
    /// exist are listed too.
    ///
    /// # Errors
    ///
    /// When the configuration has something that is not understood, or was not read with the layers.
    pub fn read(tree: &Tree, cache: &Cache) -> Result<Self, LdCacheError> {
        let mut directories = Self { list: Vec::new() };
        if tree.followed("etc/ld.so.conf").is_some() {
            directories.file(tree, "etc/ld.so.conf", 0)?;
        }
        // Debian's looks in the directories of its own architecture first. That is where its libc is.
        let libc = |library: &&Library| library.soname == "libc.so.6";
        let libc = cache
            .libraries
            .iter()
            .find(libc)
            .ok_or(LdCacheError::Form {
                why: "it has no libc",
            })?;
        let dir = libc.path.rsplit_once('/').map_or("", |(dir, _)| dir);
        match dir.trim_start_matches("/usr").strip_prefix("/lib/") {
            Some(triplet) => {
                for dir in ["/lib", "/usr/lib"] {
                    directories.add(tree, &format!("{dir}/{triplet}"));
                }
            }
            None if matches!(dir, "/lib" | "/usr/lib") => {}
            None => {
                return Err(LdCacheError::Form {
                    why: "its libc is in a directory of another distribution",
                });
            }
        }
        for dir in ["/lib", "/usr/lib"] {
            directories.add(tree, dir);
        }
        Ok(directories)
    }

    /// Tells what the cache gets for a path, which has no links above its last part, and what is there, which for a link
    /// is that of the file that it leads to; `None` where ldconfig passes it over.
    ///
    /// # Errors
    ///
    /// When the library is for particular processors, or for others than the image's.
    pub fn library(
        &self,
        cache: &Cache,
        path: &str,
        found: Found,
        elf: &ElfFacts,
    ) -> Result<Option<Library>, LdCacheError> {
        let Some((dir, name)) = path.rsplit_once('/') else {
            return Ok(None);
        };
        if !is_library(name) {
            return Ok(None);
        }
        let fail = || LdCacheError::Capabilities {
            path: path.to_owned(),
        };
        let Some(directory) = self.list.iter().find(|directory| directory.real == dir) else {
            let special = self.list.iter().any(|directory| {
                let rest = dir.strip_prefix(directory.real.as_str());
                let below = rest.and_then(|rest| rest.strip_prefix('/'));
                let first = below.and_then(|below| below.split('/').next());
                first.is_some_and(|first| CAPABILITIES.contains(&first))
            });
            return if special { Err(fail()) } else { Ok(None) };
        };
        if elf.family.is_none() || elf.family != cache.machine() {
            return Err(fail());
        }
        let own = elf.soname.as_deref().unwrap_or(name);
        // A link that the package itself brings stays a name of its own: `libz.so` for `libz.so.1`.
        let is_name = name == own || (name.strip_suffix(".so").is_some() && own.starts_with(name));
        let soname = if found == Found::Link && is_name {
            name
        } else {
            own
        };
        Ok(Some(Library {
            soname: soname.to_owned(),
            path: format!("{}/{soname}", directory.shown),
            flags: elf.flags,
            os_version: elf.os_version,
            hwcap: 0,
            hwcaps: None,
        }))
    }

    /// The path in the cache of what could be a library by its place and name.
    pub(super) fn shown(&self, path: &str) -> Option<String> {
        let (dir, name) = path.rsplit_once('/')?;
        let directory = self.list.iter().find(|directory| directory.real == dir)?;
        is_library(name).then(|| format!("{}/{name}", directory.shown))
    }

    /// How early a library's directory is searched.
    pub(super) fn rank(&self, path: &str) -> usize {
        let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
        self.list
            .iter()
            .position(|directory| directory.shown == dir)
            .unwrap_or(usize::MAX)
    }

    fn file(&mut self, tree: &Tree, path: &str, depth: usize) -> Result<(), LdCacheError> {
        let fail = |why| LdCacheError::Configuration {
            file: path.to_owned(),
            why,
        };
        if depth > DEPTH_LIMIT {
            return Err(fail("its files include each other"));
        }
        let contents = tree.contents(path).ok_or_else(|| fail("it was not read"))?;
        let text = std::str::from_utf8(contents).map_err(|_| fail("it is not text"))?;
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            let (word, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
            match word {
                // Capabilities by number have been ignored for many years.
                "" | "hwcap" => {}
                "include" => {
                    for pattern in rest.split_whitespace() {
                        for file in matching(tree, path, pattern).map_err(fail)? {
                            self.file(tree, &file, depth + 1)?;
                        }
                    }
                }
                _ if line.contains('=') => return Err(fail("a line has a kind of library")),
                _ if !line.starts_with('/') => return Err(fail("a path is not absolute")),
                _ => self.add(tree, line),
            }
        }
        Ok(())
    }

    /// Adds a directory, if it is not there under another name.
    fn add(&mut self, tree: &Tree, path: &str) {
        let shown = path.trim_end_matches('/');
        let clean: Vec<&str> = shown.split('/').filter(|part| !part.is_empty()).collect();
        let clean = clean.join("/");
        let Some(real) = tree.real_followed(&clean).or_else(|| tree.real(&clean)) else {
            return;
        };
        if !self.list.iter().any(|directory| directory.real == real) {
            self.list.push(Directory {
                shown: shown.to_owned(),
                real,
            });
        }
    }
}

fn is_library(name: &str) -> bool {
    let starts = ["lib", "ld-", "ld.so.", "ld64.so."];
    starts.iter().any(|start| name.starts_with(start))
        && name.contains(".so")
        && !PASSED_OVER.iter().any(|end| name.ends_with(end))
}

/// The files that a pattern names, in order. Only its last part may have wildcards.
fn matching(tree: &Tree, file: &str, pattern: &str) -> Result<Vec<String>, &'static str> {
    let pattern = match pattern.strip_prefix('/') {
        Some(pattern) => pattern.to_owned(),
        None => format!(
            "{}/{pattern}",
            file.rsplit_once('/').map_or("", |(dir, _)| dir)
        ),
    };
    let (dir, name) = pattern.rsplit_once('/').unwrap_or(("", &pattern));
    if dir.contains(['*', '?', '[', '\\', '{']) || name.contains(['[', '\\', '{']) {
        return Err("it includes files by a pattern of an unknown form");
    }
    Ok(tree
        .children(dir)
        .filter(|(child, node)| {
            node.kind != NodeKind::Dir
                && (!child.starts_with('.') || name.starts_with('.'))
                && fits(name.as_bytes(), child.as_bytes())
        })
        .map(|(child, _)| format!("{dir}/{child}"))
        .collect())
}

/// Whether a name fits a pattern of `*` and `?`.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut star) = ((0, 0), None);
    while at.1 < name.len() {
        match pattern.get(at.0) {
            Some(b'*') => {
                star = Some(at);
                at.0 += 1;
            }
            Some(&b) if b == b'?' || b == name[at.1] => at = (at.0 + 1, at.1 + 1),
            _ => {
                // The last star takes one more.
                let Some((pattern_at, name_at)) = star else {
                    return false;
                };
                star = Some((pattern_at, name_at + 1));
                at = (pattern_at + 1, name_at + 1);
            }
        }
    }
    pattern[at.0..].iter().all(|&b| b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_names() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", ".conf", true),
            ("*.conf", "a.conf.d", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b", "xaybzb", true),
            ("*a*b", "xaybz", false),
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
        ] {
            assert_eq!(
                fits(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn names_of_libraries_are_told() {
        for (name, expected) in [
            ("libz.so.1.2.13", true),
            ("libz.so", true),
            ("ld-linux-x86-64.so.2", true),
            ("libz.a", false),
            ("z.so", false),
            ("libz.so.1.dpkg-new", false),
            ("libstdc++.so.6.0.30-gdb.py", false),
        ] {
            assert_eq!(is_library(name), expected, "{name}");
        }
    }
}
