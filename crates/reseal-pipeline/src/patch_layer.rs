//! Stage 6, first half: what the daemon hands back becomes the patch layer.

use std::{
    fs::File,
    io::{BufReader, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use reseal_oci::{
    PatchLayer,
    layer::{self, Classify, EntryKind, Keep, LayerError, Scan},
};
use reseal_pkg::dpkg::{self, Change, Database, Owner, Ownership};

use crate::{
    error::PipelineError,
    facts::{DATABASE_LIMIT, DPKG_STATUS},
};

/// Largest `info/*.list` that is read, in bytes.
pub(crate) const LIST_LIMIT: u64 = 32 << 20;

/// A finished patch layer, with what it changes.
pub(crate) struct Finished {
    /// Digests and size.
    pub layer: PatchLayer,
    /// The compressed blob.
    pub blob: PathBuf,
    /// Changed packages.
    pub changes: Vec<Change>,
    /// The database that the layer carries.
    pub after: Database,
    /// What maintainer scripts wrote elsewhere.
    pub script_written: Vec<String>,
    /// The time that newer files were set to, seconds since 1970.
    pub epoch: i64,
}

struct ByDpkg(Ownership);

impl Classify for ByDpkg {
    fn keep(&self, path: &str) -> Keep {
        match self.0.owner(path) {
            Owner::Package => Keep::Package,
            Owner::Database => Keep::Database,
            Owner::Script => Keep::Script,
            Owner::Junk => Keep::Junk,
        }
    }
}

/// Cleans the raw layer and compresses it into `blob`. `None` when no package changed.
pub(crate) fn finish(
    raw: &Path,
    blob: PathBuf,
    before: &Database,
    aliases: &[(String, String)],
    epoch: Option<i64>,
    platform: &str,
) -> Result<Option<Finished>, PipelineError> {
    let wrap = |source: LayerError| PipelineError::Layer {
        platform: platform.to_owned(),
        source,
    };
    let io = |action: &str| {
        let action = format!("{action} `{}`", blob.display());
        move |source| PipelineError::Io { action, source }
    };
    let mut tar = BufReader::new(File::open(raw).map_err(|source| PipelineError::Io {
        action: format!("read the layer file `{}`", raw.display()),
        source,
    })?);
    let scan = layer::scan(&mut tar).map_err(wrap)?;
    let Some(status) =
        layer::read_entry(&mut tar, &scan, DPKG_STATUS, DATABASE_LIMIT).map_err(wrap)?
    else {
        return Ok(None);
    };
    let after = Database::parse(&status).map_err(|source| PipelineError::Package {
        platform: platform.to_owned(),
        source,
    })?;
    let changes = dpkg::changes(before, &after);
    if changes.is_empty() {
        return Ok(None);
    }
    let (lists, carried) = info_files(&mut tar, &scan).map_err(wrap)?;
    let epoch = epoch.unwrap_or_else(|| newest(&scan, &carried, aliases));
    let ownership = ByDpkg(Ownership::from_lists(lists, aliases));
    let mut out = BufWriter::new(File::create(&blob).map_err(io("create the layer file"))?);
    let done = layer::normalise(&mut tar, &scan, &ownership, epoch, &mut out).map_err(wrap)?;
    out.flush().map_err(io("write the layer file"))?;
    Ok(Some(Finished {
        layer: done.layer,
        blob,
        changes,
        after,
        script_written: done.script_written,
        epoch,
    }))
}

/// Lists of package files by stem, and the paths that packages carry with a checksum.
type Info = (Vec<(String, Vec<u8>)>, Vec<String>);

/// Reads the file lists that the layer brings: dpkg rewrites those of changed packages, and no others.
fn info_files(tar: &mut BufReader<File>, scan: &Scan) -> Result<Info, LayerError> {
    let (mut lists, mut carried) = (Vec::new(), Vec::new());
    let names: Vec<String> = scan
        .entries
        .iter()
        .map(|entry| entry.path.clone())
        .collect();
    for path in names {
        let Some(name) = path.strip_prefix("var/lib/dpkg/info/") else {
            continue;
        };
        if let Some(stem) = list_stem(&path) {
            if let Some(bytes) = layer::read_entry(tar, scan, &path, LIST_LIMIT)? {
                lists.push((stem.to_owned(), bytes));
            }
        } else if name.ends_with(".md5sums")
            && let Some(bytes) = layer::read_entry(tar, scan, &path, LIST_LIMIT)?
        {
            carried.extend(dpkg::md5sums_paths(&bytes));
        }
    }
    Ok((lists, carried))
}

/// Returns the package that a path is the list of files of, by its name under `info/`.
pub(crate) fn list_stem(path: &str) -> Option<&str> {
    path.strip_prefix("var/lib/dpkg/info/")?
        .strip_suffix(".list")
}

/// Returns the newest time of the files that packages carry: a time that does not depend on when the patch was made.
fn newest(scan: &Scan, carried: &[String], aliases: &[(String, String)]) -> i64 {
    let carried: std::collections::BTreeSet<String> = carried
        .iter()
        .map(|path| real_path(path, aliases))
        .collect();
    scan.entries
        .iter()
        .filter(|entry| entry.kind == EntryKind::File && carried.contains(&entry.path))
        .map(|entry| entry.mtime)
        .max()
        .unwrap_or(0)
}

/// Returns a path, without a slash in front, past links such as `lib` → `usr/lib`.
pub(crate) fn real_path(path: &str, aliases: &[(String, String)]) -> String {
    let (top, rest) = path.split_once('/').unwrap_or((path, ""));
    match aliases.iter().find(|(link, _)| link == top) {
        Some((_, target)) => format!("{target}/{rest}"),
        None => path.to_owned(),
    }
}
