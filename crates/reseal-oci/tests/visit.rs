//! Members of archives as they stream by.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::io::{self, Read};

use common::{Entry, archive, dir, file, hardlink, symlink};
use reseal_oci::layer::{EntryKind, LayerError, Meaning, try_visit, visit};

/// Path, type, link and contents.
type Member = (String, EntryKind, String, Vec<u8>);

fn members(tar: &[u8], names: Meaning) -> Result<Vec<Member>, LayerError> {
    let mut out = Vec::new();
    visit(tar, names, &mut |member, contents| {
        let mut bytes = Vec::new();
        contents.read_to_end(&mut bytes).map_err(LayerError::Read)?;
        assert_eq!(bytes.len() as u64, member.size);
        out.push((
            member.path.to_owned(),
            member.kind,
            member.link.unwrap_or("-").to_owned(),
            bytes,
        ));
        Ok(())
    })?;
    Ok(out)
}

fn shown(tar: &[u8], names: Meaning) -> Vec<String> {
    members(tar, names)
        .unwrap()
        .into_iter()
        .map(|(path, kind, link, bytes)| {
            format!("{path} {kind:?} {link} {}", String::from_utf8_lossy(&bytes))
        })
        .collect()
}

#[test]
fn every_member_is_shown_with_its_contents() {
    let tar = archive(&[
        dir("."),
        dir("./a"),
        file("./a/f", "hello"),
        symlink("a/s", "../x/./y"),
        hardlink("a/h", "./a/f"),
        Entry::new(b'6', "p"),
    ]);
    assert_eq!(
        shown(&tar, Meaning::Layer),
        [
            " Dir - ",
            "a Dir - ",
            "a/f File - hello",
            "a/s Symlink ../x/./y ",
            "a/h Hardlink a/f ",
            "p Fifo - ",
        ]
    );
}

#[test]
fn whiteouts_are_such_only_in_layers() {
    let tar = archive(&[
        file("a/.wh.b", "x"),
        file("a/.wh..wh..opq", ""),
        file(".wh..wh.plnk", ""),
        file("c", "z"),
    ]);
    assert_eq!(
        shown(&tar, Meaning::Layer),
        ["a/b Whiteout - x", "a Opaque - ", "c File - z"]
    );
    assert_eq!(
        shown(&tar, Meaning::Plain),
        [
            "a/.wh.b File - x",
            "a/.wh..wh..opq File - ",
            ".wh..wh.plnk File - ",
            "c File - z"
        ]
    );
}

#[test]
fn metadata_is_all_there() {
    let mut device = Entry::new(b'4', "d").mode(0o6640).owner(3, 4).mtime(77);
    device.device = (8, 1);
    let tar = archive(&[
        device,
        Entry::new(b'3', "c"),
        file("x", "").pax("SCHILY.xattr.security.capability", b"\x01\0"),
    ]);
    let mut seen = Vec::new();
    visit(&tar[..], Meaning::Plain, &mut |member, _| {
        let xattrs: Vec<_> = member
            .xattrs
            .iter()
            .map(|(name, value)| (name.to_vec(), value.to_vec()))
            .collect();
        let (mode, owner) = (member.mode, (member.uid, member.gid));
        seen.push((
            mode,
            owner,
            member.mtime,
            member.block,
            member.device,
            xattrs,
        ));
        Ok(())
    })
    .unwrap();
    assert_eq!(seen[0], (0o6640, (3, 4), 77, true, (8, 1), Vec::new()));
    assert!(!seen[1].3);
    assert_eq!(
        seen[2].5,
        [(b"security.capability".to_vec(), b"\x01\0".to_vec())]
    );
}

#[test]
fn contents_that_nobody_reads_are_passed_over() {
    let tar = archive(&[file("a", vec![7; 3000]), file("b", "bb"), file("c", "")]);
    for taken in [0, 1, 512, 2999, 3000] {
        let mut names = Vec::new();
        visit(&tar[..], Meaning::Layer, &mut |member, contents| {
            names.push(member.path.to_owned());
            io::copy(&mut contents.take(taken), &mut io::sink()).map_err(LayerError::Read)?;
            Ok(())
        })
        .unwrap();
        assert_eq!(names, ["a", "b", "c"], "{taken}");
    }
}

#[test]
fn holes_are_zeros() {
    for (map, size, expected) in [
        ("2,3", "8", &b"\0\0abc\0\0\0"[..]),
        ("0,1,4,2", "6", b"a\0\0\0bc"),
        ("0,0,5,3,9,0", "9", b"\0\0\0\0\0abc\0"),
    ] {
        let tar = archive(&[
            file("s", "abc")
                .pax("GNU.sparse.size", size)
                .pax("GNU.sparse.map", map),
            file("t", "next"),
        ]);
        let found = members(&tar, Meaning::Plain).unwrap();
        assert_eq!(found[0].3, expected, "{map}");
        assert_eq!(found[1].3, b"next", "{map}");
    }
}

#[test]
fn names_that_are_not_text_are_refused_where_they_would_be_written() {
    for entry in [file(b"a/\xff", ""), symlink("l", "x")] {
        let entry = Entry {
            link: if entry.kind == b'2' {
                b"\xfe".to_vec()
            } else {
                Vec::new()
            },
            ..entry
        };
        let tar = archive(&[entry]);
        assert!(members(&tar, Meaning::Plain).is_err());
        assert_eq!(members(&tar, Meaning::Layer).unwrap().len(), 1);
    }
}

#[test]
fn an_archive_that_ends_early_is_an_error_even_if_the_visitor_is_content() {
    let tar = archive(&[file("a", vec![7; 3000])]);
    for length in [100, 512, 600, 3500] {
        let done = visit(&tar[..length], Meaning::Plain, &mut |_, contents| {
            let _ = io::copy(contents, &mut io::sink());
            Ok(())
        });
        assert!(
            matches!(done, Err(LayerError::Truncated { offset: 0 })),
            "{length}: {done:?}"
        );
    }
}

#[test]
fn errors_of_the_visitor_end_the_visit() {
    #[derive(Debug)]
    enum Mine {
        Layer,
        Stop(String),
    }
    impl From<LayerError> for Mine {
        fn from(_: LayerError) -> Self {
            Self::Layer
        }
    }
    let tar = archive(&[file("a", ""), file("b", ""), file("c", "")]);
    let done = try_visit(&tar[..], Meaning::Plain, &mut |member, _| {
        if member.path == "b" {
            Err(Mine::Stop(member.path.to_owned()))
        } else {
            Ok(())
        }
    });
    assert!(matches!(done, Err(Mine::Stop(path)) if path == "b"));
    let done = try_visit(&b"junk"[..], Meaning::Plain, &mut |_, _| Ok::<_, Mine>(()));
    assert!(matches!(done, Err(Mine::Layer)));
}
