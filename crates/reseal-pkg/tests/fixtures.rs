//! Real databases, which are not part of the repository: `RESEAL_SHARED`, else `../shared`.
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use reseal_pkg::{
    Family, OsRelease,
    dpkg::{Database, changes},
    validate_package_name, version,
};

fn fixtures() -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let shared = std::env::var_os("RESEAL_SHARED").map_or(root.join("../shared"), PathBuf::from);
    let folder = shared.join("data/fixtures/dpkg");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: there are no fixtures at {}", folder.display());
    None
}

fn unpacked(path: &Path) -> Option<Vec<u8>> {
    let output = Command::new("xz")
        .args(["-dc", "--"])
        .arg(path)
        .output()
        .ok()?;
    output.status.success().then_some(output.stdout)
}

#[test]
fn real_databases_are_read_and_come_back_byte_for_byte() {
    let Some(folder) = fixtures() else { return };
    for (file, count) in [
        ("debian-11-status.xz", 166),
        ("ubuntu-10.04-status.xz", 140),
        ("ubuntu-22.04.2-status.xz", 101),
        ("ubuntu-24.04-status.xz", 90),
    ] {
        let Some(bytes) = unpacked(&folder.join(file)) else {
            eprintln!("skipped: xz cannot unpack {file}");
            continue;
        };
        let database = Database::parse(&bytes).unwrap();
        assert!(database.to_bytes() == bytes, "{file}");
        assert_eq!(database.installed().count(), count, "{file}");
        assert_eq!(changes(&database, &database), [], "{file}");
        for package in database.installed() {
            assert_eq!(validate_package_name(&package.name), Ok(()), "{file}");
            assert_eq!(
                validate_package_name(&package.source_name),
                Ok(()),
                "{file}"
            );
            assert_eq!(version::validate_dpkg(&package.version), Ok(()), "{file}");
            assert_eq!(
                version::validate_dpkg(&package.source_version),
                Ok(()),
                "{file}"
            );
        }
    }
}

#[test]
fn the_os_release_of_a_real_root_is_read() {
    let Some(folder) = fixtures() else { return };
    let bytes = std::fs::read(folder.join("debian-bookworm-official-rootfs.os-release")).unwrap();
    let release = OsRelease::parse(&bytes).unwrap();
    assert_eq!(release.family(), Ok(Family::Debian));
    assert_eq!(release.version_codename.as_deref(), Some("bookworm"));
}
