//! Packages that are there for two architectures.

use super::packages::{Package, package, run};
use super::scene::{Scene, possible};
use std::process::Command;

fn native() -> String {
    run(Command::new("dpkg").arg("--print-architecture"))
        .trim_end()
        .to_owned()
}

fn foreign() -> &'static str {
    if native() == "armhf" {
        "arm64"
    } else {
        "armhf"
    }
}

fn library(version: &str, architecture: &str, text: &str) -> Package {
    package("lib", version)
        .arch(architecture)
        .field("Multi-Arch", "same")
        .file(&format!("/usr/lib/{architecture}/lib.so"), text)
        .file("/usr/share/lib/data", text)
        .conffile("/etc/lib.conf", text)
}

fn scene() -> Scene {
    let scene = Scene::new().with(&[package("aaa", "1")]);
    let root = format!("--root={}", scene.root().display());
    run(Command::new("dpkg")
        .arg(root)
        .args(["--add-architecture", foreign()]));
    scene
}

#[test]
fn two_architectures_share_what_is_the_same() {
    if !possible() {
        return;
    }
    let both = |version: &str, text: &str| {
        [
            library(version, &native(), text),
            library(version, foreign(), text),
        ]
    };
    scene().with(&both("1", "old")).same(&both("2", "new"));
    // One comes in beside the other.
    scene()
        .with(&[library("1", &native(), "x")])
        .same(&[library("1", foreign(), "x")]);
    let error = scene()
        .with(&[library("1", &native(), "x")])
        .lay(&[library("1", foreign(), "y")])
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("differs from that of its other architecture"),
        "{error}"
    );
    let error = scene()
        .with(&both("1", "x"))
        .lay(&[library("2", foreign(), "x")])
        .unwrap_err();
    assert!(
        error.to_string().contains("both have to have the same"),
        "{error}"
    );
}

#[test]
fn a_package_changes_its_architecture_or_its_kind() {
    if !possible() {
        return;
    }
    let plain = |version: &str, architecture: &str| {
        package("one", version)
            .arch(architecture)
            .file("/usr/share/one", version)
    };
    Scene::new()
        .with(&[plain("1", &native())])
        .same(&[plain("2", "all")]);
    Scene::new()
        .with(&[plain("1", "all")])
        .same(&[plain("2", &native())]);
    let same = plain("2", &native()).field("Multi-Arch", "same");
    Scene::new()
        .with(&[plain("1", &native())])
        .same(std::slice::from_ref(&same));
    let after = plain("3", &native());
    Scene::new().with(&[same]).same(&[after]);
}
