//! `cargo xtask test`: every test, those against real servers included.

use crate::{
    compare,
    shell::{Servers, TakeDown, built, cargo, run},
};

/// The tests that need servers, with the same features of every dependency as the tests before them: nothing is compiled again.
const LIVE: [&str; 7] = [
    "test",
    "--workspace",
    "--locked",
    "--features",
    "live-tests",
    "--test",
    "live",
];

/// Runs the tests without servers first: they are quick, and a failure there explains many of the others. Last the engines
/// are compared on whole roots.
pub(crate) fn run_all(args: &[String]) -> Result<(), String> {
    let keep = match args {
        [] => false,
        [flag] if flag == "--keep" => true,
        _ => return Err("usage: cargo xtask test [--keep]".to_owned()),
    };
    run(&mut cargo([
        "test",
        "--workspace",
        "--locked",
        "--features",
        "pkcs11",
    ]))?;
    let reseal = built(cargo(LIVE).arg("--no-run"))?;
    let _down = TakeDown::unless(keep);
    let servers = Servers::up("test")?;
    // One test at a time: the machine's two cores belong to the daemon, and the times in the tests stay true.
    run(cargo(LIVE)
        .args(["--", "--test-threads", "1"])
        .envs(servers.variables()))?;
    let addresses = format!("{}/env", servers.get("RUN")?);
    let compared = ["--proof", "--env", &addresses, "--reseal", &reseal];
    compare::run_all(&compared.map(str::to_owned))
}
