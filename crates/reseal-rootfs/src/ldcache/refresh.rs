//! The whole way from an image's cache to the one after a change.

use super::{Cache, Directories, ElfFacts, Found, LdCacheError, Library, update};
use crate::Tree;

/// A path that has something else than before.
#[derive(Debug, Clone)]
pub struct Changed<'a> {
    /// The path, with no links above its last part, relative to the root.
    pub path: &'a str,
    /// Whether it is a file or a link to one.
    pub found: Found,
    /// What is there, or where the link leads.
    pub content: Content<'a>,
}

/// What a file is to the dynamic linker.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// A shared object.
    Object(&'a ElfFacts),
    /// Something else: [`super::elf_facts`] gives nothing.
    Other,
    /// The file is not at hand, as that of the image which a new link leads to.
    Unknown,
}

/// Returns the bytes that ldconfig would write after a change of an image.
///
/// `tree` is the image before, `changed` has each path that is new, other than before, or a link to something other than
/// before. `exists` tells whether a path, relative to the root and with links to follow, is there after the change.
/// `generator` is what a new ldconfig writes about itself, where it was replaced ([`super::generator`]).
///
/// # Errors
///
/// When the image has no cache, or one of an unknown form, and when it cannot be told what ldconfig would write. The
/// configuration is taken to be as before: a caller refuses packages that change `etc/ld.so.conf*`.
pub fn refresh<'a>(
    tree: &Tree,
    changed: impl IntoIterator<Item = Changed<'a>>,
    exists: &dyn Fn(&str) -> bool,
    generator: Option<&str>,
) -> Result<Vec<u8>, LdCacheError> {
    let bytes = tree.contents("etc/ld.so.cache").ok_or(LdCacheError::Form {
        why: "there is none",
    })?;
    let cache = Cache::parse(bytes)?;
    let directories = Directories::read(tree, &cache)?;
    let mut added: Vec<Library> = Vec::new();
    let mut removed = Vec::new();
    for Changed {
        path,
        found,
        content,
    } in changed
    {
        match content {
            Content::Object(elf) => {
                added.extend(directories.library(&cache, path, found, elf)?);
            }
            Content::Other => removed.extend(directories.shown(path)),
            Content::Unknown if directories.shown(path).is_some() => {
                return Err(LdCacheError::Unread {
                    path: path.to_owned(),
                });
            }
            Content::Unknown => {}
        }
    }
    let there = |library: &Library| exists(library.path.trim_start_matches('/'));
    if let Some(library) = added.iter().find(|library| !there(library)) {
        return Err(LdCacheError::Nameless {
            path: library.path.trim_start_matches('/').to_owned(),
        });
    }
    let gone = cache.libraries().iter().filter(|library| !there(library));
    removed.extend(gone.map(|library| library.path.clone()));
    let mut next = update(&cache, &directories, &removed, &added);
    if let Some(generator) = generator {
        next.set_generator(generator);
    }
    Ok(next.write())
}
