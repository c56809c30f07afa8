//! The folder of a private daemon, and how it is removed again.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::connect::Environment;

/// The longest path a socket can have: the kernel's 108 bytes less the closing zero.
const MAX_SOCKET_PATH: usize = 107;

/// A folder that only this user can enter, removed when dropped.
#[derive(Debug)]
pub(super) struct State {
    folder: PathBuf,
    /// A folder of its own for the socket, where the other's path is too long for one.
    short: Option<PathBuf>,
    /// Removes what belongs to the sub-users of a rootless daemon.
    rootlesskit: Option<PathBuf>,
}

impl State {
    /// Makes the folder below the folder for temporary files.
    pub(super) fn create(
        environment: &Environment,
        rootlesskit: Option<PathBuf>,
    ) -> std::io::Result<Self> {
        let mut state = Self {
            folder: unique(&environment.temp_dir())?,
            short: None,
            rootlesskit,
        };
        if state.socket().as_os_str().len() > MAX_SOCKET_PATH {
            let runtime = environment.runtime_dir().filter(|folder| folder.is_dir());
            let made = runtime.and_then(|folder| unique(&folder).ok());
            state.short = Some(made.map_or_else(|| unique(Path::new("/tmp")), Ok)?);
        }
        for name in ["root", "tmp"] {
            std::fs::create_dir(state.folder.join(name))?;
        }
        Ok(state)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The program that may remove what belongs to sub-users, when there is any need of one.
    pub(super) fn rootlesskit(&self) -> Option<&Path> {
        self.rootlesskit.as_deref()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.short
            .as_ref()
            .unwrap_or(&self.folder)
            .join("buildkitd.sock")
    }
}

impl Drop for State {
    fn drop(&mut self) {
        unmount_below(&self.folder);
        if let Some(short) = &self.short {
            remove(short);
        }
        if std::fs::remove_dir_all(&self.folder).is_ok() {
            return;
        }
        // Image files of a rootless daemon belong to other user ids, which only its user namespace may remove.
        if let Some(program) = &self.rootlesskit {
            let _ = Command::new(program)
                .args(["rm", "-rf", "--"])
                .arg(&self.folder)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
        }
        remove(&self.folder);
    }
}

fn unique(parent: &Path) -> std::io::Result<PathBuf> {
    Ok(tempfile::Builder::new()
        .prefix("reseal-buildkitd-")
        .tempdir_in(parent)?
        .keep())
}

fn remove(folder: &Path) {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(folder = %folder.display(), %error, "could not remove the folder of the private buildkitd");
        }
        _ => {}
    }
}

/// A killed daemon leaves its overlay mounts behind, the newest on top.
fn unmount_below(folder: &Path) {
    let table = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    for target in mounts_below(&table, folder).iter().rev() {
        let _ = rustix::mount::unmount(target.as_path(), rustix::mount::UnmountFlags::DETACH);
    }
}

/// The mount points below a folder, in the order of `mountinfo`, whose fifth field they are.
fn mounts_below(table: &[u8], folder: &Path) -> Vec<PathBuf> {
    let text = String::from_utf8_lossy(table);
    let targets = text
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|field| PathBuf::from(unescape(field)));
    targets
        .filter(|target| target.starts_with(folder) && target != folder)
        .collect()
}

/// The kernel writes blanks and backslashes as three octal digits.
fn unescape(field: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .iter()
    .fold(field.to_owned(), |text, (code, plain)| {
        text.replace(code, plain)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mounts_below_the_folder_are_found() {
        let table = b"22 1 0:21 / / rw - ext4 /dev/a rw\n\
            30 22 0:40 / /tmp/x y/root/1 rw - overlay overlay rw\n\
            31 22 0:40 / /tmp/x\\040y/root/1 rw - overlay overlay rw\n\
            32 22 0:41 / /tmp/x\\040y2/root rw - overlay overlay rw\n\
            33 22 0:42 / /tmp/x\\040y/root/1/proc rw - proc proc rw\nshort\n";
        let expected = [
            PathBuf::from("/tmp/x y/root/1"),
            PathBuf::from("/tmp/x y/root/1/proc"),
        ];
        assert_eq!(mounts_below(table, Path::new("/tmp/x y")), expected);
    }

    #[test]
    fn a_socket_moves_to_a_short_folder_when_the_path_is_too_long() {
        let base = tempfile::tempdir().unwrap();
        let deep = base.path().join("d".repeat(90));
        std::fs::create_dir(&deep).unwrap();
        let runtime = base.path().join("run");
        std::fs::create_dir(&runtime).unwrap();
        let vars = [("TMPDIR", &deep), ("XDG_RUNTIME_DIR", &runtime)]
            .map(|(name, path)| (name.to_owned(), path.display().to_string()));
        let state = State::create(
            &Environment {
                vars: vars.into(),
                uid: 0,
            },
            None,
        )
        .unwrap();
        assert!(state.folder().starts_with(&deep));
        assert!(state.socket().starts_with(&runtime));
        drop(state);
        assert_eq!(
            std::fs::read_dir(&deep).unwrap().count()
                + std::fs::read_dir(&runtime).unwrap().count(),
            0
        );
    }
}
