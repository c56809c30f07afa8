//! Paths of tar entries, and the names that the OCI layer format gives a meaning.

use super::LayerError;
use crate::error::shown;

/// Longest path or link that is accepted, in bytes: Linux's own limit.
pub(super) const PATH_LIMIT: usize = 4096;

/// Removes `/`, `./` and `//`; what is left is relative to the root, which is the empty path.
pub(super) fn clean(raw: &[u8], offset: u64) -> Result<Vec<u8>, LayerError> {
    check(raw, offset)?;
    let mut out = Vec::with_capacity(raw.len());
    for part in raw.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(unsafe_path(raw, offset, "it has a `..`")),
            _ => {
                if !out.is_empty() {
                    out.push(b'/');
                }
                out.extend_from_slice(part);
            }
        }
    }
    Ok(out)
}

/// Checks what every path must keep, also the target of a symbolic link.
pub(super) fn check(raw: &[u8], offset: u64) -> Result<(), LayerError> {
    if raw.len() > PATH_LIMIT {
        return Err(unsafe_path(
            raw,
            offset,
            "it is longer than any file system can hold",
        ));
    }
    if raw.contains(&0) {
        return Err(unsafe_path(raw, offset, "it has a NUL"));
    }
    Ok(())
}

fn unsafe_path(raw: &[u8], offset: u64, why: &'static str) -> LayerError {
    let start = &raw[..raw.len().min(PATH_LIMIT)];
    LayerError::UnsafePath {
        path: shown(&String::from_utf8_lossy(start)),
        offset,
        why,
    }
}

/// What the name of an entry means in a layer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The entry itself.
    Plain,
    /// Hides this path of the lower layers.
    Whiteout(Vec<u8>),
    /// Hides all that the lower layers have in this directory.
    Opaque(Vec<u8>),
    /// Bookkeeping of an old union file system, which runtimes pass over.
    Ignored,
}

/// Tells the meaning of a clean path.
pub(super) fn meaning(path: &[u8], offset: u64) -> Result<Meaning, LayerError> {
    let (parent, name) = split(path);
    let Some(hidden) = name.strip_prefix(b".wh.") else {
        return Ok(Meaning::Plain);
    };
    Ok(match hidden {
        b".wh..opq" => Meaning::Opaque(parent.to_vec()),
        _ if hidden.starts_with(b".wh.") => Meaning::Ignored,
        b"" | b"." | b".." => return Err(unsafe_path(path, offset, "it is a whiteout of no file")),
        _ if parent.is_empty() => Meaning::Whiteout(hidden.to_vec()),
        _ => Meaning::Whiteout([parent, b"/", hidden].concat()),
    })
}

/// Parent and name; the parent is empty for what lies in the root.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&b| b == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

/// The directories above a path, the nearest first, without the root.
pub(super) fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(split(path).0), |path| Some(split(path).0))
        .take_while(|path| !path.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_relative_and_plain() {
        for (raw, expected) in [
            ("./a/b", "a/b"),
            ("/a//b/./c/", "a/b/c"),
            ("./", ""),
            ("", ""),
            ("a..b/...", "a..b/..."),
        ] {
            assert_eq!(clean(raw.as_bytes(), 0).unwrap(), expected.as_bytes());
        }
        for bad in [
            "..",
            "../a",
            "a/../b",
            "a/..",
            "/..",
            "a\0b",
            &"x/".repeat(5000),
        ] {
            assert!(clean(bad.as_bytes(), 0).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_with_the_prefix_have_a_meaning() {
        for (path, expected) in [
            ("a/b", Meaning::Plain),
            ("a/.wh.b", Meaning::Whiteout(b"a/b".to_vec())),
            (".wh.b", Meaning::Whiteout(b"b".to_vec())),
            ("a/.wh..wh..opq", Meaning::Opaque(b"a".to_vec())),
            (".wh..wh..opq", Meaning::Opaque(b"".to_vec())),
            (".wh..wh.plnk", Meaning::Ignored),
            ("a/x.wh.b", Meaning::Plain),
            (".wh.a/b", Meaning::Plain),
        ] {
            assert_eq!(meaning(path.as_bytes(), 0).unwrap(), expected, "{path}");
        }
        for bad in [".wh.", "a/.wh..", "a/.wh..."] {
            assert!(meaning(bad.as_bytes(), 0).is_err(), "{bad}");
        }
    }

    #[test]
    fn ancestors_end_below_the_root() {
        assert_eq!(ancestors(b"a/b/c").collect::<Vec<_>>(), [&b"a/b"[..], b"a"]);
        assert_eq!(ancestors(b"a").count(), 0);
        assert_eq!(ancestors(b"").count(), 0);
    }
}
