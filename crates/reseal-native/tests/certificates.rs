//! What is done for ca-certificates, and what is left to the image's own package manager.

#![expect(
    clippy::unwrap_used,
    reason = "tests of what is made here; a failure is to end them"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use reseal_native::{Deb, Effect, Order, Scripts, lay_down};
use reseal_oci::layer::{EntryKind, Meaning, visit};
use reseal_pkg::dpkg::Database;
use reseal_rootfs::{LayerFacts, Tree, wanted};
use tar::EntryType;

#[expect(dead_code, reason = "other tests use more of it")]
mod made;

use made::{Entry, deb, dir, entry, file, tar};

const ROOT: &str = include_str!("../testdata/certificates/isrg-root-x2.crt");
const OTHER: &str = include_str!("../testdata/certificates/multi.crt");

/// The image's package database; version 1 of ca-certificates is there.
fn status(openssl: &str) -> String {
    let stanza = |name: &str, version: &str, more: &str| {
        format!(
            "Package: {name}\nStatus: install ok installed\nMaintainer: M\nArchitecture: all\n\
             Version: {version}\n{more}Description: d\n\n"
        )
    };
    // The digest is that of `settings`.
    let debconf = "Conffiles:\n /etc/debconf.conf 2e5d8aa3dfa8ef34ca5131d20f9dad51\n";
    stanza("ca-certificates", "1", "")
        + &stanza("debconf", "1", debconf)
        + &stanza("openssl", openssl, "")
}

/// The image; entries of the same names replace those here.
fn image(more: &[Entry]) -> Vec<Entry> {
    let link = |name: &str, target: &str| entry(name, EntryType::Symlink).link(target);
    let mut entries = vec![
        file("var/lib/dpkg/status", status("3.0.22-1")),
        file("var/lib/dpkg/info/format", "1\n"),
        file("var/lib/dpkg/info/ca-certificates.list", "/.\n"),
        file("var/lib/dpkg/info/debconf.list", "/.\n"),
        file("var/lib/dpkg/info/openssl.list", "/.\n"),
        file(
            "var/lib/dpkg/triggers/update-ca-certificates",
            "ca-certificates\n",
        ),
        file("etc/debconf.conf", "settings"),
        file("etc/ca-certificates.conf", "m/Old.crt\nm/Gone.crt\n"),
        dir("etc/ca-certificates/update.d"),
        file("usr/bin/openssl", "x"),
        file("usr/sbin/update-ca-certificates", "x"),
        dir("usr/local/share").owner(0),
        dir("usr/local").owner(7),
        file("usr/share/ca-certificates/m/Old.crt", OTHER),
        link(
            "etc/ssl/certs/Old.pem",
            "/usr/share/ca-certificates/m/Old.crt",
        ),
        link("etc/ssl/certs/fff37f1f.0", "Old.pem"),
        link(
            "etc/ssl/certs/Gone.pem",
            "/usr/share/ca-certificates/m/Gone.crt",
        ),
        link("etc/ssl/certs/01234567.0", "Gone.pem"),
    ];
    entries.extend_from_slice(more);
    entries
}

/// Lays version 2 down and returns what was written, as text: links with their targets, deletions with a minus.
fn lay(more: &[Entry]) -> Result<BTreeMap<String, String>, String> {
    let list = "CERTS_LIST=\"m/Old.crt, m/New.crt\"\n";
    let control =
        "Package: ca-certificates\nVersion: 2\nArchitecture: all\nMaintainer: M\nDescription: d\n";
    let bytes = deb(
        &[
            dir("./"),
            file("./control", control),
            file("./config", list),
            file("./postinst", "x"),
        ],
        &[
            dir("./"),
            dir("./usr"),
            dir("./usr/share"),
            dir("./usr/share/ca-certificates"),
            dir("./usr/share/ca-certificates/m"),
            file("./usr/share/ca-certificates/m/Old.crt", OTHER),
            file("./usr/share/ca-certificates/m/New.crt", ROOT),
        ],
    );
    let facts = LayerFacts::from_layer(&tar(&image(more))[..], &wanted()).unwrap();
    let tree = Tree::stack([facts]).unwrap();
    let database = Database::parse(tree.contents("var/lib/dpkg/status").unwrap()).unwrap();
    let open = || Ok(Box::new(&bytes[..]) as Box<dyn Read>);
    let order = Order {
        tree: &tree,
        database: &database,
        debs: vec![Deb {
            name: "ca-certificates",
            architecture: "all",
            version: "2",
            sha256: "",
            open: &open,
        }],
        new: BTreeSet::new(),
        architecture: "amd64",
        scripts: Scripts::Assume,
        ahead: false,
    };
    let mut raw = Vec::new();
    let laid = lay_down(&order, &mut raw).map_err(|error| error.to_string())?;
    assert!(laid.effects.contains(&Effect::Certificates));
    let mut out = BTreeMap::new();
    visit(&raw[..], Meaning::Layer, &mut |entry, contents| {
        let mut text = String::new();
        contents.read_to_string(&mut text).unwrap();
        let text = match (entry.kind, entry.link) {
            (EntryKind::Whiteout, _) => "-".to_owned(),
            (EntryKind::Dir, _) => format!("{:o} {}", entry.mode, entry.uid),
            (_, Some(target)) => target.to_owned(),
            _ => text,
        };
        assert_eq!(out.insert(entry.path.to_owned(), text), None);
        Ok(())
    })
    .unwrap();
    Ok(out)
}

#[test]
fn an_upgrade_writes_what_its_scripts_write() {
    let written = lay(&[]).unwrap();
    let check = |path: &str, text: &str| {
        assert_eq!(written.get(path).map(String::as_str), Some(text), "{path}");
    };
    check(
        "etc/ca-certificates.conf",
        "m/Old.crt\n!m/Gone.crt\nm/New.crt\n",
    );
    check(
        "etc/ca-certificates.conf.dpkg-old",
        "m/Old.crt\nm/Gone.crt\n",
    );
    check(
        "etc/ssl/certs/New.pem",
        "/usr/share/ca-certificates/m/New.crt",
    );
    check("etc/ssl/certs/0b9bc432.0", "New.pem");
    check("etc/ssl/certs/Gone.pem", "-");
    check("etc/ssl/certs/01234567.0", "-");
    check("etc/ssl/certs/ca-certificates.crt", &[OTHER, ROOT].concat());
    check("usr/local/share/ca-certificates", "755 0");
    for path in ["etc/ssl/certs/Old.pem", "etc/ssl/certs/fff37f1f.0"] {
        assert_eq!(written.get(path), None, "{path}");
    }
}

#[test]
fn the_administrators_folder_gets_the_owner_of_the_one_above() {
    let folder = dir("usr/local/share/ca-certificates");
    let written = lay(std::slice::from_ref(&folder)).unwrap();
    assert_eq!(written["usr/local/share/ca-certificates"], "755 7");
    let own = "root root 755 /usr/local/share/ca-certificates\n";
    let written = lay(&[folder, file("var/lib/dpkg/statoverride", own)]).unwrap();
    assert_eq!(written.get("usr/local/share/ca-certificates"), None);
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    let link = |name: &str, target: &str| entry(name, EntryType::Symlink).link(target);
    let program = |name: &str| dir(name);
    let ask = "Name: ca-certificates/trust_new_crts\nValue: ask\n";
    let check = |more: Entry, why: &str| {
        let error = lay(&[more]).unwrap_err();
        assert!(error.contains(why), "{error}");
    };
    let hook = "etc/ca-certificates/update.d/jks-keystore";
    check(
        link(hook, "/usr/bin/openssl-hook"),
        "`etc/ca-certificates/update.d/jks-keystore` needs",
    );
    let linked = [
        link("etc/ca-certificates/update.d", "/srv"),
        link("srv/hook", "/nowhere"),
    ];
    let error = lay(&linked).unwrap_err();
    assert!(error.contains("update.d/hook` needs"), "{error}");
    check(program("usr/local/bin/openssl"), "before the packages' own");
    check(
        file("etc/debconf.conf", "other"),
        "debconf is not set up as usual",
    );
    check(
        file("root/.debconfrc", ""),
        "debconf is not set up as usual",
    );
    check(
        file("var/cache/debconf/config.dat", ask),
        "debconf has `ask`",
    );
    check(
        file("var/lib/dpkg/status", status("4.0.0-1")),
        "openssl 4.0.0-1",
    );
    check(
        link("etc/ca-certificates.conf", "debconf.conf"),
        "is no usual file",
    );
    check(file("etc/ca-certificates.conf", b"\xff\n"), "is not UTF-8");
    check(
        file("etc/ca-certificates.conf", "a\\b\n"),
        "is not understood",
    );
    check(
        file("etc/ca-certificates.conf", vec![b'#'; (1 << 20) + 1]),
        "is no usual file",
    );
    check(
        file("usr/share/ca-certificates/a b.crt", ROOT),
        "no usual name",
    );
    check(
        file("etc/ssl/certs/ca-certificates.crt.new", ""),
        "was left behind",
    );
    check(
        link("usr/local/share/ca-certificates", "/srv"),
        "is no directory",
    );
    check(
        link("usr/sbin/update-ca-certificates", "/srv/x"),
        "is not the package's own",
    );
}

#[test]
fn links_out_of_the_root_stay_inside() {
    let entries = [
        entry("etc/ssl/certs/up.pem", EntryType::Symlink)
            .link("../../../../../../../etc/debconf.conf"),
        file(
            "etc/ca-certificates.conf",
            "m/Old.crt\n../../../../../../../../etc/shadow\n",
        ),
        file("etc/shadow", "secret\n"),
    ];
    // What a link leads to is looked for in the image, and refused where it was not read.
    let error = lay(&entries).unwrap_err();
    assert!(error.contains("is not known"), "{error}");
    let loops = [entry("etc/ssl/certs/loop.pem", EntryType::Symlink).link("loop.pem")];
    assert_eq!(lay(&loops).unwrap()["etc/ssl/certs/loop.pem"], "-");
}
