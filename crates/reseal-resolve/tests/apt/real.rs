//! What this machine's indexes offer, for what its fixture images, itself and roots made of its own
//! release have installed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::Command,
};

use reseal_pkg::dpkg::{Database, split_stream, stanza_field};
use reseal_resolve::{ReleaseInfo, Want};

use crate::{
    chance::Chance,
    generated::cases,
    world::{Index, World, has_apt},
};

const LISTS: &str = "/var/lib/apt/lists";

/// Returns this machine's indexes; says why not if it has none.
fn indexes() -> Option<Vec<Index>> {
    if !has_apt() {
        return None;
    }
    let mut found = Vec::new();
    let entries = fs::read_dir(LISTS).ok()?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name()?.to_str()?.to_owned();
        let Some((stem, _)) = name.split_once("_main_binary-amd64_Packages") else {
            continue;
        };
        let output = Command::new("/usr/lib/apt/apt-helper")
            .arg("cat-file")
            .arg(&path)
            .output()
            .ok()?;
        let signed = fs::read(Path::new(LISTS).join(format!("{stem}_InRelease"))).ok()?;
        let start = signed.windows(2).position(|two| two == b"\n\n")? + 2;
        let field = |key| {
            stanza_field(&signed[start..], key).map_or_else(String::new, |v| v.trim().to_owned())
        };
        found.push(Index {
            release: ReleaseInfo {
                origin: field("Origin"),
                label: field("Label"),
                suite: field("Suite"),
                codename: field("Codename"),
                version: field("Version"),
                ..ReleaseInfo::default()
            },
            packages: String::from_utf8(output.stdout).ok()?,
        });
    }
    if found.len() < 2 {
        eprintln!("skipped: {LISTS} has no indexes of amd64");
        return None;
    }
    Some(found)
}

/// Compares what is done for everything, and for each of some packages.
fn compare(world: &World, chance: &mut Chance) {
    let all = world.apt(&Want::All).unwrap();
    assert_eq!(world.ours(&Want::All).as_ref(), Ok(&all));
    let installed = Database::parse(world.status.as_bytes()).unwrap();
    let upgradable: Vec<(String, String)> = installed
        .installed()
        .filter(|package| {
            let start = format!("{}:", package.name);
            all.iter().any(|line| line.starts_with(&start))
        })
        .map(|package| (package.name.clone(), package.architecture.clone()))
        .collect();
    eprintln!(
        "{} come in, {} can be asked for",
        all.len(),
        upgradable.len()
    );
    if upgradable.is_empty() {
        return;
    }
    // One run of apt on whole indexes takes seconds.
    for (size, by_source) in [(1, true), (1, false), (3, true), (upgradable.len(), true)] {
        let mut wanted = upgradable.clone();
        while wanted.len() > size {
            wanted.remove(chance.below(wanted.len()));
        }
        let want = Want::Packages(wanted);
        let world = World {
            by_source,
            ..world.clone()
        };
        let apt = world.apt(&want).unwrap();
        assert_eq!(world.ours(&want), Ok(apt), "{want:?} {by_source}");
    }
}

#[test]
fn images_of_the_fixtures_and_this_machine_are_upgraded_as_apt_does() {
    let Some(indexes) = indexes() else { return };
    let home = std::env::var("HOME").unwrap_or_default();
    let images = Path::new(&home).join(".cache/reseal-tools/images");
    let mut files = vec![PathBuf::from("/var/lib/dpkg/status")];
    for entry in fs::read_dir(images).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("bookworm-amd64") {
            files.push(entry.path().join("status"));
        }
    }
    files.sort();
    let mut chance = Chance::new(7);
    for file in files {
        let Ok(status) = fs::read_to_string(&file) else {
            continue;
        };
        eprintln!("{}", file.display());
        let world = World {
            status,
            indexes: indexes.clone(),
            by_source: true,
            ..World::default()
        };
        compare(&world, &mut chance);
    }
}

#[test]
fn roots_of_the_release_without_its_fixes_are_upgraded_as_apt_does() {
    let Some(indexes) = indexes() else { return };
    let plain = |index: &&Index| !index.release.label.ends_with("Security");
    let security = |index: &&Index| index.release.label.ends_with("Security");
    let (Some(main), Some(fixes)) = (
        indexes
            .iter()
            .filter(plain)
            .max_by_key(|i| i.packages.len()),
        indexes.iter().find(security),
    ) else {
        eprintln!("skipped: no index with fixes beside one without");
        return;
    };
    let stanzas = by_name(&main.packages);
    let repaired: Vec<String> = by_name(&fixes.packages)
        .into_keys()
        .filter(|name| stanzas.contains_key(name) && !name.contains("linux-image"))
        .collect();
    let mut chance = Chance::new(11);
    let mut left = (cases() / 60).max(1);
    while left > 0 {
        let names: BTreeSet<&String> = (0..6)
            .map(|_| &repaired[chance.below(repaired.len())])
            .collect();
        let Some(status) = root(main, &stanzas, &names) else {
            continue;
        };
        left -= 1;
        let world = World {
            status,
            indexes: indexes.clone(),
            by_source: true,
            ..World::default()
        };
        compare(&world, &mut chance);
    }
}

fn by_name(index: &str) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    split_stream(index.as_bytes(), &mut |stanza| {
        let name = stanza_field(stanza, "Package").unwrap_or_default();
        let text = String::from_utf8_lossy(stanza).into_owned();
        out.insert(name.into_owned(), text);
        ControlFlow::Continue(())
    })
    .unwrap();
    out
}

/// Returns the database of a root with these packages and what they need, if they fit together.
fn root(
    main: &Index,
    stanzas: &BTreeMap<String, String>,
    names: &BTreeSet<&String>,
) -> Option<String> {
    let empty = World {
        status: String::new(),
        indexes: vec![main.clone()],
        ..World::default()
    };
    let chosen = empty.install(names.iter().map(|name| name.as_str())).ok()?;
    let mut out = String::new();
    for line in chosen {
        let name = line.split(':').next().unwrap();
        let stanza = stanzas.get(name)?;
        for field in stanza.lines() {
            let dropped = [
                "Filename:",
                "Size:",
                "MD5sum:",
                "SHA256:",
                "Description-md5:",
            ];
            if !dropped.iter().any(|start| field.starts_with(start)) {
                out += field;
                out.push('\n');
            }
        }
        out += "Status: install ok installed\n\n";
    }
    Some(out)
}
