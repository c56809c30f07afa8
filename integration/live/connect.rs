//! Real daemons, reached in every way that there is.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod buildx;
mod container;
mod kube;
mod run;
mod ssh;
mod tls;

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use reseal_buildkit::{
    Address, Client, ConnectOptions, Connection, Environment, PrivateDaemon, PrivateOptions, dial,
    discover,
};
use tempfile::TempDir;

/// Returns what a variable of `integration/up.sh` says; tells when the test is skipped for want of it.
#[expect(clippy::print_stderr, reason = "a skipped test says why")]
fn server(name: &str) -> Option<String> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        eprintln!("skipped: {name} is not set");
    }
    value
}

/// The real programs and daemons that the other ways need.
struct Programs {
    clients: PathBuf,
    tools: PathBuf,
    new: String,
    old: String,
    docker: String,
    containerd: String,
}

impl Programs {
    fn find() -> Option<Self> {
        Some(Self {
            clients: server("RESEAL_IT_CLIENTS")?.into(),
            tools: server("RESEAL_IT_TOOLS")?.into(),
            new: server("RESEAL_IT_BUILDKIT_NEW")?,
            old: server("RESEAL_IT_BUILDKIT_OLD")?,
            docker: server("RESEAL_IT_DOCKER")?,
            containerd: server("RESEAL_IT_CONTAINERD")?,
        })
    }

    fn client(&self, name: &str) -> PathBuf {
        self.clients.join(name)
    }
}

/// A client's side: a folder of its own, with the only programs that are on its PATH, and the variables of its environment.
struct Side {
    folder: TempDir,
    vars: BTreeMap<String, String>,
}

impl Side {
    /// A folder with these programs on PATH.
    fn new(programs: &[PathBuf]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        for program in programs {
            assert!(program.exists(), "there is no {}", program.display());
            symlink(program, bin.join(program.file_name().unwrap())).unwrap();
        }
        let mut this = Self {
            folder,
            vars: BTreeMap::new(),
        };
        this.set("PATH", &bin.display().to_string());
        this.set("HOME", &this.path("").clone());
        // Not a dockerd that the machine has.
        this.set("DOCKER_HOST", "unix:///nonexistent/docker.sock");
        this
    }

    fn set(&mut self, name: &str, value: &str) {
        self.vars.insert(name.to_owned(), value.to_owned());
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    /// Puts a script on PATH.
    fn script(&self, name: &str, text: &str) {
        let path = self.write(&format!("bin/{name}"), &format!("#!/bin/sh\n{text}\n"));
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// Runs one of the programs, which must go well.
    fn run(&self, program: &Path, args: &[&str]) {
        let output = Command::new(program).args(args).envs(&self.vars).output();
        let output = output.unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        let program = program.display();
        assert!(output.status.success(), "{program} {args:?}: {words}");
    }

    fn options(&self) -> ConnectOptions {
        let changes: Vec<(&str, &str)> = self
            .vars
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        ConnectOptions {
            environment: environment(&changes),
            ..ConnectOptions::default()
        }
    }

    /// Asserts that an address reaches the daemon that another way also reaches.
    async fn assert_reaches(&self, address: &str, daemon: &str) {
        assert_same(address, &self.options(), daemon).await;
    }

    /// Connects in vain; returns the message and what to do about it. That must not take long.
    async fn refusal(&self, address: &str) -> String {
        let began = Instant::now();
        let error = dial(&address.parse().unwrap(), &self.options()).await;
        let error = error.map(|_| address).unwrap_err();
        assert!(began.elapsed() < Duration::from_secs(10), "{error}");
        assert!(error.to_string().contains(address), "{error}");
        format!("{error}; {}", error.hint().unwrap())
    }

    /// Asserts that a connection fails with each of these words in its message or hint.
    async fn assert_refused(&self, address: &str, words: &[&str]) {
        let text = self.refusal(address).await;
        for word in words {
            assert!(text.contains(word), "{word}: {text}");
        }
    }

    /// Searches for a daemon, as without any address, and asserts what is found. Returns the lines of the log.
    async fn assert_finds(&self, address: &str, why: &str) -> Vec<String> {
        let options = self.options();
        let mut log = Vec::new();
        let found = discover(&options.environment, &options, false, &mut |line| {
            log.push(line);
        })
        .await
        .unwrap();
        assert_eq!(found.address.to_string(), address);
        assert_can_patch(found.connection).await;
        let line = format!("using BuildKit at `{address}` ({why})");
        assert_eq!(log.pop(), Some(line));
        log
    }
}

/// Whether a search gets past the usual sockets, and not to a daemon of the machine's own; tells otherwise.
#[expect(clippy::print_stderr, reason = "a skipped test says why")]
fn nothing_usual_is_there() -> bool {
    let usual = [
        "/run/buildkit/buildkitd.sock",
        "/run/buildkit-default/buildkitd.sock",
    ];
    let found = usual.iter().find(|name| Path::new(name).exists());
    if let Some(name) = found {
        eprintln!("skipped: this machine has a daemon at {name}");
    }
    found.is_none()
}

/// Asserts that an address reaches a daemon that can patch, and the one that `daemon` reaches directly.
async fn assert_same(address: &str, options: &ConnectOptions, daemon: &str) {
    let connection = dial(&address.parse().unwrap(), options).await;
    let connection = connection.unwrap_or_else(|error| panic!("{error}; {:?}", error.hint()));
    let found = workers(connection.clone()).await;
    assert_can_patch(connection).await;
    let direct = dial(&daemon.parse().unwrap(), &ConnectOptions::default()).await;
    assert_eq!(found, workers(direct.unwrap()).await, "{address}");
}

/// The names that no two daemons share.
async fn workers(connection: Connection) -> Vec<String> {
    let workers = Client::new(connection).workers().await.unwrap();
    assert!(!workers.is_empty());
    workers.into_iter().map(|worker| worker.id).collect()
}

/// Asks the daemon for its version and its abilities.
async fn assert_can_patch(connection: Connection) {
    let client = Client::new(connection);
    assert!(
        client.info().await.unwrap().is_some(),
        "daemons since 0.11 tell their version"
    );
    let capabilities = client.capabilities().await.unwrap();
    for id in ["diffop", "mergeop"] {
        capabilities.supports(id).unwrap();
    }
}

/// This process's environment with other values for some names.
fn environment(changes: &[(&str, &str)]) -> Environment {
    let mut vars: BTreeMap<String, String> = std::env::vars().collect();
    for name in [
        "BUILDKIT_HOST",
        "BUILDX_BUILDER",
        "DOCKER_HOST",
        "DOCKER_CONTEXT",
    ] {
        vars.remove(name);
    }
    for (name, value) in changes {
        vars.insert((*name).to_owned(), (*value).to_owned());
    }
    Environment { vars, uid: 0 }
}

#[tokio::test]
async fn a_buildkitd_on_a_socket() {
    for name in ["RESEAL_IT_BUILDKIT_NEW", "RESEAL_IT_BUILDKIT_OLD"] {
        let Some(address) = server(name) else {
            continue;
        };
        let connection = dial(&address.parse().unwrap(), &ConnectOptions::default()).await;
        assert_can_patch(connection.unwrap()).await;
        let mut log = Vec::new();
        let environment = environment(&[("BUILDKIT_HOST", &address)]);
        let found = discover(
            &environment,
            &ConnectOptions::default(),
            true,
            &mut |line| log.push(line),
        )
        .await
        .unwrap();
        assert_eq!(found.address.to_string(), address);
        assert_eq!(
            log,
            [format!("using BuildKit at `{address}` (BUILDKIT_HOST)")]
        );
    }
}

#[tokio::test]
async fn the_buildkit_inside_dockerd() {
    let Some(host) = server("RESEAL_IT_DOCKER") else {
        return;
    };
    let address: Address = format!("docker://{host}").parse().unwrap();
    let connection = dial(&address, &ConnectOptions::default()).await.unwrap();
    assert_can_patch(connection).await;
    let options = ConnectOptions {
        environment: environment(&[("DOCKER_HOST", &host)]),
        ..ConnectOptions::default()
    };
    let connection = dial(&Address::Docker { host: None }, &options).await;
    assert_can_patch(connection.unwrap()).await;
}

#[tokio::test]
async fn a_private_buildkitd_serves_one_run_and_leaves_nothing_behind() {
    let Some(tools) = server("RESEAL_IT_TOOLS") else {
        return;
    };
    let temp = tempfile::tempdir().unwrap();
    let path = format!("{tools}:/usr/sbin:/usr/bin:/sbin:/bin");
    let options = PrivateOptions {
        environment: environment(&[
            ("PATH", &path),
            ("TMPDIR", &temp.path().display().to_string()),
        ]),
        ..PrivateOptions::default()
    };
    for by_drop in [false, true] {
        let (daemon, connection) = PrivateDaemon::start(&options).await.unwrap();
        assert_can_patch(connection.clone()).await;
        let began = Instant::now();
        if by_drop {
            // With the connection still open, as when a run is cancelled.
            drop(daemon);
        } else {
            drop(connection);
            daemon.shutdown().await;
        }
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "{:?}",
            began.elapsed()
        );
        assert!(std::fs::read_dir(temp.path()).unwrap().next().is_none());
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&temp.path().display().to_string()));
    }
}
