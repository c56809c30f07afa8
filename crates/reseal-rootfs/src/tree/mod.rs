//! All paths of an image.

mod apply;
mod slots;
mod walk;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::{LayerFacts, Node, RootfsError};
use apply::Stacking;
use slots::Slots;
use walk::{Last, Walk};

/// The root's place among the slots.
const ROOT: Place = 0;

/// A place among the slots.
type Place = u32;

/// All paths of an image, as its layers add up.
///
/// Paths are asked for as they stand in archives, relative to the root and clean: `usr/bin/env`. Directories above the
/// last part may be symbolic links; those are followed as the kernel follows them in a container, where `..` cannot leave
/// the root. A path that is not clean is not there.
#[derive(Debug, Clone)]
pub struct Tree {
    slots: Slots,
    /// Contents by the path with no links in it.
    contents: BTreeMap<Box<str>, Arc<[u8]>>,
}

impl Tree {
    /// Stacks layers, the bottom one first.
    ///
    /// # Errors
    ///
    /// When an entry cannot be unpacked onto those before it, as below a regular file or a hard link to nothing, or a
    /// wanted file is another name of one that was not read.
    pub fn stack(layers: impl IntoIterator<Item = LayerFacts>) -> Result<Self, RootfsError> {
        let mut stacking = Stacking::new();
        for layer in layers {
            stacking.push(&layer)?;
        }
        stacking.finish()
    }

    /// Returns what is at a path. The last part is not followed.
    pub fn node(&self, path: &str) -> Option<Node> {
        match self.walk(path, Last::Stays)? {
            Walk::Found { place, .. } => Some(self.slots.node(place)),
            Walk::Missing { .. } => None,
        }
    }

    /// Returns what is at a path, with links followed to the end: what `stat` sees.
    pub fn followed(&self, path: &str) -> Option<Node> {
        match self.walk(path, Last::Followed)? {
            Walk::Found { place, .. } => Some(self.slots.node(place)),
            Walk::Missing { .. } => None,
        }
    }

    /// Returns the same path with no links above its last part: `usr/lib/x` for `lib/x` where `lib` leads to `usr/lib`.
    ///
    /// It need not exist, and where directories are missing the rest stays as it is. `None` where the path cannot be made:
    /// it leads through what is no directory, a link to nothing or a ring of links.
    pub fn real(&self, path: &str) -> Option<String> {
        match self.walk(path, Last::Stays)? {
            Walk::Found { path, .. } | Walk::Missing { path, .. } => Some(path),
        }
    }

    /// Returns the path that a path leads to, with the last part followed too; `None` where nothing is there.
    pub fn real_followed(&self, path: &str) -> Option<String> {
        match self.walk(path, Last::Followed)? {
            Walk::Found { path, .. } => Some(path),
            Walk::Missing { .. } => None,
        }
    }

    /// Returns the contents of a wanted file, with links followed.
    ///
    /// `None` where there is no such file, and for a link to one that was not wanted, which [`Tree::followed`] tells apart.
    pub fn contents(&self, path: &str) -> Option<&[u8]> {
        match self.walk(path, Last::Followed)? {
            Walk::Found { path, .. } => self.contents.get(path.as_str()).map(AsRef::as_ref),
            Walk::Missing { .. } => None,
        }
    }

    /// Returns the names in a directory and what they are, in order of their bytes. Nothing where there is no directory.
    pub fn children(&self, dir: &str) -> impl Iterator<Item = (&str, Node)> {
        let found = match self.walk(dir, Last::Followed) {
            Some(Walk::Found { place, .. }) => Some(place),
            _ => None,
        };
        found
            .into_iter()
            .flat_map(|place| self.slots.children(place))
            .map(|(name, place)| (name, self.slots.node(place)))
    }

    /// Returns the wanted files whose paths, with no links in them, start so, in order.
    pub fn paths_with_contents(&self, prefix: &str) -> impl Iterator<Item = (&str, &[u8])> {
        self.contents
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(move |(path, _)| path.starts_with(prefix))
            .map(|(path, contents)| (path.as_ref(), contents.as_ref()))
    }

    /// Returns everything below a directory, which is followed, with paths that have no links in them. A directory comes
    /// before what is in it.
    pub fn below(&self, dir: &str) -> impl Iterator<Item = (String, Node)> {
        let mut pending = Vec::new();
        if let Some(Walk::Found { place, path }) = self.walk(dir, Last::Followed) {
            self.queue(place, &path, &mut pending);
        }
        std::iter::from_fn(move || {
            let (path, place) = pending.pop()?;
            self.queue(place, &path, &mut pending);
            Some((path, self.slots.node(place)))
        })
    }

    fn queue(&self, place: Place, path: &str, pending: &mut Vec<(String, Place)>) {
        let children = self.slots.children(place).rev();
        pending.extend(children.map(|(name, child)| (join(path, name), child)));
    }
}

/// The path of a name in a directory.
fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() {
        name.to_owned()
    } else {
        format!("{dir}/{name}")
    }
}
