//! `cargo xtask deps`: the directions in which crates may depend on each other, and what the pure ones may not reach.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use crate::shell::{cargo, output, root};

/// Each crate of the workspace with the crates of the workspace that it may use outside its tests.
const ARROWS: [(&str, &[&str]); 20] = [
    ("reseal-proto", &[]),
    ("reseal-oci", &[]),
    ("reseal-net", &[]),
    ("reseal-report", &[]),
    ("reseal-pkg", &[]),
    ("reseal-llb", &["reseal-proto"]),
    (
        "reseal-plan",
        &["reseal-report", "reseal-pkg", "reseal-llb", "reseal-oci"],
    ),
    (
        "reseal-buildkit",
        &["reseal-llb", "reseal-proto", "reseal-net"],
    ),
    ("reseal-registry", &["reseal-oci", "reseal-net"]),
    ("reseal-rootfs", &["reseal-oci"]),
    (
        "reseal-native",
        &["reseal-oci", "reseal-pkg", "reseal-rootfs"],
    ),
    ("reseal-resolve", &["reseal-pkg"]),
    ("reseal-repo", &["reseal-pkg", "reseal-net"]),
    (
        "reseal-sign",
        &["reseal-oci", "reseal-registry", "reseal-net"],
    ),
    (
        "reseal-pipeline",
        &[
            "reseal-buildkit",
            "reseal-registry",
            "reseal-repo",
            "reseal-native",
            "reseal-resolve",
            "reseal-rootfs",
            "reseal-sign",
            "reseal-plan",
            "reseal-report",
            "reseal-pkg",
            "reseal-llb",
            "reseal-oci",
        ],
    ),
    (
        "reseal",
        &[
            "reseal-pipeline",
            "reseal-buildkit",
            "reseal-registry",
            "reseal-repo",
            "reseal-sign",
            "reseal-plan",
            "reseal-report",
            "reseal-oci",
        ],
    ),
    ("reseal-testkit", &["reseal-proto"]),
    ("xtask", &[]),
    ("codegen", &[]),
    (
        "script-table",
        &["reseal-native", "reseal-pkg", "reseal-rootfs"],
    ),
];

/// Crates that turn values into values: no network, no clock, no environment, no files.
const PURE: [&str; 8] = [
    "reseal-rootfs",
    "reseal-native",
    "reseal-resolve",
    "reseal-oci",
    "reseal-report",
    "reseal-pkg",
    "reseal-llb",
    "reseal-plan",
];

/// Crates that a pure crate may not reach by any path.
const EDGES: [&str; 9] = [
    "tokio",
    "tonic",
    "reqwest",
    "hyper",
    "hyper-util",
    "h2",
    "mio",
    "socket2",
    "rustls",
];

/// What the sources of a pure crate may not name outside their tests.
/// Addresses are values; sockets are not.
const OUTSIDE: [&str; 9] = [
    "std::fs",
    "std::env",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "std::process",
    "SystemTime",
    "Instant::now",
    " fs::{",
];

/// Checks both, and names every breach.
pub(crate) fn run_all(args: &[String]) -> Result<(), String> {
    if !args.is_empty() {
        return Err("usage: cargo xtask deps".to_owned());
    }
    let metadata = output(&mut cargo([
        "metadata",
        "--format-version",
        "1",
        "--no-deps",
        "--locked",
    ]))?;
    let metadata: Value = serde_json::from_str(&metadata)
        .map_err(|error| format!("cargo metadata is not JSON: {error}"))?;
    let mut breaches = arrows(&metadata);
    for name in PURE {
        let tree = output(&mut cargo([
            "tree",
            "--locked",
            "--package",
            name,
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ]))?;
        breaches.extend(reached(name, &tree));
        let sources = root().join("crates").join(name).join("src");
        named(&sources, &mut breaches)
            .map_err(|error| format!("could not read the sources of {name}: {error}"))?;
    }
    if breaches.is_empty() {
        Ok(())
    } else {
        Err(breaches.join("\n"))
    }
}

/// Returns the dependencies of each crate that ARROWS does not have.
fn arrows(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let ours: BTreeSet<&str> = packages
        .iter()
        .filter_map(|package| package["name"].as_str())
        .collect();
    let mut breaches = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let Some((_, allowed)) = ARROWS.iter().find(|(crate_name, _)| *crate_name == name) else {
            breaches.push(format!(
                "{name} is in the workspace, and crates/xtask/src/deps.rs does not know it"
            ));
            continue;
        };
        let used = package["dependencies"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        for dependency in used
            .iter()
            .filter(|dependency| dependency["kind"].is_null())
        {
            let target = dependency["name"].as_str().unwrap_or_default();
            if ours.contains(target) && !allowed.contains(&target) {
                breaches.push(format!("{name} may not depend on {target}"));
            }
        }
    }
    breaches
}

/// Returns the edges that a dependency tree of a pure crate has: one line a crate, `name vVERSION`.
fn reached(name: &str, tree: &str) -> Vec<String> {
    let crates: BTreeSet<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    EDGES
        .iter()
        .filter(|edge| crates.contains(**edge))
        .map(|edge| {
            format!(
                "{name} is pure, but reaches {edge}; see `cargo tree -p {name} -i {edge} -e normal`"
            )
        })
        .collect()
}

/// Adds a breach for each line of Rust below `folder` that names something outside.
fn named(folder: &Path, breaches: &mut Vec<String>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "tests") {
                named(&path, breaches)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && path.file_stem().is_none_or(|stem| stem != "tests")
        {
            for (number, word) in outside(&fs::read_to_string(&path)?) {
                let path = path.strip_prefix(root()).unwrap_or(&path);
                breaches.push(format!(
                    "{}:{number}: a pure crate names {word}",
                    path.display()
                ));
            }
        }
    }
    Ok(())
}

/// Returns line numbers and words of a source's forbidden names, up to its tests.
fn outside(source: &str) -> Vec<(usize, &'static str)> {
    let lines: Vec<&str> = source.lines().collect();
    let tests = lines
        .windows(2)
        .position(|pair| {
            pair[0].trim() == "#[cfg(test)]" && pair[1].trim().starts_with("mod tests {")
        })
        .unwrap_or(lines.len());
    lines[..tests]
        .iter()
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .flat_map(|(index, line)| {
            OUTSIDE
                .iter()
                .filter(|word| line.contains(**word))
                .map(move |word| (index + 1, *word))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_arrow_that_points_back_is_a_breach_and_one_of_tests_is_not() {
        let metadata = json!({"packages": [
            {"name": "reseal-oci", "dependencies": [
                {"name": "reseal-registry", "kind": null}, {"name": "serde", "kind": null}]},
            {"name": "reseal-registry", "dependencies": [
                {"name": "reseal-oci", "kind": null}, {"name": "reseal-testkit", "kind": "dev"}]},
            {"name": "reseal-testkit", "dependencies": []},
        ]});
        assert_eq!(
            arrows(&metadata),
            ["reseal-oci may not depend on reseal-registry"]
        );
    }

    #[test]
    fn a_crate_that_nobody_placed_is_a_breach() {
        let metadata = json!({"packages": [{"name": "reseal-new", "dependencies": []}]});
        assert_eq!(arrows(&metadata).len(), 1);
    }

    #[test]
    fn an_edge_is_found_by_its_whole_name() {
        assert_eq!(
            reached("reseal-oci", "serde v1.0.0\nmio-like v1.0.0"),
            Vec::<String>::new()
        );
        assert_eq!(
            reached("reseal-oci", "serde v1.0.0\ntokio v1.0.0 (*)").len(),
            1
        );
    }

    #[test]
    fn names_in_comments_and_tests_do_not_count() {
        let source =
            "// std::fs is for others\nuse std::env;\n#[cfg(test)]\nmod tests {\nuse std::fs;\n}";
        assert_eq!(outside(source), [(2, "std::env")]);
    }
}
