//! What goes wrong on real servers: each fault has its own exit code, and leaves no tag and no file behind.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::site::{Site, text};

/// The longest that a run may take to end once it was told to, or lost its daemon.
const SOON: Duration = Duration::from_secs(20);

/// A run of the binary with its progress as JSON lines.
struct Running {
    child: Child,
    lines: BufReader<std::process::ChildStderr>,
    seen: String,
}

impl Running {
    fn start(args: &[&str], vars: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_reseal"))
            .args(args)
            .args(["--progress", "rawjson"])
            .env_remove("DOCKER_CONFIG")
            .envs(vars.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("reseal starts");
        let lines = BufReader::new(child.stderr.take().expect("it was asked for"));
        Self {
            child,
            lines,
            seen: String::new(),
        }
    }

    /// Waits for the package manager's own words.
    fn wait_for_the_package_manager(&mut self) {
        loop {
            let start = self.seen.len();
            let read = self.lines.read_line(&mut self.seen).expect("text");
            assert!(read > 0, "the run ended too early: {}", self.seen);
            let event: Value = serde_json::from_str(&self.seen[start..]).unwrap_or_default();
            if event["event"] == "log" {
                return;
            }
        }
    }

    /// Waits for the end and returns the exit code.
    fn end(mut self) -> (Option<i32>, String) {
        let begin = Instant::now();
        self.lines
            .read_to_string(&mut self.seen)
            .expect("text to the end");
        let status = self.child.wait().expect("it ends");
        assert!(begin.elapsed() < SOON, "it took {:?}", begin.elapsed());
        (status.code(), self.seen)
    }
}

fn signal(name: &str, process: u32) {
    let done = Command::new("kill")
        .args([&format!("-{name}"), &process.to_string()])
        .status()
        .expect("kill starts");
    assert!(done.success());
}

fn no_tag(site: &Site, image: &str, tag: &str) {
    let repository = image.rsplit_once(':').expect("a tag").0;
    let tags = text(&site.crane(&["ls", repository]));
    assert!(!tags.lines().any(|one| one == tag), "{tags}");
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).expect("a folder").next().is_none()
}

#[test]
fn ctrl_c_ends_the_run_with_130_and_leaves_nothing() {
    let Some(site) = Site::open() else { return };
    let image = site.get("IMAGE_BULLSEYE");
    let folder = tempfile::tempdir().expect("a folder");
    let temporary = folder.path().to_string_lossy();
    let vars = [
        ("BUILDKIT_HOST", site.get("BUILDKIT_NEW")),
        ("TMPDIR", &temporary),
    ];
    let mut run = Running::start(&["patch", image, "--no-cache", "-t", "live-ctrl-c"], &vars);
    run.wait_for_the_package_manager();
    signal("INT", run.child.id());
    let (code, said) = run.end();
    assert_eq!(code, Some(130), "{said}");
    assert!(is_empty(folder.path()), "temporary files are removed");
    no_tag(&site, image, "live-ctrl-c");
}

/// A daemon of this test alone, killed with it.
struct Daemon(Child, tempfile::TempDir);

impl Daemon {
    fn start(site: &Site) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let registry = site.get("REGISTRY");
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs::write(
            path("buildkitd.toml"),
            format!("[registry.\"{registry}\"]\n  http = true\n"),
        )
        .expect("written");
        let child = Command::new(Path::new(site.get("TOOLS")).join("buildkitd"))
            .args(["--config", &path("buildkitd.toml"), "--root", &path("root")])
            .args(["--addr", &format!("unix://{}", path("socket"))])
            .args(["--containerd-worker=false"])
            // It mounts there too, and is killed in the middle.
            .env("TMPDIR", folder.path())
            .stderr(Stdio::null())
            .spawn()
            .expect("buildkitd starts");
        let daemon = Self(child, folder);
        let begin = Instant::now();
        while !daemon.1.path().join("socket").exists() {
            assert!(begin.elapsed() < SOON, "buildkitd did not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        daemon
    }

    fn address(&self) -> String {
        format!("unix://{}", self.1.path().join("socket").display())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        // What it had started and mounted goes with it.
        let folder = self.1.path().display().to_string();
        let _ = Command::new("pkill")
            .args(["-KILL", "-f", &folder])
            .status();
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let places = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        // One mount may lie in another.
        for place in places.rev().filter(|place| place.starts_with(&folder)) {
            let _ = Command::new("umount").args(["-l", place]).status();
        }
    }
}

#[test]
fn a_daemon_killed_in_mid_solve_is_a_failed_solve() {
    let Some(site) = Site::open() else { return };
    let image = site.get("IMAGE_BULLSEYE");
    let daemon = Daemon::start(&site);
    let address = daemon.address();
    let args = ["patch", image, "--addr", &address, "-t", "live-killed"];
    let mut run = Running::start(&args, &[]);
    run.wait_for_the_package_manager();
    signal("KILL", daemon.0.id());
    let (code, said) = run.end();
    assert_eq!(code, Some(22), "{said}");
    no_tag(&site, image, "live-killed");
}

/// Puts a copy of an image with one more layer, holding `path`, into the registry.
fn with_file(site: &Site, image: &str, tag: &str, path: &str, contents: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("root").join(path);
    fs::create_dir_all(file.parent().expect("a parent")).expect("folders");
    fs::write(&file, contents).expect("written");
    let layer = folder.path().join("layer.tar");
    let done = Command::new("tar")
        .arg("cf")
        .arg(&layer)
        .arg("-C")
        .arg(folder.path().join("root"))
        .arg(path)
        .status()
        .expect("tar starts");
    assert!(done.success());
    let repository = image.rsplit_once(':').expect("a tag").0;
    let target = format!("{repository}-{tag}:1");
    site.append(image, "linux/amd64", &layer, &target);
    target
}

#[test]
fn packages_that_cannot_be_fetched_are_named_with_12() {
    let Some(site) = Site::open() else { return };
    let source = "deb http://127.0.0.1:1/debian bullseye main\n";
    let image = with_file(
        &site,
        site.get("IMAGE_BULLSEYE"),
        "no-mirror",
        "etc/apt/sources.list",
        source,
    );
    let output = site.reseal(&["patch", &image, "-t", "live-no-mirror"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(12), "{said}");
    assert!(said.contains("127.0.0.1:1"), "apt's own words: {said}");
    no_tag(&site, &image, "live-no-mirror");
}

#[test]
fn an_image_that_names_no_repository_is_not_taken_for_up_to_date() {
    let Some(site) = Site::open() else { return };
    let image = with_file(
        &site,
        site.get("IMAGE_BULLSEYE"),
        "no-sources",
        "etc/apt/sources.list",
        "# deb http://127.0.0.1:1/debian bullseye main\ndeb-src http://127.0.0.1:1/debian bullseye main\n",
    );
    for engine in ["native", "buildkit"] {
        let args = [
            "--engine",
            engine,
            "--tag-unchanged",
            "-t",
            "live-no-sources",
        ];
        let output = site.reseal(&[&["patch", &image][..], &args].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(12), "{engine}: {said}");
        let why = "the image names no package repository";
        assert!(said.contains(why), "{engine}: {said}");
        no_tag(&site, &image, "live-no-sources");
    }
}

#[test]
fn an_image_without_a_package_database_is_refused_with_12() {
    let Some(site) = Site::open() else { return };
    let image = with_file(
        &site,
        site.get("IMAGE_BULLSEYE"),
        "no-database",
        "var/lib/dpkg/.wh.status",
        "",
    );
    let output = site.reseal(&["patch", &image, "-t", "live-no-database"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(12), "{said}");
    assert!(said.contains("/var/lib/dpkg/status"), "{said}");
}

#[test]
fn a_platform_that_nothing_runs_is_named_with_21_and_its_remedies() {
    let Some(site) = Site::open() else { return };
    let image = site.get("IMAGE_BULLSEYE");
    let repository = image.rsplit_once(':').expect("a tag").0;
    let target = format!("{repository}-s390x:1");
    site.crane(&[
        "mutate",
        image,
        "--set-platform",
        "linux/s390x",
        "-t",
        &target,
    ]);
    let output = site.reseal(&["patch", &target, "--engine", "buildkit", "-t", "live-never"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(21), "{said}");
    assert!(
        said.contains("linux/s390x") && said.contains("--addr linux/s390x="),
        "{said}"
    );
}

#[test]
fn a_full_disk_is_named_with_the_variable_that_moves_the_files() {
    let Some(site) = Site::open() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let small = folder.path().display().to_string();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs", &small])
        .status()
        .expect("mount starts");
    assert!(mounted.success());
    let vars = [
        ("BUILDKIT_HOST", site.get("BUILDKIT_NEW")),
        ("TMPDIR", small.as_str()),
    ];
    let image = site.get("IMAGE_BULLSEYE");
    let output = Site::run(&["patch", image, "-t", "live-full"], &vars);
    let left = is_empty(folder.path());
    let _ = Command::new("umount").arg(&small).status();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(22), "{said}");
    assert!(said.contains("TMPDIR"), "{said}");
    assert!(left, "what was begun is removed");
    no_tag(&site, image, "live-full");
}
