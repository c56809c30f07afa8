//! Paths of an image: relative, clean, and past the links that merge directories.

use std::collections::BTreeMap;

/// Returns a path without leading slash, `.` and empty components; `None` for the root itself and
/// for a path with `..`, which no package has.
pub(super) fn clean(path: &str) -> Option<String> {
    let mut out = String::with_capacity(path.len());
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => return None,
            name => {
                if !out.is_empty() {
                    out.push('/');
                }
                out.push_str(name);
            }
        }
    }
    (!out.is_empty()).then_some(out)
}

/// Directories that are symbolic links to others, such as `lib` to `usr/lib`.
#[derive(Debug, Clone, Default)]
pub(super) struct Aliases(BTreeMap<String, String>);

/// Links followed in one path; more is a loop.
const MAX_LINKS: usize = 8;

impl Aliases {
    pub(super) fn new(links: &[(String, String)]) -> Self {
        Self(
            links
                .iter()
                .filter_map(|(from, to)| Some((clean(from)?, clean(to)?)))
                .filter(|(from, to)| from != to)
                .collect(),
        )
    }

    /// Returns where a clean path really lies. The link itself stays what it is.
    pub(super) fn resolve(&self, path: String) -> String {
        let mut path = path;
        if self.0.is_empty() {
            return path;
        }
        for _ in 0..MAX_LINKS {
            let Some(next) = self.follow(&path) else {
                break;
            };
            path = next;
        }
        path
    }

    fn follow(&self, path: &str) -> Option<String> {
        path.match_indices('/').find_map(|(slash, _)| {
            let to = self.0.get(&path[..slash])?;
            Some(format!("{to}{}", &path[slash..]))
        })
    }
}
