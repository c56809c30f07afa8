//! The folder for temporary files: layers pass through it.

use std::{io::Write as _, path::PathBuf};

use reseal_pipeline::PipelineError;

use super::Check;
use crate::render::bytes;

/// Less than this is worth a warning; a patch layer is rarely larger than a tenth of it.
const ENOUGH: u64 = 1_000_000_000;

const NAME: &str = "temporary files";

pub(super) async fn check(folder: PathBuf) -> Vec<Check> {
    // A folder on a network may hang.
    let checked = tokio::task::spawn_blocking(move || look(&folder)).await;
    vec![checked.unwrap_or_else(|error| Check::skipped(NAME, error.to_string()))]
}

fn look(folder: &std::path::Path) -> Check {
    let shown = folder.display();
    let tried = tempfile::Builder::new()
        .prefix("reseal-")
        .tempfile_in(folder)
        .and_then(|mut file| file.write_all(b"reseal"));
    if let Err(source) = tried {
        return Check::failed(
            NAME,
            PipelineError::Io {
                action: format!("write to `{shown}`"),
                source,
            },
        );
    }
    match free(folder) {
        Some(free) if free < ENOUGH => Check::warned(
            NAME,
            format!("`{shown}` has {} free", bytes(free)),
            "Make room, or name another folder in TMPDIR",
        ),
        Some(free) => Check::passed(
            NAME,
            format!("`{shown}` is writable and has {} free", bytes(free)),
        ),
        None => Check::passed(NAME, format!("`{shown}` is writable")),
    }
}

#[cfg(unix)]
fn free(folder: &std::path::Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    stat.f_bavail.checked_mul(stat.f_frsize)
}

#[cfg(not(unix))]
fn free(_folder: &std::path::Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    #[test]
    fn a_folder_that_cannot_be_written_fails() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!matches!(look(folder.path()).status, Status::Failed(_)));
        assert!(matches!(
            look(&folder.path().join("missing")).status,
            Status::Failed(_)
        ));
    }
}
