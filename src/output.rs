//! Standard output, standard error and result files.

use std::{
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use reseal_pipeline::{Class, RunResult};

use crate::{
    exit::Reason,
    failure::Failure,
    render::{failure, result},
};

/// Writes the answer. A reader that went away, such as `head`, has what it wanted.
pub(crate) fn stdout(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::new(
            Reason::Class(Class::Internal),
            "Could not write to standard output",
        )
        .because(&error)),
        _ => Ok(()),
    }
}

/// Writes for people; when nobody can hear, there is nobody to tell.
pub(crate) fn stderr(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = stderr
        .write_all(text.as_bytes())
        .and_then(|()| stderr.flush());
}

/// Returns a JSON document as it is written to standard output and files.
pub(crate) fn document(value: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("results have string keys only");
    text.push('\n');
    text
}

/// `--metadata-file` and `--digest-file`.
pub(crate) struct Files {
    metadata: Option<PathBuf>,
    digest: Option<PathBuf>,
}

impl Files {
    /// Removes what an earlier run left: a stale result must never be taken for this one's.
    pub(crate) fn prepare(metadata: Option<&Path>, digest: Option<&Path>) -> Result<Self, Failure> {
        let files = Self {
            metadata: metadata.map(Path::to_owned),
            digest: digest.map(Path::to_owned),
        };
        for path in [&files.metadata, &files.digest].into_iter().flatten() {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(Failure::usage(format!(
                        "Could not remove the old `{}`",
                        path.display()
                    ))
                    .because(&error));
                }
                _ => {}
            }
            let folder = folder(path);
            if !folder.is_dir() {
                return Err(Failure::usage(format!(
                    "the folder `{}` does not exist",
                    folder.display()
                )));
            }
        }
        Ok(files)
    }

    /// Records how the run ended. A file that cannot be written turns success into a failure, since a later step reads it.
    pub(crate) fn record(&self, outcome: Result<RunResult, Failure>) -> Result<RunResult, Failure> {
        match outcome {
            Ok(result) => {
                if let Some(path) = &self.metadata {
                    write(path, &document(&result))?;
                }
                if let Some(path) = &self.digest {
                    write(path, &format!("{}\n", result.patched.digest))?;
                }
                Ok(result)
            }
            Err(mut failure) => {
                if let Some(path) = &self.metadata {
                    let text = failure
                        .result
                        .as_ref()
                        .map_or_else(|| document(&failure::json(&failure)), document);
                    // The failure at hand is what the user has to hear about first.
                    if let Err(second) = write(path, &text) {
                        failure.causes.push(second.message);
                    }
                }
                Err(failure)
            }
        }
    }
}

/// Writes a file so that a reader sees all of it or none.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    put(path, text, readable)
}

/// As [`write()`], for nobody else to read.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), Failure> {
    put(path, text, |_| Ok(()))
}

fn put(
    path: &Path,
    text: &str,
    rights: impl Fn(&std::fs::File) -> std::io::Result<()>,
) -> Result<(), Failure> {
    let attempt = || -> std::io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".reseal-")
            .tempfile_in(folder(path))?;
        file.write_all(text.as_bytes())?;
        rights(file.as_file())?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    attempt().map_err(|error| {
        Failure::new(
            Reason::Class(Class::Internal),
            format!("Could not write `{}`", path.display()),
        )
        .because(&error)
    })
}

/// Results are for later steps, which may run as another user; temporary files are private.
fn readable(file: &std::fs::File) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    #[cfg(not(unix))]
    let _ = file;
    Ok(())
}

fn folder(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Returns the answer of `patch` and `verify`: one line, or the result.
pub(crate) fn answer(result: &RunResult, json: bool) -> String {
    if json {
        document(result)
    } else {
        format!("{}\n", result::pinned(&result.patched))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn what_an_earlier_run_left_is_removed_and_a_failure_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let (metadata, digest) = (
            folder.path().join("result.json"),
            folder.path().join("digest"),
        );
        std::fs::write(&metadata, "old").unwrap();
        std::fs::write(&digest, "old").unwrap();
        let files = Files::prepare(Some(&metadata), Some(&digest)).unwrap();
        assert!(!metadata.exists() && !digest.exists());
        files.record(Err(Failure::usage("no"))).unwrap_err();
        let written: Value = serde_json::from_slice(&std::fs::read(&metadata).unwrap()).unwrap();
        assert_eq!(
            (&written["class"], &written["message"]),
            (&"usage".into(), &"no".into())
        );
        assert!(!digest.exists(), "no digest without success");
    }

    #[test]
    fn a_missing_folder_is_found_before_any_work() {
        assert_eq!(
            Files::prepare(Some(Path::new("/no/such/folder/x")), None)
                .err()
                .unwrap()
                .reason
                .code(),
            2
        );
    }
}
