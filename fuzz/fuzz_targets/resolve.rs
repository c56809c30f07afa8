//! Whatever is installed, offered and pinned, there is an answer, a question that leads on, or a reason.
#![no_main]

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use libfuzzer_sys::fuzz_target;
use reseal_pkg::dpkg::{Candidate, Database, split_stream};
use reseal_resolve::{Preferences, ReleaseInfo, Resolved, Universe, Want, resolve};

fuzz_target!(|input: (&[u8], &[u8], Vec<u8>, Option<String>, bool)| {
    let (status, index, pins, default_release, by_source) = input;
    let Ok(installed) = Database::parse(status) else {
        return;
    };
    let mut candidates = Vec::new();
    let _ = split_stream(index, &mut |stanza| {
        candidates.extend(Candidate::parse(stanza).ok().flatten());
        ControlFlow::Continue(())
    });
    let files = BTreeMap::from([("etc/apt/preferences".to_owned(), pins)]);
    let preferences = Preferences::parse(&files);
    let names = installed.packages.iter();
    let wanted = names.map(|package| (package.name.clone(), package.architecture.clone()));
    for want in [Want::Packages(wanted.take(2).collect()), Want::All] {
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
                    assert!(!names.is_empty() && names.is_disjoint(&known));
                    known.extend(names);
                }
                Ok(Resolved::Done(found)) => {
                    let mut places = found.upgrades.iter().chain(&found.new);
                    assert!(places.all(|place| *place < candidates.len()));
                    break;
                }
                Err(why) => {
                    assert!(!why.to_string().is_empty() && !why.hint().is_empty());
                    break;
                }
            }
        }
    }
});
