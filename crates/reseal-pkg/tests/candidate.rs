//! Stanzas of indexes, relations, and the splitter between them.

use std::{io::BufReader, ops::ControlFlow};

use proptest::prelude::*;
use reseal_pkg::{
    PkgError,
    dpkg::{Candidate, Database, MultiArch, Relations, split_stream},
};

const INDEX: &str = "Package: libssl3\nSource: openssl (3.0.15-1)\nVersion: 3.0.15-1+b1\nArchitecture: amd64\n\
Multi-Arch: same\nPre-Depends: dpkg (>= 1.15)\nDepends: libc6 (>= 2.34),\n debconf (>= 0.5) | debconf-2.0\n\
Conflicts: openssl (<< 1.1)\nBreaks: isc-dhcp (<< 4.4)\nReplaces: libssl1.1\nProvides: libssl (= 3.0.15)\n\
Filename: pool/main/o/openssl/libssl3_3.0.15-1+b1_amd64.deb\nSize: 2025276\n\
SHA256: 0A23456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\nPhased-Update-Percentage: 30\n\n\
Package: base-files\nEssential: yes\nVersion: 12.4\nArchitecture: all\nImportant: yes\n\
Filename: b.deb\nSize: 1\nSHA256: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n";

fn parse_all(index: &str) -> Vec<Result<Option<Candidate>, PkgError>> {
    let mut out = Vec::new();
    split_stream(index.as_bytes(), &mut |stanza| {
        out.push(Candidate::parse(stanza));
        ControlFlow::Continue(())
    })
    .expect("a reader of memory does not fail");
    out
}

#[test]
fn all_that_a_resolution_needs_is_read() {
    let found: Vec<Candidate> = parse_all(INDEX)
        .into_iter()
        .map(|candidate| candidate.unwrap().unwrap())
        .collect();
    let [libssl, base] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!(
        (libssl.source_name.as_str(), libssl.source_version.as_str()),
        ("openssl", "3.0.15-1")
    );
    assert_eq!(libssl.multi_arch, MultiArch::Same);
    assert_eq!((libssl.size, libssl.phased), (2_025_276, Some(30)));
    assert!(libssl.sha256.starts_with("0a2345"), "{}", libssl.sha256);
    for (relations, expected) in [
        (
            &libssl.depends,
            "dpkg (>= 1.15), libc6 (>= 2.34), debconf (>= 0.5) | debconf-2.0",
        ),
        (&libssl.conflicts, "openssl (<< 1.1)"),
        (&libssl.breaks, "isc-dhcp (<< 4.4)"),
        (&libssl.replaces, "libssl1.1"),
        (&libssl.provides, "libssl (= 3.0.15)"),
        (&base.depends, ""),
    ] {
        assert_eq!(relations.to_string(), expected);
    }
    assert!(base.essential && base.protected && !libssl.essential && !libssl.protected);
    assert_eq!(
        (base.multi_arch, base.phased, base.source_name.as_str()),
        (MultiArch::No, None, "base-files")
    );
}

#[test]
fn a_stanza_that_cannot_be_installed_from_is_named() {
    let without = |field: &str| -> String {
        let lines = INDEX.split("\n\n").nth(1).unwrap().lines();
        lines
            .filter(|line| !line.starts_with(field))
            .flat_map(|line| [line, "\n"])
            .collect()
    };
    for (field, expected) in [
        ("Version", "`base-files` is malformed: it has no `Version`"),
        ("Architecture", "it has no `Architecture`"),
        ("Size", "it has no `Size`"),
        ("SHA256", "it has no `SHA256`"),
        ("Package", "`` is not a package name"),
    ] {
        let error = Candidate::parse(without(field).as_bytes()).unwrap_err();
        assert!(error.to_string().contains(expected), "{field}: {error}");
    }
    assert_eq!(Candidate::parse(without("Filename").as_bytes()), Ok(None));
    for (more, expected) in [
        ("Size: many\n", "its `Size` is no number"),
        ("SHA256: 12\n", "64 hexadecimal digits"),
        ("Depends: (\n", "is not a relation"),
        ("Version: -\n", "is not a package version"),
    ] {
        // Of a field that is there twice the first counts.
        let text = format!("{more}{}", without("Nothing"));
        let error = Candidate::parse(text.as_bytes()).unwrap_err();
        assert!(error.to_string().contains(expected), "{more}: {error}");
    }
}

#[test]
fn installed_packages_have_relations_too() {
    let status = "Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\
        Multi-Arch: foreign\nDepends: b [amd64],\n c [arm64]\nProvides: (\n";
    let database = Database::parse(status.as_bytes()).unwrap();
    let package = &database.packages[0];
    assert_eq!(package.relations("Depends").unwrap().to_string(), "b");
    assert!(package.relations("Breaks").unwrap().is_empty());
    assert!(package.relations("Provides").is_err());
    assert_eq!(package.multi_arch(), MultiArch::Foreign);
}

proptest! {
    #[test]
    fn no_relation_panics_and_what_is_read_reads_the_same_again(text in "[a-z0-9 ,|()<>=!:.+\\[\\]~\n-]{0,60}") {
        if let Ok(relations) = Relations::parse(&text, "amd64") {
            let again = Relations::parse(&relations.to_string(), "amd64");
            prop_assert_eq!(again, Ok(relations));
        }
    }

    #[test]
    fn no_index_panics(at in 0..INDEX.len(), bytes in proptest::collection::vec(any::<u8>(), 0..8)) {
        let mut index = INDEX.as_bytes().to_vec();
        index.splice(at..(at + bytes.len()).min(INDEX.len()), bytes);
        for capacity in [1, 64, 4096] {
            let reader = BufReader::with_capacity(capacity, &index[..]);
            split_stream(reader, &mut |stanza| {
                let _ = Candidate::parse(stanza);
                ControlFlow::Continue(())
            })
            .unwrap();
        }
    }
}
