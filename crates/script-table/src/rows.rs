//! Rows of the table of maintainer scripts, from a comparison in which nothing differed.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use reseal_native::{
    ControlFiles, Deb, Effect as Done, Laid, Order, Scripts, deb::read_control, lay_down, scripts,
    scripts::Row,
};
use reseal_pkg::dpkg::{Database, Package};
use reseal_rootfs::{LayerFacts, Tree, wanted};
use serde_json::Value;

const INFO: &str = "var/lib/dpkg/info";
/// The program of ca-certificates.
const PROGRAM: &str = "usr/sbin/update-ca-certificates";

/// What the native engine laid down on what.
pub(crate) struct Run<'a> {
    /// The image before, unpacked.
    pub base: &'a Path,
    /// Its architecture.
    pub architecture: &'a str,
    /// The native engine's result.
    pub result: &'a Value,
    /// The native engine's cache, which holds the packages.
    pub cache: &'a Path,
}

struct Fetched {
    name: String,
    architecture: String,
    version: String,
    digest: String,
    file: PathBuf,
    control: ControlFiles,
}

/// Returns the rows that a comparison gives evidence for.
pub(crate) fn rows(run: &Run<'_>, evidence: &str) -> Result<Vec<Row>, String> {
    let tree = base_tree(run.base)?;
    let status = tree
        .contents("var/lib/dpkg/status")
        .ok_or("the image has no package database")?;
    let database = Database::parse(status).map_err(|error| error.to_string())?;
    let debs = fetched(run)?;
    let laid = laid(run, &tree, &database, &debs)?;
    let mut out = Vec::new();
    for deb in &debs {
        let old = installed(&database, &deb.name, &deb.architecture);
        let old_scripts = old.map(|old| installed_scripts(&tree, old));
        let upgrade = scripts::Upgrade {
            package: &deb.name,
            new: &deb.control,
            old: old
                .map(|old| old.version.as_str())
                .zip(old_scripts.as_ref()),
        };
        let evidence = format!("to {}, {evidence}", deb.version);
        if deb.name == scripts::CERTIFICATES && laid.effects.contains(&Done::Certificates) {
            let program = laid.files.iter().find(|file| file.path == PROGRAM);
            let rows = program.and_then(|file| upgrade.certificates_rows(&file.sha256, &evidence));
            out.extend(rows.ok_or("the scripts of ca-certificates are of another form")?);
            continue;
        }
        out.extend(upgrade.rows(scripts::Effect::Inert, &evidence));
    }
    for (package, triggers) in triggered(laid.effects) {
        let name = package.split(':').next().unwrap_or(&package);
        let of_run = debs.iter().find(|deb| deb.name == name);
        let postinst = match of_run {
            Some(deb) => deb.control.get("postinst"),
            None => tree.contents(&format!("{INFO}/{package}.postinst")),
        };
        let Some(postinst) = postinst else { continue };
        let installed = database.find(name).first().map(|one| one.version.clone());
        out.push(Row {
            package: name.to_owned(),
            script: scripts::TRIGGERED.to_owned(),
            sha256: scripts::script_digest(postinst),
            effect: scripts::Effect::Inert,
            since: installed,
            evidence: format!("by {}, {evidence}", triggers.join(" ")),
        });
    }
    Ok(out)
}

/// Reads an unpacked image as the native engine does.
fn base_tree(root: &Path) -> Result<Tree, String> {
    let mut tar = Command::new("tar")
        .args(["--create", "--numeric-owner", "--directory"])
        .arg(root)
        .arg(".")
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("could not run `tar`: {error}"))?;
    let stdout = tar.stdout.take().ok_or("tar has no output")?;
    let facts = LayerFacts::from_layer(io::BufReader::new(stdout), &wanted())
        .map_err(|error| format!("{}: {error}", root.display()))?;
    match tar.wait() {
        Ok(status) if status.success() => {}
        outcome => return Err(format!("tar failed on {}: {outcome:?}", root.display())),
    }
    Tree::stack([facts]).map_err(|error| format!("{}: {error}", root.display()))
}

/// Finds the packages of a result in the cache.
fn fetched(run: &Run<'_>) -> Result<Vec<Fetched>, String> {
    let packages = run.result["platforms"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|platform| platform["packages"].as_array())
        .flatten();
    packages
        .map(|package| {
            let text = |value: &Value| {
                value
                    .as_str()
                    .map(str::to_owned)
                    .ok_or_else(|| format!("the result says too little of {package}"))
            };
            let digest = text(&package["source"]["digest"])?;
            let digest = digest.trim_start_matches("sha256:").to_owned();
            let file = run.cache.join("sha256").join(&digest);
            let open = File::open(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            let control = read_control(io::BufReader::new(open))
                .map_err(|error| format!("{}: {error}", file.display()))?;
            Ok(Fetched {
                name: text(&package["name"])?,
                architecture: text(&package["architecture"])?,
                version: text(&package["to"])?,
                digest,
                file,
                control,
            })
        })
        .collect()
}

fn installed<'d>(database: &'d Database, name: &str, architecture: &str) -> Option<&'d Package> {
    let all: Vec<&Package> = database
        .installed()
        .filter(|package| package.name == name)
        .collect();
    // A package may go from one architecture to `all` and back.
    all.iter()
        .find(|package| package.architecture == architecture)
        .or(all.first())
        .copied()
}

fn installed_scripts(tree: &Tree, package: &Package) -> ControlFiles {
    let stem = package.info_stem();
    let scripts = ["preinst", "postinst", "prerm", "postrm"];
    ControlFiles::from_contents(
        scripts
            .into_iter()
            .filter_map(|name| Some((name, tree.contents(&format!("{INFO}/{stem}.{name}"))?))),
    )
}

/// Lays the packages down once more, to learn what that took.
fn laid(run: &Run<'_>, tree: &Tree, database: &Database, debs: &[Fetched]) -> Result<Laid, String> {
    let opens: Vec<_> = debs
        .iter()
        .map(|deb| move || Ok(Box::new(File::open(&deb.file)?) as Box<dyn Read + '_>))
        .collect();
    let order = Order {
        tree,
        database,
        debs: debs
            .iter()
            .zip(&opens)
            .map(|(deb, open)| Deb {
                name: &deb.name,
                architecture: &deb.architecture,
                version: &deb.version,
                sha256: &deb.digest,
                open: open as &(dyn Fn() -> io::Result<Box<dyn Read>> + Sync),
            })
            .collect(),
        new: BTreeSet::new(),
        architecture: run.architecture,
        scripts: Scripts::Assume,
        ahead: true,
    };
    lay_down(&order, &mut io::sink()).map_err(|error| error.to_string())
}

/// Returns the packages that were triggered for something that the native engine does not do itself.
fn triggered(effects: Vec<Done>) -> Vec<(String, Vec<String>)> {
    let linker = effects.contains(&Done::LinkerCache);
    let certificates = effects.contains(&Done::Certificates);
    let done = |package: &str, trigger: &str| match (package, trigger) {
        ("libc-bin", "ldconfig") => linker,
        (scripts::CERTIFICATES, "update-ca-certificates") => certificates,
        _ => false,
    };
    let triggered = effects.into_iter().filter_map(|effect| match effect {
        Done::Triggered {
            package, triggers, ..
        } => {
            let rest: Vec<String> = triggers
                .into_iter()
                .filter(|trigger| !done(&package, trigger))
                .collect();
            (!rest.is_empty()).then_some((package, rest))
        }
        _ => None,
    });
    triggered.collect()
}

/// Adds rows to the table in the source tree.
pub(crate) fn write(rows: Vec<Row>) -> Result<(), String> {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../reseal-native/src/scripts/scripts.table");
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let text = fs::read_to_string(&file).map_err(|error| named(&error))?;
    let mut table = scripts::Table::parse(&text).map_err(|error| named(&error))?;
    for row in rows {
        table.add(row);
    }
    fs::write(&file, table.to_string()).map_err(|error| named(&error))
}
