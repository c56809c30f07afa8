//! Where a tree keeps what is at each path: an image may have hundreds of thousands, and several are held at once.

use std::collections::{BTreeMap, HashMap};

use super::Place;
use crate::{Node, NodeKind};

/// What is at each place. Those of paths that are gone stay, but nothing leads there.
#[derive(Debug, Clone)]
pub(super) struct Slots {
    all: Vec<Slot>,
    /// Owners with their groups, each pair once.
    owners: Vec<(u32, u32)>,
    known_owners: HashMap<(u32, u32), u32>,
    /// What is in directories.
    dirs: Vec<BTreeMap<Box<str>, Place>>,
    /// Targets of symbolic links.
    links: Vec<Box<str>>,
    /// MD5 digests of files.
    md5: Vec<[u8; 16]>,
}

#[derive(Debug, Clone)]
struct Slot {
    size: u64,
    mtime: i64,
    /// Position in [`Slots::owners`].
    owner: u32,
    /// Position in the list that belongs to the type; [`NOTHING`] for all that has none.
    more: u32,
    /// The layer that has it, counted from the bottom.
    layer: u32,
    mode: u16,
    kind: NodeKind,
}

/// No position: lists are no longer than the slots, and those are counted by a [`Place`].
const NOTHING: u32 = u32::MAX;
/// The permission bits.
const MODE: u32 = 0o7777;

impl Slots {
    /// Has nothing but the root.
    pub(super) fn new() -> Self {
        let mut this = Self {
            all: Vec::new(),
            owners: Vec::new(),
            known_owners: HashMap::new(),
            dirs: Vec::new(),
            links: Vec::new(),
            md5: Vec::new(),
        };
        this.push(&Node::implied(), 0);
        this
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Adds what nothing leads to yet. The caller sees to it that there are fewer than a [`Place`] can count.
    pub(super) fn push(&mut self, node: &Node, layer: u32) -> Place {
        let place = position(self.all.len());
        let more = match node.kind {
            NodeKind::Dir => add(&mut self.dirs, BTreeMap::new()),
            NodeKind::Symlink => {
                let target = node.link.clone().unwrap_or_default();
                add(&mut self.links, target)
            }
            NodeKind::File => match node.md5 {
                Some(md5) => add(&mut self.md5, md5),
                None => NOTHING,
            },
            NodeKind::Device | NodeKind::Fifo => NOTHING,
        };
        let slot = self.slot_of(node, more, layer);
        self.all.push(slot);
        place
    }

    /// Says something else of a directory, which keeps what is in it.
    pub(super) fn renew_dir(&mut self, place: Place, node: &Node, layer: u32) {
        let more = self.slot(place).more;
        self.all[place as usize] = self.slot_of(node, more, layer);
    }

    fn slot_of(&mut self, node: &Node, more: u32, layer: u32) -> Slot {
        let owner = (node.uid, node.gid);
        let owners = &mut self.owners;
        let owner = *self
            .known_owners
            .entry(owner)
            .or_insert_with(|| add(owners, owner));
        Slot {
            size: node.size,
            mtime: node.mtime,
            owner,
            more,
            layer,
            // Twelve bits are left.
            mode: u16::try_from(node.mode & MODE).unwrap_or_default(),
            kind: node.kind,
        }
    }

    /// Gives back what is not used.
    pub(super) fn shrink(&mut self) {
        self.all.shrink_to_fit();
        self.dirs.shrink_to_fit();
        self.links.shrink_to_fit();
        self.md5.shrink_to_fit();
        self.known_owners = HashMap::new();
    }

    /// Returns what is at a place.
    pub(super) fn node(&self, place: Place) -> Node {
        let slot = self.slot(place);
        let (uid, gid) = self.owners[slot.owner as usize];
        let md5 = (slot.kind == NodeKind::File && slot.more != NOTHING)
            .then(|| self.md5[slot.more as usize]);
        Node {
            kind: slot.kind,
            mode: slot.mode.into(),
            uid,
            gid,
            size: slot.size,
            mtime: slot.mtime,
            link: self.link(place).map(Into::into),
            md5,
        }
    }

    /// Returns the target of a symbolic link; `None` for all else.
    pub(super) fn link(&self, place: Place) -> Option<&str> {
        let slot = self.slot(place);
        (slot.kind == NodeKind::Symlink).then(|| &*self.links[slot.more as usize])
    }

    pub(super) fn is_dir(&self, place: Place) -> bool {
        self.slot(place).kind == NodeKind::Dir
    }

    /// Returns the layer that has what is at a place, counted from the bottom.
    pub(super) fn layer(&self, place: Place) -> u32 {
        self.slot(place).layer
    }

    /// Returns what has that name in a directory.
    pub(super) fn child(&self, dir: Place, name: &str) -> Option<Place> {
        self.dir(dir)?.get(name).copied()
    }

    /// Returns what is in a directory, in order of the names' bytes; nothing for all else.
    pub(super) fn children(&self, place: Place) -> impl DoubleEndedIterator<Item = (&str, Place)> {
        let children = self.dir(place).into_iter().flatten();
        children.map(|(name, &child)| (&**name, child))
    }

    /// Tells whether nothing is in a directory, or it is none.
    pub(super) fn is_empty(&self, place: Place) -> bool {
        self.dir(place).is_none_or(BTreeMap::is_empty)
    }

    /// Puts something into a directory, in the place of what had that name.
    pub(super) fn put(&mut self, dir: Place, name: &str, child: Place) {
        if let Some(children) = self.dir_mut(dir) {
            children.insert(name.into(), child);
        }
    }

    /// Takes a name out of a directory.
    pub(super) fn remove(&mut self, dir: Place, name: &str) {
        if let Some(children) = self.dir_mut(dir) {
            children.remove(name);
        }
    }

    fn slot(&self, place: Place) -> &Slot {
        &self.all[place as usize]
    }

    fn dir(&self, place: Place) -> Option<&BTreeMap<Box<str>, Place>> {
        let slot = self.slot(place);
        (slot.kind == NodeKind::Dir).then(|| &self.dirs[slot.more as usize])
    }

    fn dir_mut(&mut self, place: Place) -> Option<&mut BTreeMap<Box<str>, Place>> {
        let slot = &self.all[place as usize];
        (slot.kind == NodeKind::Dir).then(|| &mut self.dirs[slot.more as usize])
    }
}

/// Adds to a list and returns where it is.
fn add<T>(list: &mut Vec<T>, item: T) -> u32 {
    list.push(item);
    position(list.len() - 1)
}

fn position(at: usize) -> u32 {
    u32::try_from(at).expect("there are fewer places than a place can count")
}
