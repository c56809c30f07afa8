//! Takes a few files out of a layer while it streams by.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, Read};

use super::LayerError;
use super::members::{Forward, Members, Type};
use super::path::{Meaning, meaning};

/// Most contents that are taken from one layer, in bytes.
const TOTAL_LIMIT: u64 = 512 << 20;
/// Most names that are taken from one layer.
const COUNT_LIMIT: usize = 500_000;

/// Which files are wanted, by clean paths relative to the root: `var/lib/dpkg/status`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Whole paths.
    pub exact: Vec<String>,
    /// Starts of paths, such as `var/lib/dpkg/info/`.
    pub prefixes: Vec<String>,
    /// Largest file that is taken, in bytes; one that is larger is an error.
    pub limit: u64,
}

impl Wanted {
    /// Tells whether the contents of a path are wanted.
    pub fn takes(&self, path: &str) -> bool {
        self.exact.iter().any(|exact| exact == path)
            || self.prefixes.iter().any(|prefix| path.starts_with(prefix))
    }

    /// Tells whether something wanted lies below a path, so that it matters what is there.
    fn leads_through(&self, path: &str) -> bool {
        let above = |wanted: &String| {
            path.is_empty()
                || wanted
                    .strip_prefix(path)
                    .is_some_and(|rest| rest.starts_with('/'))
        };
        self.exact.iter().any(above) || self.prefixes.iter().any(above)
    }
}

/// What one layer has to say about the wanted files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LayerFiles {
    /// Contents by path.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Paths that the layer hides, with all below them, in the layers under it: by a whiteout, or because it has
    /// something there that is not a directory.
    pub whiteouts: BTreeSet<String>,
    /// Directories of which the layer hides all lower contents; the root is the empty path.
    pub opaque: BTreeSet<String>,
    /// Symbolic links at wanted paths and at the directories above them, with their raw targets; hard links to files
    /// that were not read have their target as an absolute path.
    pub links: BTreeMap<String, String>,
    /// Directories at wanted paths and above them: what lower layers have there is no file or link any more.
    pub directories: BTreeSet<String>,
}

impl LayerFiles {
    /// Forgets what earlier entries of the same archive put at a path, or below it where it is no directory now.
    fn replace(&mut self, path: &str, directory: bool) {
        self.files.remove(path);
        self.links.remove(path);
        self.directories.remove(path);
        if !directory {
            let folder = format!("{path}/");
            below(&mut self.files, &folder);
            below(&mut self.links, &folder);
            while let Some(path) = self
                .directories
                .range(folder.clone()..)
                .next()
                .filter(|path| path.starts_with(&folder))
            {
                let path = path.clone();
                self.directories.remove(&path);
            }
        }
    }
}

/// Removes what lies below a folder, without a look at anything else.
fn below<V>(map: &mut BTreeMap<String, V>, folder: &str) {
    while let Some((path, _)) = map
        .range(folder.to_owned()..)
        .next()
        .filter(|(path, _)| path.starts_with(folder))
    {
        let path = path.clone();
        map.remove(&path);
    }
}

/// Reads the wanted files of an uncompressed layer, to its end.
///
/// As in an unpacked layer, the last of several entries of one path counts. Paths that are not UTF-8 cannot be wanted and
/// are passed over.
///
/// # Errors
///
/// When the archive is malformed or unsafe anywhere, or a wanted file is larger than its limit.
pub fn read<R: Read>(tar: R, wanted: &Wanted) -> Result<LayerFiles, LayerError> {
    let mut members = Members::new(Forward(BufReader::with_capacity(64 << 10, tar)));
    let mut found = LayerFiles::default();
    let mut hard = BTreeMap::new();
    // What is not a directory hides all below it in lower layers, as a whiteout does.
    let mut solid = BTreeSet::new();
    let mut total = 0;
    while let Some(member) = members.next()? {
        let place = meaning(&member.path, member.offset)?;
        let (Meaning::Whiteout(raw) | Meaning::Opaque(raw)) = &place else {
            if place == Meaning::Ignored {
                continue;
            }
            let Ok(path) = String::from_utf8(member.path.clone()) else {
                continue;
            };
            let (takes, leads) = (wanted.takes(&path), wanted.leads_through(&path));
            if (takes || leads) && !path.is_empty() {
                let directory = member.kind == Type::Dir;
                found.replace(&path, directory);
                hard.remove(&path);
                if directory {
                    solid.remove(&path);
                    found.directories.insert(path);
                    check_limits(&found, total)?;
                    continue;
                }
                solid.insert(path.clone());
                match member.kind {
                    Type::File if takes => {
                        let contents = members.contents(&member, wanted.limit)?;
                        total += contents.len() as u64;
                        found.files.insert(path, contents);
                    }
                    Type::Symlink => {
                        found
                            .links
                            .insert(path, String::from_utf8_lossy(&member.link).into_owned());
                    }
                    Type::Hardlink => {
                        hard.insert(path, String::from_utf8_lossy(&member.link).into_owned());
                    }
                    _ => {}
                }
                check_limits(&found, total)?;
            }
            continue;
        };
        let Ok(path) = String::from_utf8(raw.clone()) else {
            continue;
        };
        if wanted.takes(&path) || wanted.leads_through(&path) {
            let set = if matches!(place, Meaning::Opaque(_)) {
                &mut found.opaque
            } else {
                &mut found.whiteouts
            };
            set.insert(path);
            check_limits(&found, total)?;
        }
    }
    members.drain()?;
    resolve_hard_links(&mut found, &hard, &mut total)?;
    found.whiteouts.append(&mut solid);
    Ok(found)
}

fn check_limits(found: &LayerFiles, total: u64) -> Result<(), LayerError> {
    if total > TOTAL_LIMIT {
        return Err(LayerError::TooMuch {
            what: "bytes in wanted files",
            limit: TOTAL_LIMIT,
        });
    }
    let count = found.files.len()
        + found.whiteouts.len()
        + found.opaque.len()
        + found.links.len()
        + found.directories.len();
    if count > COUNT_LIMIT {
        return Err(LayerError::TooMuch {
            what: "wanted files",
            limit: COUNT_LIMIT as u64,
        });
    }
    Ok(())
}

/// Gives hard links the contents of their targets, where these were read.
fn resolve_hard_links(
    found: &mut LayerFiles,
    hard: &BTreeMap<String, String>,
    total: &mut u64,
) -> Result<(), LayerError> {
    for (path, first) in hard {
        let mut target = first;
        // A link to a link; a ring of them ends at the count of all links.
        for _ in 0..hard.len().min(40) {
            let Some(next) = hard.get(target) else { break };
            target = next;
        }
        if let Some(contents) = found.files.get(target).cloned() {
            *total += contents.len() as u64;
            found.files.insert(path.clone(), contents);
        } else {
            found.links.insert(path.clone(), format!("/{target}"));
        }
        check_limits(found, *total)?;
    }
    Ok(())
}
