//! One universe, asked of both.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    ops::ControlFlow,
    path::Path,
    process::{Command, Stdio},
    sync::OnceLock,
};

use reseal_pkg::dpkg::{Candidate, Database, split_stream, stanza_field};
use reseal_resolve::{
    Preferences, ReleaseInfo, Resolved, Universe, Unresolved, Want, resolve, upgrades_by_source,
};

/// One index: what its release file says, and its packages.
#[derive(Clone, Default)]
pub(crate) struct Index {
    pub(crate) release: ReleaseInfo,
    pub(crate) packages: String,
}

/// A machine: what is installed, what there is, what is preferred.
#[derive(Clone, Default)]
pub(crate) struct World {
    pub(crate) status: String,
    pub(crate) indexes: Vec<Index>,
    pub(crate) preferences: String,
    pub(crate) default_release: Option<String>,
    pub(crate) foreign: Vec<String>,
    pub(crate) by_source: bool,
}

/// The packages that come in, by name, architecture and version; or why not.
pub(crate) type Answer = Result<BTreeSet<String>, String>;

/// Another root to take apt from (`RESEAL_APT_ROOT`), for releases that this machine is not of.
fn other_root() -> Option<String> {
    std::env::var("RESEAL_APT_ROOT").ok()
}

fn apt_get() -> Command {
    match other_root() {
        None => Command::new("apt-get"),
        Some(root) => {
            let mut command = Command::new("chroot");
            command.arg(root).arg("apt-get");
            command
        }
    }
}

/// Tells whether apt knows of sources that are upgraded together.
pub(crate) fn groups_by_source() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let output = apt_get().arg("--version").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = text.split_ascii_whitespace().nth(1).unwrap();
        let status = format!(
            "Package: apt\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n"
        );
        upgrades_by_source(&Database::parse(status.as_bytes()).unwrap())
    })
}

/// Tells whether there is an apt to compare with; says why not.
pub(crate) fn has_apt() -> bool {
    let found = apt_get()
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        eprintln!("skipped: this machine has no apt-get");
    }
    found
}

impl World {
    /// What apt would do.
    pub(crate) fn apt(&self, want: &Want) -> Answer {
        match want {
            Want::All => self.run(&["upgrade", "--with-new-pkgs", "--no-remove"]),
            Want::Packages(names) => {
                let names: Vec<String> = names.iter().map(|(n, a)| format!("{n}:{a}")).collect();
                let mut args = vec!["install", "--only-upgrade", "--no-remove"];
                args.extend(names.iter().map(String::as_str));
                self.run(&args)
            }
        }
    }

    /// What apt would install.
    pub(crate) fn install<'n>(&self, names: impl Iterator<Item = &'n str>) -> Answer {
        let args: Vec<&str> = ["install"].into_iter().chain(names).collect();
        self.run(&args)
    }

    fn run(&self, args: &[&str]) -> Answer {
        let root = other_root().unwrap_or_default();
        let folder = tempfile::tempdir_in(format!("{root}/tmp")).unwrap();
        let seen = Path::new("/").join(folder.path().strip_prefix(&root).unwrap());
        self.lay_out(folder.path(), &seen);
        let output = apt_get()
            .env("APT_CONFIG", seen.join("apt.conf"))
            .env("LC_ALL", "C")
            .args(["-s", "-q"])
            .args(args)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!("{text}{errors}"));
        }
        let mut out = BTreeSet::new();
        for line in text.lines() {
            assert!(!line.starts_with("Remv"), "{text}");
            let Some(line) = line.strip_prefix("Inst ") else {
                continue;
            };
            // `Inst NAME[:ARCH] [OLD] (NEW ORIGIN [ARCH]) …`
            let name = line.split([' ', ':']).next().unwrap();
            let inside = line.split_once('(').unwrap().1;
            let version = inside.split(' ').next().unwrap();
            let architecture = inside.split_once(" [").unwrap().1;
            let architecture = architecture.split(']').next().unwrap();
            out.insert(format!("{name}:{architecture} {version}"));
        }
        Ok(out)
    }

    fn lay_out(&self, folder: &Path, seen: &Path) {
        for sub in ["lists/partial", "cache/archives/partial", "etc/apt.conf.d"] {
            fs::create_dir_all(folder.join(sub)).unwrap();
        }
        fs::write(folder.join("status"), &self.status).unwrap();
        fs::write(folder.join("etc/preferences"), &self.preferences).unwrap();
        let mut sources = String::new();
        for (number, index) in self.indexes.iter().enumerate() {
            let site = format!("r{number}.example");
            let _ = writeln!(sources, "deb [trusted=yes] http://{site}/ ./");
            let file = |what| folder.join(format!("lists/{site}_._{what}"));
            fs::write(file("Packages"), &index.packages).unwrap();
            let release = &index.release;
            let mut text = String::new();
            for (key, value) in [
                ("Origin", &release.origin),
                ("Label", &release.label),
                ("Suite", &release.suite),
                ("Codename", &release.codename),
                ("Version", &release.version),
            ] {
                if !value.is_empty() {
                    let _ = writeln!(text, "{key}: {value}");
                }
            }
            if release.not_automatic {
                text += "NotAutomatic: yes\n";
            }
            if release.but_automatic_upgrades {
                text += "ButAutomaticUpgrades: yes\n";
            }
            text += "Date: Mon, 01 Jan 2024 00:00:00 UTC\nSHA256:\n";
            fs::write(file("Release"), text).unwrap();
        }
        fs::write(folder.join("etc/sources.list"), sources).unwrap();
        let root = seen.display();
        let others: Vec<String> = self.foreign.iter().map(|n| format!("\"{n}\";")).collect();
        let others = others.concat();
        let mut settings = format!(
            "Dir \"{root}\";\nDir::State \"{root}\";\nDir::State::lists \"{root}/lists\";\n\
             Dir::State::status \"{root}/status\";\nDir::Cache \"{root}/cache\";\n\
             Dir::Cache::pkgcache \"\";\nDir::Cache::srcpkgcache \"\";\nDir::Etc \"{root}/etc\";\n\
             Dir::Etc::sourceparts \"/dev/null\";\nDir::Etc::preferencesparts \"/dev/null\";\n\
             APT::Architecture \"amd64\";\nAPT::Architectures {{ \"amd64\"; {} }};\n\
             APT::Install-Recommends \"false\";\nAPT::Get::Assume-Yes \"true\";\n\
             Acquire::Languages \"none\";\nAPT::Get::Upgrade-By-Source-Package \"{}\";\n",
            others, self.by_source,
        );
        if let Some(release) = &self.default_release {
            let _ = writeln!(settings, "APT::Default-Release \"{release}\";");
        }
        fs::write(folder.join("apt.conf"), settings).unwrap();
    }

    /// What we would do.
    pub(crate) fn ours(&self, want: &Want) -> Result<BTreeSet<String>, Unresolved> {
        let releases: Vec<ReleaseInfo> = self
            .indexes
            .iter()
            .enumerate()
            .map(|(number, index)| ReleaseInfo {
                site: format!("r{number}.example"),
                ..index.release.clone()
            })
            .collect();
        let texts: Vec<&[u8]> = self.indexes.iter().map(|i| i.packages.as_bytes()).collect();
        let preferences = Preferences::parse(&BTreeMap::from([(
            "etc/apt/preferences".to_owned(),
            self.preferences.clone().into_bytes(),
        )]));
        let installed = Database::parse(self.status.as_bytes()).unwrap();
        let mut known = BTreeSet::new();
        // Each round of questions has to lead on; a handful is enough for any universe here.
        for _ in 0..20 {
            let candidates = offered(&texts, &known);
            let universe = Universe {
                installed: &installed,
                candidates: &candidates,
                releases: &releases,
                preferences: &preferences,
                default_release: self.default_release.clone(),
                architecture: "amd64".to_owned(),
                foreign: self.foreign.clone(),
                by_source: self.by_source && groups_by_source(),
                known: known.clone(),
            };
            match resolve(&universe, want)? {
                Resolved::NeedsCandidates(names) => {
                    assert!(names.iter().any(|name| !known.contains(name)), "{names:?}");
                    known.extend(names);
                }
                Resolved::Done(resolution) => {
                    return Ok(resolution
                        .upgrades
                        .iter()
                        .chain(&resolution.new)
                        .map(|place| &candidates[*place])
                        .map(|c| format!("{}:{} {}", c.name, c.architecture, c.version))
                        .collect());
                }
            }
        }
        panic!("the questions do not end");
    }
}

/// Returns the candidates of the known names, those that only provide one included.
fn offered(indexes: &[&[u8]], known: &BTreeSet<String>) -> Vec<Candidate> {
    let mut out = Vec::new();
    if known.is_empty() {
        return out;
    }
    for (release, index) in indexes.iter().enumerate() {
        split_stream(*index, &mut |stanza| {
            let name = stanza_field(stanza, "Package").unwrap_or_default();
            let provides = stanza_field(stanza, "Provides").unwrap_or_default();
            let mut words = provides.split([',', ' ', '(', ')', '\n', ':']);
            if known.contains(name.as_ref()) || words.any(|word| known.contains(word)) {
                let mut candidate = Candidate::parse(stanza).unwrap().unwrap();
                candidate.release = release;
                out.push(candidate);
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    }
    out
}

/// Returns a case that differs, whole.
pub(crate) fn differs(name: &str, world: &World, want: &Want, apt: &Answer, ours: &str) -> String {
    let offers: Vec<&str> = world.indexes.iter().map(|i| i.packages.as_str()).collect();
    format!(
        "=== {name}: {want:?}\n--- installed\n{}--- offered\n{}--- preferences\n{}\n\
         --- apt\n{apt:#?}\n--- ours\n{ours}\n",
        world.status,
        offers.join("--- offered\n"),
        world.preferences,
    )
}
