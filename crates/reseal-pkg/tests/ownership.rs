//! What a path of a patch layer belongs to.

use proptest::prelude::*;
use reseal_pkg::dpkg::{Owner, Ownership, md5sums_paths, parse_list};

fn ownership() -> Ownership {
    let list = |stem: &str, text: &str| (stem.to_owned(), text.as_bytes().to_vec());
    Ownership::from_lists(
        [
            list(
                "libc6:amd64",
                "/.\n/lib\n/lib/x86_64-linux-gnu\n/lib/x86_64-linux-gnu/libc.so.6\n/lib64\n/lib64/ld-linux-x86-64.so.2\n",
            ),
            list("nginx", "/.\n/etc\n/etc/nginx\n/etc/nginx/nginx.conf\n/var\n/var/log\n/var/log/nginx\n/usr/sbin/nginx\n"),
            list("base-files", "/.\n/proc\n/tmp\n/etc/debian_version\n"),
        ],
        &[("lib".to_owned(), "usr/lib".to_owned()), ("/lib64".to_owned(), "usr/lib64/".to_owned())],
    )
    .with_former([list("nginx", "/usr/share/nginx/old.html\n")])
}

#[test]
fn every_path_has_its_owner() {
    use Owner::{Database, Junk, Package, Script};
    let ownership = ownership();
    for (path, owner) in [
        // Files of changed packages, however the layer spells them.
        ("usr/sbin/nginx", Package),
        ("/usr/sbin/nginx", Package),
        ("./usr/sbin//nginx", Package),
        ("etc/nginx/nginx.conf", Package),
        ("lib/x86_64-linux-gnu/libc.so.6", Package),
        ("usr/lib/x86_64-linux-gnu/libc.so.6", Package),
        ("usr/lib64/ld-linux-x86-64.so.2", Package),
        ("lib", Package),
        ("var/log/nginx/", Package),
        ("tmp", Package),
        // Whiteouts belong to what they hide.
        ("usr/share/nginx/.wh.old.html", Package),
        ("usr/share/nginx/old.html", Package),
        ("etc/nginx/.wh..wh..opq", Package),
        ("var/cache/.wh.x", Junk),
        ("usr/share/.wh.by-script", Script),
        // Records.
        ("var/lib/dpkg/status", Database),
        ("var/lib/dpkg/info/nginx.list", Database),
        ("var/lib/dpkg/triggers/File", Database),
        ("var/lib/dpkg", Database),
        ("var/lib/apt/extended_states", Database),
        ("var/lib/dpkg/status-old", Junk),
        ("var/lib/dpkg/diversions-old", Junk),
        ("var/lib/dpkg/info/x-old", Database),
        ("var/lib/dpkg/lock", Junk),
        ("var/lib/dpkg/lock-frontend", Junk),
        ("var/lib/dpkg/triggers/Lock", Junk),
        ("var/lib/dpkg/tmp.ci/control", Junk),
        // Left over.
        ("var/log/apt/history.log", Junk),
        ("var/log/dpkg.log", Junk),
        ("var/cache/debconf/config.dat", Junk),
        ("var/cache/ldconfig/aux-cache", Junk),
        ("var/lib/apt/lists/deb.example.org_x", Junk),
        ("var/lib/apt/periodic/x", Junk),
        ("run/x", Junk),
        ("tmp/x", Junk),
        ("var/tmp/x", Junk),
        ("root/.cache/x", Junk),
        ("proc", Junk),
        ("dev/null", Junk),
        ("sys", Junk),
        ("etc/resolv.conf", Junk),
        ("etc/hosts", Junk),
        ("etc/nginx/nginx.conf.dpkg-new", Junk),
        ("usr/sbin/nginx.dpkg-tmp", Junk),
        ("../etc/passwd", Junk),
        (".", Junk),
        // Written by scripts.
        ("etc/ld.so.cache", Script),
        ("etc/passwd", Script),
        ("etc/nginx/nginx.conf.dpkg-dist", Script),
        ("etc/nginx/nginx.conf.dpkg-old", Script),
        ("usr/lib/python3/__pycache__/x.cpython-311.pyc", Script),
        ("runner", Script),
        ("var/logs", Script),
        ("var/lib/dpkg-x", Script),
        ("var/lib/apt/extended_states.x", Script),
    ] {
        assert_eq!(ownership.owner(path), owner, "{path}");
    }
    assert_eq!(
        ownership.package_of("usr/lib64/ld-linux-x86-64.so.2"),
        Some("libc6:amd64")
    );
    assert!(ownership.owns("var/log/nginx") && !ownership.owns("etc/passwd"));
}

#[test]
fn links_that_run_in_a_circle_end() {
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let ownership = Ownership::from_lists(
        [("x".to_owned(), b"/a/f\n".to_vec())],
        &[
            pair("a", "b"),
            pair("b", "a"),
            pair("c", "c/d"),
            pair("..", "e"),
        ],
    );
    assert!(ownership.owns("a/f"));
    assert!(!ownership.owns("c/f"));
}

#[test]
fn what_scripts_wrote_falls_into_groups() {
    for (path, group) in [
        (
            "usr/lib/python3/dist-packages/__pycache__/a.cpython-311.pyc",
            "byte code",
        ),
        ("usr/lib/python2.7/a.pyc", "byte code"),
        ("etc/ld.so.cache", "ld.so cache"),
        ("/etc/ld.so.cache", "ld.so cache"),
        ("etc/ssl/certs/ca-certificates.crt", "certificates"),
        ("etc/ca-certificates.conf", "certificates"),
        ("etc/passwd", "other"),
        ("etc/ssl/certs2", "other"),
        ("", "other"),
    ] {
        assert_eq!(Ownership::group(path), group, "{path}");
    }
}

#[test]
fn lists_and_sums_give_clean_paths() {
    assert_eq!(
        parse_list(b"/.\n/usr\n/usr/bin/x y\r\n\n/../etc\n"),
        ["usr", "usr/bin/x y"]
    );
    let sums = b"0123456789abcdef0123456789abcdef  usr/bin/a b\nFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF *./c\nshort  x\n\n0123456789abcdef0123456789abcdef\n";
    assert_eq!(md5sums_paths(sums), ["usr/bin/a b", "c"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_path_panics_and_what_a_list_names_is_owned(path in "[a./]{0,12}", any_path in any::<String>(), to in "[a./]{0,6}") {
        let ownership = Ownership::from_lists(
            [("x".to_owned(), path.clone().into_bytes())],
            &[("a".to_owned(), to)],
        );
        prop_assert_eq!(ownership.owns(&path), !parse_list(path.as_bytes()).is_empty());
        let _ = (ownership.owner(&any_path), Ownership::group(&any_path), md5sums_paths(any_path.as_bytes()));
    }
}
