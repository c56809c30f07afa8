//! Puts one layer onto what is there, in the archive's order, as container runtimes unpack it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::walk::{Last, Step, Walk, Way};
use super::{Place, ROOT, Slots, Tree};
use crate::error::shown;
use crate::facts::{Record, What};
use crate::{LayerFacts, Node, NodeKind, RootfsError};

/// Most paths that are held, with those that layers replaced.
const PATH_LIMIT: usize = 4_000_000;
/// Longest path with no links in it, in bytes: Linux's limit.
const LENGTH_LIMIT: usize = 4096;

/// A tree in the making.
#[derive(Debug)]
pub(super) struct Stacking {
    tree: Tree,
    /// The layer that is being unpacked.
    layer: u32,
    contents: HashMap<Place, Arc<[u8]>>,
    /// Wanted files that are other names of files that were not read, with the other name.
    unread: HashMap<Place, Box<str>>,
}

impl Stacking {
    pub(super) fn new() -> Self {
        Self {
            tree: Tree {
                slots: Slots::new(),
                contents: BTreeMap::new(),
            },
            layer: 0,
            contents: HashMap::new(),
            unread: HashMap::new(),
        }
    }

    /// Gives contents their paths, now that it is settled which places are reached.
    pub(super) fn finish(mut self) -> Result<Tree, RootfsError> {
        let mut pending = vec![(String::new(), ROOT)];
        let mut found = BTreeMap::new();
        while let Some((path, place)) = pending.pop() {
            if let Some(target) = self.unread.get(&place) {
                return Err(RootfsError::Unread {
                    path: shown(&path),
                    target: shown(target),
                });
            }
            self.tree.queue(place, &path, &mut pending);
            if let Some(contents) = self.contents.remove(&place) {
                found.insert(path.into_boxed_str(), contents);
            }
        }
        self.tree.contents = found;
        self.tree.slots.shrink();
        Ok(self.tree)
    }

    pub(super) fn push(&mut self, layer: &LayerFacts) -> Result<(), RootfsError> {
        self.layer += 1;
        for record in layer.records()? {
            let record = record?;
            match record.what {
                What::Whiteout => self.whiteout(&record.path),
                What::Opaque => self.opaque(&record.path),
                _ => self.entry(record)?,
            }
        }
        Ok(())
    }

    /// Hides a path of the layers below. What this layer has there itself stays, wherever it stands in the archive.
    fn whiteout(&mut self, path: &str) {
        let Some(Walk::Found { place, path }) = self.tree.walk(path, Last::Stays) else {
            return;
        };
        if self.hide_below(place) || place == ROOT || self.tree.slots.layer(place) == self.layer {
            return;
        }
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", &path));
        if let Some(Walk::Found { place, .. }) = self.tree.walk(dir, Last::Stays) {
            self.tree.slots.remove(place, name);
        }
    }

    /// Hides all that the layers below have in a directory.
    fn opaque(&mut self, path: &str) {
        if let Some(Walk::Found { place, .. }) = self.tree.walk(path, Last::Followed) {
            self.hide_below(place);
        }
    }

    /// Removes what lies below a place and is not of this layer, the deepest first. Tells whether something is left.
    fn hide_below(&mut self, place: Place) -> bool {
        let mut order = vec![(place, ROOT, Box::<str>::default())];
        let mut at = 0;
        while let Some(&(place, ..)) = order.get(at) {
            let children = self.tree.slots.children(place);
            order.extend(children.map(|(name, child)| (child, place, name.into())));
            at += 1;
        }
        for (child, parent, name) in order.into_iter().skip(1).rev() {
            let slots = &mut self.tree.slots;
            if slots.layer(child) != self.layer && slots.is_empty(child) {
                slots.remove(parent, &name);
            }
        }
        !self.tree.slots.is_empty(place)
    }

    fn entry(&mut self, record: Record<'_>) -> Result<(), RootfsError> {
        let path = record.path.as_ref();
        let mut node = Node {
            kind: NodeKind::Dir,
            mode: record.mode,
            uid: record.uid,
            gid: record.gid,
            size: 0,
            mtime: record.mtime,
            link: None,
            md5: None,
        };
        if path.is_empty() {
            if record.what != What::Dir {
                return Err(RootfsError::conflict("/", "the root is no directory"));
            }
            self.tree.slots.renew_dir(ROOT, &node, 0);
            return Ok(());
        }
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        if matches!(name, "" | "." | "..") {
            return Err(RootfsError::conflict(path, "it is not a clean path"));
        }
        let parent = self.make(dir, path, name.len())?;
        let there = self.tree.slots.child(parent, name);
        let mut contents = None;
        let mut unread = None;
        match record.what {
            What::File {
                size,
                md5,
                contents: kept,
            } => {
                node.kind = NodeKind::File;
                node.size = size;
                node.md5 = md5;
                contents = kept.map(|bytes| bytes.as_ref().into());
            }
            What::Symlink(target) => {
                node.kind = NodeKind::Symlink;
                node.link = Some(target.into());
            }
            What::Hardlink { target, wanted } => {
                let other = self.target(path, &target)?;
                if there == Some(other) {
                    // Two names of what is one place already.
                    return Ok(());
                }
                node = self.tree.slots.node(other);
                contents = self.contents.get(&other).cloned();
                if wanted && contents.is_none() && node.kind == NodeKind::File {
                    unread = Some(target.into());
                }
            }
            What::Device => node.kind = NodeKind::Device,
            What::Fifo => node.kind = NodeKind::Fifo,
            What::Dir | What::Whiteout | What::Opaque => {}
        }
        if let Some(there) = there
            && node.kind == NodeKind::Dir
            && self.tree.slots.is_dir(there)
        {
            self.tree.slots.renew_dir(there, &node, self.layer);
            return Ok(());
        }
        let place = self.insert(parent, name, &node)?;
        if let Some(contents) = contents {
            self.contents.insert(place, contents);
        }
        if let Some(target) = unread {
            self.unread.insert(place, target);
        }
        Ok(())
    }

    /// Finds what a hard link is another name of.
    fn target(&self, path: &str, target: &str) -> Result<Place, RootfsError> {
        match self.tree.walk(target, Last::Stays) {
            Some(Walk::Found { place, .. }) if self.tree.slots.is_dir(place) => Err(
                RootfsError::conflict(path, "it is a hard link to a directory"),
            ),
            Some(Walk::Found { place, .. }) => Ok(place),
            _ => Err(RootfsError::conflict(path, "it is a hard link to nothing")),
        }
    }

    /// Finds the directory of an entry, and makes it, and those above it, where the layers do not list them.
    fn make(&mut self, dir: &str, entry: &str, name: usize) -> Result<Place, RootfsError> {
        let fail = |why| RootfsError::conflict(entry, why);
        let mut way = Way::new(dir).ok_or_else(|| fail("it is not a clean path"))?;
        while let Some((name, _)) = way.next() {
            let step = self.tree.step(way.place(), &name);
            let place = match step.ok_or_else(|| fail("it lies below what is no directory"))? {
                Step::Down(place) => place,
                Step::Nothing => {
                    if way.path().len() + name.len() > LENGTH_LIMIT {
                        return Err(fail("its links lead deeper than any file system can hold"));
                    }
                    self.insert(way.place(), &name, &Node::implied())?
                }
            };
            match self.tree.slots.link(place) {
                Some(target) => way
                    .follow(target)
                    .ok_or_else(|| fail("it lies behind a ring of links"))?,
                None => way.down(&name, place),
            }
        }
        if !self.tree.slots.is_dir(way.place()) {
            return Err(fail("it lies below what is no directory"));
        }
        if way.path().len() + name > LENGTH_LIMIT {
            return Err(fail("its links lead deeper than any file system can hold"));
        }
        Ok(way.place())
    }

    fn insert(&mut self, parent: Place, name: &str, node: &Node) -> Result<Place, RootfsError> {
        if self.tree.slots.len() >= PATH_LIMIT {
            return Err(RootfsError::TooMuch {
                what: "paths",
                limit: PATH_LIMIT as u64,
            });
        }
        let place = self.tree.slots.push(node, self.layer);
        self.tree.slots.put(parent, name, place);
        Ok(place)
    }
}
