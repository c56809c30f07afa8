//! Reading files out of layers, and layers seen as one.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::io::{Cursor, Read};

use common::{Entry, archive, dir, file, hardlink, seal, symlink};
use reseal_oci::layer::{
    EntryKind, LayerError, LayerFiles, Overlay, Wanted, read, read_entry, scan,
};

const STATUS: &str = "var/lib/dpkg/status";

fn wanted() -> Wanted {
    Wanted {
        exact: vec![
            STATUS.into(),
            "etc/os-release".into(),
            "usr/lib/os-release".into(),
        ],
        prefixes: vec!["var/lib/dpkg/info/".into()],
        limit: 1000,
    }
}

fn layer(entries: &[Entry]) -> LayerFiles {
    read(&archive(entries)[..], &wanted()).unwrap()
}

/// The layers from the top.
fn overlay(layers: &[&[Entry]]) -> Overlay {
    let mut overlay = Overlay::new(wanted());
    for entries in layers {
        overlay.push_lower(layer(entries));
    }
    overlay
}

fn text<'a>(overlay: &'a Overlay, path: &str) -> Option<&'a str> {
    overlay
        .get(path)
        .map(|bytes| std::str::from_utf8(bytes).unwrap())
}

#[test]
fn only_what_is_wanted_is_taken() {
    let found = layer(&[
        dir("./var/lib/dpkg"),
        file("./var/lib/dpkg/status", "s"),
        file("./var/lib/dpkg/status-old", "o"),
        file("/var/lib/dpkg/info/a.list", "l"),
        file("big", vec![0; 5000]),
        file("var/lib/.wh.dpkg2", ""),
        file("var/lib/dpkg/info/.wh.b.list", ""),
    ]);
    assert_eq!(
        found.files.keys().collect::<Vec<_>>(),
        ["var/lib/dpkg/info/a.list", STATUS]
    );
    assert!(found.whiteouts.contains("var/lib/dpkg/info/b.list"));
    assert!(!found.whiteouts.contains("var/lib/dpkg2"));
}

#[test]
fn an_upper_layer_wins() {
    let overlay = overlay(&[
        &[file(STATUS, "new")],
        &[file(STATUS, "old"), file("etc/os-release", "os")],
    ]);
    assert_eq!(text(&overlay, STATUS), Some("new"));
    assert_eq!(text(&overlay, "etc/os-release"), Some("os"));
    assert!(overlay.is_settled(STATUS));
    assert!(!overlay.is_settled("usr/lib/os-release"));
}

#[test]
fn whatever_hides_a_file_hides_it() {
    for (what, upper) in [
        ("its whiteout", vec![file("var/lib/dpkg/.wh.status", "")]),
        ("a whiteout above it", vec![file("var/.wh.lib", "")]),
        (
            "an opaque directory",
            vec![dir("var/lib/dpkg"), file("var/lib/dpkg/.wh..wh..opq", "")],
        ),
        (
            "an opaque directory further up",
            vec![file("var/.wh..wh..opq", "")],
        ),
        ("an opaque root", vec![file(".wh..wh..opq", "")]),
        (
            "a file in the directory's place",
            vec![file("var/lib/dpkg", "")],
        ),
        ("a directory in the file's place", vec![dir(STATUS)]),
        (
            "a device in the file's place",
            vec![Entry::new(b'3', STATUS)],
        ),
        (
            "a whiteout and a new directory",
            vec![file("var/lib/.wh.dpkg", ""), dir("var/lib/dpkg")],
        ),
    ] {
        let overlay = overlay(&[&upper, &[file(STATUS, "old")]]);
        assert_eq!(text(&overlay, STATUS), None, "{what}");
        assert!(overlay.is_settled(STATUS), "{what}");
    }
}

#[test]
fn a_layer_does_not_hide_its_own_files() {
    for marker in [
        "var/lib/dpkg/.wh..wh..opq",
        "var/lib/dpkg/.wh.status",
        "var/.wh.lib",
    ] {
        for entries in [
            [file(marker, ""), file(STATUS, "own")],
            [file(STATUS, "own"), file(marker, "")],
        ] {
            let overlay = overlay(&[&entries, &[file(STATUS, "old")]]);
            assert_eq!(text(&overlay, STATUS), Some("own"), "{marker}");
        }
    }
}

#[test]
fn links_are_followed_through_the_layers() {
    let overlay = overlay(&[
        &[symlink("etc/os-release", "../usr/./lib/os-release")],
        &[
            file("etc/os-release", "hidden"),
            file("usr/lib/os-release", "os"),
        ],
        &[symlink("var/lib", "/srv/../state")],
    ]);
    assert_eq!(text(&overlay, "etc/os-release"), Some("os"));
    assert!(overlay.is_settled("etc/os-release"));
    assert_eq!(text(&overlay, "etc/../usr//lib/os-release"), Some("os"));
    assert_eq!(text(&overlay, STATUS), None);
}

#[test]
fn a_directory_takes_a_lower_links_place() {
    let overlay = overlay(&[
        &[dir("var/lib"), file(STATUS, "s")],
        &[symlink("var/lib", "other")],
    ]);
    assert_eq!(text(&overlay, STATUS), Some("s"));
}

#[test]
fn a_ring_of_links_leads_nowhere() {
    let overlay = overlay(&[&[
        symlink("etc/os-release", "../usr/lib/os-release"),
        symlink("usr/lib/os-release", "/etc/os-release"),
    ]]);
    assert_eq!(text(&overlay, "etc/os-release"), None);
    assert!(overlay.is_settled("etc/os-release"));
}

#[test]
fn hard_links_have_the_contents_of_what_was_read() {
    let found = layer(&[
        file(STATUS, "s"),
        hardlink("etc/os-release", STATUS),
        hardlink("usr/lib/os-release", "etc/os-release"),
        hardlink("var/lib/dpkg/info/x", "./elsewhere"),
    ]);
    assert_eq!(found.files["usr/lib/os-release"], b"s");
    assert_eq!(found.links["var/lib/dpkg/info/x"], "/elsewhere");
}

#[test]
fn the_last_entry_of_a_path_counts() {
    assert_eq!(
        layer(&[file(STATUS, "1"), file(STATUS, "2")]).files[STATUS],
        b"2"
    );
    assert!(
        layer(&[file(STATUS, "1"), symlink(STATUS, "x")])
            .files
            .is_empty()
    );
    assert!(
        layer(&[file(STATUS, "1"), symlink("var/lib", "x")])
            .files
            .is_empty()
    );
    assert_eq!(
        layer(&[symlink("var/lib", "x"), dir("var/lib"), file(STATUS, "1")]).files[STATUS],
        b"1"
    );
}

#[test]
fn everything_is_known_once_the_exact_paths_are_settled_and_the_prefixes_emptied() {
    let mut overlay = Overlay::new(wanted());
    overlay.push_lower(layer(&[
        file(STATUS, "s"),
        file("etc/os-release", ""),
        file("usr/lib/os-release", ""),
    ]));
    assert!(!overlay.is_complete());
    overlay.push_lower(layer(&[
        file("var/lib/dpkg/info/.wh..wh..opq", ""),
        file("var/lib/dpkg/info/a", "1"),
    ]));
    assert!(overlay.is_complete());
    overlay.push_lower(layer(&[file("var/lib/dpkg/info/b", "1")]));
    assert_eq!(
        overlay
            .iter_prefix("var/lib/dpkg/info/")
            .collect::<Vec<_>>(),
        [("var/lib/dpkg/info/a", &b"1"[..])]
    );
}

#[test]
fn a_wanted_file_over_its_limit_is_an_error() {
    let error = read(&archive(&[file(STATUS, vec![b'x'; 1001])])[..], &wanted()).unwrap_err();
    assert!(
        matches!(
            error,
            LayerError::TooLarge {
                size: 1001,
                limit: 1000,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(
        layer(&[file(STATUS, vec![b'x'; 1000])]).files[STATUS].len(),
        1000
    );
}

#[test]
fn the_source_is_read_to_its_end() {
    struct Checked(Cursor<Vec<u8>>);
    impl Read for Checked {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(std::io::Error::other("digest mismatch")),
                done => Ok(done),
            }
        }
    }
    let mut bytes = archive(&[file("a", "b")]);
    bytes.resize(200_000, 0);
    let error = read(Checked(Cursor::new(bytes)), &wanted()).unwrap_err();
    assert!(matches!(error, LayerError::Read(_)), "{error}");
}

/// The same sparse file `ab`, 1000 zeros, `cd` in each of its formats.
fn sparse_files() -> Vec<(&'static str, Vec<u8>)> {
    let mut expected = b"ab".to_vec();
    expected.resize(1002, 0);
    expected.extend(b"cd");
    let base = file(STATUS, "abcd");
    let mut old = Entry {
        kind: b'S',
        ..base.clone()
    }
    .block();
    for (i, number) in [0_u64, 2, 1002, 2].into_iter().enumerate() {
        old[386 + 12 * i..][..11].copy_from_slice(format!("{number:011o}").as_bytes());
    }
    old[483..494].copy_from_slice(format!("{:011o}", 1004).as_bytes());
    seal(&mut old);
    let old = [&old[..], b"abcd", &[0; 508], &[0; 1024]].concat();
    let v01 = base
        .clone()
        .pax("GNU.sparse.size", "1004")
        .pax("GNU.sparse.map", "0,2,1002,2");
    let v00 = base
        .clone()
        .pax("GNU.sparse.size", "1004")
        .pax("GNU.sparse.offset", "0")
        .pax("GNU.sparse.numbytes", "2")
        .pax("GNU.sparse.offset", "1002")
        .pax("GNU.sparse.numbytes", "2");
    let mut map = b"2\n0\n2\n1002\n2\n".to_vec();
    map.resize(512, 0);
    map.extend(b"abcd");
    let v10 = file("GNUSparseFile.0/status", map)
        .pax("GNU.sparse.major", "1")
        .pax("GNU.sparse.minor", "0")
        .pax("GNU.sparse.name", STATUS)
        .pax("GNU.sparse.realsize", "1004");
    vec![
        ("old", old),
        ("0.0", archive(&[v00])),
        ("0.1", archive(&[v01])),
        ("1.0", archive(&[v10])),
    ]
}

#[test]
fn sparse_files_are_whole_in_every_format() {
    let mut expected = b"ab".to_vec();
    expected.resize(1002, 0);
    expected.extend(b"cd");
    let wanted = Wanted {
        limit: 2000,
        ..wanted()
    };
    for (format, bytes) in sparse_files() {
        assert_eq!(
            read(&bytes[..], &wanted).unwrap().files[STATUS],
            expected,
            "{format}"
        );
        let mut tar = Cursor::new(bytes);
        let table = scan(&mut tar).unwrap();
        assert_eq!(table.entries[0].size, 1004, "{format}");
        assert_eq!(
            read_entry(&mut tar, &table, STATUS, 2000).unwrap().unwrap(),
            expected,
            "{format}"
        );
    }
}

#[test]
fn long_names_come_in_three_ways() {
    let long = format!("{}/{}", "d".repeat(99), "f".repeat(120));
    let target = "t".repeat(150);
    let pax = Entry {
        data: b"x".to_vec(),
        ..Entry::new(b'0', "short")
    }
    .pax("path", &long);
    let link = Entry {
        link: target.clone().into_bytes(),
        ..Entry::new(b'2', "l")
    };
    let mut prefixed = file("f", "x").block();
    prefixed[345..348].copy_from_slice(b"d/e");
    seal(&mut prefixed);
    let bytes = [
        file(&long, "x").bytes(),
        pax.bytes(),
        link.bytes(),
        prefixed.to_vec(),
        vec![0; 1536],
    ]
    .concat();
    let table = scan(&mut Cursor::new(bytes)).unwrap();
    let paths: Vec<_> = table
        .entries
        .iter()
        .map(|entry| entry.path.as_str())
        .collect();
    assert_eq!(paths, [&long, &long, "l", "d/e/f"]);
    assert_eq!(table.entries[2].link.as_deref(), Some(&*target));
}

#[test]
fn a_scan_tells_what_every_entry_is() {
    let mut tar = Cursor::new(archive(&[
        dir("a"),
        file("a/f", "hello").pax("mtime", "1234.9"),
        symlink("a/s", "../x"),
        hardlink("a/h", "a/f"),
        Entry {
            device: (1, 3),
            ..Entry::new(b'3', "a/null")
        },
        Entry::new(b'6', "a/fifo"),
        file("a/.wh.gone", ""),
        file("a/.wh..wh..opq", ""),
        file(".wh..wh.plnk", ""),
        Entry::new(0, "old/"),
        file([b'n', 0xff], ""),
    ]));
    let table = scan(&mut tar).unwrap();
    let kinds: Vec<_> = table
        .entries
        .iter()
        .map(|entry| (entry.path.as_str(), entry.kind))
        .collect();
    assert_eq!(
        kinds,
        [
            ("a", EntryKind::Dir),
            ("a/f", EntryKind::File),
            ("a/s", EntryKind::Symlink),
            ("a/h", EntryKind::Hardlink),
            ("a/null", EntryKind::Device),
            ("a/fifo", EntryKind::Fifo),
            ("a/gone", EntryKind::Whiteout),
            ("a", EntryKind::Opaque),
            ("old", EntryKind::Dir),
            ("n\u{fffd}", EntryKind::File),
        ]
    );
    assert_eq!((table.entries[1].mtime, table.entries[1].size), (1234, 5));
    assert_eq!(
        read_entry(&mut tar, &table, "a/h", 5).unwrap().unwrap(),
        b"hello"
    );
    for none in ["a", "a/s", "a/gone", "nope"] {
        assert_eq!(
            read_entry(&mut tar, &table, none, 5).unwrap(),
            None,
            "{none}"
        );
    }
    assert!(read_entry(&mut tar, &table, "a/f", 4).is_err());
}

#[test]
fn an_independent_writers_archive_is_read_the_same() {
    let mut builder = tar::Builder::new(Vec::new());
    let long = "x".repeat(300);
    for (path, contents) in [("etc/os-release", "os"), (STATUS, "s"), (&long, "l")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        header.set_mtime(5);
        header.set_mode(0o4755);
        builder
            .append_data(&mut header, path, contents.as_bytes())
            .unwrap();
    }
    let bytes = builder.into_inner().unwrap();
    let table = scan(&mut Cursor::new(bytes.clone())).unwrap();
    assert_eq!(table.entries[2].path, long);
    assert_eq!(read(&bytes[..], &wanted()).unwrap().files[STATUS], b"s");
}
