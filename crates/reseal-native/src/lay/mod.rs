//! Lays packages down: dpkg's unpacking and configuring, less the scripts.

mod bytecode;
mod certificates;
mod claim;
mod conffile;
mod linker;
mod old;
mod part;
mod peek;
mod records;
mod stop;
mod triggered;
mod unpack;
mod vanish;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use reseal_pkg::dpkg::{Package, Relations, State};
use reseal_rootfs::{Node, NodeKind, Tree};

use crate::database::{Interests, conffiles};
use crate::deb::Ahead;
use crate::order::{Effect, Laid, Order, Proof};
use crate::owners::{Owners, Unit};
use crate::raw::{Attributes, Raw};
use crate::scripts::hex;
use crate::settings::{Diversions, Filters, Overrides};
use crate::view::{Place, Seen, View};
use crate::{Fields, NativeError, Refusal};
use certificates::Certificates;
use linker::Libraries;
use part::{INFO, Part};

/// Lays packages down on an image and writes what that changes as an uncompressed tar: changed and new paths with all
/// directories above them, deletions as OCI whiteouts, in no particular order.
///
/// The result follows from the image and the set of packages; the order in which they are given does not matter. What
/// dpkg itself would write now has a time later than that of any package, for whoever finishes the layer to set.
///
/// # Errors
///
/// [`NativeError::Refused`] for all that only the image's own package manager can do right. What was written to `out`
/// until then is of no use.
pub fn lay_down(order: &Order<'_>, out: &mut dyn Write) -> Result<Laid, NativeError> {
    let mut run = Run::start(order, out)?;
    let mut debs = order.debs.clone();
    debs.sort_by_key(|deb| (deb.name, deb.architecture));
    let mut parts = Vec::new();
    for deb in debs {
        let part = Part::read(order, deb, &mut run.units).map_err(|stop| stop.of(deb.name))?;
        parts.push(part);
    }
    run.check_instances(&parts)?;
    std::thread::scope(|scope| {
        let mut data = None;
        for (place, part) in parts.iter().enumerate() {
            let next = parts.get(place + 1).filter(|_| order.ahead);
            let next = next.and_then(|next| Ahead::start(scope, next.deb));
            run.unpack(part, std::mem::replace(&mut data, next))
                .map_err(|stop| stop.of(part.deb.name))?;
        }
        Ok::<_, NativeError>(())
    })?;
    run.check_vanished()?;
    run.finish(&parts)
}

/// The state of a run.
struct Run<'r, 'a, 'o> {
    order: &'r Order<'a>,
    tree: &'a Tree,
    view: View<'a>,
    raw: Raw<'o>,
    filters: Filters,
    diversions: Diversions,
    overrides: Overrides,
    interests: Interests,
    owners: Owners<'a>,
    units: Vec<Unit>,
    /// Regular files of this run by path without links.
    placed: BTreeMap<String, Placed>,
    /// Paths without links that hard links of this run lead to.
    linked: BTreeSet<String>,
    /// Configuration files of packages of this run by their own path, with the digest of the shipped version.
    shipped: BTreeMap<String, String>,
    /// What packages of this run activated, in the order of the first time, with who did.
    activated: Vec<(String, BTreeSet<usize>)>,
    /// Stanzas to write instead, by place in the database.
    stanzas: BTreeMap<usize, Vec<u8>>,
    /// Stanzas of packages that come in, by name and architecture.
    new_stanzas: BTreeMap<(String, String), Vec<u8>>,
    libraries: Libraries,
    certificates: Certificates,
    kept_conffiles: BTreeSet<String>,
    effects: Vec<Effect>,
}

/// A regular file that was laid down.
struct Placed {
    unit: usize,
    sha256: [u8; 32],
}

impl<'r, 'a, 'o> Run<'r, 'a, 'o> {
    fn start(order: &'r Order<'a>, out: &'o mut dyn Write) -> Result<Self, NativeError> {
        let tree = order.tree;
        let contents = |path: &str| tree.contents(path).unwrap_or_default();
        check_database(order)?;
        let mut lists = BTreeMap::new();
        let mut units = Vec::new();
        for (index, package) in order.database.packages.iter().enumerate() {
            let list = format!("{INFO}/{}.list", package.info_stem());
            if let Some(bytes) = tree.contents(&list) {
                let text = std::str::from_utf8(bytes)
                    .map_err(|_| Refusal::new(list, "it has a path that is not UTF-8"))?;
                lists.insert(index, text);
            }
            units.push(unit(index, package)?);
        }
        let triggers = "var/lib/dpkg/triggers/";
        let interests = tree
            .paths_with_contents(triggers)
            .filter_map(|(path, bytes)| Some((path.strip_prefix(triggers)?, bytes)));
        Ok(Self {
            order,
            tree,
            view: View::new(tree),
            raw: Raw::new(out),
            filters: filters(tree)?,
            diversions: Diversions::read(contents("var/lib/dpkg/diversions"))?,
            overrides: Overrides::read(
                contents("var/lib/dpkg/statoverride"),
                contents("etc/passwd"),
                contents("etc/group"),
            )?,
            interests: Interests::read(interests),
            owners: Owners::new(lists),
            units,
            placed: BTreeMap::new(),
            linked: BTreeSet::new(),
            shipped: BTreeMap::new(),
            activated: Vec::new(),
            stanzas: BTreeMap::new(),
            new_stanzas: BTreeMap::new(),
            libraries: Libraries::default(),
            certificates: Certificates::default(),
            kept_conffiles: BTreeSet::new(),
            effects: Vec::new(),
        })
    }

    /// Refuses a run after which two architectures of one package would have different versions.
    fn check_instances(&self, parts: &[Part<'_>]) -> Result<(), Refusal> {
        for part in parts {
            let other = self.units.iter().enumerate().find(|(i, unit)| {
                *i != part.unit
                    && unit.name == part.deb.name
                    && unit.state == State::Installed
                    && !unit.in_run
                    && unit.version != part.deb.version
            });
            if let Some((_, other)) = other {
                let why = format!(
                    "for `{}` it stays at version {}, and both have to have the same",
                    other.architecture, other.version
                );
                return Err(Refusal::new(part.deb.name, why));
            }
        }
        Ok(())
    }

    /// Writes a file of dpkg's own, by its path from the root.
    fn record(
        &mut self,
        path: &str,
        attributes: Attributes,
        bytes: &[u8],
    ) -> Result<(), NativeError> {
        let place = self.view.lstat(path);
        let Some(real) = place.real().filter(|_| place.kind() != Some(NodeKind::Dir)) else {
            return Err(Refusal::new(path, "its directory is not there").into());
        };
        self.raw
            .bytes(real, attributes, bytes)
            .map_err(NativeError::Write)?;
        let node = node(NodeKind::File, attributes, bytes.len() as u64, None);
        self.view.put(real, Seen { node, by: None });
        Ok(())
    }

    /// Removes a file, by its path from the root; nothing if it is not there.
    fn remove(&mut self, path: &str) {
        if let Place::There(real, _) = self.view.lstat(path) {
            self.view.remove(&real);
        }
    }

    /// Notes that a path changed, for packages that are interested in it or in a directory above it.
    fn activate_path(&mut self, path: &str, unit: usize) {
        self.activate(path, unit);
        let mut above = path;
        while let Some((parent, _)) = above.rsplit_once('/') {
            above = parent;
            self.activate(above, unit);
        }
    }

    fn activate(&mut self, trigger: &str, unit: usize) {
        if self.interests.of(trigger).next().is_none() {
            return;
        }
        match self.activated.iter_mut().find(|(name, _)| name == trigger) {
            Some((_, by)) => {
                by.insert(unit);
            }
            None => self.activated.push((trigger.to_owned(), [unit].into())),
        }
    }

    /// Puts what remains into the archive: records, directories and deletions.
    fn finish(mut self, parts: &[Part<'_>]) -> Result<Laid, NativeError> {
        self.remove_bytecode();
        let cache = self.write_linker_cache(parts)?;
        let certificates = self.renew_certificates(parts)?;
        self.settle_triggers(parts, cache, certificates)?;
        let database = self.write_records(parts)?;
        for (path, (seen, touched)) in self.view.directories() {
            let mut attributes = attributes(&seen.node);
            if touched {
                attributes.mtime = crate::raw::NOW;
            }
            self.raw
                .empty(&path, tar::EntryType::Directory, attributes, "")
                .map_err(NativeError::Write)?;
        }
        for path in self.view.hidden() {
            self.raw.whiteout(path).map_err(NativeError::Write)?;
        }
        self.raw.finish().map_err(NativeError::Write)?;
        let units = &self.units;
        let proof = |(path, placed): (String, Placed)| {
            let part = parts.iter().find(|part| part.unit == placed.unit)?;
            Some(Proof {
                path,
                package: units[placed.unit].name.clone(),
                architecture: part.deb.architecture.to_owned(),
                version: part.deb.version.to_owned(),
                deb: part.deb.sha256.to_owned(),
                sha256: placed.sha256,
            })
        };
        self.effects.sort();
        Ok(Laid {
            database,
            files: self.placed.into_iter().filter_map(proof).collect(),
            kept_conffiles: self.kept_conffiles.into_iter().collect(),
            effects: self.effects,
        })
    }
}

/// Refuses a database that waits for dpkg.
fn check_database(order: &Order<'_>) -> Result<(), Refusal> {
    for package in &order.database.packages {
        if !matches!(
            package.state,
            State::Installed | State::ConfigFiles | State::NotInstalled
        ) {
            return Err(Refusal::new(&*package.name, "it is not fully installed"));
        }
    }
    if order.tree.children("var/lib/dpkg/updates").next().is_some() {
        return Err(Refusal::new(
            "var/lib/dpkg/updates",
            "dpkg did not finish its last run",
        ));
    }
    let format = order
        .tree
        .contents(&format!("{INFO}/format"))
        .unwrap_or(b"0");
    let same = order
        .database
        .packages
        .iter()
        .any(|package| package.multi_arch_same);
    match format.trim_ascii() {
        b"1" => Ok(()),
        b"0" if !same => Ok(()),
        _ => Err(Refusal::new(
            format!("{INFO}/format"),
            "it is of a form that is not known",
        )),
    }
}

fn unit(index: usize, package: &Package) -> Result<Unit, Refusal> {
    let bad = |why: &str| Refusal::new(&*package.name, why);
    let fields = Fields::parse(&package.stanza).unwrap_or_default();
    let replaces = Relations::parse(
        fields.get("Replaces").unwrap_or_default(),
        &package.architecture,
    )
    .map_err(|_| bad("its `Replaces` in the status file cannot be read"))?;
    Ok(Unit {
        name: package.name.clone(),
        architecture: package.architecture.clone(),
        version: package.version.clone(),
        same: package.multi_arch_same,
        state: package.state,
        replaces,
        conffiles: conffiles::parse(fields.get("Conffiles").unwrap_or_default()),
        in_run: false,
        done: false,
        index: Some(index),
    })
}

/// Reads dpkg's configuration in its order.
fn filters(tree: &Tree) -> Result<Filters, Refusal> {
    let folder = "etc/dpkg/dpkg.cfg.d/";
    let parts = tree.paths_with_contents(folder).filter(|(path, _)| {
        let name = &path[folder.len()..];
        !name.is_empty()
            && name
                .bytes()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_'))
    });
    let main = tree.contents("etc/dpkg/dpkg.cfg");
    Filters::read(parts.chain(main.map(|bytes| ("etc/dpkg/dpkg.cfg", bytes))))
}

fn node(kind: NodeKind, attributes: Attributes, size: u64, link: Option<&str>) -> Node {
    Node {
        kind,
        mode: attributes.mode,
        uid: attributes.uid,
        gid: attributes.gid,
        size,
        mtime: attributes.mtime,
        link: link.map(Into::into),
        md5: None,
    }
}

fn attributes(node: &Node) -> Attributes {
    Attributes {
        mode: node.mode,
        uid: node.uid,
        gid: node.gid,
        mtime: node.mtime,
    }
}
