//! What the package ca-certificates does on an upgrade and when it is triggered: its configuration, the links by name and
//! by number in `etc/ssl/certs`, and the bundle of all certificates.
//!
//! Its scripts and the program that they call are known by their digests, as all scripts are; that they do what stands
//! here is shown by the comparison of the engines. What else has a part in it is debconf, which may have been told not to
//! trust new certificates, and `openssl rehash`. Other programs are called where packages put hooks; none of those is
//! known here.

/// A certificate of the tests.
#[cfg(test)]
macro_rules! certificate {
    ($name:literal) => {
        include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/testdata/certificates/",
            $name,
            ".crt"
        ))
    };
}

mod configuration;
mod program;
mod rehash;
mod subject;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use reseal_pkg::dpkg::State;
use reseal_pkg::version::compare_dpkg;
use reseal_rootfs::{Node, NodeKind, Tree};

use super::part::INFO;
use super::stop::Stop;
use super::{Part, Run, hex, node};
use crate::order::{Effect, Scripts};
use crate::raw::Attributes;
use crate::scripts::{CERTIFICATES, Table, config_list, script_digest};
use crate::view::{Place, Seen};
use crate::{ArchiveError, NativeError, Refusal};
use configuration::{Circumstances, available, configured, trusts_new};
use program::{Files, below};

/// The trigger that has the program run.
const TRIGGER: &str = "update-ca-certificates";
/// The file that says which certificates are used.
const CONFIGURATION: &str = "etc/ca-certificates.conf";
/// The packages' certificates, the administrator's, and the links to those that are used.
const FOLDER: &str = "usr/share/ca-certificates";
const LOCAL: &str = "usr/local/share/ca-certificates";
const LINKS: &str = "etc/ssl/certs";
/// The name of the file of all certificates, among the links.
const BUNDLE: &str = "ca-certificates.crt";
/// Programs that are called when certificates change.
const HOOKS: &str = "etc/ca-certificates/update.d";
/// What does it all.
const PROGRAM: &str = "usr/sbin/update-ca-certificates";
/// Other programs of those names, which would be found first.
const SHADOWS: [&str; 4] = [
    "usr/local/bin/openssl",
    "usr/local/bin/update-ca-certificates",
    "usr/local/sbin/openssl",
    "usr/local/sbin/update-ca-certificates",
];
/// The versions of openssl whose `rehash` is known, and the first one that sorts the names of files.
const OPENSSL: [&str; 3] = ["1.1.1", "3.0.", "3.5."];
const SORTING: &str = "3.0.20";

/// Largest certificate, in bytes, and most bytes of all that come in one run.
const CERTIFICATE_LIMIT: u64 = 1 << 20;
const TOTAL_LIMIT: usize = 32 << 20;
/// Largest configuration, in bytes.
const CONFIGURATION_LIMIT: usize = 1 << 20;

/// Returns a program that is called when certificates change, if the image has one.
pub(super) fn hook(tree: &Tree) -> Option<String> {
    tree.children(HOOKS)
        .map(|(name, _)| format!("{HOOKS}/{name}"))
        .find(|path| is_hook(path, tree.followed(path).as_ref()))
}

/// Tells whether run-parts would run what is at a path, with links followed.
fn is_hook(path: &str, node: Option<&Node>) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let runs = node.is_none_or(|node| node.kind != NodeKind::Dir && node.mode & 0o111 != 0);
    name.chars().all(named) && runs
}

/// Certificates of this run.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    /// By path without links.
    kept: BTreeMap<String, Vec<u8>>,
    total: usize,
}

impl Certificates {
    /// Reads a file whole if it may be a certificate, by its path without links. It is to be kept once it was laid down.
    pub(super) fn read(
        &mut self,
        path: &str,
        size: u64,
        contents: &mut dyn Read,
    ) -> Result<Option<Vec<u8>>, Stop> {
        self.kept.remove(path);
        let within = |folder: &&str| {
            let rest = path.strip_prefix(*folder);
            rest.is_some_and(|rest| rest.starts_with('/'))
        };
        let wanted = [FOLDER, LOCAL, LINKS].iter().any(within);
        let fits =
            usize::try_from(size).is_ok_and(|size| size.saturating_add(self.total) <= TOTAL_LIMIT);
        if !wanted || size > CERTIFICATE_LIMIT || !fits {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        contents
            .take(size)
            .read_to_end(&mut bytes)
            .map_err(ArchiveError::Read)?;
        Ok(Some(bytes))
    }

    /// Keeps what a file holds.
    pub(super) fn keep(&mut self, path: &str, bytes: Vec<u8>) {
        self.total = self.total.saturating_add(bytes.len());
        self.kept.insert(path.to_owned(), bytes);
    }

    /// Notes that a file is another name of one that came before.
    pub(super) fn link(&mut self, path: &str, to: &str) {
        self.kept.remove(path);
        if let Some(bytes) = self.kept.get(to).cloned()
            && bytes.len().saturating_add(self.total) <= TOTAL_LIMIT
        {
            self.keep(path, bytes);
        }
    }
}

impl Run<'_, '_, '_> {
    /// Does what ca-certificates does in this run, if anything; tells whether that was all that it is called for.
    pub(super) fn renew_certificates(&mut self, parts: &[Part<'_>]) -> Result<bool, NativeError> {
        let part = parts.iter().find(|part| part.deb.name == CERTIFICATES);
        let renewed = match part {
            Some(part) if part.certificates => self.configure_certificates(part),
            None if self.is_called() => self.update_certificates(1),
            _ => return Ok(false),
        };
        renewed.map_err(|error| match error {
            Why::Refused(why) => Refusal::new(CERTIFICATES, why).into(),
            Why::Hook(refusal) => refusal.into(),
            Why::Other(error) => error,
        })?;
        self.effects.push(Effect::Certificates);
        Ok(true)
    }

    /// Tells whether the package is triggered by another one for what is known here.
    fn is_called(&self) -> bool {
        let called = self.pending().into_iter().any(|(package, triggers)| {
            package == CERTIFICATES && triggers.iter().all(|trigger| trigger == TRIGGER)
        });
        let postinst = self
            .tree
            .contents(&format!("{INFO}/{CERTIFICATES}.postinst"));
        let known = |postinst: &[u8]| {
            self.order.scripts == Scripts::Assume
                || Table::built_in().renews_certificates("postinst", &script_digest(postinst))
        };
        called && postinst.is_some_and(known)
    }

    fn configure_certificates(&mut self, part: &Part<'_>) -> Result<(), Why> {
        let list = part.control.get("config").and_then(config_list);
        let (list, _) = list.ok_or("its list of certificates cannot be read")?;
        self.check_folders()?;
        self.put_local_folder()?;
        let text = self.configuration()?;
        let found = below(&self.view, FOLDER).into_iter().filter_map(|path| {
            let file = self.view.lstat(&path).kind() == Some(NodeKind::File);
            let name = path.strip_prefix(FOLDER)?.strip_prefix('/')?;
            let certificate = file && name.strip_suffix(".crt").is_some();
            certificate.then(|| name.to_owned())
        });
        let is_there = |name: &str| {
            [FOLDER, LOCAL].iter().any(|folder| {
                self.view.stat(&format!("{folder}/{name}")).kind() == Some(NodeKind::File)
            })
        };
        let circumstances = Circumstances {
            available: &available(found, list)?,
            trust_new: self.trusts_new()?,
            is_there: &is_there,
        };
        let next =
            configured(&text, &circumstances).map_err(|why| format!("`{CONFIGURATION}`: {why}"))?;
        if next != text {
            let old = self.view.lstat(CONFIGURATION);
            let old = old.seen().map(|seen| super::attributes(&seen.node));
            let old = old.ok_or("its configuration is gone")?;
            self.record(&format!("{CONFIGURATION}.dpkg-old"), old, text.as_bytes())?;
            self.record(CONFIGURATION, Attributes::written(0o644), next.as_bytes())?;
        }
        // It calls itself once more, for the hooks.
        self.update(&next, 2)
    }

    fn update_certificates(&mut self, times: usize) -> Result<(), Why> {
        self.check_folders()?;
        let text = self.configuration()?;
        self.update(&text, times)
    }

    /// Runs the program and writes what it writes.
    fn update(&mut self, configuration: &str, times: usize) -> Result<(), Why> {
        self.check_hooks()?;
        let sorted = self.check_programs()?;
        if configuration.is_empty() {
            return Err("its configuration is empty".into());
        }
        let mut files = Files {
            tree: self.tree,
            view: &mut self.view,
            kept: &mut self.certificates.kept,
            written: BTreeSet::new(),
            sorted,
        };
        for _ in 0..times {
            files.update(configuration)?;
        }
        for path in files.written {
            let Place::There(real, seen) = self.view.lstat(&path) else {
                continue;
            };
            let attributes = super::attributes(&seen.node);
            let written = match (&seen.node.link, self.certificates.kept.get(&real)) {
                (Some(target), _) => {
                    self.raw
                        .empty(&real, tar::EntryType::Symlink, attributes, target)
                }
                (None, Some(bytes)) => self.raw.bytes(&real, attributes, bytes),
                (None, None) => continue,
            };
            written.map_err(NativeError::Write)?;
            self.placed.remove(&real);
        }
        Ok(())
    }

    /// Returns the configuration as it is in the image.
    fn configuration(&self) -> Result<String, Why> {
        let Place::There(real, seen) = self.view.lstat(CONFIGURATION) else {
            return Err(format!("the image has no `{CONFIGURATION}`").into());
        };
        let usual = seen.node.kind == NodeKind::File
            && real == CONFIGURATION
            && self.view.is_as_before(&real);
        let bytes = self
            .tree
            .contents(CONFIGURATION)
            .filter(|bytes| usual && bytes.len() <= CONFIGURATION_LIMIT)
            .ok_or_else(|| format!("`{CONFIGURATION}` is no usual file"))?;
        let text =
            std::str::from_utf8(bytes).map_err(|_| format!("`{CONFIGURATION}` is not UTF-8"))?;
        Ok(text.to_owned())
    }

    /// Makes sure that no link leads elsewhere.
    fn check_folders(&self) -> Result<(), Why> {
        for folder in [FOLDER, LINKS] {
            match self.view.lstat(folder) {
                Place::There(real, seen) if real == folder && seen.node.kind == NodeKind::Dir => {}
                _ => return Err(format!("`{folder}` is no directory").into()),
            }
        }
        let left = format!("{LINKS}/{BUNDLE}.new");
        if self.view.lstat(&left).seen().is_some() {
            return Err(format!("`{left}` was left behind").into());
        }
        Ok(())
    }

    /// Makes the folder of the administrator's certificates, or gives it the owner and mode of `/usr/local`.
    fn put_local_folder(&mut self) -> Result<(), Why> {
        let Place::There(_, above) = self.view.stat("usr/local") else {
            return Ok(());
        };
        let mut node = match self.view.lstat(LOCAL) {
            Place::Nowhere => return Ok(()),
            Place::Free(real) => {
                let parent = self.view.stat(crate::view::parent(&real));
                let inherits = parent
                    .seen()
                    .is_some_and(|seen| seen.node.mode & 0o2000 != 0);
                if inherits && above.node.mode & 0o2000 == 0 {
                    return Err(format!("the group of `{LOCAL}` would be inherited").into());
                }
                node(NodeKind::Dir, Attributes::written(0), 0, None)
            }
            Place::There(_, seen) if seen.node.kind == NodeKind::Dir => {
                if self.overrides.get(&format!("/{LOCAL}")).is_some() {
                    return Ok(());
                }
                let mut node = seen.node;
                node.uid = above.node.uid;
                node
            }
            Place::There(..) => return Err(format!("`{LOCAL}` is no directory").into()),
        };
        node.gid = above.node.gid;
        node.mode = (node.mode & 0o6000) | above.node.mode;
        let place = self.view.lstat(LOCAL);
        let (Some(real), before) = (place.real(), place.seen().map(|seen| &seen.node)) else {
            return Ok(());
        };
        if real != LOCAL {
            return Err(format!("a link leads to `{LOCAL}`").into());
        }
        if before != Some(&node) {
            self.view.put(real, Seen { node, by: None });
        }
        Ok(())
    }

    /// Tells whether new certificates are trusted, as far as only debconf's own files say so.
    fn trusts_new(&self) -> Result<bool, Why> {
        const SETTINGS: &str = "etc/debconf.conf";
        const USERS: &str = "root/.debconfrc";
        let unit = self
            .units
            .iter()
            .find(|unit| unit.name == "debconf" && unit.state == State::Installed);
        let shipped = unit.and_then(|unit| {
            let path = format!("/{SETTINGS}");
            unit.conffiles.iter().find(|file| file.path == path)
        });
        let place = self.view.lstat(SETTINGS);
        let same = place.seen().is_some_and(|seen| {
            let md5 = seen.node.md5.map(|md5| hex(&md5));
            shipped.is_some_and(|file| seen.by.is_some() || md5.as_ref() == Some(&file.hash))
        });
        if !same || self.view.lstat(USERS).seen().is_some() {
            return Err("debconf is not set up as usual".into());
        }
        let database = self.tree.contents("var/cache/debconf/config.dat");
        Ok(trusts_new(database.unwrap_or_default())?)
    }

    /// Refuses programs that are called when certificates change.
    fn check_hooks(&self) -> Result<(), Why> {
        let place = self.view.stat(HOOKS);
        for name in self.view.names(place.real().unwrap_or(HOOKS)) {
            let path = format!("{HOOKS}/{name}");
            let seen = self.view.stat(&path);
            if is_hook(&path, seen.seen().map(|seen| &seen.node)) {
                let why = "what it does when certificates change is not known";
                return Err(Why::Hook(Refusal::new(path, why)));
            }
        }
        Ok(())
    }

    /// Makes sure that the programs are the packages' own and known; tells whether openssl sorts what it links.
    fn check_programs(&self) -> Result<bool, Why> {
        if let Some(path) = SHADOWS
            .iter()
            .find(|path| self.view.stat(path).seen().is_some())
        {
            return Err(format!("`{path}` is found before the packages' own program").into());
        }
        for (path, package) in [(PROGRAM, CERTIFICATES), ("usr/bin/openssl", "openssl")] {
            let full = format!("/{path}");
            let own = self.view.stat(self.diversions.used(&full, package));
            let found = self.view.stat(path);
            if own.kind() != Some(NodeKind::File) || own.real() != found.real() {
                return Err(format!("`{path}` is not the package's own").into());
            }
        }
        let place = self.view.stat(PROGRAM);
        let real = place.real().unwrap_or_default();
        let digest = match self.placed.get(real) {
            Some(placed) => Some(hex(&placed.sha256)),
            None => self.tree.contents(real).map(script_digest),
        };
        let known = digest.is_some_and(|digest| {
            Table::built_in().renews_certificates(crate::scripts::PROGRAM, &digest)
        });
        if !known && self.order.scripts != Scripts::Assume {
            return Err(format!("what its program `{PROGRAM}` does is not known").into());
        }
        let openssl = self
            .units
            .iter()
            .find(|unit| unit.name == "openssl" && unit.state == State::Installed);
        let version = openssl.map_or("", |unit| unit.version.as_str());
        if !OPENSSL.iter().any(|series| version.starts_with(series)) {
            return Err(format!("what openssl {version} does with links is not known").into());
        }
        Ok(compare_dpkg(version, SORTING).is_ge())
    }
}

/// Why it cannot be done.
enum Why {
    Refused(String),
    Hook(Refusal),
    Other(NativeError),
}

impl From<String> for Why {
    fn from(why: String) -> Self {
        Self::Refused(why)
    }
}

impl From<&str> for Why {
    fn from(why: &str) -> Self {
        Self::Refused(why.to_owned())
    }
}

impl From<NativeError> for Why {
    fn from(error: NativeError) -> Self {
        Self::Other(error)
    }
}
