//! The files of one package.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::ops::Range;

use reseal_oci::layer::{EntryKind, Meaning, Visited, try_visit};
use reseal_rootfs::NodeKind;
use tar::EntryType;

use super::claim::{Claim, Said};
use super::linker::Libraries;
use super::peek::Peek;
use super::stop::{Stop, malformed};
use super::{Part, Placed, Run, hex, node};
use crate::ArchiveError;
use crate::database::{Conffile, conffiles};
use crate::deb::{Ahead, bounded, with_data};
use crate::raw::{Attributes, Digests, Hashing};
use crate::settings::Override;
use crate::view::{Place, Seen};

/// Largest configuration file, in bytes.
const CONFFILE_LIMIT: u64 = 16 << 20;
/// Largest file of a package once unpacked, in bytes; dpkg's own format ends at 8 GiB.
const FILE_LIMIT: u64 = 8 << 30;
/// Most bytes of a package once unpacked.
const TOTAL_LIMIT: u64 = 64 << 30;
/// Most files of a package.
const COUNT_LIMIT: usize = 1_000_000;
/// Owners above these numbers are given out by each image itself.
const STATIC_IDS: std::ops::Range<u64> = 0..100;

/// A package that is being unpacked.
#[derive(Default)]
pub(super) struct Work {
    /// Its paths in the archive's order, as its list gets them.
    pub(super) list: Vec<String>,
    /// All names that were seen.
    names: BTreeSet<String>,
    /// Those that are there now, and so are not removed as leftovers of the old version.
    pub(super) in_archive: BTreeSet<String>,
    /// Those of them by path without links.
    pub(super) real: BTreeMap<String, String>,
    /// Digests of regular files for the list of checksums, by name.
    pub(super) md5: BTreeMap<String, [u8; 16]>,
    pub(super) conffiles: Vec<Conffile>,
    /// New versions of configuration files.
    pub(super) pending: Vec<Pending>,
    /// What other packages lose.
    pub(super) elided: BTreeSet<String>,
    said: BTreeMap<usize, Said>,
    total: u64,
    /// Libraries, by name in the archive, that are to be looked into once more: their paths without links, and the parts
    /// of them that had passed before it was known that they are wanted.
    again: BTreeMap<String, (String, Vec<Range<usize>>)>,
}

/// The new version of a configuration file, before it is decided on.
pub(super) struct Pending {
    pub(super) path: String,
    pub(super) bytes: Vec<u8>,
    pub(super) attributes: Attributes,
    pub(super) sha256: [u8; 32],
}

impl Run<'_, '_, '_> {
    /// Unpacks a package, whose data may be on its way already, and, unless it is left to dpkg, configures it.
    pub(super) fn unpack(&mut self, part: &Part<'_>, data: Option<Ahead>) -> Result<(), Stop> {
        let mut work = Work {
            conffiles: self.declared(part),
            ..Work::default()
        };
        self.activate_by_control(part);
        let visit = |data: &mut dyn Read| {
            try_visit(data, Meaning::Plain, &mut |member, contents| {
                self.member(part, &mut work, member, contents)
            })
        };
        match data {
            Some(data) => data.with(visit),
            None => with_data((part.deb.open)().map_err(ArchiveError::Read)?, visit),
        }?;
        self.look_again(part, &work)?;
        self.remove_old(part, &mut work)?;
        let unit = &mut self.units[part.unit];
        part.deb.name.clone_into(&mut unit.name);
        part.deb.architecture.clone_into(&mut unit.architecture);
        part.deb.version.clone_into(&mut unit.version);
        unit.same = part.same;
        unit.replaces = part.replaces.clone();
        unit.state = reseal_pkg::dpkg::State::Installed;
        unit.done = true;
        self.owners.set(part.unit, std::mem::take(&mut work.list));
        self.take_from_others(part, &work);
        self.configure(part, &mut work)?;
        self.note(part, &work)
    }

    /// Reads a package once more for parts of large libraries, so that none of those is ever whole in memory.
    fn look_again(&mut self, part: &Part<'_>, work: &Work) -> Result<(), Stop> {
        if work.again.is_empty() {
            return Ok(());
        }
        let deb = (part.deb.open)().map_err(ArchiveError::Read)?;
        with_data(deb, |data| {
            try_visit(data, Meaning::Plain, &mut |member, mut contents| {
                let Some((real, places)) = work.again.get(member.path) else {
                    return Ok(());
                };
                if let Some(mut peek) = Peek::new(&mut contents, member.size, places.clone()) {
                    std::io::copy(&mut peek, &mut std::io::sink()).map_err(ArchiveError::Read)?;
                    self.libraries.read(real, &peek.finish());
                }
                Ok(())
            })
        })
    }

    /// Returns the configuration files with the digests that the image has of them.
    fn declared(&self, part: &Part<'_>) -> Vec<Conffile> {
        let recorded = |path: &str| {
            let own = part.old.as_ref().and_then(|old| hash(&old.conffiles, path));
            let owners = self.owners.of(path);
            if owners.contains(&part.unit) && own.is_some() {
                return own;
            }
            owners
                .iter()
                .filter(|unit| **unit != part.unit)
                .find_map(|unit| hash(&self.units[*unit].conffiles, path))
        };
        part.declared
            .iter()
            .map(|declared| Conffile {
                path: declared.path.clone(),
                hash: recorded(&declared.path)
                    .unwrap_or(conffiles::NEW)
                    .to_owned(),
                obsolete: false,
                remove_on_upgrade: declared.remove_on_upgrade,
            })
            .collect()
    }

    /// Unpacks one member, as dpkg does.
    fn member(
        &mut self,
        part: &Part<'_>,
        work: &mut Work,
        member: &Visited<'_>,
        contents: &mut dyn Read,
    ) -> Result<(), Stop> {
        let name = if member.path.is_empty() {
            "/.".to_owned()
        } else {
            format!("/{}", member.path)
        };
        self.check_member(part, work, &name, member)?;
        let conffile = work
            .conffiles
            .iter()
            .position(|file| file.path == name && !file.obsolete);
        if conffile.is_some_and(|at| work.conffiles[at].remove_on_upgrade) {
            return malformed(format!("it has `{name}` and wants its removal"));
        }
        if conffile.is_some() && member.kind != EntryKind::File {
            return part.refuse(format!(
                "its configuration file `{name}` is no regular file"
            ));
        }
        let used = self.diversions.used(&name, part.deb.name).to_owned();
        self.activate(&used, part.unit);
        let walked = self.view.walk(&used, false);
        if walked.through.contains(&part.unit) {
            return malformed(format!("`{name}` lies behind a link of the package itself"));
        }
        let place = walked.place;
        let existing_dir = self.is_existing_dir(member, &used, &place);
        let claim = if existing_dir {
            Claim::Takes
        } else {
            self.claim(
                part,
                &name,
                member.kind,
                &place,
                conffile.is_some(),
                &mut work.said,
            )?
        };
        if claim == Claim::Leaves {
            if let Some(at) = conffile {
                work.conffiles[at].obsolete = true;
            }
            return Ok(());
        }
        work.list.push(name.clone());
        let folder = matches!(member.kind, EntryKind::Dir | EntryKind::Symlink);
        let filtered = if member.path.is_empty() { "" } else { &name };
        if self.filters.skips(filtered, folder) {
            return Ok(());
        }
        work.in_archive.insert(name.clone());
        if let Some(real) = place.real() {
            work.real.insert(real.to_owned(), name.clone());
        }
        if existing_dir {
            return Ok(());
        }
        let Some(real) = place.real() else {
            return part.refuse(format!("the directory of `{name}` is not there"));
        };
        if let Claim::Shares(owner) = claim {
            return self.compare_shared(part, work, owner, (&name, real, &place), member, contents);
        }
        let attributes = self.attributes(part, &name, member)?;
        if self.linked.contains(real) {
            return part.refuse(format!(
                "`{name}` takes the place of a file with several names"
            ));
        }
        work.elided.insert(name.clone());
        if conffile.is_some() {
            // Versions of dpkg differ in what they make of these.
            if place.kind().is_some_and(|kind| kind != NodeKind::File) {
                return part.refuse(format!("`{name}` is no regular file in the image"));
            }
            let bytes = bounded(contents, CONFFILE_LIMIT, &name)?;
            return self.hold(work, name, bytes, attributes);
        }
        if place.kind() == Some(NodeKind::Dir) {
            return part.refuse(format!("`{name}` takes the place of a directory"));
        }
        self.write_member(part, work, (name, real), member, attributes, contents)
    }

    fn write_member(
        &mut self,
        part: &Part<'_>,
        work: &mut Work,
        (name, real): (String, &str),
        member: &Visited<'_>,
        attributes: Attributes,
        contents: &mut dyn Read,
    ) -> Result<(), Stop> {
        let mut link = None;
        let kind = match member.kind {
            EntryKind::File => {
                let sums = part.control.get("md5sums").is_none();
                let certificate = self.certificates.read(real, member.size, contents)?;
                let mut contents = contents;
                let peek = Libraries::wants(real)
                    .then(|| Peek::new(&mut contents, member.size, Vec::new()));
                let digests = if let Some(bytes) = certificate {
                    let mut contents = bytes.as_slice();
                    let digests = self.copy(real, attributes, member.size, &mut contents, sums)?;
                    self.certificates.keep(real, bytes);
                    digests
                } else if let Some(mut peek) = peek.flatten() {
                    let digests = self.copy(real, attributes, member.size, &mut peek, sums)?;
                    let missing = self.libraries.read(real, &peek.finish());
                    if !missing.is_empty() {
                        let again = (real.to_owned(), missing);
                        work.again.insert(member.path.to_owned(), again);
                    }
                    digests
                } else {
                    self.copy(real, attributes, member.size, &mut contents, sums)?
                };
                if let Some(md5) = digests.md5 {
                    work.md5.insert(name, md5);
                }
                self.place(part.unit, real, digests.sha256);
                NodeKind::File
            }
            EntryKind::Hardlink => {
                let first = format!("/{}", member.link.unwrap_or_default());
                let to = self.view.lstat(self.diversions.used(&first, part.deb.name));
                let sha256 = to
                    .real()
                    .filter(|_| work.in_archive.contains(&first))
                    .and_then(|to| self.placed.get(to))
                    .map(|placed| placed.sha256);
                // dpkg would give both names what was said of the last one.
                if let Some(first) = to.seen()
                    && super::attributes(&first.node) != attributes
                {
                    return part.refuse(format!(
                        "`{name}` and its other name have different owners or modes"
                    ));
                }
                let (Some(to), Some(sha256)) = (to.real(), sha256) else {
                    return part.refuse(format!(
                        "`{name}` is a hard link to a file that is not laid down"
                    ));
                };
                self.raw
                    .empty(real, EntryType::Link, attributes, to)
                    .map_err(Stop::Write)?;
                self.linked.insert(to.to_owned());
                self.certificates.link(real, to);
                if let Some(md5) = work.md5.get(&first).copied() {
                    work.md5.insert(name, md5);
                }
                self.place(part.unit, real, sha256);
                NodeKind::File
            }
            EntryKind::Symlink => {
                let target = member.link.unwrap_or_default();
                link = Some(target);
                self.raw
                    .empty(real, EntryType::Symlink, attributes, target)
                    .map_err(Stop::Write)?;
                self.placed.remove(real);
                NodeKind::Symlink
            }
            EntryKind::Fifo => {
                self.raw
                    .empty(real, EntryType::Fifo, attributes, "")
                    .map_err(Stop::Write)?;
                NodeKind::Fifo
            }
            // Written at the end, when it is known whether something came into it.
            EntryKind::Dir => NodeKind::Dir,
            _ => return part.refuse(format!("`{name}` is a device")),
        };
        let node = node(kind, attributes, member.size, link);
        let by = Some(part.unit);
        self.view.put(real, Seen { node, by });
        Ok(())
    }

    fn copy(
        &mut self,
        real: &str,
        attributes: Attributes,
        size: u64,
        contents: &mut dyn Read,
        md5: bool,
    ) -> Result<Digests, Stop> {
        let mut hashing = Hashing::new(contents, md5);
        self.raw.file(real, attributes, size, &mut hashing)?;
        Ok(hashing.finish())
    }

    pub(super) fn place(&mut self, unit: usize, real: &str, sha256: [u8; 32]) {
        self.placed.insert(real.to_owned(), Placed { unit, sha256 });
    }

    /// Keeps a configuration file until it is known what becomes of it.
    fn hold(
        &mut self,
        work: &mut Work,
        path: String,
        bytes: Vec<u8>,
        attributes: Attributes,
    ) -> Result<(), Stop> {
        let mut hashing_source = bytes.as_slice();
        let mut hashing = Hashing::new(&mut hashing_source, true);
        std::io::copy(&mut hashing, &mut std::io::sink()).map_err(Stop::Write)?;
        let digests = hashing.finish();
        if let Some(md5) = digests.md5 {
            work.md5.insert(path.clone(), md5);
            self.shipped.insert(path.clone(), hex(&md5));
        }
        work.pending.push(Pending {
            path,
            bytes,
            attributes,
            sha256: digests.sha256,
        });
        Ok(())
    }

    fn check_member(
        &self,
        part: &Part<'_>,
        work: &mut Work,
        name: &str,
        member: &Visited<'_>,
    ) -> Result<(), Stop> {
        if name.contains('\n') {
            return malformed("it has a file with a newline in its name");
        }
        if member.path.split('/').any(|part| part.starts_with(".wh.")) {
            return part.refuse(format!(
                "`{name}` has a name that means a deletion in a layer"
            ));
        }
        if !work.names.insert(name.to_owned()) {
            return malformed(format!("it has `{name}` twice"));
        }
        if member.path.is_empty() && member.kind != EntryKind::Dir {
            return malformed("its root is no directory");
        }
        work.total = work.total.saturating_add(member.size);
        if member.size > FILE_LIMIT || work.total > TOTAL_LIMIT || work.names.len() > COUNT_LIMIT {
            return malformed(format!("it is larger than any package (at `{name}`)"));
        }
        if !member.xattrs.is_empty() {
            return part.refuse(format!(
                "`{name}` has extended attributes, which dpkg does not take"
            ));
        }
        if let Some(diverted) = self.diversions.source(name) {
            return part.refuse(format!("`{name}` is where `{diverted}` is diverted to"));
        }
        Ok(())
    }

    /// Tells whether dpkg leaves a directory, or a link to one, as it is.
    fn is_existing_dir(&self, member: &Visited<'_>, used: &str, place: &Place) -> bool {
        match member.kind {
            EntryKind::Dir => self.view.stat(used).kind() == Some(NodeKind::Dir),
            EntryKind::Symlink => match place.kind() {
                Some(NodeKind::Dir) => true,
                Some(NodeKind::Symlink) => {
                    let target = member.link.unwrap_or_default();
                    let beside = used.rsplit_once('/').map_or("", |(dir, _)| dir);
                    let new = if target.starts_with('/') {
                        target.to_owned()
                    } else {
                        format!("{beside}/{target}")
                    };
                    match (self.view.stat(used), self.view.stat(&new)) {
                        (Place::There(old, seen), Place::There(new, _)) => {
                            seen.node.kind == NodeKind::Dir && old == new
                        }
                        _ => false,
                    }
                }
                _ => false,
            },
            _ => false,
        }
    }

    fn attributes(
        &self,
        part: &Part<'_>,
        name: &str,
        member: &Visited<'_>,
    ) -> Result<Attributes, Stop> {
        if let Some(Override { uid, gid, mode }) = self.overrides.get(name) {
            return Ok(Attributes {
                mode,
                uid,
                gid,
                mtime: member.mtime,
            });
        }
        // dpkg looks names up in the image; only these numbers are the same in every one.
        let id = |number: u64| {
            u32::try_from(number)
                .ok()
                .filter(|_| STATIC_IDS.contains(&number) || number == 65_534)
        };
        match (id(member.uid), id(member.gid)) {
            (Some(uid), Some(gid)) => Ok(Attributes {
                mode: member.mode,
                uid,
                gid,
                mtime: member.mtime,
            }),
            _ => part.refuse(format!(
                "`{name}` belongs to a user or group of each image's own"
            )),
        }
    }

    /// Checks that what another architecture of the package has at a path is the same.
    fn compare_shared(
        &mut self,
        part: &Part<'_>,
        work: &mut Work,
        owner: usize,
        (name, real, place): (&str, &str, &Place),
        member: &Visited<'_>,
        contents: &mut dyn Read,
    ) -> Result<(), Stop> {
        let same = match member.kind {
            EntryKind::Symlink => {
                let link = place.seen().and_then(|seen| seen.node.link.as_deref());
                link == member.link
            }
            EntryKind::Dir => true,
            EntryKind::Fifo => place.kind() == Some(NodeKind::Fifo),
            EntryKind::Hardlink => self.placed.contains_key(real),
            EntryKind::File => {
                let mut hashing = Hashing::new(contents, true);
                std::io::copy(&mut hashing, &mut std::io::sink()).map_err(ArchiveError::Read)?;
                let digests = hashing.finish();
                let md5 = digests.md5.map(|md5| hex(&md5)).unwrap_or_default();
                if let Some(md5) = digests.md5 {
                    work.md5.insert(name.to_owned(), md5);
                }
                if let Some(file) = work.conffiles.iter_mut().find(|file| file.path == name) {
                    let shipped = self.shipped.get(name).cloned();
                    let before = hash(&self.units[owner].conffiles, name).map(str::to_owned);
                    let same = shipped.or(before).as_deref() == Some(md5.as_str());
                    file.hash = md5;
                    same
                } else if let Some(placed) = self.placed.get(real) {
                    placed.sha256 == digests.sha256
                } else {
                    let size = place.seen().map(|seen| seen.node.size);
                    size == Some(member.size) && self.recorded_sum(owner, name) == Some(md5)
                }
            }
            _ => false,
        };
        if same {
            return Ok(());
        }
        part.refuse(format!(
            "its file `{name}` differs from that of its other architecture"
        ))
    }

    /// Returns the checksum that an installed package has on record for a file.
    fn recorded_sum(&self, unit: usize, name: &str) -> Option<String> {
        let package = &self.order.database.packages[self.units[unit].index?];
        let sums = format!("{}/{}.md5sums", super::INFO, package.info_stem());
        let text = String::from_utf8_lossy(self.tree.contents(&sums)?).into_owned();
        text.lines().find_map(|line| {
            let (sum, path) = line.split_once("  ")?;
            (name.strip_prefix('/') == Some(path)).then(|| sum.to_owned())
        })
    }

    /// Takes the paths of a package from the lists of others.
    fn take_from_others(&mut self, part: &Part<'_>, work: &Work) {
        for path in &work.elided {
            for owner in self.owners.of(path) {
                let other = &self.units[owner];
                if owner == part.unit || other.name == part.deb.name {
                    continue;
                }
                if let Some(by) = self.diversions.by(path)
                    && by.is_some_and(|by| by == part.deb.name || by == other.name)
                {
                    continue;
                }
                self.owners.take(owner, path);
                self.disown_conffile(owner, path);
            }
        }
    }
}

fn hash<'a>(files: &'a [Conffile], path: &str) -> Option<&'a str> {
    files
        .iter()
        .find(|file| file.path == path)
        .map(|file| file.hash.as_str())
}
