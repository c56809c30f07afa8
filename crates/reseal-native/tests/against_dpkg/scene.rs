//! A small root with packages in it, upgraded twice: by the machine's dpkg, and by `lay_down`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use reseal_native::{Deb, Laid, NOW, NativeError, Order, Scripts, lay_down};
use reseal_oci::layer::{self, EntryKind, Keep};
use reseal_pkg::dpkg::Database;
use reseal_rootfs::{LayerFacts, Tree, wanted};

use super::packages::{Package, run};

/// Tells whether dpkg can be compared with; says why not.
pub(crate) fn possible() -> bool {
    let has = |program: &str| Command::new(program).arg("--version").output().is_ok();
    let why = if !(has("dpkg") && has("dpkg-deb")) {
        "this machine has no dpkg"
    } else if fs::metadata("/proc/self").unwrap().uid() != 0 {
        "dpkg needs root"
    } else {
        return true;
    };
    writeln(&format!("skipped: {why}"));
    false
}

#[expect(
    clippy::print_stderr,
    reason = "whoever reads a test's output has to see what was skipped"
)]
fn writeln(text: &str) {
    eprintln!("{text}");
}

/// A root with packages.
pub(crate) struct Scene {
    folder: tempfile::TempDir,
    /// Options for dpkg, which does not read the root's own configuration.
    options: Vec<String>,
    scripts: Scripts,
}

/// Both results of a scene.
pub(crate) struct Outcome {
    pub(crate) laid: Laid,
    root: PathBuf,
}

impl Outcome {
    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.join(path)).unwrap()
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        fs::symlink_metadata(self.root.join(path)).is_ok()
    }
}

impl Scene {
    pub(crate) fn new() -> Self {
        let scene = Self {
            folder: tempfile::tempdir().unwrap(),
            options: Vec::new(),
            scripts: Scripts::Refuse,
        };
        let root = scene.root();
        for dir in [
            "var/lib/dpkg/info",
            "var/lib/dpkg/updates",
            "var/lib/dpkg/triggers",
            "var/log",
            "etc/dpkg/dpkg.cfg.d",
            "usr/lib",
            "usr/bin",
        ] {
            fs::create_dir_all(root.join(dir)).unwrap();
        }
        symlink("usr/lib", root.join("lib")).unwrap();
        for (file, text) in [("status", ""), ("available", ""), ("info/format", "1\n")] {
            fs::write(root.join("var/lib/dpkg").join(file), text).unwrap();
        }
        scene
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    pub(crate) fn assume_scripts_inert(mut self) -> Self {
        self.scripts = Scripts::Assume;
        self
    }

    /// Leaves packages with scripts to dpkg on the native side, too.
    pub(crate) fn leave_scripts_to_dpkg(mut self) -> Self {
        self.scripts = Scripts::Configure;
        self
    }

    /// Sets an option of dpkg, for both sides.
    pub(crate) fn option(mut self, option: &str) -> Self {
        let file = self.root().join("etc/dpkg/dpkg.cfg.d/test");
        let before = fs::read_to_string(&file).unwrap_or_default();
        fs::write(&file, format!("{before}{option}\n")).unwrap();
        self.options.push(format!("--{option}"));
        self
    }

    /// Installs packages with dpkg.
    pub(crate) fn with(self, packages: &[Package]) -> Self {
        let debs = self.built(packages);
        let said = self.dpkg(&self.root(), &debs);
        assert!(said.is_ok(), "{said:?}");
        self
    }

    /// Installs a package if dpkg takes it.
    pub(crate) fn try_with(self, package: &Package) -> Self {
        let debs = self.built(std::slice::from_ref(package));
        let copy = self.folder.path().join("tried");
        run(Command::new("cp").arg("-a").arg(self.root()).arg(&copy));
        if self.dpkg(&copy, &debs).is_ok() {
            fs::remove_dir_all(self.root()).unwrap();
            fs::rename(&copy, self.root()).unwrap();
        } else {
            fs::remove_dir_all(&copy).unwrap();
        }
        self
    }

    /// Changes the root as its administrator would.
    pub(crate) fn changed(self, change: impl FnOnce(&Path)) -> Self {
        change(&self.root());
        self
    }

    fn built(&self, packages: &[Package]) -> Vec<PathBuf> {
        packages
            .iter()
            .map(|package| package.build(self.folder.path()))
            .collect()
    }

    fn dpkg(&self, root: &Path, debs: &[PathBuf]) -> Result<(), String> {
        let done = self.command(root).arg("-i").args(debs).output().unwrap();
        if done.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&done.stderr).into_owned())
    }

    fn configure(&self, root: &Path) {
        run(self.command(root).args(["--configure", "--pending"]));
    }

    fn command(&self, root: &Path) -> Command {
        let mut command = Command::new("dpkg");
        command
            .env("DPKG_FRONTEND_LOCKED", "1")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .arg(format!("--root={}", root.display()))
            .arg("--log=/dev/null")
            .args([
                "--force-confold",
                "--force-confdef",
                "--force-unsafe-io",
                "--force-depends",
                "--force-script-chrootless",
            ])
            .args(&self.options);
        command
    }

    /// Lays packages down without a comparison; changes nothing.
    pub(crate) fn lay(&self, packages: &[Package]) -> Result<(Laid, Vec<u8>), NativeError> {
        let debs = self.built(packages);
        let tar = self.folder.path().join("base.tar");
        run(Command::new("tar")
            .arg("-C")
            .arg(self.root())
            .args(["--numeric-owner", "-cf"])
            .arg(&tar)
            .arg("."));
        let facts = LayerFacts::from_layer(File::open(&tar).unwrap(), &wanted()).unwrap();
        let tree = Tree::stack([facts]).unwrap();
        let database = Database::parse(tree.contents("var/lib/dpkg/status").unwrap()).unwrap();
        let architecture = run(Command::new("dpkg").arg("--print-architecture"));
        let openers: Vec<_> = debs
            .iter()
            .map(|deb| move || Ok(Box::new(File::open(deb)?) as Box<dyn Read>))
            .collect();
        let asked = |reverse: bool| -> Result<(Laid, Vec<u8>), NativeError> {
            let mut debs: Vec<_> = packages
                .iter()
                .zip(&openers)
                .map(|(package, open)| Deb {
                    name: &package.name,
                    architecture: &package.architecture,
                    version: &package.version,
                    sha256: "",
                    open,
                })
                .collect();
            if reverse {
                debs.reverse();
            }
            let order = Order {
                tree: &tree,
                database: &database,
                debs,
                new: BTreeSet::new(),
                architecture: architecture.trim_end(),
                scripts: self.scripts,
                // Neither the order nor who unpacks shows.
                ahead: reverse,
            };
            let mut raw = Vec::new();
            let laid = lay_down(&order, &mut raw)?;
            Ok((laid, raw))
        };
        let (forwards, backwards) = (asked(false), asked(true));
        if let (Ok(forwards), Ok(backwards)) = (&forwards, &backwards) {
            assert!(forwards == backwards, "the order of packages matters");
        }
        forwards
    }

    /// Upgrades on both sides and compares every path.
    pub(crate) fn same(self, packages: &[Package]) -> Outcome {
        match self.compare(packages) {
            Ok(outcome) => outcome,
            Err(why) => panic!("{why}"),
        }
    }

    /// As [`Scene::same`], with what differs as an error.
    pub(crate) fn compare(self, packages: &[Package]) -> Result<Outcome, String> {
        // So that it shows which directories are written to.
        run(Command::new("find").arg(self.root()).args([
            "-type",
            "d",
            "-exec",
            "touch",
            "-d",
            "@900000000",
            "{}",
            "+",
        ]));
        let debs = self.built(packages);
        let copy = self.folder.path().join("by-dpkg");
        run(Command::new("cp").arg("-a").arg(self.root()).arg(&copy));
        let by_dpkg = self.dpkg(&copy, &debs);
        let (laid, raw) = match (self.lay(packages), by_dpkg) {
            (Ok(laid), Ok(())) => laid,
            (Ok(_), Err(said)) => return Err(format!("only dpkg refuses: {said}")),
            (Err(error), dpkg) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                return Err(format!("refused: {error} {cause:?}; dpkg: {dpkg:?}"));
            }
        };
        let root = self.root();
        apply(&raw, &root, self.folder.path());
        check(&laid, &root);
        let left = laid.unconfigured().next().is_some();
        assert_eq!(left, self.scripts == Scripts::Configure);
        if left {
            self.configure(&root);
        }
        let (dpkg, native) = (walk(&copy), walk(&root));
        let paths: BTreeSet<_> = dpkg.keys().chain(native.keys()).collect();
        let mut differing = String::new();
        for path in paths {
            let same = match (dpkg.get(path), native.get(path)) {
                (Some(dpkg), Some(native)) => dpkg.is_as(native),
                _ => false,
            };
            if !same && !is_leftover(path) {
                let both = (dpkg.get(path), native.get(path));
                let _ = writeln!(
                    differing,
                    "{path}:\n  dpkg   {:?}\n  native {:?}",
                    both.0, both.1
                );
            }
        }
        if !differing.is_empty() {
            return Err(differing);
        }
        // The folder goes with the scene; what is asked for afterwards is read now.
        let root = self.folder.keep().join("root");
        Ok(Outcome { laid, root })
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        let folder = self.root.parent().unwrap();
        let _ = fs::remove_dir_all(folder);
    }
}

/// Checks what is said of the result against the result.
fn check(laid: &Laid, root: &Path) {
    let status = fs::read(root.join("var/lib/dpkg/status")).unwrap();
    assert_eq!(laid.database.to_bytes(), status);
    for proof in &laid.files {
        let bytes = fs::read(root.join(&proof.path)).unwrap();
        let digest = <sha2::Sha256 as sha2::Digest>::digest(&bytes);
        assert_eq!(digest.as_slice(), proof.sha256, "{}", proof.path);
    }
}

/// What dpkg leaves lying about and a layer does not get.
fn is_leftover(path: &str) -> bool {
    let name = path.strip_prefix("var/lib/dpkg/").unwrap_or_default();
    name.ends_with("-old")
        || matches!(
            name,
            "lock"
                | "lock-frontend"
                | "available"
                | "updates"
                | "triggers/Lock"
                | "triggers/Unincorp"
        )
        || path.starts_with("var/log/")
}

/// Finishes the layer as the pipeline does and unpacks it.
fn apply(raw: &[u8], root: &Path, folder: &Path) {
    let mut tar = std::io::Cursor::new(raw);
    let scan = layer::scan(&mut tar).unwrap();
    let at = folder.join("layer.tar.gz");
    let out = File::create(&at).unwrap();
    layer::normalise(&mut tar, &scan, &|_: &str| Keep::Package, NOW, out).unwrap();
    for entry in scan
        .entries
        .iter()
        .filter(|entry| entry.kind == EntryKind::Whiteout)
    {
        let hidden = root.join(&entry.path);
        let metadata = fs::symlink_metadata(&hidden)
            .unwrap_or_else(|error| panic!("nothing to hide at {}: {error}", entry.path));
        if metadata.is_dir() {
            fs::remove_dir_all(&hidden).unwrap();
        } else {
            fs::remove_file(&hidden).unwrap();
        }
    }
    run(Command::new("tar")
        .args([
            "--numeric-owner",
            "--same-owner",
            "-p",
            "--exclude=.wh.*",
            "-xzf",
        ])
        .arg(&at)
        .arg("-C")
        .arg(root));
}

/// Later than any time in a package, and earlier than any run.
const PAST: i64 = 1_100_000_000;

/// What is at a path.
#[derive(Debug)]
struct Found {
    kind: u32,
    mode: u32,
    owner: (u32, u32),
    mtime: i64,
    contents: String,
}

impl Found {
    /// `self` is dpkg's: what it wrote now has the time of that.
    fn is_as(&self, native: &Self) -> bool {
        let times = native.mtime == self.mtime || (native.mtime > PAST && self.mtime > PAST);
        (self.kind, self.mode, self.owner, &self.contents)
            == (native.kind, native.mode, native.owner, &native.contents)
            && times
    }
}

fn walk(root: &Path) -> BTreeMap<String, Found> {
    let mut out = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    let mut inodes: BTreeMap<u64, String> = BTreeMap::new();
    while let Some(dir) = pending.pop() {
        let mut entries: Vec<_> = fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        entries.sort();
        for at in entries {
            let metadata = fs::symlink_metadata(&at).unwrap();
            let path = at.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let contents = if metadata.is_dir() {
                pending.push(at);
                String::new()
            } else if metadata.is_symlink() {
                fs::read_link(&at).unwrap().to_str().unwrap().to_owned()
            } else {
                let names = inodes
                    .entry(metadata.ino())
                    .or_insert_with(|| path.clone())
                    .clone();
                let text = String::from_utf8_lossy(&fs::read(&at).unwrap()).into_owned();
                if metadata.nlink() > 1 {
                    format!("{names}={text}")
                } else {
                    text
                }
            };
            let found = Found {
                kind: metadata.mode() & 0o170_000,
                mode: metadata.mode() & 0o7777,
                owner: (metadata.uid(), metadata.gid()),
                mtime: metadata.mtime(),
                contents,
            };
            out.insert(path, found);
        }
    }
    out
}
