//! Archives that are made to hurt: each is an error, told in one line, and nothing worse.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::io::Cursor;

use common::{Entry, archive, dir, file, hardlink, seal, symlink};
use reseal_oci::layer::{Keep, Wanted, normalise, read, scan};

/// What the reader says of an archive, asked in every way there is.
fn refusals(bytes: &[u8]) -> [Option<String>; 2] {
    let wanted = Wanted {
        exact: vec!["a".into()],
        prefixes: vec!["p/".into()],
        limit: 1 << 20,
    };
    let streamed = read(bytes, &wanted)
        .map(drop)
        .map_err(|error| error.to_string());
    let mut tar = Cursor::new(bytes);
    let scanned = scan(&mut tar).and_then(|table| {
        normalise(
            &mut tar,
            &table,
            &|_: &str| Keep::Package,
            0,
            std::io::sink(),
        )
        .map(drop)
    });
    [
        streamed.err(),
        scanned.map_err(|error| error.to_string()).err(),
    ]
}

fn with_block(change: impl Fn(&mut [u8; 512])) -> Vec<u8> {
    let mut block = file("a", "").block();
    change(&mut block);
    [&block[..], &[0; 1024]].concat()
}

fn sealed(change: impl Fn(&mut [u8; 512])) -> Vec<u8> {
    with_block(|block| {
        change(block);
        seal(block);
    })
}

fn sparse(size: &str, map: &str) -> Vec<u8> {
    archive(&[file("a", "abcd")
        .pax("GNU.sparse.size", size)
        .pax("GNU.sparse.map", map)])
}

fn sparse_one(map: &[u8]) -> Vec<u8> {
    let mut data = map.to_vec();
    data.resize(map.len().next_multiple_of(512), 0);
    archive(&[file("x", data)
        .pax("GNU.sparse.major", "1")
        .pax("GNU.sparse.realsize", "4")
        .pax("GNU.sparse.name", "a")])
}

fn old_sparse_without_end() -> Vec<u8> {
    let mut block = Entry::new(b'S', "a").block();
    block[482] = 1;
    seal(&mut block);
    let mut out = block.to_vec();
    for _ in 0..1000 {
        let mut next = [0; 512];
        next[504] = 1;
        out.extend(next);
    }
    out
}

#[test]
fn every_hostile_archive_is_refused() {
    let whole = archive(&[file("a", vec![b'x'; 2000])]);
    let table: Vec<(&str, Vec<u8>, &str)> = vec![
        ("no archive", b"#!/bin/sh\n".repeat(100), "checksum"),
        (
            "cut within a header",
            whole[..300].to_vec(),
            "ends within the entry at byte 0",
        ),
        (
            "cut within contents",
            whole[..1500].to_vec(),
            "ends within the entry at byte 0",
        ),
        (
            "cut before the padding",
            whole[..512 + 2000].to_vec(),
            "ends within",
        ),
        (
            "a wrong checksum",
            with_block(|b| b[0] = b'b'),
            "checksum is wrong",
        ),
        (
            "no checksum",
            with_block(|b| b[148..156].fill(b'x')),
            "no checksum",
        ),
        (
            "a size beyond the end",
            archive(&[file("a", "").size(1 << 40)]),
            "",
        ),
        (
            "a size beyond all numbers",
            sealed(|b| b[124..136].fill(0xff)),
            "negative",
        ),
        (
            "a size of 2^63 - 1",
            archive(&[file("b", "").size(i64::MAX as u64)]),
            "ends within",
        ),
        (
            "a size that is no number",
            sealed(|b| b[124..136].copy_from_slice(b"1234567890ab")),
            "size is malformed",
        ),
        (
            "a negative owner",
            sealed(|b| b[108..116].fill(0xff)),
            "owner is negative",
        ),
        (
            "a pax size beyond the end",
            archive(&[file("a", "").pax("size", "99999999999999")]),
            "",
        ),
        (
            "a pax size that is negative",
            archive(&[file("a", "").pax("size", "-1")]),
            "size is negative",
        ),
        (
            "a pax size over all numbers",
            archive(&[file("a", "").pax("size", "99999999999999999999")]),
            "number in its extended",
        ),
        (
            "a pax owner that is no number",
            archive(&[file("a", "").pax("uid", "root")]),
            "number in its extended",
        ),
        (
            "a path out of the root",
            archive(&[file("../a", "")]),
            "it has a `..`",
        ),
        (
            "an absolute path out of the root",
            archive(&[file("/../a", "")]),
            "it has a `..`",
        ),
        (
            "a path back up",
            archive(&[file("p/../../a", "")]),
            "it has a `..`",
        ),
        (
            "a pax path with NUL",
            archive(&[file("x", "").pax("path", "a\0b")]),
            "it has a NUL",
        ),
        (
            "a pax path out of the root",
            archive(&[file("x", "").pax("path", "a/../../b")]),
            "it has a `..`",
        ),
        (
            "a hard link out of the root",
            archive(&[hardlink("a", "../../etc/shadow")]),
            "it has a `..`",
        ),
        (
            "a name of 5000 bytes",
            archive(&[file("n".repeat(5000), "")]),
            "longer than any file system",
        ),
        (
            "a name of 10 MB",
            archive(&[file("n".repeat(10 << 20), "")]),
            "extended header is too large",
        ),
        (
            "a link of 5000 bytes",
            archive(&[symlink("a", &"n".repeat(5000))]),
            "longer than any file system",
        ),
        (
            "a name that claims 8 EiB",
            archive(&[Entry::new(b'L', "x").size(i64::MAX as u64)]),
            "extended header is too large",
        ),
        (
            "a global header that claims 8 EiB",
            archive(&[Entry::new(b'g', "x").size(i64::MAX as u64)]),
            "ends within",
        ),
        (
            "extended headers only",
            archive(&vec![
                Entry {
                    data: b"a".to_vec(),
                    ..Entry::new(b'L', "x")
                };
                30
            ]),
            "too many",
        ),
        (
            "an extended header before the end",
            archive(&[Entry {
                data: b"a".to_vec(),
                ..Entry::new(b'L', "x")
            }]),
            "ends within",
        ),
        (
            "a pax record that lies",
            archive(&[
                Entry {
                    data: b"99 path=a\n".to_vec(),
                    ..Entry::new(b'x', "x")
                },
                file("a", ""),
            ]),
            "extended header is malformed",
        ),
        (
            "an entry after the end",
            [&[0; 512][..], &whole].concat(),
            "follows the archive's end",
        ),
        (
            "an unknown type",
            archive(&[Entry::new(b'Z', "a")]),
            "unknown type",
        ),
        (
            "a whiteout of the parent",
            archive(&[file("p/.wh...", "")]),
            "whiteout of no file",
        ),
        (
            "a whiteout of the directory",
            archive(&[file("p/.wh..", "")]),
            "whiteout of no file",
        ),
        (
            "a whiteout of nothing",
            archive(&[file(".wh.", "")]),
            "whiteout of no file",
        ),
        (
            "a sparse map out of order",
            sparse("100", "10,2,5,2"),
            "map of its sparse",
        ),
        (
            "a sparse map past the size",
            sparse("10", "0,2,9,2"),
            "map of its sparse",
        ),
        (
            "a sparse map of too little",
            sparse("10", "0,2"),
            "map of its sparse",
        ),
        (
            "a sparse map that overflows",
            sparse("10", "18446744073709551615,2,1,2"),
            "map of its sparse",
        ),
        (
            "half a sparse map",
            sparse("10", "0,4,5"),
            "map of its sparse",
        ),
        (
            "a sparse map of words",
            sparse("10", "a,b"),
            "map of its sparse",
        ),
        (
            "a sparse hole of 1 EiB",
            sparse("1152921504606846976", "0,4"),
            "more than the",
        ),
        (
            "a sparse map of 10^18 pieces",
            sparse_one(b"1000000000000000000\n"),
            "map of its sparse",
        ),
        (
            "a sparse map without end",
            sparse_one(&[b'1'; 5000]),
            "map of its sparse",
        ),
        (
            "a sparse map longer than the file",
            sparse_one(b"1\n0\n"),
            "",
        ),
        (
            "an old sparse map without end",
            old_sparse_without_end(),
            "map of its sparse",
        ),
    ];
    for (name, bytes, expected) in table {
        for refusal in refusals(&bytes) {
            let refusal = refusal.unwrap_or_else(|| panic!("{name} was taken"));
            assert!(refusal.contains(expected), "{name}: {refusal}");
            assert!(
                refusal.len() < 400 && !refusal.contains('\n'),
                "{name}: {refusal}"
            );
        }
    }
}

#[test]
fn odd_archives_that_runtimes_take_are_taken() {
    let plain = archive(&[file("a", "x")]);
    let table: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("no end", file("a", "x").bytes()),
        (
            "half an end",
            [file("a", "x").bytes(), vec![0; 512]].concat(),
        ),
        ("junk after the end", [&plain[..], b"junk"].concat()),
        (
            "a global header",
            archive(&[
                Entry {
                    data: b"12 path=zzz\n".to_vec(),
                    ..Entry::new(b'g', "g")
                },
                file("a", "x"),
            ]),
        ),
        (
            "a volume label",
            archive(&[Entry::new(b'V', "label"), file("a", "x")]),
        ),
        (
            "a directory with a size",
            archive(&[dir("p").size(4096), file("a", "x")]),
        ),
        (
            "a hard link with a size",
            archive(&[file("a", "x"), hardlink("p/l", "a").size(1)]),
        ),
        ("the root", archive(&[dir("."), file("a", "x")])),
        (
            "a symbolic link out of the root",
            archive(&[symlink("p/l", "../../../etc")]),
        ),
    ];
    for (name, bytes) in table {
        assert_eq!(refusals(&bytes), [None, None], "{name}");
    }
}
