//! What is at a path.

/// The type of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeKind {
    /// A regular file, under any of its names.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A character or block device.
    Device,
    /// A named pipe.
    Fifo,
}

/// What is at a path, without its contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its type.
    pub kind: NodeKind,
    /// The twelve permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The owner's group.
    pub gid: u32,
    /// The size of a regular file in bytes, holes included; zero for all else.
    pub size: u64,
    /// The modification time, in seconds since 1970.
    pub mtime: i64,
    /// The target of a symbolic link, as it stands.
    pub link: Option<Box<str>>,
    /// The MD5 of a regular file below `etc/`, under any of its names. `None` for larger files than any configuration.
    pub md5: Option<[u8; 16]>,
}

impl Node {
    /// A directory that no layer lists, but that has to be there for what lies in it.
    pub(crate) fn implied() -> Self {
        Self {
            kind: NodeKind::Dir,
            mode: 0o755,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: 0,
            link: None,
            md5: None,
        }
    }
}
