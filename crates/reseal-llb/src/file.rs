//! The operation that edits files without running anything.

use std::collections::BTreeSet;

use reseal_proto::pb;

use crate::{
    Graph, Out, Src, capability,
    graph::{Inputs, number},
};

/// How the wire says that a mode or a time is not given.
const KEEP: i8 = -1;
/// What daemons use of a mode.
const PERMISSIONS: u32 = 0o777;

/// One edit. Paths start at the root of the file system, with or without a `/`; `.` and `..` are resolved in them.
///
/// Modes are permissions (`0o777`; other bits are dropped). Times are nanoseconds since 1970; without one it is the time of the build, or the
/// source's for a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileAction {
    /// Makes a file, owned by root.
    MakeFile {
        /// Where; its directory must exist.
        path: String,
        /// Permissions.
        mode: u32,
        /// Contents.
        data: Vec<u8>,
        /// Modification time.
        timestamp: Option<i64>,
    },
    /// Makes a directory, owned by root.
    MakeDir {
        /// Where.
        path: String,
        /// Permissions.
        mode: u32,
        /// Makes the directories above it too, and accepts that it exists.
        parents: bool,
        /// Modification time.
        timestamp: Option<i64>,
    },
    /// Removes a file or a whole directory.
    Remove {
        /// What.
        path: String,
        /// Accepts that it does not exist.
        allow_not_found: bool,
        /// Reads `*`, `?` and `[…]` in the path as patterns.
        allow_wildcard: bool,
    },
    /// Copies a file or a whole directory from another file system.
    Copy {
        /// From where.
        from: Src,
        /// Path there.
        src: String,
        /// Path here; with a `/` at its end it is a directory to copy into.
        dest: String,
        /// How.
        options: CopyOptions,
    },
    /// Makes a symbolic link, owned by root (since `BuildKit` 0.19).
    Symlink {
        /// What the link says: kept as it is.
        target: String,
        /// Where the link lies.
        path: String,
        /// Modification time.
        timestamp: Option<i64>,
    },
}

/// How a copy is made; the default copies exactly what is named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own on the wire"
)]
pub struct CopyOptions {
    /// Permissions; the source's without it.
    pub mode: Option<u32>,
    /// User and group numbers; the source's without it.
    pub owner: Option<(u32, u32)>,
    /// Modification time; the source's without it.
    pub timestamp: Option<i64>,
    /// Makes the directories above the destination.
    pub create_dest_path: bool,
    /// Copies what a directory holds instead of the directory.
    pub contents_only: bool,
    /// Copies what a link points at instead of the link.
    pub follow_symlinks: bool,
    /// Reads `*`, `?` and `[…]` in the source path as patterns.
    pub allow_wildcard: bool,
    /// Accepts that a pattern matches nothing.
    pub allow_empty_wildcard: bool,
    /// Copies only what matches one of these.
    pub include: Vec<String>,
    /// Copies nothing that matches one of these.
    pub exclude: Vec<String>,
}

impl Graph {
    /// Adds edits of `base`, made one after the other; a daemon refuses an empty list. They are one layer.
    pub fn file(&mut self, base: Src, actions: Vec<FileAction>) -> Out {
        let mut inputs = Inputs::default();
        let mut capabilities = BTreeSet::from([capability::FILE]);
        let base = inputs.share(base);
        let last = actions.len().saturating_sub(1);
        let mut actions: Vec<pb::FileAction> = actions
            .into_iter()
            .enumerate()
            .map(|(position, action)| {
                let secondary_input = match &action {
                    FileAction::Copy { from, .. } => inputs.share(*from),
                    _ => Inputs::NONE,
                };
                action.declare(&mut capabilities);
                pb::FileAction {
                    input: base,
                    secondary_input,
                    output: if position == last { 0 } else { i64::from(KEEP) },
                    action: Some(action.into_proto()),
                }
            })
            .collect();
        // Numbers from the count of inputs on stand for earlier actions, and the count is known only now.
        for (position, action) in actions.iter_mut().enumerate().skip(1) {
            action.input = number(inputs.len() + position - 1);
        }
        self.add(
            inputs.0,
            pb::op::Op::File(pb::FileOp { actions }),
            None,
            capabilities,
            false,
        )
    }
}

impl FileAction {
    fn declare(&self, capabilities: &mut BTreeSet<&'static str>) {
        match self {
            Self::Copy { options, .. }
                if !options.include.is_empty() || !options.exclude.is_empty() =>
            {
                capabilities.insert(capability::FILE_COPY_PATTERNS);
            }
            Self::Symlink { .. } => {
                capabilities.insert(capability::FILE_SYMLINK);
            }
            Self::MakeFile { .. }
            | Self::MakeDir { .. }
            | Self::Remove { .. }
            | Self::Copy { .. } => {}
        }
    }

    fn into_proto(self) -> pb::file_action::Action {
        use pb::file_action::Action;
        match self {
            Self::MakeFile {
                path,
                mode,
                data,
                timestamp,
            } => Action::Mkfile(pb::FileActionMkFile {
                path: absolute(&path),
                mode: permissions(mode),
                data,
                owner: None,
                timestamp: time(timestamp),
            }),
            Self::MakeDir {
                path,
                mode,
                parents,
                timestamp,
            } => Action::Mkdir(pb::FileActionMkDir {
                path: absolute(&path),
                mode: permissions(mode),
                make_parents: parents,
                owner: None,
                timestamp: time(timestamp),
            }),
            Self::Remove {
                path,
                allow_not_found,
                allow_wildcard,
            } => Action::Rm(pb::FileActionRm {
                path: absolute(&path),
                allow_not_found,
                allow_wildcard,
            }),
            Self::Copy {
                src, dest, options, ..
            } => Action::Copy(pb::FileActionCopy {
                src: absolute(&src),
                dest: destination(&dest),
                owner: options.owner.map(owner),
                mode: options.mode.map_or(i32::from(KEEP), permissions),
                follow_symlink: options.follow_symlinks,
                dir_copy_contents: options.contents_only,
                create_dest_path: options.create_dest_path,
                allow_wildcard: options.allow_wildcard,
                allow_empty_wildcard: options.allow_empty_wildcard,
                timestamp: time(options.timestamp),
                include_patterns: options.include,
                exclude_patterns: options.exclude,
                ..pb::FileActionCopy::default()
            }),
            Self::Symlink {
                target,
                path,
                timestamp,
            } => Action::Symlink(pb::FileActionSymlink {
                oldpath: target,
                newpath: absolute(&path),
                owner: None,
                timestamp: time(timestamp),
            }),
        }
    }
}

fn permissions(mode: u32) -> i32 {
    i32::try_from(mode & PERMISSIONS).expect("nine bits fit")
}

fn time(nanoseconds: Option<i64>) -> i64 {
    nanoseconds.unwrap_or(i64::from(KEEP))
}

fn owner((user, group): (u32, u32)) -> pb::ChownOpt {
    let by_id = |id| {
        Some(pb::UserOpt {
            user: Some(pb::user_opt::User::ById(id)),
        })
    };
    pb::ChownOpt {
        user: by_id(user),
        group: by_id(group),
    }
}

/// Resolves `.`, `..` and doubled slashes, from the root.
fn absolute(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// As [`absolute`], but keeps an end that says "into this directory".
fn destination(path: &str) -> String {
    let clean = absolute(path);
    let slash = if clean == "/" { "" } else { "/" };
    if path.ends_with("/.") {
        format!("{clean}{slash}.")
    } else if path.ends_with('/') {
        format!("{clean}{slash}")
    } else {
        clean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_start_at_the_root_and_cannot_leave_it() {
        for (path, wanted) in [
            ("", "/"),
            ("/", "/"),
            ("a", "/a"),
            ("/a//b/./c/", "/a/b/c"),
            ("/a/../../../b", "/b"),
            ("..", "/"),
            ("/a/.", "/a"),
        ] {
            assert_eq!(absolute(path), wanted, "{path}");
        }
    }

    #[test]
    fn a_destination_keeps_the_slash_that_makes_it_a_directory() {
        for (path, wanted) in [
            ("/a", "/a"),
            ("/a/", "/a/"),
            ("a//", "/a/"),
            ("/", "/"),
            ("/a/.", "/a/."),
            ("/.", "/."),
            (".", "/"),
        ] {
            assert_eq!(destination(path), wanted, "{path}");
        }
    }
}
