//! Files of a layout: where they are, and how they come to be there whole.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use reseal_oci::Digest;
use serde::Deserialize;
use tempfile::TempPath;

use super::index;
use crate::error::StoreError;

/// The file that makes a folder a layout. It is never replaced, so it is also what runs lock.
pub(super) const MARKER: &str = "oci-layout";
const MARKER_TEXT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
const EMPTY_INDEX: &[u8] =
    br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
const MARKER_LIMIT: u64 = 64 * 1024;

/// Returns a blob's place. A digest is an algorithm and hexadecimal digits, so the path cannot leave the folder.
pub(super) fn blob_path(layout: &Path, digest: &Digest) -> PathBuf {
    layout
        .join("blobs")
        .join(digest.algorithm())
        .join(digest.hex())
}

pub(super) fn check_marker(layout: &Path) -> Result<(), StoreError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Marker {
        image_layout_version: String,
    }
    let unusable = |why: String| StoreError::Layout {
        path: layout.to_owned(),
        why,
    };
    let bytes = match read_limited(&layout.join(MARKER), MARKER_LIMIT) {
        Err(StoreError::NotFound { .. }) => {
            return Err(unusable(format!("it has no file `{MARKER}`")));
        }
        result => result?,
    };
    let marker: Marker = serde_json::from_slice(&bytes)
        .map_err(|_| unusable(format!("its file `{MARKER}` is malformed")))?;
    if marker.image_layout_version.split('.').next() == Some("1") {
        return Ok(());
    }
    let version = crate::text::one_line(&marker.image_layout_version, 40).unwrap_or_default();
    Err(unusable(format!(
        "its layout version is `{version}`, not 1.x"
    )))
}

/// Makes a new layout. Two runs may do so at once: each file is made by the first, and the marker comes last.
pub(super) fn make(layout: &Path) -> Result<(), StoreError> {
    let create = |path: &Path| {
        std::fs::create_dir_all(path).map_err(|error| StoreError::file("create", path, &error))
    };
    create(layout)?;
    let entries =
        std::fs::read_dir(layout).map_err(|error| StoreError::file("read", layout, &error))?;
    let foreign = entries
        .flatten()
        .map(|entry| entry.file_name())
        .find(|name| {
            let name = name.to_string_lossy();
            !(name == "blobs"
                || name == index::FILE
                || name == MARKER
                || name.starts_with(TEMPORARY))
        });
    if let Some(name) = foreign {
        let why = format!(
            "it is no layout and not empty: it holds `{}`",
            name.display()
        );
        return Err(StoreError::Layout {
            path: layout.to_owned(),
            why,
        });
    }
    create(&layout.join("blobs/sha256"))?;
    for (name, text) in [(index::FILE, EMPTY_INDEX), (MARKER, MARKER_TEXT)] {
        let path = layout.join(name);
        let (temporary, mut file) = temporary(&path)?;
        file.write_all(text)
            .map_err(|error| StoreError::file("write", &path, &error))?;
        match temporary.persist_noclobber(&path) {
            Err(failed) if failed.error.kind() != ErrorKind::AlreadyExists => {
                return Err(StoreError::file("write", &path, &failed.error));
            }
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>, StoreError> {
    let file = File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => StoreError::NotFound {
            what: path.display().to_string(),
        },
        _ => StoreError::file("read", path, &error),
    })?;
    let mut bytes = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| StoreError::file("read", path, &error))?;
    if bytes.len() as u64 > limit {
        return Err(StoreError::TooLarge {
            what: path.display().to_string(),
            limit,
        });
    }
    Ok(bytes)
}

pub(super) fn has_size(path: &Path, size: u64) -> bool {
    path.metadata()
        .is_ok_and(|data| data.is_file() && data.len() == size)
}

/// Files that are not finished start with this.
const TEMPORARY: &str = ".reseal-";

/// Makes a file beside `target`, so that renaming it cannot cross file systems. It is removed unless it is kept.
pub(super) fn temporary(target: &Path) -> Result<(TempPath, File), StoreError> {
    let folder = target.parent().unwrap_or(target);
    let failed = |error: std::io::Error| StoreError::file("create", target, &error);
    std::fs::create_dir_all(folder).map_err(failed)?;
    let file = tempfile::Builder::new()
        .prefix(TEMPORARY)
        // As any other program would make it; the umask takes away what it must.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(failed)?;
    let (file, path) = file.into_parts();
    Ok((path, file))
}

/// Gives a finished file its name.
pub(super) fn keep(temporary: TempPath, target: &Path) -> Result<(), StoreError> {
    temporary
        .persist(target)
        .map_err(|failed| StoreError::file("write", target, &failed.error))
}

pub(super) fn write_whole(target: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let (path, mut file) = temporary(target)?;
    file.write_all(bytes)
        .map_err(|error| StoreError::file("write", target, &error))?;
    keep(path, target)
}

/// Waits until no other run changes this layout's index. The lock ends with the file that comes back.
pub(super) fn lock(layout: &Path) -> Result<File, StoreError> {
    let path = layout.join(MARKER);
    let failed = |error: std::io::Error| StoreError::file("lock", &path, &error);
    // For writing where that is allowed: locks on network file systems need it.
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .or_else(|_| File::open(&path))
        .map_err(failed)?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
        .map_err(|error| failed(error.into()))?;
    Ok(file)
}
