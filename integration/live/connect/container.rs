//! Daemons in containers, reached by `docker exec`, `podman exec` and `nerdctl exec`.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Programs, Side, nothing_usual_is_there};

/// A container that holds nothing but buildctl and the socket of the real daemon.
pub(super) struct Container {
    pub(super) side: Side,
    name: String,
    program: PathBuf,
    /// Words between the program and its command.
    scope: Vec<String>,
    /// Commands that take away what is left once the container is removed.
    last: Vec<Vec<String>>,
    /// The control group in which the program keeps its containers, if it is left behind.
    group: Option<String>,
}

/// Where podman writes the number of the process that keeps the container. It cleans up a moment after the container is gone, in
/// the folder that is to be removed.
const KEEPER: &str = "conmon.pid";

/// A name that nobody else uses.
fn own_name() -> String {
    format!("reseal-live-{}", std::process::id())
}

impl Container {
    pub(super) fn in_docker(programs: &Programs) -> Self {
        let mut this = Self::new(programs, "docker", &own_name(), &[]);
        this.side.set("DOCKER_HOST", &programs.docker);
        let tar = this.side.path("root.tar");
        let root = this.side.path("root");
        this.side
            .run("/usr/bin/tar".as_ref(), &["-C", &root, "-cf", &tar, "."]);
        let image = this.name.clone();
        this.call(&["import", &tar, &image]);
        this.last = vec![vec!["rmi".to_owned(), "--force".to_owned(), image.clone()]];
        this.start(&programs.new, &[&image]);
        this
    }

    /// With storage, state and settings of its own.
    pub(super) fn in_podman(programs: &Programs, name: &str) -> Self {
        let mut this = Self::new(programs, "podman", name, &[]);
        let folder = this.side.path("podman");
        let storage = format!(
            "[storage]\ndriver = \"vfs\"\ngraphroot = \"{folder}/storage\"\nrunroot = \"{folder}/run\"\n"
        );
        // Limits that need no right to raise them; locks in files, where others would stay in /dev/shm.
        let settings = format!(
            r#"[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "none"
[engine]
cgroup_manager = "cgroupfs"
conmon_path = ["{conmon}"]
events_logger = "none"
lock_type = "file"
runtime = "runc"
static_dir = "{folder}/static"
tmp_dir = "{folder}/tmp"
volume_path = "{folder}/volumes"
[network]
network_config_dir = "{folder}/network"
"#,
            conmon = programs.client("conmon").display()
        );
        let (storage, settings) = (
            this.side.write("storage.conf", &storage),
            this.side.write("containers.conf", &settings),
        );
        this.side.set("CONTAINERS_STORAGE_CONF", &storage);
        this.side.set("CONTAINERS_CONF", &settings);
        this.group = Some("libpod_parent".to_owned());
        let root = this.side.path("root");
        let keeper = format!("--conmon-pidfile={}", this.side.path(KEEPER));
        this.start(&programs.new, &[&keeper, "--rootfs", &root]);
        this
    }

    /// In a namespace of the containerd that serves dockerd.
    pub(super) fn in_nerdctl(programs: &Programs, namespace: &str, name: &str) -> Self {
        let scope = ["--namespace", namespace];
        let mut this = Self::new(programs, "nerdctl", name, &scope);
        let settings = format!(
            "address = \"{}\"\ndata_root = \"{}\"\ncni_netconfpath = \"{}\"\ncgroup_manager = \"cgroupfs\"\n",
            programs.containerd,
            this.side.path("data"),
            this.side.path("network")
        );
        let settings = this.side.write("nerdctl.toml", &settings);
        this.side.set("NERDCTL_TOML", &settings);
        this.last = vec![["namespace", "rm", namespace].map(str::to_owned).to_vec()];
        this.group = Some(namespace.to_owned());
        let root = this.side.path("root");
        this.start(&programs.new, &["--rootfs", &root]);
        this
    }

    /// Makes the root folder; nothing is started yet.
    fn new(programs: &Programs, program: &str, name: &str, scope: &[&str]) -> Self {
        let side = Side::new(&[programs.client(program), "/usr/sbin/runc".into()]);
        std::fs::create_dir_all(side.path("root/bin")).unwrap();
        std::fs::copy(
            programs.tools.join("buildctl"),
            side.path("root/bin/buildctl"),
        )
        .unwrap();
        Self {
            side,
            name: name.to_owned(),
            program: programs.client(program),
            scope: scope.iter().map(|word| (*word).to_owned()).collect(),
            last: Vec::new(),
            group: None,
        }
    }

    fn start(&self, daemon: &str, image: &[&str]) {
        let socket = daemon.strip_prefix("unix://").unwrap();
        let name = format!("--name={}", self.name);
        let volume = format!("--volume={socket}:/run/buildkit/buildkitd.sock");
        let options = ["run", "--detach", "--network=none", "--env=PATH=/bin"];
        // A command that goes on by itself.
        let command = ["buildctl", "debug", "monitor"];
        self.call(&[&options, &[name.as_str(), &volume][..], image, &command].concat());
    }

    fn call(&self, args: &[&str]) {
        let scope: Vec<&str> = self.scope.iter().map(String::as_str).collect();
        self.side.run(&self.program, &[&scope[..], args].concat());
    }

    fn stop(&self) {
        self.call(&["stop", "--time=0", &self.name]);
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let remove = ["rm", "--force", &self.name].map(str::to_owned).to_vec();
        for args in std::iter::once(&remove).chain(&self.last) {
            let _ = std::process::Command::new(&self.program)
                .args(&self.scope)
                .args(args)
                .envs(&self.side.vars)
                .output();
        }
        if let Ok(pid) = std::fs::read_to_string(self.side.path(KEEPER)) {
            wait_for_end(pid.trim());
        }
        if let Some(group) = &self.group {
            remove_group(group);
        }
    }
}

/// Waits for a process that is nobody's child here. Its parent may never ask how it ended.
fn wait_for_end(pid: &str) {
    let end = Instant::now() + Duration::from_secs(10);
    let runs = || {
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|words| !words.contains(") Z "))
    };
    while runs() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Removes an empty control group, in the one hierarchy or in each of several.
fn remove_group(name: &str) {
    let root = Path::new("/sys/fs/cgroup");
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    for hierarchy in entries.map(|entry| entry.path()).chain([root.to_owned()]) {
        let _ = std::fs::remove_dir(hierarchy.join(name).join("conmon"));
        let _ = std::fs::remove_dir(hierarchy.join(name));
    }
}

#[tokio::test]
async fn a_buildkitd_behind_docker_exec() {
    let Some(programs) = Programs::find() else {
        return;
    };
    let container = Container::in_docker(&programs);
    let side = &container.side;
    let address = format!("docker-container://{}", container.name);
    side.assert_reaches(&address, &programs.new).await;

    container.stop();
    let words = ["is not running", "start the container", "`docker start"];
    side.assert_refused(&address, &words).await;
    let words = ["No such container", "`docker ps -a`"];
    side.assert_refused("docker-container://reseal-no-such", &words)
        .await;
}

#[tokio::test]
async fn a_buildkitd_behind_podman_exec() {
    let Some(programs) = Programs::find() else {
        return;
    };
    let container = Container::in_podman(&programs, "buildkitd");
    let side = &container.side;
    let address = "podman-container://buildkitd";
    side.assert_reaches(address, &programs.new).await;

    container.stop();
    let words = ["running containers", "start the container", "`podman start"];
    side.assert_refused(address, &words).await;
    let words = ["no container with name", "`podman ps -a`"];
    side.assert_refused("podman-container://reseal-no-such", &words)
        .await;
}

#[tokio::test]
async fn a_buildkitd_behind_nerdctl_exec_in_a_namespace() {
    let Some(programs) = Programs::find() else {
        return;
    };
    let name = own_name();
    let container = Container::in_nerdctl(&programs, &name, &name);
    let side = &container.side;
    let address = format!("nerdctl-container://{name}?namespace={name}");
    side.assert_reaches(&address, &programs.new).await;

    let elsewhere = format!("nerdctl-container://{name}");
    let words = ["no such container", "`nerdctl ps -a`", "namespace"];
    side.assert_refused(&elsewhere, &words).await;
    container.stop();
    let words = ["stopped state", "start the container", "`nerdctl start"];
    side.assert_refused(&address, &words).await;
}

#[tokio::test]
async fn containers_with_the_usual_name_are_found() {
    let Some(programs) = Programs::find().filter(|_| nothing_usual_is_there()) else {
        return;
    };
    let podman = Container::in_podman(&programs, "buildkitd");
    let nerdctl = Container::in_nerdctl(&programs, "default", "buildkitd");
    // Docker is there, and has no such container.
    for container in [&podman, &nerdctl] {
        let docker = container.side.path("bin/docker");
        symlink(programs.client("docker"), docker).unwrap();
    }
    for (container, address) in [
        (podman, "podman-container://buildkitd"),
        (nerdctl, "nerdctl-container://buildkitd"),
    ] {
        let why = "container with the usual name";
        let before = container.side.assert_finds(address, why).await;
        assert_eq!(before, [""; 0], "nothing else was there");
    }
}
