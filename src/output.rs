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
    /// Removes what an earlier run left: a stale result must never be taken for this one's. What the run reads is refused as a
    /// place to write: one of `inputs`, or a file in one that is a folder.
    pub(crate) fn prepare(
        metadata: Option<&Path>,
        digest: Option<&Path>,
        inputs: &[String],
    ) -> Result<Self, Failure> {
        let files = Self {
            metadata: metadata.map(target),
            digest: digest.map(target),
        };
        for path in [&files.metadata, &files.digest].into_iter().flatten() {
            let input = inputs
                .iter()
                .find(|input| is_within(path, Path::new(input)));
            if let Some(input) = input {
                return Err(Failure::usage(format!(
                    "`{}` would overwrite what is read from `{input}`",
                    path.display()
                ))
                .hint("Choose another place for what the run writes"));
            }
            let folder = folder(path);
            if !folder.is_dir() {
                return Err(Failure::usage(format!(
                    "the folder `{}` does not exist",
                    folder.display()
                )));
            }
            if is_special(path) {
                continue;
            }
            let unwritable = |error: std::io::Error| {
                Failure::usage(format!("`{}` cannot be written", path.display())).because(&error)
            };
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(unwritable(error)),
                _ => {}
            }
            // Now, and not when everything is done.
            new_file(folder).map_err(unwritable)?;
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

/// Returns the file that a path means: behind a link, the one that it leads to.
fn target(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Whether a path is a device or a pipe, such as `/dev/stdout`: it is written to, and neither removed nor replaced.
fn is_special(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| !meta.is_file() && !meta.is_dir())
}

/// Makes a file beside the one that it will become.
fn new_file(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new()
        .prefix(".reseal-")
        .tempfile_in(folder)
}

/// Whether a file that exists is another one, or lies in a folder.
fn is_within(path: &Path, other: &Path) -> bool {
    match (path.canonicalize(), other.canonicalize()) {
        (Ok(path), Ok(other)) => path.starts_with(other),
        _ => false,
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
        if is_special(path) {
            let mut open = std::fs::OpenOptions::new().write(true).open(path)?;
            return open.write_all(text.as_bytes());
        }
        let mut file = new_file(folder(path))?;
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
        let files = Files::prepare(Some(&metadata), Some(&digest), &[]).unwrap();
        assert!(!metadata.exists() && !digest.exists());
        files.record(Err(Failure::usage("no"))).unwrap_err();
        let written: Value = serde_json::from_slice(&std::fs::read(&metadata).unwrap()).unwrap();
        assert_eq!(
            (&written["class"], &written["message"]),
            (&"usage".into(), &"no".into())
        );
        assert!(!digest.exists(), "no digest without success");
    }

    #[cfg(unix)]
    #[test]
    fn devices_are_written_to_and_links_followed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::os::unix::fs::symlink("/dev/null", at("null")).unwrap();
        std::fs::write(at("file"), "old").unwrap();
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        let file = at("file").canonicalize().unwrap();
        let files = Files::prepare(Some(&at("null")), Some(&at("link")), &[]).unwrap();
        assert!(is_special(&at("null")) && is_special(Path::new("/dev/null")));
        assert!(!file.exists() && at("link").is_symlink());
        assert_eq!(files.digest, Some(file));
        write(Path::new("/dev/null"), "x").unwrap();
        assert!(is_special(Path::new("/dev/null")), "it is still a device");
        assert!(write(Path::new("/dev/full"), "x").is_err());
    }

    #[test]
    fn what_the_run_reads_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let report = folder.path().join("report.json");
        std::fs::write(&report, "{}").unwrap();
        for input in [&report, &folder.path().to_owned()] {
            let inputs = ["-".to_owned(), input.display().to_string()];
            let refused = Files::prepare(None, Some(&report), &inputs).err().unwrap();
            assert_eq!(refused.reason.code(), 2, "{}", refused.message);
            assert!(report.exists());
        }
        let other = folder.path().join("other.json");
        let inputs = [report.display().to_string()];
        assert!(Files::prepare(Some(&other), None, &inputs).is_ok());
    }

    #[test]
    fn a_missing_folder_is_found_before_any_work() {
        assert_eq!(
            Files::prepare(Some(Path::new("/no/such/folder/x")), None, &[])
                .err()
                .unwrap()
                .reason
                .code(),
            2
        );
    }
}
