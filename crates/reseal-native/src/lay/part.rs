//! A package of the run, with what the image has of it.

use std::collections::BTreeMap;

use reseal_pkg::dpkg::{Package, Relations, State};
use reseal_rootfs::Tree;

use super::certificates::hook;
use super::stop::Stop;
use crate::database::{Conffile, Declared, Directive, conffiles, declared, triggers};
use crate::deb::read_control;
use crate::owners::Unit;
use crate::scripts::{CERTIFICATES, Table, Upgrade, Verdict};
use crate::{ArchiveError, ControlFiles, Deb, Fields, Order, Refusal, Scripts};

/// Where dpkg keeps what it knows of packages.
pub(super) const INFO: &str = "var/lib/dpkg/info";

/// A package of the run.
pub(super) struct Part<'a> {
    pub(super) deb: Deb<'a>,
    pub(super) control: ControlFiles,
    pub(super) fields: Fields,
    pub(super) declared: Vec<Declared>,
    pub(super) triggers: Vec<Directive>,
    /// `Multi-Arch: same`.
    pub(super) same: bool,
    /// `Replaces` of the new version.
    pub(super) replaces: Relations,
    /// The unit that it becomes.
    pub(super) unit: usize,
    pub(super) old: Option<Old>,
    /// It stays unpacked, for dpkg to configure.
    pub(super) left: bool,
    /// It is ca-certificates, and what it does is known.
    pub(super) certificates: bool,
}

/// What the image has of a package.
pub(super) struct Old {
    /// Its names under `info/` begin so.
    pub(super) stem: String,
    /// dpkg's name for it.
    pub(super) label: String,
    pub(super) version: String,
    /// Its stanza.
    pub(super) fields: Fields,
    pub(super) conffiles: Vec<Conffile>,
    pub(super) triggers: Vec<Directive>,
    /// Its files are there, not only its configuration.
    pub(super) present: bool,
}

impl<'a> Part<'a> {
    /// Reads the control files and finds what the image has.
    pub(super) fn read(
        order: &Order<'a>,
        deb: Deb<'a>,
        units: &mut Vec<Unit>,
    ) -> Result<Self, Stop> {
        let control = read_control((deb.open)().map_err(ArchiveError::Read)?)?;
        let fields = control.fields()?;
        let field = |name| fields.get(name).unwrap_or_default();
        let shown = |name: &str, architecture: &str, version: &str| {
            format!("{name}:{architecture} {version}")
        };
        let found = shown(field("Package"), field("Architecture"), field("Version"));
        let wanted = shown(deb.name, deb.architecture, deb.version);
        if found != wanted {
            return Err(ArchiveError::Other { found, wanted }.into());
        }
        check_architecture(order, deb)?;
        let same = field("Multi-Arch").eq_ignore_ascii_case("same");
        let unit = unit(units, deb, same)?;
        let replaces = replaces(&fields, deb.architecture)?;
        if unit == units.len() {
            units.push(Unit {
                name: deb.name.to_owned(),
                architecture: deb.architecture.to_owned(),
                version: deb.version.to_owned(),
                same,
                // Until it is laid down, it has no say.
                state: State::NotInstalled,
                replaces: Relations::default(),
                conffiles: Vec::new(),
                in_run: true,
                done: false,
                index: None,
            });
        }
        units[unit].in_run = true;
        let old = match units[unit].index {
            Some(index) => Some(Old::read(order.tree, &order.database.packages[index])?),
            None => None,
        };
        let judged = judge(order, deb, &control, old.as_ref())?;
        Ok(Self {
            declared: declared(control.get("conffiles").unwrap_or_default())?,
            triggers: triggers::parse(control.get("triggers").unwrap_or_default())?,
            deb,
            fields,
            control,
            same,
            replaces,
            unit,
            old,
            left: judged == Judged::Left,
            certificates: judged == Judged::Certificates,
        })
    }

    /// Returns what its names under `info/` begin with.
    pub(super) fn stem(&self) -> String {
        if self.same {
            format!("{}:{}", self.deb.name, self.deb.architecture)
        } else {
            self.deb.name.to_owned()
        }
    }

    pub(super) fn refuse<T>(&self, why: impl Into<String>) -> Result<T, Stop> {
        Err(Refusal::new(self.deb.name, why).into())
    }
}

impl Old {
    fn read(tree: &Tree, package: &Package) -> Result<Self, Stop> {
        let refuse = |why: &str| Err(Refusal::new(package.name.as_str(), why).into());
        if !matches!(
            package.state,
            State::Installed | State::ConfigFiles | State::NotInstalled
        ) {
            return refuse("the version that is there was not fully installed");
        }
        let fields = Fields::parse(&package.stanza);
        let Ok(fields) = fields else {
            return refuse("its stanza in the status file cannot be read");
        };
        let status = fields.get("Status").unwrap_or_default();
        if status.split(' ').nth(1).is_some_and(|flag| flag != "ok") {
            return refuse("the version that is there is marked for being installed again");
        }
        let stem = package.info_stem();
        let info = |member: &str| tree.contents(&format!("{INFO}/{stem}.{member}"));
        let present = package.is_present();
        if present && info("list").is_none() {
            return refuse("the image has no list of its files");
        }
        Ok(Self {
            conffiles: conffiles::parse(fields.get("Conffiles").unwrap_or_default()),
            triggers: triggers::parse(info("triggers").unwrap_or_default())?,
            label: stem.clone(),
            version: package.version.clone(),
            present,
            stem,
            fields,
        })
    }
}

fn replaces(fields: &Fields, architecture: &str) -> Result<Relations, ArchiveError> {
    Relations::parse(fields.get("Replaces").unwrap_or_default(), architecture).map_err(|error| {
        ArchiveError::malformed(format!("its field `Replaces` is not usable: {error}"))
    })
}

/// Returns the scripts of an installed package.
pub(super) fn installed_scripts(tree: &Tree, stem: &str) -> ControlFiles {
    let files: BTreeMap<&str, &[u8]> = ["preinst", "postinst", "prerm", "postrm"]
        .into_iter()
        .filter_map(|name| Some((name, tree.contents(&format!("{INFO}/{stem}.{name}"))?)))
        .collect();
    ControlFiles::from_contents(files)
}

fn check_architecture(order: &Order<'_>, deb: Deb<'_>) -> Result<(), Refusal> {
    let foreign = order.tree.contents("var/lib/dpkg/arch").unwrap_or_default();
    let foreign = String::from_utf8_lossy(foreign);
    let known = deb.architecture == "all"
        || deb.architecture == order.architecture
        || foreign.lines().any(|line| line == deb.architecture);
    if known {
        return Ok(());
    }
    let why = format!(
        "the image has no packages of the architecture `{}`",
        deb.architecture
    );
    Err(Refusal::new(deb.name, why))
}

/// Finds the unit that a package becomes; one past the end for a new one.
fn unit(units: &[Unit], deb: Deb<'_>, same: bool) -> Result<usize, Refusal> {
    let of_name = |unit: &&Unit| unit.name == deb.name;
    if units
        .iter()
        .filter(of_name)
        .any(|unit| unit.in_run && unit.architecture == deb.architecture)
    {
        return Err(Refusal::new(deb.name, "it is to be laid down twice"));
    }
    if let Some(found) = units
        .iter()
        .position(|unit| unit.name == deb.name && unit.architecture == deb.architecture)
    {
        return Ok(found);
    }
    let others: Vec<usize> = (0..units.len())
        .filter(|&i| units[i].name == deb.name && units[i].state == State::Installed)
        .collect();
    match others.as_slice() {
        // From one architecture to `all` and back; dpkg takes it for the same package.
        &[other] if !same && !units[other].same => Ok(other),
        [] => Ok(units.len()),
        others if same && others.iter().all(|&other| units[other].same) => Ok(units.len()),
        _ => Err(Refusal::new(
            deb.name,
            "it is there for another architecture, and cannot be there for two",
        )),
    }
}

/// What is done for a package's maintainer scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judged {
    /// Nothing.
    Done,
    /// The rule for certificates.
    Certificates,
    /// It stays unpacked.
    Left,
}

/// Tells what is done for a package, by its maintainer scripts.
fn judge(
    order: &Order<'_>,
    deb: Deb<'_>,
    control: &ControlFiles,
    old: Option<&Old>,
) -> Result<Judged, Refusal> {
    let present = old.filter(|old| old.present);
    let scripts = present.map(|old| installed_scripts(order.tree, &old.stem));
    let upgrade = Upgrade {
        package: deb.name,
        new: control,
        old: present
            .map(|old| old.version.as_str())
            .zip(scripts.as_ref()),
    };
    match (Table::built_in().verdict(&upgrade), order.scripts) {
        (Verdict::Certificates, Scripts::Configure) if hook(order.tree).is_some() => {
            Ok(Judged::Left)
        }
        (Verdict::Certificates, _) => Ok(Judged::Certificates),
        (_, Scripts::Assume) if deb.name == CERTIFICATES && present.is_some() => {
            Ok(Judged::Certificates)
        }
        (Verdict::NoScripts | Verdict::Inert, _) | (_, Scripts::Assume) => Ok(Judged::Done),
        (Verdict::Configure(_), Scripts::Configure) => Ok(Judged::Left),
        (Verdict::Configure(scripts) | Verdict::Unknown(scripts), _) => Err(Refusal::new(
            deb.name,
            format!(
                "what its maintainer scripts do is not known ({})",
                scripts.join(", ")
            ),
        )),
    }
}
