//! Two layers as one.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::io::Cursor;

use common::{Entry, archive, dir, file, hardlink, symlink};
use reseal_oci::layer::{LayerError, Meaning, squash, visit};

/// Squashes, and returns what there is then as `path kind contents`, and what was replaced.
fn squashed(lower: &[Entry], upper: &[Entry]) -> Result<(Vec<String>, Vec<String>), LayerError> {
    let mut out = Vec::new();
    let replaced = squash(
        &mut Cursor::new(archive(lower)),
        &mut Cursor::new(archive(upper)),
        &mut out,
    )?;
    let mut shown = Vec::new();
    visit(out.as_slice(), Meaning::Layer, &mut |member, contents| {
        let mut text = String::new();
        std::io::Read::read_to_string(contents, &mut text).map_err(LayerError::Read)?;
        shown.push(
            format!("{} {:?} {text}", member.path, member.kind)
                .trim_end()
                .to_owned(),
        );
        Ok(())
    })?;
    Ok((shown, replaced))
}

#[test]
fn the_upper_layer_wins_and_what_it_leaves_alone_stays() {
    let long = "x/".repeat(80) + "file";
    let (shown, replaced) = squashed(
        &[
            dir("etc"),
            file("etc/status", "old, and longer than the new one").mtime(7),
            file("etc/kept", "kept"),
            file(&long, "long"),
            symlink("link", "etc"),
        ],
        &[dir("etc"), file("etc/status", "new"), file("etc/added", "")],
    )
    .unwrap();
    assert_eq!(
        shown,
        [
            "etc/kept File kept".to_owned(),
            format!("{long} File long"),
            "link Symlink".to_owned(),
            "etc Dir".to_owned(),
            "etc/status File new".to_owned(),
            "etc/added File".to_owned(),
        ]
    );
    assert_eq!(replaced, ["etc/status"]);
}

#[test]
fn deletions_of_the_upper_layer_take_what_the_lower_one_brought() {
    let (shown, replaced) = squashed(
        &[
            dir("a"),
            file("a/gone", "x"),
            dir("a/folder"),
            file("a/folder/below", "x"),
            dir("b"),
            file("b/below", "x"),
            file("c", "a file"),
        ],
        &[
            file("a/.wh.gone", ""),
            file("a/.wh.folder", ""),
            dir("b"),
            file("b/.wh..wh..opq", ""),
            file("b/new", "y"),
            dir("c"),
            file("c/new", "y"),
        ],
    )
    .unwrap();
    assert_eq!(
        shown,
        [
            "a Dir",
            "a/gone Whiteout",
            "a/folder Whiteout",
            "b Dir",
            "b Opaque",
            "b/new File y",
            "c Dir",
            "c/new File y",
        ]
    );
    assert_eq!(
        replaced,
        ["a/folder", "a/folder/below", "a/gone", "b/below", "c"]
    );
}

#[test]
fn deletions_of_the_lower_layer_stay_until_there_is_something_again() {
    let (shown, replaced) = squashed(
        &[
            file(".wh.stays", ""),
            file(".wh.again", ""),
            file(".wh.folder", ""),
            file("d/.wh..wh..opq", ""),
        ],
        &[
            file("again", "y"),
            dir("folder"),
            dir("d"),
            file("d/new", "y"),
        ],
    )
    .unwrap();
    assert_eq!(
        shown,
        [
            "stays Whiteout",
            // What is below a folder that was deleted and made again must not show through.
            "folder Whiteout",
            "d Opaque",
            "again File y",
            "folder Dir",
            "d Dir",
            "d/new File y",
        ]
    );
    assert_eq!(replaced, Vec::<String>::new());
}

#[test]
fn a_file_with_several_names_is_replaced_as_a_whole_or_not_at_all() {
    let lower = [file("a", "x"), hardlink("b", "a"), hardlink("c", "a")];
    let (shown, _) = squashed(&lower, &[file("b", "y")]).unwrap();
    assert_eq!(shown, ["a File x", "c Hardlink", "b File y"]);
    let error = squashed(&lower, &[file("a", "y")]).unwrap_err();
    assert!(matches!(error, LayerError::Conflict { .. }), "{error}");
    let (shown, replaced) = squashed(
        &lower,
        &[file("a", "y"), hardlink("b", "a"), hardlink("c", "a")],
    )
    .unwrap();
    assert_eq!(shown, ["a File y", "b Hardlink", "c Hardlink"]);
    assert_eq!(replaced, ["a", "b", "c"]);
}

#[test]
fn a_broken_layer_is_an_error_whichever_it_is() {
    let good = archive(&[file("a", "x")]);
    let cut = &good[..600];
    for (lower, upper) in [(cut, good.as_slice()), (good.as_slice(), cut)] {
        let done = squash(
            &mut Cursor::new(lower),
            &mut Cursor::new(upper),
            &mut Vec::new(),
        );
        assert!(
            matches!(done, Err(LayerError::Truncated { .. })),
            "{done:?}"
        );
    }
}
