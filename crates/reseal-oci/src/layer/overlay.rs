//! The files of an image, seen through its layers from the top.

use std::collections::{BTreeMap, BTreeSet};

use super::{LayerFiles, Wanted};

/// Most symbolic links that are followed for one path; Linux has the same limit.
const LINK_LIMIT: usize = 40;

/// The wanted files of an image, gathered from the top layer down.
///
/// What an upper layer has or hides no lower layer can change, so the layers below need not be read once everything
/// that is wanted [is settled](Overlay::is_settled).
#[derive(Debug, Clone)]
pub struct Overlay {
    wanted: Wanted,
    files: BTreeMap<String, Vec<u8>>,
    links: BTreeMap<String, String>,
    /// Paths that are hidden with all below them.
    hidden: BTreeSet<String>,
    /// Paths of which only what is below is hidden.
    opaque: BTreeSet<String>,
    /// Paths of which only the file or link is hidden.
    directories: BTreeSet<String>,
}

impl Overlay {
    /// Starts above the top layer, where nothing is known.
    pub fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            files: BTreeMap::new(),
            links: BTreeMap::new(),
            hidden: BTreeSet::new(),
            opaque: BTreeSet::new(),
            directories: BTreeSet::new(),
        }
    }

    /// Returns what is wanted, for [`super::read`].
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// Adds the next layer below those that were added.
    pub fn push_lower(&mut self, layer: LayerFiles) {
        let LayerFiles {
            files,
            whiteouts,
            opaque,
            links,
            directories,
        } = layer;
        // A layer hides nothing of its own, so the checks come before its whiteouts.
        let seen = |path: &str| !self.is_hidden(path) && !self.directories.contains(path);
        let files: Vec<_> = files.into_iter().filter(|(path, _)| seen(path)).collect();
        let links: Vec<_> = links.into_iter().filter(|(path, _)| seen(path)).collect();
        let directories: Vec<_> = directories
            .into_iter()
            .filter(|path| !self.is_hidden(path))
            .collect();
        self.directories.extend(directories);
        self.files.extend(files);
        self.links.extend(links);
        self.hidden.extend(whiteouts);
        self.opaque.extend(opaque);
    }

    /// Returns the contents of a file, with symbolic links followed as far as they lead through wanted paths.
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.files.get(&self.follow(path)?).map(Vec::as_slice)
    }

    /// Tells whether no lower layer can change the answer for a path: its file was found, or it is hidden.
    pub fn is_settled(&self, path: &str) -> bool {
        // A ring of links is settled too: it leads nowhere.
        self.follow(path)
            .is_none_or(|path| self.is_hidden(&path) || self.directories.contains(&path))
    }

    /// Tells whether no lower layer can change anything that is wanted.
    pub fn is_complete(&self) -> bool {
        let emptied = |prefix: &str| {
            // Whatever starts so lies in the directory up to the last slash.
            let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
            self.opaque.contains(folder) || self.is_hidden(folder)
        };
        self.wanted.exact.iter().all(|path| self.is_settled(path))
            && self.wanted.prefixes.iter().all(|prefix| emptied(prefix))
    }

    /// Returns the files whose own paths start so, in order.
    pub fn iter_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.files
            .range(prefix.to_owned()..)
            .take_while(move |(path, _)| path.starts_with(prefix))
            .map(|(path, contents)| (path.as_str(), contents.as_slice()))
    }

    /// Tells whether the layers so far hide a path of the lower ones.
    fn is_hidden(&self, path: &str) -> bool {
        if self.hidden.contains(path) {
            return true;
        }
        if path.is_empty() {
            return false;
        }
        let slashes = path.match_indices('/').map(|(at, _)| &path[..at]);
        std::iter::once("")
            .chain(slashes)
            .any(|above| self.hidden.contains(above) || self.opaque.contains(above))
    }

    /// The path that a path leads to; `None` for a ring of links.
    fn follow(&self, path: &str) -> Option<String> {
        let mut rest: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut done: Vec<String> = Vec::new();
        let mut followed = 0;
        while let Some(part) = rest.pop() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    done.pop();
                    continue;
                }
                _ => done.push(part),
            }
            let Some(target) = self.links.get(&done.join("/")) else {
                continue;
            };
            followed += 1;
            if followed > LINK_LIMIT {
                return None;
            }
            done.pop();
            if target.starts_with('/') {
                done.clear();
            }
            rest.extend(target.split('/').rev().map(str::to_owned));
        }
        Some(done.join("/"))
    }
}
