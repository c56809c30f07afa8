//! Pins and releases: which version is the candidate.

use reseal_resolve::{ReleaseInfo, Unresolved, Want};

use crate::world::{Index, World, differs, has_apt};

fn index(origin: &str, suite: &str, codename: &str, versions: &[(&str, &str)]) -> Index {
    let packages = versions
        .iter()
        .map(|(name, version)| {
            format!(
                "Package: {name}\nSource: src-{name}\nArchitecture: amd64\nVersion: {version}\n\
                 Filename: ./{name}_{version}.deb\nSize: 1\nSHA256: {:064}\n\n",
                version.len()
            )
        })
        .collect::<Vec<String>>()
        .concat();
    Index {
        release: ReleaseInfo {
            origin: origin.to_owned(),
            label: origin.to_owned(),
            suite: suite.to_owned(),
            codename: codename.to_owned(),
            version: "12.5".to_owned(),
            ..ReleaseInfo::default()
        },
        packages,
    }
}

fn world(preferences: &str, default_release: Option<&str>) -> World {
    let mut backports = index(
        "Debian",
        "stable-backports",
        "bookworm-backports",
        &[("one", "4~bpo12"), ("two", "4~bpo12"), ("four", "3~bpo12")],
    );
    backports.release.not_automatic = true;
    backports.release.but_automatic_upgrades = true;
    let mut experimental = index("Debian", "experimental", "rc-buggy", &[("one", "9")]);
    experimental.release.not_automatic = true;
    let installed = |name: &str, version: &str| {
        format!(
            "Package: {name}\nStatus: install ok installed\nSource: src-{name}\n\
             Architecture: amd64\nVersion: {version}\n\n"
        )
    };
    World {
        status: [
            ("one", "2"),
            ("two", "2"),
            ("three", "5"),
            ("four", "2~bpo12"),
        ]
        .map(|(name, version)| installed(name, version))
        .concat(),
        indexes: vec![
            index(
                "Debian",
                "stable",
                "bookworm",
                &[("one", "2"), ("two", "2"), ("three", "3"), ("four", "1")],
            ),
            index(
                "Debian",
                "stable-security",
                "bookworm-security",
                &[("one", "2+deb12u1"), ("three", "3+deb12u1")],
            ),
            backports,
            experimental,
            index(
                "Vendor",
                "stable",
                "stable",
                &[("two", "3-vendor"), ("three", "6")],
            ),
        ],
        preferences: preferences.to_owned(),
        default_release: default_release.map(str::to_owned),
        ..World::default()
    }
}

#[test]
fn pins_and_releases_choose_the_versions_that_apt_chooses() {
    if !has_apt() {
        return;
    }
    let pin = |packages: &str, target: &str, priority: &str| {
        format!("Package: {packages}\nPin: {target}\nPin-Priority: {priority}\n\n")
    };
    let mut cases = vec![(String::new(), None)];
    for release in [
        "bookworm",
        "stable-backports",
        "bookworm*",
        "12*",
        "experimental",
        "now",
    ] {
        cases.push((String::new(), Some(release)));
    }
    for (packages, target, priority) in [
        ("*", "release n=bookworm-backports", "500"),
        ("*", "release n=bookworm-backports", "50"),
        ("*", "release a=stable", "700"),
        ("*", "release o=Vendor", "-1"),
        ("*", "release o=Vendor", "never"),
        ("*", "release o=Vendor, a=stable", "100"),
        ("*", "release l=Debian,v=12*", "1"),
        ("*", "release *", "50"),
        ("*", "release a=now", "600"),
        ("*", "origin r4.example", "10"),
        ("*", "origin \"r1.example\"", "990"),
        ("*", "release n=/^BOOK.*-/", "995"),
        ("one", "version 4*", "600"),
        ("one", "version 2", "1000"),
        ("one", "version 9", "600"),
        ("one two", "release n=bookworm-backports", "600"),
        ("src:src-one", "version 4~*", "501"),
        ("o*", "release a=experimental", "600"),
        ("/^t/", "release o=Vendor", "-10"),
        ("two:any", "release o=Vendor", "-10"),
        ("two:amd64", "release o=Vendor", "-10"),
        ("two:arm64", "release o=Vendor", "-10"),
        ("three", "release n=bookworm", "1001"),
        ("three", "release n=bookworm-security", "1000"),
        ("three", "release n=bookworm-security", "999"),
        ("*", "release n=bookworm", "1001"),
        ("four", "version *", "-1"),
    ] {
        cases.push((pin(packages, target, priority), None));
    }
    cases.push((
        pin("one", "version 9", "600") + &pin("one", "version *", "-5"),
        None,
    ));
    cases.push((
        pin("o?e", "version *", "200") + &pin("one", "version 9", "600"),
        None,
    ));
    cases.push((
        pin("*", "release o=Vendor", "never") + &pin("two", "version 3*", "900"),
        None,
    ));
    cases.push((
        pin("*", "release n=bookworm*", "400") + &pin("*", "release *", "300"),
        Some("bookworm"),
    ));
    for (preferences, default_release) in cases {
        let world = world(&preferences, default_release);
        let apt = world.apt(&Want::All);
        match (world.ours(&Want::All), &apt) {
            (Ok(ours), Ok(theirs)) if ours == *theirs => {}
            (Err(Unresolved::Downgrade { .. }), Err(said)) => {
                assert!(said.contains("downgraded"), "{said}");
            }
            (ours, _) => panic!(
                "{default_release:?} {}",
                differs("pins", &world, &Want::All, &apt, &format!("{ours:#?}"))
            ),
        }
    }
}

#[test]
fn packages_of_other_architectures_move_with_their_siblings() {
    if !has_apt() {
        return;
    }
    let installed = |name: &str, architecture: &str, more: &str| {
        format!(
            "Package: {name}\nStatus: install ok installed\nArchitecture: {architecture}\n\
             Version: 1\n{more}\n"
        )
    };
    let offered = |name: &str, architecture: &str, more: &str| {
        format!(
            "Package: {name}\nArchitecture: {architecture}\nVersion: 2\n\
             Filename: ./{name}.deb\nSize: 1\nSHA256: {:064}\n{more}\n",
            0
        )
    };
    let status = [
        installed("lib", "amd64", "Multi-Arch: same\n"),
        installed("lib", "i386", "Multi-Arch: same\n"),
        installed("tool", "amd64", "Multi-Arch: foreign\n"),
        installed(
            "runtime",
            "amd64",
            "Multi-Arch: allowed\nProvides: engine\n",
        ),
        installed("app", "i386", "Depends: lib (>= 1), tool, runtime:any\n"),
        installed("data", "all", "Multi-Arch: foreign\n"),
    ]
    .concat();
    let all = [
        offered("lib", "amd64", "Multi-Arch: same\n"),
        offered("lib", "i386", "Multi-Arch: same\n"),
        offered("tool", "amd64", "Multi-Arch: foreign\n"),
        offered(
            "runtime",
            "amd64",
            "Multi-Arch: allowed\nProvides: engine\n",
        ),
        offered(
            "app",
            "i386",
            "Depends: lib (= 2), tool (>= 2), runtime:any (>= 2), data (>= 2), engine:any\n",
        ),
        offered("data", "all", "Multi-Arch: foreign\n"),
    ];
    for left_out in 0..=all.len() {
        let mut packages = all.to_vec();
        if left_out < all.len() {
            packages.remove(left_out);
        }
        let world = World {
            status: status.clone(),
            indexes: vec![Index {
                packages: packages.concat(),
                ..Index::default()
            }],
            foreign: vec!["i386".to_owned()],
            ..World::default()
        };
        for want in [
            Want::All,
            Want::Packages(vec![("lib".to_owned(), "amd64".to_owned())]),
            Want::Packages(vec![("app".to_owned(), "i386".to_owned())]),
            Want::Packages(vec![("data".to_owned(), "all".to_owned())]),
        ] {
            let (ours, apt) = (world.ours(&want), world.apt(&want));
            let same = match (&ours, &apt) {
                (Ok(ours), Ok(theirs)) => ours == theirs,
                (Err(_), Err(_)) => true,
                // apt keeps half of the siblings back by itself.
                (Err(Unresolved::Choice { .. }), Ok(_)) => want == Want::All,
                _ => false,
            };
            let ours = format!("{ours:#?}");
            assert!(same, "{}", differs("siblings", &world, &want, &apt, &ours));
        }
    }
}
