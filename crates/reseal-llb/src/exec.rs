//! The operation that runs a process; `lower` turns it into what is sent.

mod lower;

use std::fmt;

use crate::{Out, Platform, Src};

const ROOT: &str = "/";

/// A process to run, and what it sees.
///
/// Environment and arguments are part of the daemon's cache key; proxies and descriptions are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    /// Program and arguments; a daemon refuses an empty list.
    pub args: Vec<String>,
    /// Names and values, in the order in which they are passed. Nothing comes from the image's configuration.
    pub env: Vec<(String, String)>,
    /// Working directory; empty for `/`.
    pub cwd: String,
    /// User name or number, optionally `:group`; empty for root, whatever the image says.
    pub user: String,
    /// The root file system.
    pub root: RootFs,
    /// Everything else that is mounted; the order does not matter.
    pub mounts: Vec<Mount>,
    /// What network the process gets.
    pub network: Network,
    /// Proxies in the process's environment.
    pub proxy: Option<Proxy>,
    /// Additional host names and their addresses.
    pub hosts: Vec<(String, String)>,
    /// Platform to run for.
    pub platform: Platform,
    /// Runs even when the result is known. **Empties every cache mount of the process first**: for fresh results put a
    /// token into `env` instead.
    pub ignore_cache: bool,
    /// Removes the directories that were made as mount points (since `BuildKit` 0.11, ignored before).
    pub remove_mount_stubs: bool,
    /// Exit codes that count as success; empty for 0 alone.
    pub valid_exit_codes: Vec<i32>,
    /// Resource limits.
    pub ulimits: Vec<Ulimit>,
}

impl Exec {
    /// Returns a process with nothing but a root file system, in `/`, as root, with the daemon's default network.
    pub fn new<S: Into<String>>(
        args: impl IntoIterator<Item = S>,
        root: RootFs,
        platform: &Platform,
    ) -> Self {
        Self {
            args: args.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            cwd: ROOT.to_owned(),
            user: String::new(),
            root,
            mounts: Vec::new(),
            network: Network::Default,
            proxy: None,
            hosts: Vec::new(),
            platform: platform.clone(),
            ignore_cache: false,
            remove_mount_stubs: true,
            valid_exit_codes: Vec::new(),
            ulimits: Vec::new(),
        }
    }
}

/// The root file system of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootFs {
    /// What the process writes is an output.
    Writable(Out),
    /// Writing fails.
    ReadOnly(Out),
}

/// Something mounted below the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Absolute path, each used once.
    pub dest: String,
    /// What is mounted.
    pub kind: MountKind,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountKind {
    /// Another file system, or an empty one.
    Bind {
        /// Which one.
        from: Src,
        /// Writing fails; then there is no output.
        readonly: bool,
        /// What is written becomes an output; otherwise it is thrown away.
        output: bool,
        /// Mounts only this path of it.
        selector: Option<String>,
    },
    /// Memory, gone afterwards.
    Tmpfs {
        /// Bytes; without it the daemon's default applies.
        size: Option<u64>,
    },
    /// A directory that the daemon keeps between processes and never puts into a result.
    Cache {
        /// Name, shared by everybody who uses the daemon: put a prefix of your own before it.
        id: String,
        /// Who may use it at the same time.
        sharing: Sharing,
    },
    /// A file that the client's session provides and that never enters a result.
    Secret {
        /// Name in the session.
        id: String,
        /// Permissions, such as `0o400`.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Runs without it when the session has none.
        optional: bool,
    },
}

/// Who may use a cache mount at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Everybody.
    Shared,
    /// One process; another gets a directory of its own.
    Private,
    /// One process; another waits.
    Locked,
}

/// The network of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Network {
    /// The daemon's own for builds, with a way out.
    #[default]
    Default,
    /// The daemon's host's; needs the entitlement `network.host` on both sides.
    Host,
    /// None.
    None,
}

/// Proxies in the environment of a process, under upper- and lower-case names; empty ones are unset.
///
/// They reach the process only: not the image, not the cache key. They are in the definition, though, so its bytes must
/// not be logged when a proxy's address holds a password. `Debug` does not show them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxy {
    /// `http_proxy`
    pub http: String,
    /// `https_proxy`
    pub https: String,
    /// `ftp_proxy`
    pub ftp: String,
    /// `no_proxy`
    pub no: String,
    /// `all_proxy`
    pub all: String,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |value: &str| if value.is_empty() { "" } else { "****" };
        f.debug_struct("Proxy")
            .field("http", &hidden(&self.http))
            .field("https", &hidden(&self.https))
            .field("ftp", &hidden(&self.ftp))
            .field("no", &self.no)
            .field("all", &hidden(&self.all))
            .finish()
    }
}

/// A resource limit of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ulimit {
    /// Name, such as `nofile`.
    pub name: String,
    /// What applies.
    pub soft: i64,
    /// How far the process may raise it.
    pub hard: i64,
}

/// The outputs of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecOut {
    outputs: Vec<(String, Out)>,
}

impl ExecOut {
    /// Returns the root file system afterwards; `None` when it was read-only.
    pub fn root(&self) -> Option<Out> {
        self.mount(ROOT)
    }

    /// Returns what was written to the mount at `dest`; `None` when that is no output.
    pub fn mount(&self, dest: &str) -> Option<Out> {
        self.outputs
            .iter()
            .find(|(path, _)| path == dest)
            .map(|(_, out)| *out)
    }
}
