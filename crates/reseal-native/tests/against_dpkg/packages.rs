//! Packages that tests make up, built by the machine's own `dpkg-deb`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a package has at a path.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    File(String, u32),
    Dir,
    Link(String),
    /// One more name of another path of the package.
    Hard(String),
}

/// A package.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) architecture: String,
    fields: String,
    replaces: String,
    items: BTreeMap<String, Item>,
    control: BTreeMap<String, String>,
    compression: &'static str,
    sums: bool,
}

pub(crate) fn package(name: &str, version: &str) -> Package {
    Package {
        name: name.to_owned(),
        version: version.to_owned(),
        architecture: "all".to_owned(),
        fields: String::new(),
        replaces: String::new(),
        items: BTreeMap::new(),
        control: BTreeMap::new(),
        compression: "gzip",
        sums: true,
    }
}

impl Package {
    pub(crate) fn file(self, path: &str, contents: &str) -> Self {
        self.file_with_mode(path, contents, 0o644)
    }

    pub(crate) fn file_with_mode(mut self, path: &str, contents: &str, mode: u32) -> Self {
        self.items
            .insert(path.to_owned(), Item::File(contents.to_owned(), mode));
        self
    }

    pub(crate) fn dir(mut self, path: &str) -> Self {
        self.items.insert(path.to_owned(), Item::Dir);
        self
    }

    pub(crate) fn link(mut self, path: &str, target: &str) -> Self {
        self.items
            .insert(path.to_owned(), Item::Link(target.to_owned()));
        self
    }

    pub(crate) fn hard(mut self, path: &str, first: &str) -> Self {
        self.items
            .insert(path.to_owned(), Item::Hard(first.to_owned()));
        self
    }

    pub(crate) fn without(mut self, path: &str) -> Self {
        self.items.remove(path);
        self
    }

    pub(crate) fn conffile(self, path: &str, contents: &str) -> Self {
        let line = format!("{path}\n");
        self.file(path, contents).append("conffiles", &line)
    }

    /// Adds to a control file.
    pub(crate) fn append(mut self, member: &str, text: &str) -> Self {
        self.control
            .entry(member.to_owned())
            .or_default()
            .push_str(text);
        self
    }

    pub(crate) fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.extend([name, ": ", value, "\n"]);
        self
    }

    pub(crate) fn replaced(&self) -> &str {
        &self.replaces
    }

    pub(crate) fn set_replaced(mut self, list: String) -> Self {
        self.replaces = list;
        self
    }

    pub(crate) fn arch(mut self, architecture: &str) -> Self {
        architecture.clone_into(&mut self.architecture);
        self
    }

    pub(crate) fn compressed(mut self, how: &'static str) -> Self {
        self.compression = how;
        self
    }

    pub(crate) fn without_sums(mut self) -> Self {
        self.sums = false;
        self
    }

    /// Builds it; the same package gives the same files, with times long past.
    pub(crate) fn build(&self, folder: &Path) -> PathBuf {
        let stem = format!(
            "{}_{}_{}",
            self.name,
            self.version.replace(':', "%"),
            self.architecture
        );
        let root = folder.join(&stem);
        let debian = root.join("DEBIAN");
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&debian).unwrap();
        let mut sums = String::new();
        // Hard links after what they are links to.
        let is_hard = |item: &&Item| matches!(item, Item::Hard(_));
        let (hard, rest): (Vec<_>, Vec<_>) = self.items.iter().partition(|(_, item)| is_hard(item));
        for (path, item) in rest.into_iter().chain(hard) {
            let at = root.join(path.trim_start_matches('/'));
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            match item {
                Item::Dir => fs::create_dir_all(&at).unwrap(),
                Item::Link(target) => symlink(target, &at).unwrap(),
                Item::Hard(first) => {
                    fs::hard_link(root.join(first.trim_start_matches('/')), &at).unwrap();
                }
                Item::File(contents, mode) => {
                    fs::write(&at, contents).unwrap();
                    fs::set_permissions(&at, fs::Permissions::from_mode(*mode)).unwrap();
                    let digest = <md5::Md5 as md5::Digest>::digest(contents.as_bytes());
                    let mut hex = String::new();
                    for byte in digest {
                        let _ = write!(hex, "{byte:02x}");
                    }
                    let _ = writeln!(sums, "{hex}  {}", path.trim_start_matches('/'));
                }
            }
        }
        let replaces = match self.replaces.as_str() {
            "" => String::new(),
            list => format!("Replaces: {list}\n"),
        };
        let control = format!(
            "Package: {}\nVersion: {}\nArchitecture: {}\nMaintainer: Tests <tests@example.org>\n{}{replaces}Description: made up\n for a test\n",
            self.name, self.version, self.architecture, self.fields
        );
        fs::write(debian.join("control"), control).unwrap();
        if self.sums {
            fs::write(debian.join("md5sums"), sums).unwrap();
        }
        for (member, text) in &self.control {
            let at = debian.join(member);
            fs::write(&at, text).unwrap();
            let script = matches!(member.as_str(), "preinst" | "postinst" | "prerm" | "postrm");
            let mode = if script { 0o755 } else { 0o644 };
            fs::set_permissions(&at, fs::Permissions::from_mode(mode)).unwrap();
        }
        let deb = folder.join(format!("{stem}.deb"));
        // Times that are the same for every file, and different for every version.
        let epoch = 1_000_000_000 + u64::from(self.version.bytes().map(u32::from).sum::<u32>());
        let stamp = format!("@{epoch}");
        run(Command::new("find")
            .arg(&root)
            .args(["-exec", "touch", "-h", "-d", &stamp, "{}", "+"]));
        run(Command::new("dpkg-deb")
            .env("SOURCE_DATE_EPOCH", epoch.to_string())
            .args([
                "--root-owner-group",
                "--nocheck",
                "-Z",
                self.compression,
                "-b",
            ])
            .args([&root, &deb]));
        deb
    }
}

/// Runs a program; what it said is in the panic when it fails.
pub(crate) fn run(command: &mut Command) -> String {
    let done = command.output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    assert!(done.status.success(), "{command:?}: {said}");
    said
}
