//! The facts of an image that somebody else has unpacked, told path by path.

use reseal_oci::layer::{EntryKind, Visited, Wanted};

use super::{Facts, LayerFacts, Use, is_wanted, record};
use crate::{Node, NodeKind, RootfsError};

/// Takes the paths of an unpacked image, each directory before what is in it, and gives the facts of one layer that has
/// them all.
///
/// The root itself is not told: nothing depends on it, and whoever unpacks an image may make it as they like.
#[derive(Debug)]
pub struct Listing {
    facts: Facts,
    wanted: Wanted,
}

impl Listing {
    /// Starts with nothing. `wanted` are the files whose contents are kept, as for [`LayerFacts::from_layer`].
    pub fn new(wanted: Wanted) -> Self {
        Self {
            facts: Facts::new(),
            wanted,
        }
    }

    /// Tells whether [`Listing::push`] needs the contents of a regular file of that size in bytes.
    pub fn reads(&self, path: &str, size: u64) -> bool {
        // One that is too large is refused without them.
        let wanted = is_wanted(path, &self.wanted) && size <= self.wanted.limit;
        Use::of(path, size, wanted).reads()
    }

    /// Adds a path relative to the root, with the contents where [`Listing::reads`] asks for them. [`Node::md5`] is not
    /// looked at, but computed.
    ///
    /// # Errors
    ///
    /// When the image has more paths than any, or a wanted file is larger than its limit.
    pub fn push(&mut self, path: &str, node: &Node, contents: &[u8]) -> Result<(), RootfsError> {
        let member = Visited {
            path,
            kind: match node.kind {
                NodeKind::File => EntryKind::File,
                NodeKind::Dir => EntryKind::Dir,
                NodeKind::Symlink => EntryKind::Symlink,
                NodeKind::Device => EntryKind::Device,
                NodeKind::Fifo => EntryKind::Fifo,
            },
            block: false,
            mode: node.mode,
            uid: node.uid.into(),
            gid: node.gid.into(),
            size: node.size,
            mtime: node.mtime,
            link: node.link.as_deref(),
            device: (0, 0),
            xattrs: Vec::new(),
        };
        let mut contents = contents;
        self.facts
            .push(&record(&member, &mut contents, &self.wanted)?)
    }

    /// Returns the facts.
    pub fn finish(self) -> LayerFacts {
        self.facts.finish()
    }
}
