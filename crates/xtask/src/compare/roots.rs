//! Two file systems, path by path.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

/// What is left out of the comparison. The list is the one of the documentation.
const LEFT_OUT: [&str; 8] = [
    // The native engine removes byte code of modules that it replaces; Python makes it anew or does without.
    "*.pyc",
    "*/__pycache__",
    // Folders of the package apt; while it runs in BuildKit, caches are mounted there.
    "var/cache/apt/*",
    "var/lib/apt/lists/*",
    "var/cache/debconf/*",
    "var/cache/ldconfig/aux-cache",
    "var/lib/dpkg/status-old",
    "var/log/*",
];

/// Files of which the order of lines says nothing: dpkg appends interests as it unpacks, in an order that apt chooses.
const UNORDERED: &str = "var/lib/dpkg/triggers/*";

/// How two roots compare.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    /// Paths that were compared.
    pub paths: usize,
    /// Paths that differ, with what about them.
    pub different: Vec<(String, String)>,
    /// How many paths differ and are left out.
    pub left_out: usize,
}

/// Compares type, content, mode, owner and links of every path below two folders: the package manager's and the native
/// engine's.
pub(super) fn compare(left: &Path, right: &Path) -> Result<Comparison, String> {
    let roots = [Root::read(left)?, Root::read(right)?];
    let all: BTreeSet<&String> = roots.iter().flat_map(|root| root.entries.keys()).collect();
    let mut out = Comparison {
        paths: all.len(),
        ..Comparison::default()
    };
    for path in all {
        let Some(what) = difference(&roots, path)? else {
            continue;
        };
        if LEFT_OUT.iter().any(|pattern| is_match(pattern, path)) {
            out.left_out += 1;
        } else {
            out.different.push((path.clone(), what));
        }
    }
    Ok(out)
}

/// Says what about a path differs.
fn difference(roots: &[Root; 2], path: &str) -> Result<Option<String>, String> {
    let [left, right] = roots;
    let (left_entry, right_entry) = match (left.entries.get(path), right.entries.get(path)) {
        (Some(left), Some(right)) => (left, right),
        (Some(_), None) => return Ok(Some("is missing in the native engine's root".to_owned())),
        _ => return Ok(Some("is in the native engine's root alone".to_owned())),
    };
    if left_entry != right_entry {
        return Ok(Some(format!("{left_entry} became {right_entry}")));
    }
    if !matches!(left_entry.kind, Kind::File { .. }) {
        return Ok(None);
    }
    let read = |root: &Root| {
        let bytes = fs::read(root.folder.join(path))
            .map_err(|error| format!("could not read `{path}`: {error}"))?;
        Ok::<_, String>(if is_match(UNORDERED, path) {
            sorted(&bytes)
        } else {
            bytes
        })
    };
    let same = read(left)? == read(right)?;
    Ok((!same).then(|| "has other content".to_owned()))
}

/// Sorts the lines of a text.
fn sorted(text: &[u8]) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = text.split_inclusive(|&byte| byte == b'\n').collect();
    lines.sort_unstable();
    lines.concat()
}

/// Matches a path with one `*` at most in the pattern.
fn is_match(pattern: &str, path: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == path,
        Some((front, back)) => {
            path.len() >= front.len() + back.len()
                && path.starts_with(front)
                && path.ends_with(back)
        }
    }
}

struct Root {
    folder: PathBuf,
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    kind: Kind,
    mode: u32,
    owner: (u32, u32),
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// With its size and the first of its names, if it has several.
    File {
        size: u64,
        first: Option<String>,
    },
    Folder,
    /// With its target.
    Link(PathBuf),
    /// With its number.
    Special(u64),
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, mode, owner } = self;
        match kind {
            Kind::File { size, first } => {
                write!(f, "a file of {size} bytes")?;
                first
                    .iter()
                    .try_for_each(|first| write!(f, ", the same as `{first}`"))
            }
            Kind::Folder => f.write_str("a folder"),
            Kind::Link(target) => write!(f, "a link to `{}`", target.display()),
            Kind::Special(number) => write!(f, "the device or pipe {number}"),
        }?;
        write!(f, " ({mode:o} {}:{})", owner.0, owner.1)
    }
}

impl Root {
    fn read(folder: &Path) -> Result<Self, String> {
        let mut root = Self {
            folder: folder.to_owned(),
            entries: BTreeMap::new(),
        };
        let mut names = BTreeMap::new();
        root.add_folder("", &mut names)
            .map_err(|error| format!("could not read {}: {error}", folder.display()))?;
        for paths in names.into_values() {
            for path in &paths {
                if let Some(Kind::File { first, .. }) =
                    root.entries.get_mut(path).map(|entry| &mut entry.kind)
                {
                    *first = paths.first().cloned();
                }
            }
        }
        Ok(root)
    }

    /// Adds all below a folder; files with several names go into `names` by their number.
    fn add_folder(
        &mut self,
        path: &str,
        names: &mut BTreeMap<u64, BTreeSet<String>>,
    ) -> io::Result<()> {
        for entry in fs::read_dir(self.folder.join(path))? {
            let entry = entry?;
            let name = entry.file_name().into_string().map_err(|name| {
                io::Error::other(format!("the name {} is not UTF-8", name.display()))
            })?;
            let child = if path.is_empty() {
                name
            } else {
                format!("{path}/{name}")
            };
            let meta = entry.metadata()?;
            let kind = if meta.is_dir() {
                self.add_folder(&child, names)?;
                Kind::Folder
            } else if meta.is_symlink() {
                Kind::Link(fs::read_link(entry.path())?)
            } else if meta.is_file() {
                if meta.nlink() > 1 {
                    names.entry(meta.ino()).or_default().insert(child.clone());
                }
                Kind::File {
                    size: meta.len(),
                    first: None,
                }
            } else if meta.file_type().is_char_device() || meta.file_type().is_block_device() {
                Kind::Special(meta.rdev())
            } else {
                Kind::Special(0)
            };
            let entry = Entry {
                kind,
                mode: meta.mode(),
                owner: (meta.uid(), meta.gid()),
            };
            self.entries.insert(child, entry);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    /// Two equal roots in a folder of their own.
    fn roots(name: &str) -> [PathBuf; 2] {
        let folder = std::env::temp_dir().join(format!("reseal-{name}-{}", std::process::id()));
        ["left", "right"].map(|side| {
            let root = folder.join(side);
            fs::create_dir_all(root.join("var/log")).unwrap();
            fs::create_dir_all(root.join("etc/ssl/certs")).unwrap();
            fs::write(root.join("a"), "1").unwrap();
            fs::hard_link(root.join("a"), root.join("b")).unwrap();
            fs::write(root.join("c"), "1").unwrap();
            symlink("a", root.join("link")).unwrap();
            root
        })
    }

    fn different(left: &Path, right: &Path) -> Vec<String> {
        let found = compare(left, right).unwrap().different;
        found.into_iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn every_kind_of_difference_is_seen() {
        let [left, right] = roots("kinds");
        assert_eq!(different(&left, &right), Vec::<String>::new());
        let change = |path: &str, what: &dyn Fn(&Path)| {
            what(&right.join(path));
            let found = different(&left, &right);
            assert!(found.iter().any(|found| found == path), "{path}: {found:?}");
        };
        change("c", &|path| fs::write(path, "2").unwrap());
        change("c", &|path| {
            fs::write(path, "1").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        });
        change("link", &|path| {
            fs::remove_file(path).unwrap();
            symlink("c", path).unwrap();
        });
        change("b", &|path| {
            fs::remove_file(path).unwrap();
            fs::write(path, "1").unwrap();
        });
        change("new", &|path| fs::create_dir(path).unwrap());
        change("var/log", &|path| fs::remove_dir(path).unwrap());
        fs::remove_dir_all(left.parent().unwrap()).unwrap();
    }

    #[test]
    fn only_triggers_may_be_in_another_order() {
        let [left, right] = roots("order");
        for (path, wanted) in [("var/lib/dpkg/triggers", 0), ("var/lib/dpkg/info", 1)] {
            for (root, text) in [(&left, "a\nb\n"), (&right, "b\na\n")] {
                fs::create_dir_all(root.join(path)).unwrap();
                fs::write(root.join(path).join("File"), text).unwrap();
            }
            let found = compare(&left, &right).unwrap();
            assert_eq!(found.different.len(), wanted, "{path}");
            fs::remove_file(left.join(path).join("File")).unwrap();
            fs::remove_file(right.join(path).join("File")).unwrap();
        }
        let triggers = "var/lib/dpkg/triggers/File";
        fs::write(left.join(triggers), "a\nb\n").unwrap();
        fs::write(right.join(triggers), "a\nc\n").unwrap();
        assert_eq!(different(&left, &right), [triggers]);
        fs::remove_dir_all(left.parent().unwrap()).unwrap();
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let [left, right] = roots("left-out");
        fs::write(right.join("var/log/dpkg.log"), "x").unwrap();
        fs::create_dir_all(right.join("usr/x/__pycache__")).unwrap();
        fs::write(right.join("usr/x/__pycache__/y.cpython-311.pyc"), "x").unwrap();
        fs::create_dir_all(left.join("usr/x")).unwrap();
        let found = compare(&left, &right).unwrap();
        assert_eq!((found.different, found.left_out), (Vec::new(), 3));
        fs::write(right.join("etc/ssl/certs/x.pem"), "x").unwrap();
        assert_eq!(different(&left, &right), ["etc/ssl/certs/x.pem"]);
        fs::remove_dir_all(left.parent().unwrap()).unwrap();
    }
}
