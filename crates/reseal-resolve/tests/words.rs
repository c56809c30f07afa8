//! Small universes with the answer beside them: what comes in, or in words why apt has to decide.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a panic is how they fail"
)]

use std::{collections::BTreeMap, fmt::Write as _, ops::ControlFlow};

use reseal_pkg::dpkg::{Candidate, Database, split_stream};
use reseal_resolve::{Preferences, ReleaseInfo, Resolved, Universe, Want, resolve};

/// `name version; Field: value; …` for each package, one a line. `hold` as a field holds it.
fn stanzas(lines: &str, installed: bool) -> String {
    let mut out = String::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut parts = line.split(';').map(str::trim);
        let (name, version) = parts.next().unwrap().split_once(' ').unwrap();
        let mut fields: Vec<&str> = parts.collect();
        let held = fields.contains(&"hold");
        fields.retain(|field| *field != "hold");
        let _ = writeln!(out, "Package: {name}\nVersion: {version}");
        if !fields.iter().any(|field| field.starts_with("Architecture")) {
            out += "Architecture: amd64\n";
        }
        if !installed {
            let _ = writeln!(out, "Filename: {name}.deb\nSize: 1\nSHA256: {:064}", 0);
        } else if !fields.iter().any(|field| field.starts_with("Status")) {
            let word = if held { "hold" } else { "install" };
            let _ = writeln!(out, "Status: {word} ok installed");
        }
        for field in fields {
            out += field;
            out.push('\n');
        }
        out.push('\n');
    }
    out
}

fn ask(installed: &str, offered: &str, want: &Want, by_source: bool, pins: &str) -> String {
    let installed = Database::parse(stanzas(installed, true).as_bytes()).unwrap();
    let mut candidates = Vec::new();
    split_stream(stanzas(offered, false).as_bytes(), &mut |stanza| {
        candidates.extend(Candidate::parse(stanza).unwrap());
        ControlFlow::Continue(())
    })
    .unwrap();
    let preferences = Preferences::parse(&BTreeMap::from([(
        "etc/apt/preferences".to_owned(),
        pins.as_bytes().to_vec(),
    )]));
    let mut universe = Universe {
        installed: &installed,
        candidates: &candidates,
        releases: &[ReleaseInfo::default()],
        preferences: &preferences,
        default_release: None,
        architecture: "amd64".to_owned(),
        foreign: Vec::new(),
        by_source,
        known: std::collections::BTreeSet::new(),
    };
    loop {
        match resolve(&universe, want) {
            Err(why) => return why.to_string(),
            Ok(Resolved::NeedsCandidates(names)) => {
                assert!(names.is_disjoint(&universe.known), "{names:?}");
                universe.known.extend(names);
            }
            Ok(Resolved::Done(found)) => {
                let name = |sign: &str, place: &usize| {
                    let candidate = &candidates[*place];
                    format!("{sign}{} {}", candidate.name, candidate.version)
                };
                let upgrades = found.upgrades.iter().map(|place| name("", place));
                let new = found.new.iter().map(|place| name("+", place));
                let kept = found.kept_back.iter();
                let kept = kept.map(|(name, why)| format!("{name} stays: {why}"));
                let all: Vec<String> = upgrades.chain(new).chain(kept).collect();
                return all.join("; ");
            }
        }
    }
}

fn check(wanted: &str, installed: &str, offered: &str, expected: &str) {
    let want = if wanted == "*" {
        Want::All
    } else {
        let names = wanted
            .split(' ')
            .map(|name| (name.to_owned(), "amd64".to_owned()));
        Want::Packages(names.collect())
    };
    let found = ask(installed, offered, &want, false, "");
    assert!(
        found.contains(expected) && found.is_empty() == expected.is_empty(),
        "{found}"
    );
}

#[test]
fn only_what_is_wanted_moves() {
    check("aa", "aa 1\nbb 1", "aa 2\nbb 2", "aa 2");
    check(
        "aa",
        "aa 1; Depends: bb\nbb 1",
        "aa 2; Depends: bb (>= 1)\nbb 2",
        "aa 2",
    );
    check("aa aa", "aa 1\nbb 1", "aa 2\naa 1.5\nbb 2", "aa 2");
}

#[test]
fn what_the_new_version_needs_moves_along() {
    check(
        "aa",
        "aa 1\nbb 1",
        "aa 2; Depends: bb (= 2)\nbb 2",
        "aa 2; bb 2",
    );
    check(
        "aa",
        "aa 1",
        "aa 2; Depends: bb\nbb 7; Depends: cc\ncc 1",
        "aa 2; +bb 7; +cc 1",
    );
    check(
        "aa",
        "aa 1\nbb 1",
        "aa 2; Breaks: bb (<< 2)\nbb 2",
        "aa 2; bb 2",
    );
    check(
        "aa",
        "aa 1\nbb 1; Depends: aa (= 1)",
        "aa 2\nbb 2; Depends: aa (= 2)",
        "aa 2; bb 2",
    );
}

#[test]
fn of_alternatives_installed_packages_come_first_then_the_first() {
    check(
        "aa",
        "aa 1",
        "aa 2; Depends: xx | yy\nxx 1\nyy 1",
        "aa 2; +xx 1",
    );
    check(
        "aa",
        "aa 1\nyy 1",
        "aa 2; Depends: xx | yy\nxx 1\nyy 2",
        "aa 2",
    );
    check(
        "aa",
        "aa 1\nyy 1",
        "aa 2; Depends: xx | yy (>= 2)\nxx 1\nyy 2",
        "aa 2; yy 2",
    );
    check(
        "aa",
        "aa 1",
        "aa 2; Depends: vv\nxx 1; Provides: vv",
        "aa 2; +xx 1",
    );
}

#[test]
fn wanted_packages_that_stay_are_said_with_the_reason() {
    check(
        "aa bb",
        "aa 1",
        "aa 2\nbb 2",
        "aa 2; bb stays: it is not installed",
    );
    check(
        "aa",
        "aa 2",
        "aa 2\naa 1",
        "aa stays: no repository has a newer version than 2",
    );
    check(
        "*",
        "aa 1; hold\nbb 1",
        "aa 2\nbb 2",
        "bb 2; aa stays: it is on hold",
    );
    check(
        "*",
        "aa 1\nbb 1",
        "aa 2; Depends: nope\nbb 2",
        "bb 2; aa stays: `aa 2` needs `nope`, which nothing satisfies",
    );
}

#[test]
fn what_apt_would_ask_or_do_otherwise_is_left_to_it() {
    for (wanted, installed, offered, expected) in [
        (
            "aa",
            "aa 1\nbb 1",
            "aa 2; Conflicts: bb",
            "only possible if `bb` is removed",
        ),
        (
            "aa",
            "aa 1\nbb 1; Depends: aa (= 1)\ncc 1; Depends: bb",
            "aa 2",
            "if `bb`, `cc` are removed",
        ),
        ("aa", "aa 1; hold", "aa 2", "`aa` is on hold"),
        (
            "aa",
            "aa 1\nbb 1; hold",
            "aa 2; Depends: bb (>= 2)\nbb 2",
            "`bb` is on hold",
        ),
        (
            "aa",
            "aa 1",
            "aa 2; Depends: bb (>= 2), cc\nbb 1",
            "`aa 2` needs `bb (>= 2)`, which nothing satisfies",
        ),
        (
            "aa",
            "aa 1",
            "aa 2; Depends: bb\nbb 1; Depends: cc",
            "`bb 1` needs `cc`, which nothing satisfies",
        ),
        (
            "aa bb",
            "aa 1\nbb 1",
            "aa 2; Breaks: bb\nbb 2",
            "the wanted packages exclude each other",
        ),
        (
            "aa",
            "aa 1; Depends: bb",
            "aa 2",
            "`aa 1` needs `bb`, which is not installed",
        ),
        (
            "aa",
            "aa 1\nbb 1; Breaks: aa",
            "aa 2",
            "`bb 1` cannot be beside `aa 1`",
        ),
        (
            "aa",
            "aa 1\nbb 1; Status: install ok unpacked",
            "aa 2",
            "`bb` is not fully installed",
        ),
        (
            "aa",
            "aa 1; Depends: (",
            "aa 2",
            "the package database cannot be used",
        ),
        ("aa", "aa 1\naa 1", "aa 2", "`aa` is in the database twice"),
        (
            "aa",
            "aa 1",
            "aa 2; Depends: vv\nxx 1; Provides: vv\nyy 1; Provides: vv",
            "apt has a choice",
        ),
        (
            "*",
            "aa 1\nbb 1",
            "aa 2; Conflicts: bb\nbb 2",
            "apt has a choice",
        ),
    ] {
        check(wanted, installed, offered, expected);
    }
}

#[test]
fn pins_that_are_not_understood_or_go_back_are_left_to_apt() {
    let want = Want::All;
    let found = ask(
        "aa 1",
        "aa 2",
        &want,
        false,
        "Package: aa\nPin: magic 1\nPin-Priority: 1\n",
    );
    assert!(
        found.contains("etc/apt/preferences: `Pin: magic`"),
        "{found}"
    );
    let found = ask(
        "aa 2",
        "aa 1",
        &want,
        false,
        "Package: aa\nPin: version 1\nPin-Priority: 1001\n",
    );
    assert_eq!(found, "`aa` would be downgraded from 2 to 1");
}

#[test]
fn binaries_of_one_source_move_together_where_apt_does_so() {
    let installed = "aa 1; Source: s\nbb 1; Source: s\ncc 1; Source: s\ndd 1; hold; Source: s";
    let offered = "aa 2; Source: s\nbb 2+b1; Source: s (2)\ncc 3; Source: s\ndd 2; Source: s";
    let want = Want::Packages(vec![("aa".to_owned(), "amd64".to_owned())]);
    assert_eq!(ask(installed, offered, &want, true, ""), "aa 2; bb 2+b1");
    assert_eq!(ask(installed, offered, &want, false, ""), "aa 2");
}

#[test]
fn names_are_asked_for_only_when_they_matter() {
    let installed = Database::parse(stanzas("aa 1\nbb 1", true).as_bytes()).unwrap();
    let offered = stanzas("aa 2; Depends: xx | yy\nbb 2; Depends: zz", false);
    let mut candidates = Vec::new();
    split_stream(offered.as_bytes(), &mut |stanza| {
        candidates.extend(Candidate::parse(stanza).unwrap());
        ControlFlow::Continue(())
    })
    .unwrap();
    let universe = |known: &[&str]| Universe {
        installed: &installed,
        candidates: &candidates,
        releases: &[],
        preferences: Box::leak(Box::default()),
        default_release: None,
        architecture: "amd64".to_owned(),
        foreign: Vec::new(),
        by_source: false,
        known: known.iter().map(|name| (*name).to_owned()).collect(),
    };
    let want = Want::Packages(vec![("aa".to_owned(), "amd64".to_owned())]);
    for (known, asked) in [(&[][..], &["aa", "bb"]), (&["aa", "bb"], &["xx", "yy"])] {
        // Without a release no version has a priority; one is needed for the second question.
        let releases = [ReleaseInfo::default()];
        let universe = Universe {
            releases: &releases,
            ..universe(known)
        };
        let names = asked.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(
            resolve(&universe, &want),
            Ok(Resolved::NeedsCandidates(names))
        );
    }
}
