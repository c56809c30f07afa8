//! The facts about the process that connecting depends on, as values.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Environment variables and user id, filled in by the command line: nothing in this crate reads them itself.
///
/// Children (`docker`, `ssh`, `buildkitd`, …) inherit the process's environment with these values laid over it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// Variables by name. Of interest are `BUILDKIT_HOST`, `BUILDX_BUILDER`, `DOCKER_HOST`, `DOCKER_CONTEXT`,
    /// `DOCKER_CONFIG`, `DOCKER_TLS_VERIFY`, `DOCKER_CERT_PATH`, `XDG_RUNTIME_DIR`, `HOME`, `PATH` and `TMPDIR`.
    pub vars: BTreeMap<String, String>,
    /// The effective user id; 0 is root.
    pub uid: u32,
}

impl Environment {
    /// Returns a variable that is set and not empty.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.vars
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Returns the first executable file of that name on `PATH`; a plain name never means the current folder.
    pub fn find_program(&self, name: &str) -> Option<PathBuf> {
        self.var("PATH")?
            .split(':')
            .filter(|folder| folder.starts_with('/'))
            .map(|folder| Path::new(folder).join(name))
            .find(|path| is_executable(path))
    }

    /// Returns Docker's configuration folder: `DOCKER_CONFIG`, else `~/.docker`.
    pub fn docker_config(&self) -> Option<PathBuf> {
        self.var("DOCKER_CONFIG")
            .map(PathBuf::from)
            .or_else(|| self.var("HOME").map(|home| Path::new(home).join(".docker")))
    }

    /// Returns the folder for short-lived sockets of this user, where there is one by convention.
    pub fn runtime_dir(&self) -> Option<PathBuf> {
        self.var("XDG_RUNTIME_DIR")
            .map(PathBuf::from)
            .or_else(|| (self.uid != 0).then(|| PathBuf::from(format!("/run/user/{}", self.uid))))
    }

    /// Returns the folder for temporary files.
    pub fn temp_dir(&self) -> PathBuf {
        self.var("TMPDIR")
            .filter(|folder| folder.starts_with('/'))
            .map_or_else(|| PathBuf::from("/tmp"), PathBuf::from)
    }
}

fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path)
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
