//! `cargo xtask dist`: the program as it is shipped, static, so that it runs on every Linux of this machine's architecture.

use std::fs;

use crate::shell::{built, cargo, command, output, say};

/// What a static program is compiled with besides its feature. Random numbers come straight from the kernel: the function
/// of the C library is looked for at run time, and in a static program not found.
const RUSTFLAGS: [&str; 4] = [
    "-C",
    "target-feature=+crt-static",
    "--cfg",
    "getrandom_backend=\"linux_getrandom\"",
];

/// Builds the program for release and says where it is.
pub(crate) fn run_all(args: &[String]) -> Result<(), String> {
    if !args.is_empty() {
        return Err("usage: cargo xtask dist".to_owned());
    }
    let program = build(true)?;
    let size = fs::metadata(&program)
        .map_err(|error| format!("{program}: {error}"))?
        .len();
    let digest = output(&mut command("sha256sum", [&program]))?;
    let digest = digest.split(' ').next().unwrap_or_default();
    say(&format!(
        "{program}\n{:.1} MB, sha256:{digest}",
        f64::from(u32::try_from(size).unwrap_or(u32::MAX)) / 1e6
    ));
    Ok(())
}

/// Builds the static program, makes sure that it is one, and returns its path.
pub(crate) fn build(release: bool) -> Result<String, String> {
    let machine = host()?;
    let mut build = cargo(["build", "--locked", "--package", "reseal"]);
    // With a target, the flags are not those of programs that only run while compiling.
    build.args(["--features", "static", "--target", &machine]);
    if release {
        build.arg("--release");
    }
    let program = built(build.env("CARGO_ENCODED_RUSTFLAGS", RUSTFLAGS.join("\u{1f}")))?;
    needs_nothing(&program)?;
    Ok(program)
}

/// Returns what the compiler calls this machine.
fn host() -> Result<String, String> {
    output(&mut command("rustc", ["--version", "--verbose"]))?
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .ok_or_else(|| "rustc does not say which machine this is".to_owned())
}

/// Fails if the program needs a loader or a library.
fn needs_nothing(program: &str) -> Result<(), String> {
    let parts = output(&mut command("readelf", ["--wide", "-l", "-d", program]))?;
    let wanted = |line: &&str| line.contains("INTERP") || line.contains("(NEEDED)");
    match parts.lines().find(wanted) {
        Some(line) => Err(format!("{program} is not static: {}", line.trim())),
        None => Ok(()),
    }
}
