//! dpkg and apt: the plan as one exec with the image's own package manager.
//!
//! Names reach the container as a file, the script is a static file of ours (`apt.sh`), and the layer that comes
//! back holds what apt changed: indexes and archives lie in cache mounts.

use std::fmt::Write as _;

use reseal_llb::{
    Exec, FileAction, Graph, Mount, MountKind, Out, Platform, Proxy, RootFs, Sharing, Src,
};

use crate::model::{Mode, PlatformPlan};

/// The script; linted like every script of the project.
const SCRIPT: &str = include_str!("apt.sh");
/// What configures packages that were laid down; linted as well.
const CONFIGURE: &str = include_str!("configure.sh");
/// What apt calls to have packages out of the shared cache compared; linted as well.
const ARCHIVES: &str = include_str!("archives.sh");
/// Settings that the script adds to the image's own.
const SETTINGS: &str = include_str!("apt.conf");
/// What stands in the way of services that maintainer scripts would start; 101 is policy-rc.d's "not allowed".
const POLICY: &str = "#!/bin/sh\nexit 101\n";

/// Exit codes of `apt.sh`, as its head lists them.
pub mod exit {
    /// The image has no apt.
    pub const NO_APT: i32 = 91;
    /// The indexes could not be updated.
    pub const UPDATE: i32 = 92;
    /// The upgrade failed.
    pub const UPGRADE: i32 = 93;
    /// Packages are left half installed.
    pub const BROKEN: i32 = 94;
    /// Packages that were laid down could not be configured.
    pub const CONFIGURE: i32 = 95;
}

/// Adds the exec that carries the plan out, and returns the root file system after it.
pub(crate) fn upgrade(
    graph: &mut Graph,
    base: Out,
    plan: &PlatformPlan,
    platform: &Platform,
    env: Vec<(String, String)>,
    proxy: Option<Proxy>,
    cache_scope: &str,
) -> Option<Out> {
    let inputs = inputs(graph, plan);
    let cache = |name: &str| MountKind::Cache {
        id: format!("reseal/apt/{name}/{cache_scope}"),
        sharing: Sharing::Locked,
    };
    let script = ["/bin/sh", "/run/reseal/in/apt.sh", mode(plan)];
    let exec = graph.exec(Exec {
        env,
        mounts: vec![
            mount("/run/reseal/in", part_of(inputs, "/in")),
            mount("/usr/sbin/policy-rc.d", part_of(inputs, "/policy-rc.d")),
            mount("/var/lib/apt/lists", cache("lists")),
            mount("/var/cache/apt", MountKind::Tmpfs { size: None }),
            mount("/var/cache/apt/archives", cache("archives")),
        ],
        proxy,
        ..Exec::new(script, RootFs::Writable(base), platform)
    });
    let root = exec.root()?;
    graph.describe(root, &format!("[{}] upgrade packages", plan.platform));
    Some(root)
}

/// Adds the exec that configures packages which are unpacked in `root`, and returns the root file system after it.
pub(crate) fn configure(
    graph: &mut Graph,
    root: Out,
    platform: &Platform,
    name: &str,
    proxy: Option<Proxy>,
) -> Option<Out> {
    let files = graph.file(
        Src::Scratch,
        vec![
            make_dir("/in"),
            make_file("/in/configure.sh", 0o755, CONFIGURE),
            make_file("/policy-rc.d", 0o755, POLICY),
        ],
    );
    graph.describe(files, &format!("[{name}] lay out the scripts"));
    let script = ["/bin/sh", "/run/reseal/in/configure.sh"];
    let exec = graph.exec(Exec {
        env: environment(None),
        mounts: vec![
            mount("/run/reseal/in", part_of(files, "/in")),
            mount("/usr/sbin/policy-rc.d", part_of(files, "/policy-rc.d")),
        ],
        proxy,
        ..Exec::new(script, RootFs::Writable(root), platform)
    });
    let after = exec.root()?;
    graph.describe(after, &format!("[{name}] configure packages"));
    Some(after)
}

fn mount(dest: &str, kind: MountKind) -> Mount {
    Mount {
        dest: dest.to_owned(),
        kind,
    }
}

/// A file or folder of `from`, to be read.
fn part_of(from: Out, selector: &str) -> MountKind {
    MountKind::Bind {
        from: Src::From(from),
        readonly: true,
        output: false,
        selector: Some(selector.to_owned()),
    }
}

fn mode(plan: &PlatformPlan) -> &'static str {
    match plan.mode {
        Mode::Report => "report",
        Mode::All => "all",
    }
}

fn inputs(graph: &mut Graph, plan: &PlatformPlan) -> Out {
    let out = graph.file(
        Src::Scratch,
        vec![
            make_dir("/in"),
            make_file("/in/apt.sh", 0o755, SCRIPT),
            make_file("/in/archives.sh", 0o755, ARCHIVES),
            make_file("/in/apt.conf", 0o644, SETTINGS),
            make_file("/in/packages", 0o644, &packages(plan)),
            make_file("/policy-rc.d", 0o755, POLICY),
        ],
    );
    graph.describe(out, &format!("[{}] lay out the plan", plan.platform));
    out
}

fn make_dir(path: &str) -> FileAction {
    FileAction::MakeDir {
        path: path.to_owned(),
        mode: 0o755,
        parents: false,
        timestamp: Some(0),
    }
}

fn make_file(path: &str, mode: u32, data: &str) -> FileAction {
    FileAction::MakeFile {
        path: path.to_owned(),
        mode,
        data: data.as_bytes().to_vec(),
        timestamp: Some(0),
    }
}

/// One `name:architecture` a line. The architecture also keeps apt from reading a trailing `-` as "remove".
fn packages(plan: &PlatformPlan) -> String {
    plan.packages
        .iter()
        .fold(String::new(), |mut text, package| {
            let _ = writeln!(text, "{}:{}", package.name, package.architecture);
            text
        })
}

/// The environment of the exec: nothing may ask, nothing may depend on a locale, nothing of it enters the image.
///
/// `freshness` is for what depends on a repository: a new value runs it again.
pub(crate) fn environment(freshness: Option<&str>) -> Vec<(String, String)> {
    let fixed = [
        (
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ),
        ("HOME", "/root"),
        ("LC_ALL", "C"),
        ("DEBIAN_FRONTEND", "noninteractive"),
        ("DEBCONF_NONINTERACTIVE_SEEN", "true"),
        ("APT_LISTCHANGES_FRONTEND", "none"),
        ("NEEDRESTART_MODE", "l"),
        ("UCF_FORCE_CONFFOLD", "1"),
    ];
    let freshness = freshness.map(|value| ("RESEAL_FRESHNESS", value));
    fixed
        .into_iter()
        .chain(freshness)
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
