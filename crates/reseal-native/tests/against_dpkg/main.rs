//! What `lay_down` makes of packages is what the machine's dpkg makes of them: every path, and dpkg's own records byte for
//! byte. Skipped where there is no dpkg, or no root to run it.

#![expect(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod packages;
mod random;
mod scene;
mod shared;

use std::fs;

use packages::{Package, package};
use scene::{Scene, possible};

fn one() -> Package {
    package("one", "1.0")
        .file_with_mode("/usr/bin/one", "old program", 0o755)
        .file("/usr/share/one/gone", "only in the old version")
        .file("/usr/share/one/deep/er/gone", "with its directories")
        .link("/usr/share/one/link", "gone")
        .conffile("/etc/one/one.conf", "old setting")
        .conffile("/etc/one/past.conf", "no longer shipped")
}

fn one_next() -> Package {
    package("one", "1.1")
        .file_with_mode("/usr/bin/one", "new program", 0o4755)
        .hard("/usr/bin/one-again", "/usr/bin/one")
        .link("/usr/share/one/link", "elsewhere")
        .file("/usr/share/one/new/file", "new")
        .dir("/var/lib/one")
        .conffile("/etc/one/one.conf", "new setting")
        .conffile("/etc/one/more.conf", "more")
        .field("Depends", "two(>=1),three | four")
        .field("Priority", "Optional")
        .field("X-Own", "a\n b")
}

#[test]
fn a_plain_upgrade_leaves_the_same_files_and_records() {
    if !possible() {
        return;
    }
    let outcome = Scene::new().with(&[one()]).same(&[one_next()]);
    assert!(!outcome.has("usr/share/one/deep"));
    assert!(outcome.has("etc/one/past.conf"));
    assert!(
        outcome
            .read("var/lib/dpkg/status")
            .contains("/etc/one/past.conf")
    );
    assert_eq!(outcome.laid.files.len(), 5);
}

#[test]
fn every_compression_is_read() {
    if !possible() {
        return;
    }
    for how in ["none", "xz", "zstd"] {
        Scene::new()
            .with(&[one()])
            .same(&[one_next().compressed(how)]);
    }
}

#[test]
fn a_package_without_checksums_gets_them() {
    if !possible() {
        return;
    }
    Scene::new()
        .with(&[one()])
        .same(&[one_next().without_sums()]);
}

#[test]
fn a_package_that_comes_in_is_sorted_among_the_others() {
    if !possible() {
        return;
    }
    Scene::new().with(&[one(), package("zzz", "1")]).same(&[
        one_next(),
        package("two", "1").conffile("/etc/two", "2"),
        package("aaa", "0:1"),
    ]);
}

#[test]
fn conffiles_stay_in_doubt() {
    if !possible() {
        return;
    }
    let write = |path: &'static str, text: &'static str| {
        move |root: &std::path::Path| fs::write(root.join(path), text).unwrap()
    };
    let outcome = Scene::new()
        .with(&[one()])
        .changed(write("etc/one/one.conf", "mine"))
        .same(&[one_next()]);
    assert_eq!(outcome.read("etc/one/one.conf"), "mine");
    assert_eq!(outcome.read("etc/one/one.conf.dpkg-dist"), "new setting");
    assert_eq!(outcome.laid.kept_conffiles, ["/etc/one/one.conf"]);
    // Changed to what the new version has anyway.
    Scene::new()
        .with(&[one()])
        .changed(write("etc/one/one.conf", "new setting"))
        .same(&[one_next()]);
    // Somebody made a file that the new version brings.
    Scene::new()
        .with(&[one()])
        .changed(write("etc/one/more.conf", "mine"))
        .same(&[one_next()]);
    // Deleted, and changed by the distribution since.
    let outcome = Scene::new()
        .with(&[one()])
        .changed(|root| fs::remove_file(root.join("etc/one/one.conf")).unwrap())
        .same(&[one_next()]);
    assert!(!outcome.has("etc/one/one.conf"));
    // Changed here, and the same in both versions.
    let same = one_next().file("/etc/one/one.conf", "old setting");
    let outcome = Scene::new()
        .with(&[one()])
        .changed(write("etc/one/one.conf", "mine"))
        .same(std::slice::from_ref(&same));
    assert!(!outcome.has("etc/one/one.conf.dpkg-dist"));
    // Deleted, and the same in both versions.
    Scene::new()
        .with(&[one()])
        .changed(|root| fs::remove_file(root.join("etc/one/one.conf")).unwrap())
        .same(&[same]);
    // With an owner and a mode of the administrator's, which the new version gets.
    Scene::new()
        .with(&[one()])
        .changed(|root| {
            let file = root.join("etc/one/one.conf");
            std::os::unix::fs::chown(&file, Some(8), Some(12)).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            fs::set_permissions(&file, mode).unwrap();
        })
        .same(&[one_next()]);
    // An old file of that name beside goes, as with dpkg.
    Scene::new()
        .with(&[one()])
        .changed(write("etc/one/one.conf", "mine"))
        .changed(write("etc/one/one.conf.dpkg-old", "older"))
        .same(&[one_next()]);
    // The one that is no longer shipped was deleted: forgotten.
    Scene::new()
        .with(&[one()])
        .changed(|root| fs::remove_file(root.join("etc/one/past.conf")).unwrap())
        .same(&[one_next()]);
}

#[test]
fn a_conffile_that_is_a_link_in_the_image_is_refused() {
    if !possible() {
        return;
    }
    let scene = Scene::new().with(&[one()]).changed(|root| {
        fs::rename(root.join("etc/one/one.conf"), root.join("etc/real.conf")).unwrap();
        std::os::unix::fs::symlink("../real.conf", root.join("etc/one/one.conf")).unwrap();
    });
    let error = scene.lay(&[one_next()]).unwrap_err().to_string();
    assert!(
        error.contains("`/etc/one/one.conf` is no regular file in the image"),
        "{error}"
    );
}

#[test]
fn obsolete_conffiles_stay_through_another_upgrade_and_may_come_back() {
    if !possible() {
        return;
    }
    let third = package("one", "1.2").conffile("/etc/one/one.conf", "third");
    let back = package("one", "1.3").conffile("/etc/one/past.conf", "back");
    Scene::new()
        .with(&[one()])
        .with(&[one_next()])
        .same(std::slice::from_ref(&third));
    Scene::new()
        .with(&[one()])
        .with(&[one_next()])
        .with(&[third])
        .same(&[back]);
}

#[test]
fn a_conffile_is_removed_when_the_package_says_so() {
    if !possible() {
        return;
    }
    let next = package("one", "1.1").append("conffiles", "remove-on-upgrade /etc/one/one.conf\n");
    let outcome = Scene::new()
        .with(&[one()])
        .same(std::slice::from_ref(&next));
    assert!(!outcome.has("etc/one/one.conf"));
    Scene::new()
        .with(&[one()])
        .changed(|root| fs::remove_file(root.join("etc/one/one.conf")).unwrap())
        .same(std::slice::from_ref(&next));
    let changed = Scene::new()
        .with(&[one()])
        .changed(|root| fs::write(root.join("etc/one/one.conf"), "mine").unwrap());
    let error = changed.lay(&[next]).unwrap_err().to_string();
    assert!(error.contains("changed in the image"), "{error}");
}

#[test]
fn directories_that_are_links_stay_links() {
    if !possible() {
        return;
    }
    let old = package("one", "1.0")
        .file("/lib/one/a", "a")
        .file("/lib/one/b", "b")
        .file("/usr/share/one/doc/x", "x");
    // The same file under its other name is not removed as a leftover.
    let new = package("one", "1.1")
        .file("/usr/lib/one/a", "A")
        .file("/usr/share/one/doc/x", "y");
    let outcome = Scene::new()
        .with(&[old])
        .changed(|root| {
            fs::rename(root.join("usr/share/one"), root.join("usr/other")).unwrap();
            std::os::unix::fs::symlink("../other", root.join("usr/share/one")).unwrap();
        })
        .same(&[new]);
    assert!(outcome.has("usr/lib/one/a") && !outcome.has("usr/lib/one/b"));
    assert_eq!(outcome.read("usr/other/doc/x"), "y");
}

#[test]
fn a_directory_never_becomes_a_link_and_a_link_may_become_a_directory() {
    if !possible() {
        return;
    }
    let old = package("one", "1.0")
        .file("/usr/share/a/x", "x")
        .link("/usr/share/b", "nowhere");
    let new = package("one", "1.1")
        .link("/usr/share/a", "b")
        .file("/usr/share/b/x", "x");
    Scene::new().with(&[old]).same(&[new]);
}

#[test]
fn files_move_between_packages() {
    if !possible() {
        return;
    }
    let old = [
        package("one", "1")
            .file("/usr/share/x/a", "a")
            .file("/usr/share/x/b", "b")
            .conffile("/etc/moved", "1"),
        package("two", "1").file("/usr/share/two", "2"),
    ];
    let takes = package("two", "2")
        .file("/usr/share/x/a", "A")
        .conffile("/etc/moved", "2")
        .field("Replaces", "one (<< 2)");
    let gives = package("one", "2").file("/usr/share/x/b", "b");
    // Both in one run, and only the one that takes.
    Scene::new().with(&old).same(&[gives, takes.clone()]);
    Scene::new().with(&old).same(&[takes]);
    // The other one keeps what it has.
    let replaced = package("two", "2")
        .file("/usr/share/x/a", "A")
        .file("/usr/share/two", "22");
    let old = [
        package("one", "1")
            .file("/usr/share/x/a", "a")
            .field("Replaces", "two"),
        package("two", "1").file("/usr/share/two", "2"),
    ];
    Scene::new().with(&old).same(&[replaced]);
}

#[test]
fn a_file_of_another_package_is_never_overwritten() {
    if !possible() {
        return;
    }
    let scene = Scene::new().with(&[
        package("one", "1").file("/usr/share/x", "1"),
        package("two", "1"),
    ]);
    let error = scene
        .lay(&[package("two", "2").file("/usr/share/x", "2")])
        .unwrap_err();
    assert!(
        error.to_string().contains("in the package `one` too"),
        "{error}"
    );
    let both = [
        package("two", "2").file("/usr/share/y", "2"),
        package("three", "2").file("/usr/share/y", "3"),
    ];
    let error = scene.lay(&both).unwrap_err();
    assert!(error.to_string().contains("`/usr/share/y`"), "{error}");
    let all = package("two", "2")
        .file("/usr/share/x", "2")
        .field("Replaces", "one");
    let error = scene.lay(&[all]).unwrap_err();
    assert!(
        error.to_string().contains("dpkg would forget it"),
        "{error}"
    );
}

#[test]
fn filters_leave_out_documentation() {
    if !possible() {
        return;
    }
    let old = package("one", "1")
        .file("/usr/share/doc/one/changelog", "1")
        .file("/usr/share/doc/one/copyright", "c")
        .file("/usr/share/man/man1/one.1", "m");
    let new = package("one", "2")
        .file("/usr/share/doc/one/changelog", "2")
        .file("/usr/share/doc/one/copyright", "C")
        .file("/usr/share/doc/one/extra/x", "x")
        .file("/usr/share/man/man1/one.1", "m2")
        .file("/usr/share/man/man1/two.1", "m2");
    let outcome = Scene::new()
        .with(&[old])
        .option("path-exclude=/usr/share/doc/*")
        .option("path-include=/usr/share/doc/*/copyright")
        .option("path-exclude=/usr/share/man/*")
        .same(&[new]);
    assert!(outcome.has("usr/share/doc/one/copyright"));
    assert!(
        !outcome.has("usr/share/doc/one/changelog") && !outcome.has("usr/share/man/man1/one.1")
    );
}

#[test]
fn diversions_and_overrides_hold() {
    if !possible() {
        return;
    }
    let outcome = Scene::new()
        .with(&[one(), package("other", "1").file("/usr/share/other", "o")])
        .changed(|root| {
            let dpkg = root.join("var/lib/dpkg");
            fs::write(
                dpkg.join("diversions"),
                "/usr/bin/one\n/usr/bin/one.distrib\n:\n/usr/share/one/gone\n/usr/share/one/gone.other\nother\n",
            )
            .unwrap();
            fs::rename(root.join("usr/bin/one"), root.join("usr/bin/one.distrib")).unwrap();
            fs::rename(root.join("usr/share/one/gone"), root.join("usr/share/one/gone.other")).unwrap();
            fs::write(root.join("usr/share/one/gone"), "the other one's").unwrap();
            fs::write(root.join("usr/bin/one"), "mine").unwrap();
            fs::write(
                dpkg.join("statoverride"),
                "root #12 2711 /usr/bin/one\n#8 root 700 /var/lib/one\n",
            )
            .unwrap();
        })
        .same(&[one_next().without("/usr/bin/one-again")]);
    assert_eq!(outcome.read("usr/bin/one"), "mine");
    assert_eq!(outcome.read("usr/bin/one.distrib"), "new program");
    assert_eq!(outcome.read("usr/share/one/gone"), "the other one's");
    assert!(!outcome.has("usr/share/one/gone.other"));
}

#[test]
fn interests_in_triggers_are_recorded() {
    if !possible() {
        return;
    }
    let interested = |version: &str, lines: &str| package("one", version).append("triggers", lines);
    Scene::new()
        .with(&[
            interested("1", "interest /usr/share/a\ninterest-noawait name\n"),
            package("two", "1").append("triggers", "interest name\ninterest /usr/share/b\n"),
        ])
        .same(&[
            interested(
                "2",
                "interest-noawait /usr/share/c\ninterest name\ninterest /usr/share/a\n",
            ),
            package("three", "1")
                .file("/usr/share/a/x", "x")
                .append("triggers", "activate name\n"),
        ]);
    Scene::new()
        .with(&[interested("1", "interest /usr/share/a\ninterest name\n")])
        .same(&[interested("2", "")]);
}

#[test]
fn scripts_and_triggers_that_are_not_known_are_refused_by_name() {
    if !possible() {
        return;
    }
    let script = "#!/bin/sh\nset -e\nexit 0\n";
    let scripted = package("one", "2").append("postinst", script);
    let scene = Scene::new().with(&[package("one", "1"), package("two", "1")]);
    let error = scene
        .lay(std::slice::from_ref(&scripted))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("`one`") && error.contains("postinst"),
        "{error}"
    );
    scene.assume_scripts_inert().same(&[scripted]);
    let interested = package("one", "1")
        .append("postinst", script)
        .append("triggers", "interest name\n");
    let scene = Scene::new().with(&[interested, package("two", "1")]);
    let activates = package("two", "2").append("triggers", "activate name\n");
    let error = scene.lay(&[activates]).unwrap_err().to_string();
    assert!(
        error.contains("`one`") && error.contains("trigger `name`"),
        "{error}"
    );
}

#[test]
fn info_files_of_the_old_version_go() {
    if !possible() {
        return;
    }
    let old = package("one", "1")
        .append("templates", "Template: x\n")
        .append("shlibs", "x 1 x\n");
    Scene::new()
        .with(&[old])
        .same(&[package("one", "2").append("shlibs", "x 2 x\n")]);
}

#[test]
fn what_is_left_unpacked_is_finished_by_dpkg_itself() {
    if !possible() {
        return;
    }
    // The words that a script was called with, so that those are compared, too.
    let script = "#!/bin/sh\nset -e\necho \"$@\" >> \"$DPKG_ROOT/usr/bin/called\"\n";
    let next = one_next().append("postinst", script);
    Scene::new()
        .with(&[one()])
        .changed(|root| fs::write(root.join("etc/one/one.conf"), "mine").unwrap())
        .leave_scripts_to_dpkg()
        .same(&[next.clone(), package("two", "1").append("postinst", script)]);
    // Called by a trigger of another one.
    let interested = package("one", "1")
        .append("postinst", script)
        .append("triggers", "interest name\ninterest-noawait /usr/share/x\n");
    let activates = package("two", "2")
        .append("triggers", "activate name\n")
        .file("/usr/share/x/y", "z");
    Scene::new()
        .with(&[interested, package("two", "1")])
        .leave_scripts_to_dpkg()
        .same(&[activates]);
    // A script that dpkg would run before, it would not run now.
    let before = package("one", "2").append("preinst", script);
    let scene = Scene::new().with(&[one()]).leave_scripts_to_dpkg();
    let error = scene.lay(&[before]).unwrap_err().to_string();
    assert!(error.contains("preinst"), "{error}");
}
