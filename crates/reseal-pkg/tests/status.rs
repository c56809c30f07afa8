//! dpkg's database: stanzas, words, sources, and the difference between two.

use proptest::prelude::*;
use reseal_pkg::{
    PkgError,
    dpkg::{Change, Database, Package, State, Want, auto_marks, changes, extended_states},
};

const STATUS: &str = "Package: libc6\nStatus: install ok installed\nPriority: optional\nArchitecture: amd64\nMulti-Arch: same\nSource: glibc\nVersion: 2.36-9+deb12u9\nDescription: C\n long text\n .\n more: of it\n\n\
Package: bash\nEssential: yes\nStatus: hold ok installed\nArchitecture: amd64\nSource: bash (5.2.15-2)\nVersion: 5.2.15-2+b7\nConffiles:\n /etc/bash.bashrc 89269e1298235f1b12b4c16e4065ad0d\n\n\
Package: gone\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1.0\n\n\
Package: never\nStatus: unknown ok not-installed\nPriority: extra\n\n\
Package: torn\nStatus: install reinstreq half-configured\nArchitecture: all\nVersion: 2:1-1\n\n";

#[test]
fn stanzas_are_read_with_their_sources_and_states() {
    let database = Database::parse(STATUS.as_bytes()).unwrap();
    assert_eq!(database.to_bytes(), STATUS.as_bytes());
    let names: Vec<&str> = database.installed().map(|p| p.name.as_str()).collect();
    assert_eq!(
        names,
        ["libc6", "bash", "torn"],
        "removed packages do not count"
    );
    let libc = database.find("libc6")[0];
    assert_eq!(
        (libc.source_name.as_str(), libc.source_version.as_str()),
        ("glibc", "2.36-9+deb12u9")
    );
    assert!(libc.multi_arch_same && !libc.essential && !libc.is_held());
    assert_eq!(libc.info_stem(), "libc6:amd64");
    let bash = database.find("bash")[0];
    assert_eq!(
        (bash.source_name.as_str(), bash.source_version.as_str()),
        ("bash", "5.2.15-2")
    );
    assert!(bash.essential && bash.is_held());
    assert_eq!(bash.info_stem(), "bash");
    assert!(bash.stanza.starts_with(b"Package: bash\n") && bash.stanza.ends_with(b"\n\n"));
    let states: Vec<_> = database
        .packages
        .iter()
        .map(|p| (p.want, p.state))
        .collect();
    assert_eq!(
        states,
        [
            (Want::Install, State::Installed),
            (Want::Hold, State::Installed),
            (Want::Deinstall, State::ConfigFiles),
            (Want::Unknown, State::NotInstalled),
            (Want::Install, State::HalfConfigured),
        ]
    );
    assert!(database.find("gone").is_empty());
}

#[test]
fn an_emptied_or_broken_database_is_an_error_with_its_line() {
    for empty in ["", "\n\n", "\r\n"] {
        assert_eq!(
            Database::parse(empty.as_bytes()),
            Err(PkgError::EmptyDatabase)
        );
    }
    for (text, line) in [
        ("Package: a\nVersion: 1\n\nno colon here\n", 4),
        (" continued\n", 1),
        ("Package: a\nVersion: 1\n\nVersion: 2\n", 4),
        ("\n\nPackage: a\nStatus: install ok installed\n", 3),
        ("Package:\nVersion: 1\n", 1),
        (": x\n", 1),
        ("A B: x\n", 1),
    ] {
        let found = Database::parse(text.as_bytes());
        assert!(
            matches!(found, Err(PkgError::Malformed { line: l, .. }) if l == line),
            "{text:?}: {found:?}"
        );
    }
}

#[test]
fn stanzas_of_distroless_images_have_no_status_and_a_file_each() {
    let files: [(&str, &[u8]); 4] = [
        (
            "base",
            b"Package: base-files\nVersion: 12.4\nArchitecture: amd64\n",
        ),
        ("base.md5sums", b"0123456789abcdef0123456789abcdef  etc/x\n"),
        ("empty", b""),
        (
            "libssl3",
            b"Package: libssl3\nSource: openssl\nVersion: 3.0.11-1\nArchitecture: amd64",
        ),
    ];
    let database = Database::parse_status_d(files).unwrap();
    let found: Vec<_> = database
        .installed()
        .map(|p| (p.name.as_str(), p.source_name.as_str()))
        .collect();
    assert_eq!(
        found,
        [("base-files", "base-files"), ("libssl3", "openssl")]
    );
    assert_eq!(Database::parse_status_d([]), Err(PkgError::EmptyDatabase));
}

#[test]
fn odd_spellings_are_read_as_dpkg_does() {
    let text = "package: x\r\nVERSION:1.0\r\nArchitecture:\tall \r\nSource: y(2.0)\r\nMulti-arch: SAME\r\n";
    let database = Database::parse(text.as_bytes()).unwrap();
    let x = &database.packages[0];
    assert_eq!(
        (x.name.as_str(), x.version.as_str(), x.architecture.as_str()),
        ("x", "1.0", "all")
    );
    assert_eq!(
        (x.source_name.as_str(), x.source_version.as_str()),
        ("y", "2.0")
    );
    assert!(x.multi_arch_same);
    assert_eq!(database.to_bytes(), text.as_bytes());
}

fn database(packages: &[(&str, &str, &str)]) -> Database {
    Database {
        packages: packages
            .iter()
            .map(|(name, arch, version)| Package::new(name, arch, version))
            .collect(),
    }
}

/// `name:arch from -> to` a change.
fn told(changes: &[Change]) -> Vec<String> {
    let or = |version: &Option<String>| version.clone().unwrap_or_else(|| "-".to_owned());
    changes
        .iter()
        .map(|c| {
            format!(
                "{}:{} {} -> {}",
                c.name,
                c.architecture,
                or(&c.from),
                or(&c.to)
            )
        })
        .collect()
}

#[test]
fn changes_are_told_per_package_and_architecture_in_order() {
    let before = database(&[
        ("zlib1g", "amd64", "1"),
        ("libc6", "amd64", "1"),
        ("libc6", "i386", "1"),
        ("gone", "all", "1"),
        ("same", "all", "1"),
        ("moved", "amd64", "1"),
    ]);
    let after = database(&[
        ("same", "all", "1"),
        ("moved", "all", "2"),
        ("new", "amd64", "3"),
        ("libc6", "i386", "1"),
        ("libc6", "amd64", "2"),
        ("zlib1g", "amd64", "0.9"),
    ]);
    assert_eq!(
        told(&changes(&before, &after)),
        [
            "gone:all 1 -> -",
            "libc6:amd64 1 -> 2",
            "moved:all 1 -> 2",
            "new:amd64 - -> 3",
            "zlib1g:amd64 1 -> 0.9",
        ]
    );
    assert_eq!(changes(&before, &before), []);
}

#[test]
fn a_package_left_with_its_configuration_only_is_gone() {
    let before = database(&[("x", "all", "1")]);
    let mut after = before.clone();
    after.packages[0].state = State::ConfigFiles;
    let found = changes(&before, &after);
    assert_eq!(told(&found), ["x:all 1 -> -"]);
    assert_eq!(
        (
            found[0].source_from.as_deref(),
            found[0].source_to.as_deref()
        ),
        (Some("1"), None)
    );
}

#[test]
fn marks_of_apt_are_read_and_compared() {
    let before = b"Package: libssl3\nArchitecture: amd64\nAuto-Installed: 1\n\nPackage: curl\nArchitecture: amd64\nAuto-Installed: 0\n";
    let after = b"Package: curl\nArchitecture: amd64\nAuto-Installed: 1\n\n";
    let mark = |name: &str| (name.to_owned(), "amd64".to_owned());
    assert_eq!(auto_marks(before), [mark("libssl3")].into());
    let found = extended_states::compare(before, after);
    assert_eq!(found.gained, [mark("curl")].into());
    assert_eq!(found.lost, [mark("libssl3")].into());
    assert!(extended_states::compare(after, after).is_empty());
    assert!(auto_marks(b"garbage").is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mutated_database_never_panics_and_what_is_read_comes_back(
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..6),
    ) {
        let mut bytes = STATUS.as_bytes().to_vec();
        for (place, byte, kind) in places {
            let at = place.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, b'\n'),
                _ => { bytes.remove(at); }
            }
        }
        let _ = auto_marks(&bytes);
        if let Ok(database) = Database::parse(&bytes) {
            prop_assert_eq!(&database.to_bytes(), &bytes);
            let _ = changes(&database, &Database::parse(STATUS.as_bytes()).expect("it is valid"));
        }
    }
}
