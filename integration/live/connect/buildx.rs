//! The daemons of docker buildx's builders.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use reseal_buildkit::ConnectOptions;

use super::{Programs, Side, assert_same, nothing_usual_is_there};

/// A client with two builders: `one` has a single node, `farm` a native node for each platform. `one` is the current one.
pub(super) struct Builders {
    pub(super) side: Side,
    program: PathBuf,
    /// Words between the program and its command.
    scope: &'static [&'static str],
}

impl Builders {
    /// As a plugin of docker.
    pub(super) fn of_docker(programs: &Programs) -> Self {
        Self::make(programs, "docker", &["buildx"])
    }

    /// Without docker.
    pub(super) fn alone(programs: &Programs) -> Self {
        Self::make(programs, "docker-buildx", &[])
    }

    fn make(programs: &Programs, program: &str, scope: &'static [&str]) -> Self {
        let program = programs.client(program);
        let mut side = Side::new(std::slice::from_ref(&program));
        let (config, plugins) = (side.path("docker"), side.path("docker/cli-plugins"));
        side.set("DOCKER_CONFIG", &config);
        if !scope.is_empty() {
            std::fs::create_dir_all(&plugins).unwrap();
            let plugin = programs.client("docker-buildx");
            symlink(plugin, format!("{plugins}/docker-buildx")).unwrap();
        }
        let this = Self {
            side,
            program,
            scope,
        };
        this.create(&["--name=one", "--use", &programs.new]);
        let (new, old) = (programs.new.as_str(), programs.old.as_str());
        this.add("farm", [("linux/amd64", new), ("linux/arm64", old)]);
        this
    }

    /// Makes a builder with a node for each of these platforms.
    pub(super) fn add(&self, name: &str, nodes: [(&str, &str); 2]) {
        let name = format!("--name={name}");
        for (number, (platform, daemon)) in nodes.into_iter().enumerate() {
            let platform = format!("--platform={platform}");
            let args = [name.as_str(), &platform, daemon, "--append"];
            self.create(&args[..3 + number]);
        }
    }

    fn create(&self, args: &[&str]) {
        let args = [self.scope, &["create", "--driver=remote"], args].concat();
        self.side.run(&self.program, &args);
    }

    /// Asserts that a platform's node is this daemon.
    async fn assert_node(&self, address: &str, platform: &str, daemon: &str) {
        let options = ConnectOptions {
            platform: Some(platform.to_owned()),
            ..self.side.options()
        };
        assert_same(address, &options, daemon).await;
    }
}

#[tokio::test]
async fn the_nodes_of_buildx_with_docker_and_without() {
    let Some(programs) = Programs::find() else {
        return;
    };
    for mut builders in [Builders::of_docker(&programs), Builders::alone(&programs)] {
        for address in ["buildx://one", "buildx://"] {
            builders.side.assert_reaches(address, &programs.new).await;
        }
        let farm = "buildx://farm";
        let (new, old) = (&programs.new, &programs.old);
        builders.assert_node(farm, "linux/amd64", new).await;
        builders.assert_node(farm, "linux/arm64", old).await;

        builders.side.set("BUILDX_BUILDER", "farm");
        builders.assert_node("buildx://", "linux/arm64", old).await;
        let words = ["no builder \"none\" found", "docker buildx ls"];
        builders.side.assert_refused("buildx://none", &words).await;
    }
}

#[tokio::test]
async fn buildx_is_found_by_itself_also_without_docker() {
    let Some(programs) = Programs::find().filter(|_| nothing_usual_is_there()) else {
        return;
    };
    for mut builders in [Builders::of_docker(&programs), Builders::alone(&programs)] {
        let side = &mut builders.side;
        let before = side
            .assert_finds("buildx://", "buildx's current builder")
            .await;
        assert_eq!(before, [""; 0], "docker without a dockerd is no news");

        side.set("BUILDX_BUILDER", "farm");
        let before = side.assert_finds("buildx://farm", "BUILDX_BUILDER").await;
        assert_eq!(before, [""; 0]);
    }
}

#[tokio::test]
async fn docker_without_the_plugin_is_told() {
    let Some(programs) = Programs::find() else {
        return;
    };
    let side = Side::new(&[programs.client("docker")]);
    let words = ["buildx", "install the buildx plugin"];
    side.assert_refused("buildx://one", &words).await;
}
