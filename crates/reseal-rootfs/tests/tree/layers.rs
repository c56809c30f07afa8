//! Layers for tests.

use reseal_rootfs::{LayerFacts, Node, NodeKind, RootfsError, Tree, wanted};
use tar::{Builder, EntryType, Header};

/// A layer in the making. Paths are written as they are given.
pub(crate) struct Layer(Builder<Vec<u8>>);

impl Layer {
    pub(crate) fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    fn add(mut self, kind: EntryType, mode: u32, path: &str, link: &str, data: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1000);
        header.set_size(data.len() as u64);
        let name = &mut header.as_old_mut().name;
        name[..path.len()].copy_from_slice(path.as_bytes());
        let field = &mut header.as_old_mut().linkname;
        field[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        self.0.append(&header, data).unwrap();
        self
    }

    pub(crate) fn dir(self, path: &str) -> Self {
        self.add(EntryType::Directory, 0o755, path, "", b"")
    }

    pub(crate) fn private(self, path: &str) -> Self {
        self.add(EntryType::Directory, 0o700, path, "", b"")
    }

    pub(crate) fn file(self, path: &str, data: impl AsRef<[u8]>) -> Self {
        self.add(EntryType::Regular, 0o644, path, "", data.as_ref())
    }

    pub(crate) fn symlink(self, path: &str, target: &str) -> Self {
        self.add(EntryType::Symlink, 0o777, path, target, b"")
    }

    pub(crate) fn hard(self, path: &str, target: &str) -> Self {
        self.add(EntryType::Link, 0o644, path, target, b"")
    }

    pub(crate) fn fifo(self, path: &str) -> Self {
        self.add(EntryType::Fifo, 0o600, path, "", b"")
    }

    pub(crate) fn device(self, path: &str) -> Self {
        self.add(EntryType::Char, 0o600, path, "", b"")
    }

    pub(crate) fn tar(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }

    pub(crate) fn facts(self) -> LayerFacts {
        LayerFacts::from_layer(&self.tar()[..], &wanted()).unwrap()
    }
}

pub(crate) fn stack(layers: impl IntoIterator<Item = Layer>) -> Result<Tree, RootfsError> {
    Tree::stack(layers.into_iter().map(Layer::facts))
}

pub(crate) fn tree(layers: impl IntoIterator<Item = Layer>) -> Tree {
    stack(layers).unwrap()
}

/// Every path, with a letter for its type, the target of links, and the size of files.
pub(crate) fn listing(tree: &Tree) -> Vec<String> {
    tree.below("")
        .map(|(path, node)| format!("{path} {}", letter(&node)))
        .collect()
}

fn letter(node: &Node) -> String {
    match node.kind {
        NodeKind::File => format!("f{}", node.size),
        NodeKind::Dir => "d".to_owned(),
        NodeKind::Symlink => format!("l{}", node.link.as_deref().unwrap()),
        NodeKind::Device => "c".to_owned(),
        NodeKind::Fifo => "p".to_owned(),
    }
}
