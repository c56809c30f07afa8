//! The patch layer that comes out of a raw diff.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::io::{Cursor, Read, Write};

use common::{Entry, archive, dir, file, gunzip, hardlink, symlink};
use reseal_oci::Digest;
use reseal_oci::layer::{Keep, LayerError, Normalised, normalise, scan};

const EPOCH: i64 = 5000;

fn classify(path: &str) -> Keep {
    match path {
        "var/lib/dpkg/status" => Keep::Database,
        "var/cache" => Keep::Package,
        path if path.starts_with("tmp") || path.starts_with("var/log") => Keep::Junk,
        path if path.starts_with("usr/") || path.starts_with("bin") || path.starts_with('n') => {
            Keep::Package
        }
        _ => Keep::Script,
    }
}

fn try_run(entries: &[Entry]) -> Result<(Normalised, Vec<u8>), LayerError> {
    run_bytes(archive(entries))
}

fn run_bytes(bytes: Vec<u8>) -> Result<(Normalised, Vec<u8>), LayerError> {
    let mut tar = Cursor::new(bytes);
    let table = scan(&mut tar)?;
    let mut out = Vec::new();
    let done = normalise(&mut tar, &table, &classify, EPOCH, &mut out)?;
    Ok((done, out))
}

fn run(entries: &[Entry]) -> (Normalised, Vec<u8>) {
    try_run(entries).unwrap()
}

/// One line an entry, as an independent reader sees it.
fn lines(gzip: &[u8]) -> Vec<String> {
    let bytes = gunzip(gzip);
    let mut archive = tar::Archive::new(&bytes[..]);
    let entries = archive.entries().unwrap();
    entries
        .map(|entry| {
            let mut entry = entry.unwrap();
            let mut contents = String::new();
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let link = entry
                .link_name_bytes()
                .map(|link| format!(" -> {}", String::from_utf8_lossy(&link)));
            let header = entry.header();
            let kind = char::from(header.entry_type().as_byte());
            let (mode, mtime) = (header.mode().unwrap(), header.mtime().unwrap());
            let (uid, gid) = (header.uid().unwrap(), header.gid().unwrap());
            entry.read_to_string(&mut contents).unwrap();
            format!(
                "{kind} {mode:o} {uid}:{gid} @{mtime} {path}{} {contents}",
                link.unwrap_or_default()
            )
            .trim_end()
            .into()
        })
        .collect()
}

fn paths(gzip: &[u8]) -> Vec<String> {
    lines(gzip)
        .iter()
        .map(|line| line.split(' ').nth(4).unwrap().to_owned())
        .collect()
}

#[test]
fn modes_and_owners_stay_and_times_end_at_the_epoch() {
    let (done, out) = run(&[
        file("usr/bin/su", "x").mode(0o4755).owner(0, 42).mtime(100),
        dir("usr").mode(0o2755).owner(7, 8).mtime(9999),
        symlink("usr/bin/l", "su").mode(0o777).mtime(5001),
        dir("usr/bin").mtime(5000),
    ]);
    assert_eq!(
        lines(&out),
        [
            "5 2755 7:8 @5000 usr/",
            "5 755 0:0 @5000 usr/bin/",
            "2 777 0:0 @5000 usr/bin/l -> su",
            "0 4755 0:42 @100 usr/bin/su x",
        ]
    );
    assert_eq!((done.kept, done.dropped), (4, 0));
    assert_eq!(done.layer.digest, Digest::of(&out));
    assert_eq!(done.layer.size, out.len() as u64);
    assert_eq!(done.layer.diff_id, Digest::of(&gunzip(&out)));
    assert_eq!(done.uncompressed, gunzip(&out).len() as u64);
    assert!(done.script_written.is_empty());
}

#[test]
fn the_gzip_header_says_nothing_of_time_place_or_name() {
    let (_, out) = run(&[file("usr/a", "x")]);
    assert_eq!(&out[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
}

/// A change here changes the digest of every patch: it must be meant, and told.
#[test]
fn the_bytes_are_the_same_in_every_version() {
    let (done, _) = run(&[
        dir("usr"),
        file("usr/a", "hello\n".repeat(1000)),
        hardlink("usr/b", "usr/a"),
    ]);
    assert_eq!(
        done.layer.diff_id.as_str(),
        "sha256:80a30d927e0f024b1d6a3732041b011cdb6a50c3bb42dce02cf7455de0dffe3b"
    );
    assert_eq!(
        done.layer.digest.as_str(),
        "sha256:48199d2c26fda6d5fc14563ae2c7e424a32d273c3e7897b3f06048d863286d7e"
    );
}

#[test]
fn junk_goes_and_what_scripts_wrote_is_listed() {
    let (done, out) = run(&[
        dir("tmp").mode(0o1777),
        file("tmp/x", "junk"),
        dir("var"),
        dir("var/log"),
        file("var/log/dpkg.log", "junk"),
        file("var/log/.wh.old.log", ""),
        dir("var/cache"),
        dir("var/spool"),
        dir("etc"),
        file("etc/made", "1"),
        symlink("etc/link", "made"),
        file("etc/.wh.gone", ""),
        dir("var/lib"),
        dir("var/lib/dpkg"),
        file("var/lib/dpkg/status", "s"),
        dir("."),
    ]);
    let expected = [
        "etc/",
        "etc/.wh.gone",
        "etc/link",
        "etc/made",
        "var/",
        "var/cache/",
        "var/lib/",
        "var/lib/dpkg/",
        "var/lib/dpkg/status",
    ];
    assert_eq!(paths(&out), expected);
    assert_eq!(done.script_written, ["etc/link", "etc/made"]);
    assert_eq!((done.kept, done.dropped), (9, 7));
}

#[test]
fn whiteouts_come_first_in_their_directory_and_carry_nothing() {
    let (_, out) = run(&[
        file("usr/+plus", ""),
        file("usr/.wh.b", "").mode(0o600).owner(5, 5).mtime(3),
        file("usr/.wh..wh..opq", ""),
        file("usr/b/x", ""),
        dir("usr/b"),
        dir("usr"),
        file("usr-x", ""),
        file("usr/.wh.a", ""),
        file(".wh.bin", ""),
    ]);
    let expected = [
        "0 0 0:0 @5000 .wh.bin",
        "5 755 0:0 @1000 usr/",
        "0 0 0:0 @5000 usr/.wh..wh..opq",
        "0 0 0:0 @5000 usr/.wh.a",
        "0 0 0:0 @5000 usr/.wh.b",
        "0 644 0:0 @1000 usr/+plus",
        "5 755 0:0 @1000 usr/b/",
        "0 644 0:0 @1000 usr/b/x",
        "0 644 0:0 @1000 usr-x",
    ];
    assert_eq!(lines(&out), expected);
}

#[test]
fn the_first_name_of_a_file_has_its_contents() {
    let (_, out) = run(&[
        file("usr/z", "data").mode(0o755).owner(1, 2),
        hardlink("usr/b", "usr/z"),
        hardlink("usr/a", "./usr/b"),
        hardlink("tmp/junk", "usr/z"),
        hardlink("usr/out", "lower/file").owner(3, 4),
    ]);
    let expected = [
        "0 755 1:2 @1000 usr/a data",
        "1 755 1:2 @1000 usr/b -> usr/a",
        "1 644 3:4 @1000 usr/out -> lower/file",
        "1 755 1:2 @1000 usr/z -> usr/a",
    ];
    assert_eq!(lines(&out), expected);
}

#[test]
fn a_name_outlives_the_junk_it_is_linked_to() {
    let (_, out) = run(&[
        file("tmp/first", "data"),
        hardlink("usr/second", "tmp/first"),
    ]);
    assert_eq!(lines(&out), ["0 644 0:0 @1000 usr/second data"]);
}

#[test]
fn a_hard_linked_symbolic_link_stays_one() {
    let (_, out) = run(&[symlink("usr/b", "x"), hardlink("usr/a", "usr/b")]);
    assert_eq!(
        lines(&out),
        [
            "2 644 0:0 @1000 usr/a -> x",
            "1 644 0:0 @1000 usr/b -> usr/a"
        ]
    );
}

#[test]
fn devices_and_pipes_stay() {
    let device = Entry {
        device: (259, 1_048_575),
        ..Entry::new(b'4', "usr/disk")
    };
    let (_, out) = run(&[device, Entry::new(b'6', "usr/pipe")]);
    let bytes = gunzip(&out);
    let mut archive = tar::Archive::new(&bytes[..]);
    let first = archive.entries().unwrap().next().unwrap().unwrap();
    assert_eq!(first.header().device_major().unwrap(), Some(259));
    assert_eq!(first.header().device_minor().unwrap(), Some(1_048_575));
    assert_eq!(lines(&out)[1], "6 644 0:0 @1000 usr/pipe");
}

#[test]
fn only_the_files_own_attributes_stay() {
    let capability = b"\x01\0\0\x02=\0\xff";
    let (_, out) = run(&[file("usr/ping", "x")
        .pax("SCHILY.xattr.security.capability", capability)
        .pax("SCHILY.xattr.user.note", "hi")
        .pax("SCHILY.xattr.security.selinux", "label")
        .pax("SCHILY.xattr.trusted.overlay.origin", "o")
        .pax("SCHILY.xattr.user.overlay.origin", "o")
        .pax("atime", "1.5")
        .pax("uname", "root")
        .pax("comment", "c")]);
    let bytes = gunzip(&out);
    let mut archive = tar::Archive::new(&bytes[..]);
    let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
    let extensions: Vec<_> = entry
        .pax_extensions()
        .unwrap()
        .unwrap()
        .map(|extension| {
            extension
                .map(|e| (e.key_bytes().to_vec(), e.value_bytes().to_vec()))
                .unwrap()
        })
        .collect();
    let expected = [
        (
            b"SCHILY.xattr.security.capability".to_vec(),
            capability.to_vec(),
        ),
        (b"SCHILY.xattr.user.note".to_vec(), b"hi".to_vec()),
    ];
    assert_eq!(extensions, expected);
}

#[test]
fn what_the_header_cannot_hold_survives() {
    let long = format!("usr/{}", "x".repeat(200));
    let entries = [
        file(&long, "long"),
        file("usr/\u{e9}", "unicode"),
        file([b'n', 0xff], "latin"),
        file("usr/big-id", "").owner(4_000_000_000, 5_000_000),
        symlink("usr/link", &"t".repeat(150)),
        dir("usr"),
    ];
    let (_, out) = run(&entries);
    let mut tar = Cursor::new(gunzip(&out));
    let table = scan(&mut tar).unwrap();
    let seen: Vec<_> = table
        .entries
        .iter()
        .map(|entry| entry.path.clone())
        .collect();
    assert_eq!(
        seen,
        [
            "n\u{fffd}",
            "usr",
            "usr/big-id",
            "usr/link",
            &long,
            "usr/\u{e9}"
        ]
    );
    assert_eq!(table.entries[3].link.as_deref(), Some(&*"t".repeat(150)));
    let bytes = gunzip(&out);
    let mut archive = tar::Archive::new(&bytes[..]);
    let raw: Vec<_> = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path_bytes().into_owned())
        .collect();
    assert_eq!(raw[0], [b'n', 0xff]);
    assert_eq!(raw[4], long.as_bytes());
    assert_eq!(lines(&out)[2], "0 644 4000000000:5000000 @1000 usr/big-id");
}

#[test]
fn sparse_files_become_whole() {
    let sparse = file("usr/s", "abcd")
        .pax("GNU.sparse.size", "1004")
        .pax("GNU.sparse.map", "0,2,1002,2");
    let (_, out) = run(&[sparse]);
    let expected = format!("0 644 0:0 @1000 usr/s ab{}cd", "\0".repeat(1000));
    assert_eq!(lines(&out), [expected]);
}

#[test]
fn times_before_1970_become_1970() {
    let (_, out) = run(&[file("usr/a", "").pax("mtime", "-5.5")]);
    assert_eq!(lines(&out), ["0 644 0:0 @0 usr/a"]);
}

#[test]
fn an_empty_diff_gives_an_empty_archive() {
    for bytes in [Vec::new(), vec![0; 1024], archive(&[file("tmp/x", "")])] {
        let (done, out) = run_bytes(bytes).unwrap();
        assert_eq!(gunzip(&out), [0; 1024]);
        assert_eq!(done.kept, 0);
    }
}

#[test]
fn entries_that_contradict_each_other_are_refused() {
    for (entries, expected) in [
        (
            vec![symlink("usr/l", "/etc"), file("usr/l/passwd", "x")],
            "below something that is not a directory",
        ),
        (
            vec![file("usr/f", ""), file("usr/f/.wh.x", "")],
            "below something that is not a directory",
        ),
        (
            vec![file("usr/f", ""), file("usr/f/.wh..wh..opq", "")],
            "below something that is not a directory",
        ),
        (vec![file(".wh..wh..opq", "")], "hides the whole base image"),
        (
            vec![hardlink("usr/a", "usr/b"), hardlink("usr/b", "usr/a")],
            "ring of hard links",
        ),
        (vec![hardlink("usr/a", "usr/a")], "ring of hard links"),
        (
            vec![dir("usr"), hardlink("usr/a", "usr")],
            "hard link to a directory",
        ),
        (
            vec![Entry {
                device: (2_097_152, 0),
                ..Entry::new(b'3', "usr/d")
            }],
            "device number is impossible",
        ),
    ] {
        let error = try_run(&entries).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn a_full_disk_is_told_apart_from_a_bad_layer() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut tar = Cursor::new(archive(&[file("usr/a", "x")]));
    let table = scan(&mut tar).unwrap();
    let error = normalise(&mut tar, &table, &classify, EPOCH, Full).unwrap_err();
    assert!(matches!(error, LayerError::Write(_)), "{error}");
    assert!(error.hint().unwrap().contains("free some space"));
}
