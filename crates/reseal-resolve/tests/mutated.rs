//! Whatever is installed, offered and pinned, there is an answer, a question that leads on, or a reason.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use proptest::prelude::*;
use reseal_pkg::dpkg::{Candidate, Database, split_stream};
use reseal_resolve::{Preferences, ReleaseInfo, Resolved, Universe, Want, resolve};

const STATUS: &str = "Package: aa\nStatus: install ok installed\nArchitecture: amd64\nMulti-Arch: same\nVersion: 1\nDepends: bb | cc\n\n\
Package: aa\nStatus: install ok installed\nArchitecture: i386\nMulti-Arch: same\nVersion: 1\n\n\
Package: bb\nStatus: hold ok installed\nArchitecture: all\nVersion: 1\nProvides: vv (= 1)\nBreaks: dd (>= 2)\n";

const INDEX: &str = "Package: aa\nArchitecture: amd64\nMulti-Arch: same\nVersion: 2\nDepends: vv (>= 1), dd:any | ee\nFilename: a\nSize: 1\n\
SHA256: 0000000000000000000000000000000000000000000000000000000000000000\n\n\
Package: aa\nArchitecture: i386\nMulti-Arch: same\nVersion: 2\nFilename: a\nSize: 1\n\
SHA256: 0000000000000000000000000000000000000000000000000000000000000000\n\n\
Package: bb\nArchitecture: all\nVersion: 2\nConflicts: aa (<< 2)\nFilename: a\nSize: 1\n\
SHA256: 0000000000000000000000000000000000000000000000000000000000000000\n\n\
Package: dd\nArchitecture: amd64\nVersion: 1\nMulti-Arch: allowed\nProvides: vv\nFilename: a\nSize: 1\n\
SHA256: 0000000000000000000000000000000000000000000000000000000000000000\n";

const PINS: &str = "Package: aa b* /c/\nPin: version 2*\nPin-Priority: 700\n\nPackage: *\nPin: release o=x, n=[a-z]*\nPin-Priority: -1\n";

/// Puts bytes, mostly ones that mean something, in the place of others.
fn mutated(text: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        "[a-e]{1,2}| \\(= 1\\)|, | \\| |\n|:any|\n\n|[<>=*/\\[]".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec((0..text.len(), 0..12_usize, piece), 0..4).prop_map(|edits| {
        let mut out = text.as_bytes().to_vec();
        for (at, length, piece) in edits {
            let at = at.min(out.len());
            let end = (at + length).min(out.len());
            out.splice(at..end, piece);
        }
        out
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]
    #[test]
    fn every_resolution_ends(
        status in mutated(STATUS),
        index in mutated(INDEX),
        pins in mutated(PINS),
        default_release in proptest::option::of("[a-z=*/,\\[(]{0,6}"),
        by_source: bool,
        all: bool,
    ) {
        let Ok(installed) = Database::parse(&status) else { return Ok(()) };
        let mut candidates = Vec::new();
        let _ = split_stream(&index[..], &mut |stanza| {
            candidates.extend(Candidate::parse(stanza).ok().flatten());
            ControlFlow::Continue(())
        });
        let preferences =
            Preferences::parse(&BTreeMap::from([("etc/apt/preferences".to_owned(), pins)]));
        let names = installed.packages.iter();
        let wanted = names.map(|package| (package.name.clone(), package.architecture.clone()));
        let want = if all { Want::All } else { Want::Packages(wanted.take(2).collect()) };
        let mut known = BTreeSet::new();
        loop {
            let universe = Universe {
                installed: &installed,
                candidates: &candidates,
                releases: &[ReleaseInfo::default()],
                preferences: &preferences,
                default_release: default_release.clone(),
                architecture: "amd64".to_owned(),
                foreign: vec!["i386".to_owned()],
                by_source,
                known: known.clone(),
            };
            match resolve(&universe, &want) {
                Ok(Resolved::NeedsCandidates(names)) => {
                    prop_assert!(!names.is_empty() && names.is_disjoint(&known));
                    known.extend(names);
                }
                Ok(Resolved::Done(found)) => {
                    let mut places = found.upgrades.iter().chain(&found.new);
                    prop_assert!(places.all(|place| *place < candidates.len()));
                    break;
                }
                Err(why) => {
                    prop_assert!(!why.to_string().is_empty() && !why.hint().is_empty());
                    break;
                }
            }
        }
    }
}
