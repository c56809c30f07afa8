//! `cargo xtask check`: everything about the sources that a machine can judge without running the product.

use std::{fs, path::Path};

use crate::{
    deps,
    shell::{cargo, command, helper, output, root, run, say},
};

type Check = fn() -> Result<(), String>;

/// Runs every check, also after one failed, and names those that failed.
pub(crate) fn run_all(args: &[String]) -> Result<(), String> {
    if !args.is_empty() {
        return Err("usage: cargo xtask check".to_owned());
    }
    let checks: [(&str, Check); 9] = [
        ("formatting", || {
            run(&mut cargo(["fmt", "--all", "--check"]))
        }),
        ("dependencies", || deps::run_all(&[])),
        ("generated code", || helper("codegen", ["--check"])),
        ("shell scripts", shell_scripts),
        ("Go sources", go_sources),
        ("Python scripts", python_scripts),
        ("lints", || clippy(&[])),
        ("lints, all features", || clippy(&["--all-features"])),
        ("documentation", || {
            run(cargo([
                "doc",
                "--workspace",
                "--no-deps",
                "--all-features",
                "--locked",
            ])
            .env("RUSTDOCFLAGS", "-D warnings"))
        }),
    ];
    let mut failed = Vec::new();
    for (name, check) in checks {
        if let Err(error) = check() {
            say(&format!("{name}: {error}"));
            failed.push(name);
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("failed: {}", failed.join(", ")))
    }
}

fn clippy(features: &[&str]) -> Result<(), String> {
    run(
        cargo(["clippy", "--workspace", "--all-targets", "--locked"])
            .args(features)
            .args(["--", "-D", "warnings"]),
    )
}

/// Returns the paths of all files in the repository that `wanted` takes, by name and first line.
fn tracked(wanted: fn(&str, &str) -> bool) -> Result<Vec<String>, String> {
    let names = output(&mut command("git", ["ls-files", "-z"]))?;
    let found = names
        .split('\0')
        .filter(|name| !name.is_empty())
        .filter(|name| {
            // What is not text, or was deleted and not yet committed, is no script.
            let text = fs::read_to_string(root().join(name)).unwrap_or_default();
            wanted(name, text.lines().next().unwrap_or_default())
        })
        .map(str::to_owned)
        .collect::<Vec<_>>();
    Ok(found)
}

fn is_shell(name: &str, first_line: &str) -> bool {
    let shebang = first_line.starts_with("#!")
        && first_line
            .split(['/', ' '])
            .any(|word| matches!(word, "sh" | "bash" | "dash"));
    shebang
        || std::path::Path::new(name)
            .extension()
            .is_some_and(|extension| extension == "sh")
}

fn has_extension(name: &str, wanted: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|extension| extension == wanted)
}

fn shell_scripts() -> Result<(), String> {
    let scripts = tracked(is_shell)?;
    let installed = command("shellcheck", ["--version"]).output().is_ok();
    if !installed {
        let install = ". integration/lib.sh && install_packages shellcheck";
        run(&mut command("bash", ["-c", install]))?;
    }
    run(&mut command("shellcheck", scripts))
}

fn go_sources() -> Result<(), String> {
    let sources = tracked(|name, _| has_extension(name, "go"))?;
    let unformatted = output(command("gofmt", ["-l"]).args(sources))?;
    if unformatted.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "not formatted: {}",
            unformatted.trim().replace('\n', ", ")
        ))
    }
}

fn python_scripts() -> Result<(), String> {
    let scripts = tracked(|name, _| has_extension(name, "py"))?;
    // Compiles in memory: no cache folders are left in the checkout.
    let program = "import ast, sys\nfor name in sys.argv[1:]: ast.parse(open(name).read(), name)";
    run(command("python3", ["-c", program]).args(scripts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_scripts_are_known_by_name_or_first_line() {
        let table = [
            ("run", "#!/usr/bin/env bash", true),
            ("apt.sh", "# shellcheck shell=sh", true),
            ("x", "#!/bin/sh -eu", true),
            ("image.py", "#!/usr/bin/env python3", false),
            ("notes", "about /bin/sh", false),
        ];
        for (name, line, shell) in table {
            assert_eq!(is_shell(name, line), shell, "{name}: {line}");
        }
    }
}
