//! dpkg and apt: the plan as one exec with the image's own package manager.
//!
//! Names reach the container as a file, the script is a static file of ours (`apt.sh`), and the layer that comes
//! back holds what apt changed: indexes and archives lie in cache mounts.

use std::fmt::Write as _;

use reseal_llb::{
    Exec, FileAction, Graph, Mount, MountKind, Network, Out, Platform, Proxy, RootFs, Sharing, Src,
};

use crate::model::{Mode, PlatformPlan};

/// The script; linted like every script of the project.
const SCRIPT: &str = include_str!("apt.sh");
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
    let file = |selector: &str| MountKind::Bind {
        from: Src::From(inputs),
        readonly: true,
        output: false,
        selector: Some(selector.to_owned()),
    };
    let mount = |dest: &str, kind| Mount {
        dest: dest.to_owned(),
        kind,
    };
    let exec = graph.exec(Exec {
        args: ["/bin/sh", "/run/reseal/in/apt.sh", mode(plan)]
            .map(str::to_owned)
            .to_vec(),
        env,
        cwd: "/".to_owned(),
        user: String::new(),
        root: RootFs::Writable(base),
        mounts: vec![
            mount("/run/reseal/in", file("/in")),
            mount("/usr/sbin/policy-rc.d", file("/policy-rc.d")),
            mount("/var/lib/apt/lists", cache("lists")),
            mount("/var/cache/apt", MountKind::Tmpfs { size: None }),
            mount("/var/cache/apt/archives", cache("archives")),
        ],
        network: Network::Default,
        proxy,
        hosts: Vec::new(),
        platform: platform.clone(),
        ignore_cache: false,
        remove_mount_stubs: true,
        valid_exit_codes: Vec::new(),
        ulimits: Vec::new(),
    });
    let root = exec.root()?;
    graph.describe(root, &format!("[{}] upgrade packages", plan.platform));
    Some(root)
}

fn mode(plan: &PlatformPlan) -> &'static str {
    match plan.mode {
        Mode::Report => "report",
        Mode::All => "all",
    }
}

fn inputs(graph: &mut Graph, plan: &PlatformPlan) -> Out {
    let make = |path: &str, mode, data: &str| FileAction::MakeFile {
        path: path.to_owned(),
        mode,
        data: data.as_bytes().to_vec(),
        timestamp: Some(0),
    };
    let out = graph.file(
        Src::Scratch,
        vec![
            FileAction::MakeDir {
                path: "/in".to_owned(),
                mode: 0o755,
                parents: false,
                timestamp: Some(0),
            },
            make("/in/apt.sh", 0o755, SCRIPT),
            make("/in/apt.conf", 0o644, SETTINGS),
            make("/in/packages", 0o644, &packages(plan)),
            make("/policy-rc.d", 0o755, POLICY),
        ],
    );
    graph.describe(out, &format!("[{}] lay out the plan", plan.platform));
    out
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
pub(crate) fn environment(freshness: &str) -> Vec<(String, String)> {
    [
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
        ("RESEAL_FRESHNESS", freshness),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}
