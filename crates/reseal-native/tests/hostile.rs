//! Packages that no honest builder makes, and images in a state that is not for us.

#![expect(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod made;

use std::error::Error;

use made::{Entry, control, deb, dir, entry, file, lay};
use proptest::prelude::*;
use reseal_oci::layer::{EntryKind, Meaning, visit};
use tar::EntryType;

/// All that an error says.
fn said(error: &dyn Error) -> String {
    let mut out = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        out = out + ": " + &error.to_string();
        cause = error.source();
    }
    out
}

fn refused(data: &[Entry]) -> String {
    let error = lay(&deb(&control(&[]), data), &[]).map(drop);
    said(&error.unwrap_err())
}

#[test]
fn an_honest_package_is_laid_down() {
    let bytes = deb(
        &control(&[]),
        &[
            dir("./"),
            dir("./usr/"),
            file("./usr/new", "new"),
            entry("./usr/link", EntryType::Symlink).link("../../../../etc"),
        ],
    );
    let (laid, raw) = lay(&bytes, &[]).unwrap();
    let mut paths = Vec::new();
    visit(raw.as_slice(), Meaning::Layer, &mut |entry, _| {
        paths.push((entry.path.to_owned(), entry.kind));
        Ok(())
    })
    .unwrap();
    assert!(paths.contains(&("usr/new".to_owned(), EntryKind::File)));
    assert!(paths.contains(&("usr/old".to_owned(), EntryKind::Whiteout)));
    assert!(paths.contains(&("var/lib/dpkg/status".to_owned(), EntryKind::File)));
    assert_eq!(laid.files.len(), 1);
    assert_eq!(laid.database.find("one")[0].version, "2");
}

#[test]
fn archives_that_are_made_to_mislead_are_refused() {
    let symlink = |name: &str, to: &str| entry(name, EntryType::Symlink).link(to);
    for (data, expected) in [
        (vec![file("../x", "")], "it has a `..`"),
        (vec![file("./usr/../../x", "")], "it has a `..`"),
        (
            vec![file("./usr/x", "1"), file("usr/x", "2")],
            "`/usr/x` twice",
        ),
        (
            vec![dir("./usr/d"), symlink("usr/d", "x")],
            "`/usr/d` twice",
        ),
        (
            vec![symlink("./usr/d", "/etc"), file("./usr/d/x", "")],
            "behind a link of the package itself",
        ),
        (
            vec![entry("./usr/h", EntryType::Link).link("usr/two")],
            "hard link to a file that is not laid down",
        ),
        (
            vec![entry("./usr/h", EntryType::Link).link("../../x")],
            "it has a `..`",
        ),
        (vec![file("./usr/a\nb", "")], "a newline"),
        (vec![file("./usr/.wh.two", "")], "means a deletion"),
        (vec![dir("./usr/.wh..wh..opq/x")], "means a deletion"),
        (vec![file(b"./usr/\xff", "")], "UTF-8"),
        (vec![entry("./usr/dev", EntryType::Char)], "is a device"),
        (vec![file("./usr/x", "").owner(1000)], "each image's own"),
        (
            vec![file("./usr/x", "").record("SCHILY.xattr.user.a", "b")],
            "extended attributes",
        ),
        (vec![file("./usr/two", "")], "in the package `two` too"),
        (
            vec![file("./usr/nowhere/x", "")],
            "the directory of `/usr/nowhere/x` is not there",
        ),
        (
            vec![file("./usr/x", "").size(100_000)],
            "ends within the entry",
        ),
        (vec![file("./", "")], "its root is no directory"),
        (vec![file("./etc", "")], "takes the place of a directory"),
        (
            vec![
                file("./usr/x", "")
                    .record("GNU.sparse.size", "999999999999")
                    .record("GNU.sparse.map", ""),
            ],
            "larger than any package",
        ),
    ] {
        let error = refused(&data);
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[test]
fn control_files_that_break_the_format_are_refused() {
    let fields = |text: &str| vec![file("control", text)];
    let good = "Package: one\nVersion: 2\nArchitecture: all\nDescription: d\n";
    for (control, expected) in [
        (vec![], "no file `control`"),
        (
            fields("Package: other\nVersion: 2\nArchitecture: all\n"),
            "it is `other:all 2`, not `one:all 2`",
        ),
        (
            fields("Package: one\nVersion: 3\nArchitecture: all\n"),
            "not `one:all 2`",
        ),
        (
            fields(&format!("{good}Depends: a (\n")),
            "`Depends` is not usable",
        ),
        (
            fields(&format!("{good}Replaces: a b\n")),
            "`Replaces` is not usable",
        ),
        (fields(&format!("{good}{good}")), "a field twice"),
        (
            vec![file("control", good), file("control", good)],
            "`control` is there twice",
        ),
        (vec![file("sub/control", good)], "has a bad name"),
        (
            vec![
                file("control", good),
                entry("x", EntryType::Symlink).link("control"),
            ],
            "no regular file",
        ),
        (
            vec![file("control", good), file("conffiles", "/etc/../x\n")],
            "not clean",
        ),
        (
            vec![file("control", good), file("conffiles", "/etc/x")],
            "no newline",
        ),
        (
            vec![file("control", good), file("triggers", "run x\n")],
            "unknown directive",
        ),
        (
            vec![file("control", good), file("huge", vec![0; 17 << 20])],
            "larger than the",
        ),
    ] {
        let error = said(&lay(&deb(&control, &[]), &[]).map(drop).unwrap_err());
        assert!(error.contains(expected), "{expected}: {error}");
    }
    for (bytes, expected) in [
        (b"!<arch>\n".to_vec(), "does not begin with `debian-binary`"),
        (b"PK".to_vec(), "ends within"),
        (b"notanarchive".to_vec(), "no `ar` archive"),
    ] {
        let error = said(&lay(&bytes, &[]).map(drop).unwrap_err());
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[test]
fn images_that_wait_for_their_package_manager_are_refused_by_name() {
    let bytes = deb(&control(&[]), &[]);
    let status = |state: &str| {
        format!(
            "Package: one\nStatus: {state}\nMaintainer: M\nArchitecture: all\nVersion: 1\nDescription: d\n\n"
        )
    };
    for (more, expected) in [
        (
            file("var/lib/dpkg/updates/0001", ""),
            "did not finish its last run",
        ),
        (
            file("var/lib/dpkg/status", status("install ok half-configured")),
            "not fully installed",
        ),
        (
            file("var/lib/dpkg/status", status("install reinstreq installed")),
            "installed again",
        ),
        (
            file("var/lib/dpkg/info/format", "2\n"),
            "a form that is not known",
        ),
        (
            file("var/lib/dpkg/diversions", "/a\n"),
            "ends within an entry",
        ),
        (
            file("var/lib/dpkg/statoverride", "nobody root 644 /a\n"),
            "`nobody` is in neither",
        ),
        (
            file("etc/dpkg/dpkg.cfg", "pre-invoke=/bin/x\n"),
            "`pre-invoke` may change",
        ),
    ] {
        let error = lay(&bytes, &[more]).map(drop).unwrap_err();
        assert!(error.hint().is_some());
        assert!(said(&error).contains(expected), "{expected}: {error}");
    }
}

#[test]
fn bytecode_goes_with_its_module_unless_a_package_owns_it() {
    let bytes = deb(
        &control(&[]),
        &[dir("./usr/"), dir("./usr/py/"), file("./usr/py/a.py", "2")],
    );
    let (_, raw) = lay(
        &bytes,
        &[
            file("usr/py/a.py", "1"),
            file("usr/py/b.py", "1"),
            file("usr/py/__pycache__/a.cpython-311.pyc", ""),
            file("usr/py/__pycache__/ab.cpython-311.pyc", ""),
            file("usr/py/__pycache__/b.cpython-311.pyc", ""),
            file(
                "var/lib/dpkg/info/one.list",
                "/.\n/usr\n/usr/old\n/usr/py\n/usr/py/a.py\n/usr/py/b.py\n",
            ),
            file(
                "var/lib/dpkg/info/two.list",
                "/.\n/usr/two\n/usr/py/__pycache__/b.cpython-311.pyc\n",
            ),
        ],
    )
    .unwrap();
    let mut hidden = Vec::new();
    visit(raw.as_slice(), Meaning::Layer, &mut |entry, _| {
        if entry.kind == EntryKind::Whiteout {
            hidden.push(entry.path.to_owned());
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(
        hidden,
        [
            "usr/old",
            "usr/py/__pycache__/a.cpython-311.pyc",
            "usr/py/b.py"
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_damage_to_a_package_panics(at in 0_usize..9000, byte in any::<u8>(), cut in 0_usize..9000) {
        let mut bytes = deb(
            &control(&[file("conffiles", "/etc/c\n"), file("triggers", "activate x\n"), file("md5sums", "")]),
            &[dir("./"), dir("./etc/"), file("./etc/c", "c"), dir("./usr/"), file("./usr/new", "new")],
        );
        let at = at % bytes.len();
        bytes[at] = byte;
        if cut % 3 == 0 {
            bytes.truncate(cut);
        }
        let _ = lay(&bytes, &[]);
    }
}
