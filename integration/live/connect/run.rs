//! The built binary over each of the ways that are child processes.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::site::{Site, digest, text};

use super::buildx::Builders;
use super::container::Container;
use super::kube::{Cluster, POD};
use super::ssh::{Sshd, remote_path};
use super::{Programs, Side, nothing_usual_is_there};

type Vars = BTreeMap<String, String>;

fn pairs(vars: &Vars) -> Vec<(&str, &str)> {
    let pairs = vars.iter();
    pairs.map(|(name, value)| (&**name, &**value)).collect()
}

/// What `reseal doctor` says of a check by this name; all of them must be well.
fn doctor(args: &[&str], vars: &Vars, check: &str) -> String {
    let args = [&["doctor", "--format", "json"], args].concat();
    let output = Site::run(&args, &pairs(vars));
    let words = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {words}");
    let document: Value = serde_json::from_str(&words).unwrap();
    let checks = document["checks"].as_array().unwrap();
    let found = checks.iter().find(|found| found["name"] == check);
    found.unwrap()["detail"].as_str().unwrap().to_owned()
}

/// An image with what is to be done to it.
struct Job<'s>(Vec<&'s str>);

impl<'s> Job<'s> {
    fn new(site: &'s Site, name: &str, platforms: &[&str], packages: &'s str) -> Self {
        let mut args = vec![site.get(&format!("IMAGE_{name}"))];
        for platform in platforms {
            args.extend(["-r", site.get(&format!("REPORT_{name}_{platform}"))]);
        }
        args.extend(["--package", packages, "--severity", "all", "--gate", "none"]);
        args.extend(["--engine", "buildkit"]);
        Self(args)
    }

    /// The digest of the patched image, made by the daemons at these addresses.
    fn patched(&self, addresses: &[&str], vars: &Vars) -> String {
        let mut args = self.0.clone();
        for address in addresses {
            args.extend(["--addr", address]);
        }
        let result = Site::patched(&args, &pairs(vars));
        assert_eq!(result["outcome"], "patched", "{addresses:?}");
        digest(&result).to_owned()
    }
}

#[test]
fn a_patch_has_the_same_digest_whatever_way_the_daemon_is_reached() {
    let (Some(site), Some(programs)) = (Site::open(), Programs::find()) else {
        return;
    };
    let sshd = Sshd::start(&programs, &remote_path(&programs));
    let podman = Container::in_podman(&programs, "buildkitd");
    let namespace = format!("reseal-run-{}", std::process::id());
    let nerdctl = Container::in_nerdctl(&programs, &namespace, "buildkitd");
    let cluster = Cluster::start(&programs);
    let builders = Builders::of_docker(&programs);
    let ways: [(&str, &Side); 5] = [
        (&sshd.address(), &sshd.side),
        ("podman-container://buildkitd", &podman.side),
        (
            &format!("nerdctl-container://buildkitd?namespace={namespace}"),
            &nerdctl.side,
        ),
        (POD, &cluster.side),
        ("buildx://one", &builders.side),
    ];
    let job = Job::new(&site, "BULLSEYE", &["AMD64"], "libssl1.1,libgnutls30");
    let direct = (programs.new.as_str(), Vars::new());
    let digest = job.patched(&[direct.0], &direct.1);
    let version = doctor(&["--addr", direct.0], &direct.1, "version");
    for (address, side) in ways {
        let ask = |check| doctor(&["--addr", address], &side.vars, check);
        assert_eq!(ask("builder"), format!("{address} (--addr)"));
        assert_eq!(ask("version"), version, "{address}");
        assert_eq!(job.patched(&[address], &side.vars), digest, "{address}");
    }
}

#[test]
fn each_platform_is_patched_on_its_own_node_of_a_builder() {
    let (Some(site), Some(programs)) = (Site::open(), Programs::find()) else {
        return;
    };
    let builders = Builders::of_docker(&programs);
    let vars = &builders.side.vars;
    let (new, old) = (&programs.new, &programs.old);
    let packages = "libpcre2-8-0,apt,libapt-pkg6.0";
    let job = Job::new(&site, "BOOKWORM_MULTI", &["AMD64", "ARM64"], packages);
    let direct = [format!("linux/amd64={new}"), format!("linux/arm64={old}")];
    let direct = [&*direct[0], &direct[1]];
    let nodes = ["linux/amd64=buildx://farm", "linux/arm64=buildx://farm"];
    let expected = job.patched(&direct, &Vars::new());
    assert_eq!(job.patched(&nodes, vars), expected);

    // The node of one platform being away is no matter for the other.
    let away = "unix:///nonexistent/buildkitd.sock";
    builders.add("half", [("linux/amd64", new), ("linux/arm64", away)]);
    let ask = |node| Site::run(&["doctor", "--addr", node], &pairs(vars));
    assert_eq!(ask("linux/amd64=buildx://half").status.code(), Some(0));
    let refused = ask("linux/arm64=buildx://half");
    let words = text(&refused.stdout);
    assert_eq!(refused.status.code(), Some(20), "{words}");
    assert!(words.contains("buildx://half"), "{words}");
}

#[test]
fn a_search_says_what_it_took_and_why() {
    let Some(programs) = Programs::find().filter(|_| nothing_usual_is_there()) else {
        return;
    };
    let podman = Container::in_podman(&programs, "buildkitd");
    let search = |side: &Side| doctor(&[], &side.vars, "search");
    assert_eq!(
        search(&podman.side),
        "using BuildKit at `podman-container://buildkitd` (container with the usual name)"
    );
    let mut builders = Builders::alone(&programs);
    builders.side.set("BUILDX_BUILDER", "one");
    assert_eq!(
        search(&builders.side),
        "using BuildKit at `buildx://one` (BUILDX_BUILDER)"
    );
}
