//! The image as it is while packages are laid down: the tree of its layers with what changed so far.

use std::collections::{BTreeMap, BTreeSet};

use reseal_rootfs::{Node, NodeKind, Tree};

/// Most links that are followed for one path; Linux has the same limit.
const LINKS: usize = 40;

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) node: Node,
    /// The unit (see [`crate::owners`]) that put it there in this run.
    pub(crate) by: Option<usize>,
}

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Something is there; the path has no links in it.
    There(String, Seen),
    /// Nothing is there, but its directory is.
    Free(String),
    /// Not even its directory is there, or a part of the path is no directory.
    Nowhere,
}

impl Place {
    pub(crate) fn seen(&self) -> Option<&Seen> {
        match self {
            Self::There(_, seen) => Some(seen),
            _ => None,
        }
    }

    pub(crate) fn kind(&self) -> Option<NodeKind> {
        self.seen().map(|seen| seen.node.kind)
    }

    pub(crate) fn real(&self) -> Option<&str> {
        match self {
            Self::There(real, _) | Self::Free(real) => Some(real),
            Self::Nowhere => None,
        }
    }
}

/// A place, and the units whose links of this run lead there.
pub(crate) struct Walked {
    pub(crate) place: Place,
    pub(crate) through: BTreeSet<usize>,
}

/// The tree with its changes.
pub(crate) struct View<'a> {
    tree: &'a Tree,
    /// By path without links; `None` is gone.
    changed: BTreeMap<String, Option<Seen>>,
    /// Directories in which a name came or went.
    touched: BTreeSet<String>,
}

impl<'a> View<'a> {
    pub(crate) fn new(tree: &'a Tree) -> Self {
        Self {
            tree,
            changed: BTreeMap::new(),
            touched: BTreeSet::new(),
        }
    }

    /// Returns where a path leads; its last part is not followed.
    pub(crate) fn lstat(&self, path: &str) -> Place {
        self.walk(path, false).place
    }

    /// Returns where a path leads, with its last part followed.
    pub(crate) fn stat(&self, path: &str) -> Place {
        self.walk(path, true).place
    }

    pub(crate) fn walk(&self, path: &str, follow: bool) -> Walked {
        let mut through = BTreeSet::new();
        let place = self.place(path, follow, &mut through);
        Walked { place, through }
    }

    fn place(&self, path: &str, follow: bool, through: &mut BTreeSet<usize>) -> Place {
        let parts = |text: &str| -> Vec<String> {
            text.split('/')
                .rev()
                .filter(|part| !matches!(*part, "" | "."))
                .map(str::to_owned)
                .collect()
        };
        let mut rest = parts(path);
        let mut done = String::new();
        let mut links = 0;
        while let Some(part) = rest.pop() {
            if part == ".." {
                done.truncate(done.rfind('/').unwrap_or(0));
                continue;
            }
            let next = join(&done, &part);
            let Some(seen) = self.at(&next) else {
                return if rest.is_empty() {
                    Place::Free(next)
                } else {
                    Place::Nowhere
                };
            };
            match (seen.node.kind, &seen.node.link) {
                (NodeKind::Symlink, Some(target)) if follow || !rest.is_empty() => {
                    links += 1;
                    if links > LINKS {
                        return Place::Nowhere;
                    }
                    through.extend(seen.by);
                    if target.starts_with('/') {
                        done.clear();
                    }
                    rest.extend(parts(target));
                }
                (NodeKind::Dir, _) => done = next,
                _ if rest.is_empty() => return Place::There(next, seen),
                _ => return Place::Nowhere,
            }
        }
        match self.at(&done) {
            Some(seen) => Place::There(done, seen),
            None => Place::Nowhere,
        }
    }

    /// Returns what is at a path without links.
    fn at(&self, real: &str) -> Option<Seen> {
        match self.changed.get(real) {
            Some(change) => change.clone(),
            None => Some(Seen {
                node: self.tree.node(real)?,
                by: None,
            }),
        }
    }

    /// Tells whether nothing changed at a path without links.
    pub(crate) fn is_as_before(&self, real: &str) -> bool {
        !self.changed.contains_key(real)
    }

    /// Notes that something is at a path without links now.
    pub(crate) fn put(&mut self, real: &str, seen: Seen) {
        self.touched.insert(parent(real).to_owned());
        self.changed.insert(real.to_owned(), Some(seen));
    }

    /// Notes that nothing is at a path without links any more.
    pub(crate) fn remove(&mut self, real: &str) {
        self.touched.insert(parent(real).to_owned());
        self.changed.insert(real.to_owned(), None);
    }

    /// Notes that something came into a directory and went again.
    pub(crate) fn touch(&mut self, dir: &str) {
        self.touched.insert(dir.to_owned());
    }

    /// Returns the names in a directory without links.
    pub(crate) fn names(&self, real: &str) -> BTreeSet<String> {
        let mut out = BTreeSet::new();
        // What is a directory only now may have been a link to one.
        if self
            .tree
            .node(real)
            .is_some_and(|node| node.kind == NodeKind::Dir)
        {
            out.extend(self.tree.children(real).map(|(name, _)| name.to_owned()));
        }
        let folder = if real.is_empty() {
            String::new()
        } else {
            format!("{real}/")
        };
        for (path, change) in self.changed.range(folder.clone()..) {
            let Some(name) = path.strip_prefix(&folder) else {
                break;
            };
            if name.contains('/') {
                continue;
            }
            if change.is_some() {
                out.insert(name.to_owned());
            } else {
                out.remove(name);
            }
        }
        out
    }

    /// Returns the paths that changed, with what is there now.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (&str, Option<&Seen>)> {
        self.changed
            .iter()
            .map(|(path, change)| (path.as_str(), change.as_ref()))
    }

    /// Returns the paths that are to be hidden: there before and gone now, but for those in a directory that is gone or
    /// replaced itself.
    pub(crate) fn hidden(&self) -> impl Iterator<Item = &str> {
        self.changed
            .iter()
            .filter(|(path, change)| change.is_none() && self.tree.node(path).is_some())
            .map(|(path, _)| path.as_str())
            .filter(|path| {
                self.at(parent(path))
                    .is_some_and(|seen| seen.node.kind == NodeKind::Dir)
            })
    }

    /// Returns the directories of a layer with these changes: new ones and all above any change, each with whether its
    /// contents changed.
    pub(crate) fn directories(&self) -> BTreeMap<String, (Seen, bool)> {
        let mut out = BTreeMap::new();
        let present = self.changed.iter().filter(|(_, change)| change.is_some());
        let changed = self.changed.keys().map(|path| parent(path));
        let starts = present.map(|(path, _)| path.as_str()).chain(changed);
        for start in starts.chain(self.touched.iter().map(String::as_str)) {
            for path in upwards(start) {
                if path.is_empty() || out.contains_key(path) {
                    continue;
                }
                if let Some(seen) = self.at(path).filter(|seen| seen.node.kind == NodeKind::Dir) {
                    out.insert(path.to_owned(), (seen, self.touched.contains(path)));
                }
            }
        }
        out
    }
}

/// Returns a path and all above it, the root included.
fn upwards(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| {
        let path: &str = path;
        (!path.is_empty()).then(|| parent(path))
    })
}

pub(crate) fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() {
        name.to_owned()
    } else {
        format!("{dir}/{name}")
    }
}

/// Returns the directory of a path; empty for the root.
pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}
