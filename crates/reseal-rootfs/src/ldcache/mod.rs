//! The dynamic linker's cache, `etc/ld.so.cache`, as glibc's ldconfig writes it.
//!
//! The cache of an image is taken to be what ldconfig would write for it. So the one after a change follows from it: less
//! the libraries whose paths are gone, plus those that came. No program of the image has to run for that.
//!
//! [`refresh`] goes the whole way; the steps are public too:
//!
//! 1. [`Cache::parse`] refuses whatever it would not write again byte for byte.
//! 2. [`Directories::read`] tells in which directories ldconfig looks, and in which order. Where a change adds one, the
//!    cache has to be made by ldconfig, because libraries may appear that were there all along.
//! 3. Each new or changed path in one of them goes to [`Directories::library`], with the [`elf_facts`] of what is there.
//!    The path that it gives for the cache is the one of the library's own name; ldconfig makes that link where a package
//!    forgot it.
//! 4. [`update`], and [`Cache::set_generator`] where ldconfig itself was replaced.

mod directories;
mod elf;
mod order;
mod read;
mod refresh;
mod write;

pub use directories::{Directories, Found};
pub use elf::{ElfFacts, Machine, elf_facts, generator, name_places};
pub use refresh::{Changed, Content, refresh};

/// Marks a capability number that counts the subdirectories of `glibc-hwcaps`.
const EXTENSION: u64 = 1 << 62;

/// A cache that cannot be read or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LdCacheError {
    /// The bytes are not a cache, or one in a form that would not be written the same.
    #[error("the linker's cache `etc/ld.so.cache` is of an unknown form: {why}")]
    Form {
        /// What is wrong or unknown.
        why: &'static str,
    },
    /// A line of the configuration that is not understood.
    #[error("could not tell which directories `{file}` names: {why}")]
    Configuration {
        /// The file, relative to the root.
        file: String,
        /// What is not understood.
        why: &'static str,
    },
    /// A library in a place that depends on the processor.
    #[error(
        "could not tell how the linker's cache names `{path}`: it is for particular processors"
    )]
    Capabilities {
        /// The library, relative to the root.
        path: String,
    },
    /// A link to a library that was not read.
    #[error("could not tell how the linker's cache names `{path}`: what it leads to was not read")]
    Unread {
        /// The link, relative to the root.
        path: String,
    },
    /// A library without the link that ldconfig would make for it.
    #[error("the library's own name `{path}` is missing, and only ldconfig makes it")]
    Nameless {
        /// The path that the link would have, relative to the root.
        path: String,
    },
}

impl LdCacheError {
    /// Says what the user can do about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        Some("patch this image with `--engine buildkit`, which runs its own ldconfig".to_owned())
    }
}

/// A library in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    /// The name that programs ask for.
    pub soname: String,
    /// The absolute path.
    pub path: String,
    /// The kind of library, as ldconfig numbers them.
    pub flags: u32,
    /// The oldest kernel it runs on, as ldconfig packs it; zero for any.
    pub os_version: u32,
    /// What the processor must have, in bits of an old numbering; with [`Library::hwcaps`] only the level.
    pub hwcap: u64,
    /// The subdirectory of `glibc-hwcaps` that it lies in.
    pub hwcaps: Option<String>,
}

/// The dynamic linker's cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    form: Form,
    /// In the order of the cache.
    libraries: Vec<Library>,
    generator: Option<String>,
}

/// What does not follow from the libraries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Form {
    big_endian: bool,
    /// Starts with a cache in the format of libc5's days, and this is what the rest is aligned to.
    old_first: Option<usize>,
    strings: Strings,
    /// The byte order again, as newer versions note it, and padding.
    flags: [u8; 4],
    unused: [u8; 12],
}

/// How the names are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strings {
    /// Two for each library, in its order: up to glibc 2.32.
    Sequence,
    /// Each once, and those that end another one within it.
    Shared,
}

impl Cache {
    /// Reads a cache.
    ///
    /// # Errors
    ///
    /// When it is of an unknown form: reading and writing would not give the same bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, LdCacheError> {
        read::parse(bytes)
    }

    /// Returns the bytes as ldconfig writes them.
    pub fn write(&self) -> Vec<u8> {
        write::write(self)
    }

    /// Returns the libraries in their order.
    pub fn libraries(&self) -> &[Library] {
        &self.libraries
    }

    /// Returns what the cache says about the ldconfig that wrote it; caches of older versions say nothing.
    pub fn generator(&self) -> Option<&str> {
        self.generator.as_deref()
    }

    /// Says which ldconfig wrote the cache, where the form has a place for it. See [`generator`].
    pub fn set_generator(&mut self, generator: &str) {
        if self.generator.is_some() {
            self.generator = Some(generator.to_owned());
        }
    }

    /// Tells for which family of processors the image is, which decides what ldconfig takes for a library.
    pub fn machine(&self) -> Option<Machine> {
        let named = |soname| {
            self.libraries
                .iter()
                .find(|library| library.soname == soname)
        };
        let libc = named("libc.so.6")?;
        Machine::of_flags(libc.flags).or_else(|| named("ld-linux.so.2").map(|_| Machine::X86))
    }

    /// Whether this version notes the oldest kernel.
    fn notes_os_version(&self) -> bool {
        self.libraries.iter().any(|library| library.os_version != 0)
    }
}

/// Returns the cache without the libraries at `removed` paths, which are absolute as in [`Library::path`], and with those
/// that were `added`. One that is there already, by path and name, is replaced.
pub fn update(
    cache: &Cache,
    directories: &Directories,
    removed: &[String],
    added: &[Library],
) -> Cache {
    let mut next = cache.clone();
    let gone: std::collections::BTreeSet<&str> = removed.iter().map(String::as_str).collect();
    let renewed = |old: &Library| {
        added
            .iter()
            .any(|new| new.path == old.path && new.soname == old.soname)
    };
    next.libraries
        .retain(|library| !gone.contains(library.path.as_str()) && !renewed(library));
    let rank = |library: &Library| directories.rank(&library.path);
    for (at, library) in added.iter().enumerate() {
        let again = |other: &Library| other.path == library.path && other.soname == library.soname;
        if added[..at].iter().any(again) || gone.contains(library.path.as_str()) {
            continue;
        }
        let mut library = library.clone();
        if !cache.notes_os_version() {
            library.os_version = 0;
        }
        // Directories are searched in order, and what was found first stays first.
        let place = next.libraries.partition_point(|other| {
            order::compare(other, &library).then_with(|| rank(other).cmp(&rank(&library)))
                != std::cmp::Ordering::Greater
        });
        next.libraries.insert(place, library);
    }
    next
}
