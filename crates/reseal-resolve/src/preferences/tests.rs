use super::*;

fn releases() -> Vec<ReleaseInfo> {
    let release = |suite: &str, codename: &str, site: &str| ReleaseInfo {
        origin: "Debian".to_owned(),
        label: "Debian".to_owned(),
        suite: suite.to_owned(),
        codename: codename.to_owned(),
        version: "12.5".to_owned(),
        component: "main".to_owned(),
        site: site.to_owned(),
        ..ReleaseInfo::default()
    };
    vec![
        release("stable", "bookworm", "deb.example"),
        release("stable-security", "bookworm-security", "deb.example"),
        ReleaseInfo {
            not_automatic: true,
            but_automatic_upgrades: true,
            ..release("stable-backports", "bookworm-backports", "deb.example")
        },
        ReleaseInfo {
            not_automatic: true,
            ..release("experimental", "rc-buggy", "other.example")
        },
    ]
}

fn preferences(text: &str) -> Preferences {
    Preferences::parse(&BTreeMap::from([(
        "etc/apt/preferences".to_owned(),
        text.as_bytes().to_vec(),
    )]))
}

#[test]
fn releases_have_the_priority_of_the_first_pin_that_means_them() {
    for (text, default, expected) in [
        ("", None, [500, 500, 100, 1, 100]),
        ("", Some("bookworm-backports"), [500, 500, 990, 1, 100]),
        ("", Some("stable"), [990, 500, 100, 1, 100]),
        ("", Some("12*"), [990, 990, 990, 990, 100]),
        (
            "Package: *\nPin: release n=bookworm*\nPin-Priority: 600\n",
            None,
            [600, 600, 600, 1, 100],
        ),
        (
            "Package: *\nPin: release a=stable-security, l=Debian\nPin-Priority: 900\n\n\
             # a comment\nPackage: *\nPin: release *\nPin-Priority: 7\n",
            None,
            [7, 900, 7, 7, 7],
        ),
        (
            "Explanation: x\nPackage: *\nPin: origin \"other.example\"\nPin-Priority: -1\n",
            None,
            [500, 500, 100, -1, 100],
        ),
        (
            "Package: *\nPin: release b=arm64\nPin-Priority: 800\n",
            None,
            [500, 500, 100, 1, 100],
        ),
        (
            "Package: *\nPin: release n=/^bookworm$/, c=main\nPin-Priority: never\n",
            None,
            [NEVER, 500, 100, 1, 100],
        ),
    ] {
        let found = preferences(text).of_releases(&releases(), default, "amd64");
        let mut all = found.releases;
        all.push(found.installed);
        assert_eq!(all, expected, "{text} {default:?}");
    }
}

#[test]
fn a_pin_for_a_package_sets_the_priority_of_the_versions_that_it_fits() {
    for (text, expected) in [
        ("", 500),
        ("Package: bash\nPin: version 5.2*\nPin-Priority: 444\n", 444),
        ("Package: bash\nPin: version 5.1*\nPin-Priority: 444\n", 500),
        (
            "Package: dash ba?h\nPin: version *\nPin-Priority: 1001\n",
            1001,
        ),
        ("Package: src:shells\nPin: version *\nPin-Priority: 5\n", 5),
        (
            "Package: bash:arm64\nPin: version *\nPin-Priority: 5\n",
            500,
        ),
        ("Package: bash:any\nPin: version *\nPin-Priority: 5\n", 5),
        (
            "Package: bash\nPin: release n=bookworm-security\nPin-Priority: -5\n",
            -5,
        ),
        ("Package: bash\nPin: release n=sid\nPin-Priority: -5\n", 500),
        (
            "Package: /^b/\nPin: version 5*\nPin-Priority: 1\n\n\
             Package: bash\nPin: version 5*\nPin-Priority: 2\n",
            1,
        ),
    ] {
        let preferences = preferences(text);
        assert!(preferences.unsupported.is_empty(), "{text}");
        let releases = releases();
        let priorities = preferences.of_releases(&releases, None, "amd64");
        let version = Pinned {
            name: "bash",
            architecture: "amd64",
            version: "5.2.15-2",
            source: "shells",
            releases: &[1, 2],
            installed: false,
        };
        let found = preferences.of_version(&version, &releases, &priorities, "amd64");
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn what_is_not_understood_is_said() {
    for (text, why) in [
        ("Pin: version 1\nPin-Priority: 1\n", "has no `Package`"),
        (
            "Package: *\nPin: version 1\nPin-Priority: 1\n",
            "`Pin: version`",
        ),
        (
            "Package: a\nPin: digest 1\nPin-Priority: 1\n",
            "`Pin: digest`",
        ),
        ("Package: a\nPin: version 1\n", "`Pin-Priority: `"),
        (
            "Package: a\nPin: version 1\nPin-Priority: never\n",
            "`Pin-Priority: never`",
        ),
        (
            "Package: a\nPin: version 1\nPin-Priority: 40000\n",
            "`Pin-Priority: 40000`",
        ),
        (
            "Package: a\nPin: release x=1\nPin-Priority: 1\n",
            "`x=1` of a release",
        ),
        (
            "Package: /(/\nPin: version 1\nPin-Priority: 1\n",
            "`/(/` is not a regular",
        ),
    ] {
        let found = preferences(text).unsupported;
        assert!(
            found.len() == 1 && found[0].contains(why),
            "{text}: {found:?}"
        );
    }
    assert!(
        preferences("Package: a\nPin-Priority: 1\n")
            .unsupported
            .is_empty()
    );
}

#[test]
fn only_files_that_apt_reads_count() {
    for (path, read) in [
        ("etc/apt/preferences.d/security", true),
        ("etc/apt/preferences.d/10-x.pref", true),
        ("etc/apt/preferences.d/x.dpkg-old", false),
        ("etc/apt/preferences.d/.x", false),
        ("etc/apt/preferences.d/x~", false),
        ("etc/apt/apt.conf", false),
    ] {
        let files = BTreeMap::from([(path.to_owned(), b"nonsense: 1\n".to_vec())]);
        assert_eq!(
            !Preferences::parse(&files).unsupported.is_empty(),
            read,
            "{path}"
        );
    }
}
