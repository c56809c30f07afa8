//! Packages and images made in memory, with nothing checked.

use std::collections::BTreeSet;
use std::io::{Read, Write as _};

use reseal_native::{Deb, Laid, NativeError, Order, Scripts, lay_down};
use reseal_pkg::dpkg::Database;
use reseal_rootfs::{LayerFacts, Tree, wanted};
use tar::{EntryType, Header};

/// A member of a tar.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    name: Vec<u8>,
    kind: EntryType,
    link: String,
    owner: u64,
    data: Vec<u8>,
    /// What the header says.
    size: Option<u64>,
    records: Vec<(String, String)>,
}

pub(crate) fn entry(name: impl AsRef<[u8]>, kind: EntryType) -> Entry {
    Entry {
        name: name.as_ref().to_vec(),
        kind,
        link: String::new(),
        owner: 0,
        data: Vec::new(),
        size: None,
        records: Vec::new(),
    }
}

pub(crate) fn file(name: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Entry {
    let data = data.as_ref().to_vec();
    Entry {
        data,
        ..entry(name, EntryType::Regular)
    }
}

pub(crate) fn dir(name: &str) -> Entry {
    entry(name, EntryType::Directory)
}

impl Entry {
    pub(crate) fn link(self, link: &str) -> Self {
        Self {
            link: link.to_owned(),
            ..self
        }
    }

    pub(crate) fn owner(self, owner: u64) -> Self {
        Self { owner, ..self }
    }

    pub(crate) fn size(self, size: u64) -> Self {
        Self {
            size: Some(size),
            ..self
        }
    }

    pub(crate) fn record(mut self, key: &str, value: &str) -> Self {
        self.records.push((key.to_owned(), value.to_owned()));
        self
    }
}

/// Writes a tar as it is told to.
pub(crate) fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    for entry in entries {
        if !entry.records.is_empty() {
            let mut body = Vec::new();
            for (key, value) in &entry.records {
                let rest = key.len() + value.len() + 3;
                let length = (rest..rest + 5)
                    .find(|n| rest + n.to_string().len() == *n)
                    .unwrap();
                writeln!(body, "{length} {key}={value}").unwrap();
            }
            put(
                &mut out,
                &Entry {
                    kind: EntryType::XHeader,
                    ..file("pax", body)
                },
            );
        }
        put(&mut out, entry);
    }
    out.extend([0; 1024]);
    out
}

fn put(out: &mut Vec<u8>, entry: &Entry) {
    let mut header = Header::new_ustar();
    header.as_mut_bytes()[..entry.name.len()].copy_from_slice(&entry.name);
    header.as_mut_bytes()[157..157 + entry.link.len()].copy_from_slice(entry.link.as_bytes());
    header.set_entry_type(entry.kind);
    header.set_mode(if entry.kind.is_dir() { 0o755 } else { 0o644 });
    header.set_uid(entry.owner);
    header.set_gid(0);
    header.set_mtime(1_000_000_000);
    header.set_size(entry.size.unwrap_or(entry.data.len() as u64));
    header.set_device_major(0).unwrap();
    header.set_device_minor(0).unwrap();
    header.set_cksum();
    out.extend(header.as_bytes());
    out.extend(&entry.data);
    out.resize(out.len().next_multiple_of(512), 0);
}

/// Writes a package.
pub(crate) fn deb(control: &[Entry], data: &[Entry]) -> Vec<u8> {
    let mut out = b"!<arch>\n".to_vec();
    for (name, bytes) in [
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar", tar(control)),
        ("data.tar", tar(data)),
    ] {
        writeln!(
            out,
            "{name:<16}0           0     0     100644  {:<10}`",
            bytes.len()
        )
        .unwrap();
        out.extend(bytes);
    }
    out
}

/// The control files of version 2 of the package `one`, and more of them.
pub(crate) fn control(more: &[Entry]) -> Vec<Entry> {
    let text = "Package: one\nVersion: 2\nArchitecture: all\nMaintainer: M\nDescription: d\n";
    [&[dir("./"), file("./control", text)], more].concat()
}

/// Lays version 2 of `one` down on an image with version 1, and some files more.
pub(crate) fn lay(bytes: &[u8], more: &[Entry]) -> Result<(Laid, Vec<u8>), NativeError> {
    let status = "Package: one\nStatus: install ok installed\nMaintainer: M\nArchitecture: all\n\
                  Version: 1\nDescription: d\n\nPackage: two\nStatus: install ok installed\nMaintainer: M\n\
                  Architecture: all\nVersion: 1\nDescription: d\n\n";
    let mut entries = vec![
        dir("etc"),
        dir("usr"),
        file("usr/old", "old"),
        file("usr/two", "two"),
        file("var/lib/dpkg/status", status),
        file("var/lib/dpkg/info/format", "1\n"),
        file("var/lib/dpkg/info/one.list", "/.\n/usr\n/usr/old\n"),
        file("var/lib/dpkg/info/two.list", "/.\n/usr\n/usr/two\n"),
    ];
    entries.extend_from_slice(more);
    let facts = LayerFacts::from_layer(&tar(&entries)[..], &wanted()).unwrap();
    let tree = Tree::stack([facts]).unwrap();
    let database = Database::parse(tree.contents("var/lib/dpkg/status").unwrap()).unwrap();
    let open = || Ok(Box::new(bytes) as Box<dyn Read>);
    let deb = Deb {
        name: "one",
        architecture: "all",
        version: "2",
        sha256: "",
        open: &open,
    };
    let order = Order {
        tree: &tree,
        database: &database,
        debs: vec![deb],
        new: BTreeSet::new(),
        architecture: "amd64",
        scripts: Scripts::Refuse,
        ahead: false,
    };
    let mut raw = Vec::new();
    Ok((lay_down(&order, &mut raw)?, raw))
}
