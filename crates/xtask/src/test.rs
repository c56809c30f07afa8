//! `cargo xtask test`: every test, those against real servers included.

use std::{
    fs::{self, File},
    io, thread,
};

use crate::{
    compare, dist,
    shell::{Servers, TakeDown, cargo, run, say},
};

/// The tests without servers. Those of tokens and of whole images skip where `integration/up.sh` was never run.
const ALONE: [&str; 5] = ["test", "--workspace", "--locked", "--features", "pkcs11"];

/// The tests of what only the static program does.
const STATIC: [&str; 7] = [
    "test",
    "--package",
    "reseal-net",
    "--locked",
    "--features",
    "resolver",
    "resolver",
];

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
    run(&mut cargo(ALONE))?;
    run(&mut cargo(STATIC))?;
    run(cargo(LIVE).arg("--no-run"))?;
    // The program as it is shipped is the one that is compared.
    let reseal = dist::build(false)?;
    let _down = TakeDown::unless(keep);
    let servers = Servers::up("test")?;
    run(cargo(ALONE)
        .args(["--test", "token", "--test", "ldcache"])
        .envs(servers.variables()))?;
    live(&servers)?;
    let addresses = format!("{}/env", servers.get("RUN")?);
    let compared = ["--proof", "--env", &addresses, "--reseal", &reseal];
    compare::run_all(&compared.map(str::to_owned))
}

/// Runs the tests that need servers one at a time: the machine's processors belong to the daemon, and the times in the tests
/// stay true. Those of signatures need no daemon and mostly wait for logs; they run beside, and what they say comes last.
fn live(servers: &Servers) -> Result<(), String> {
    const SIGNATURES: &str = "sign::";
    let tests = |which: &[&str]| {
        let mut tests = cargo(LIVE);
        tests
            .args(["--", "--test-threads", "1"])
            .args(which)
            .envs(servers.variables());
        tests
    };
    let log = format!("{}/log/signatures", servers.get("RUN")?);
    let named = |error: io::Error| format!("{log}: {error}");
    let file = File::create(&log).map_err(named)?;
    let mut signatures = tests(&[SIGNATURES]);
    signatures
        .stdout(file.try_clone().map_err(named)?)
        .stderr(file);
    let (others, signatures) = thread::scope(|scope| {
        let beside = scope.spawn(|| run(&mut signatures));
        let others = run(&mut tests(&["--skip", SIGNATURES]));
        let signatures = beside
            .join()
            .map_err(|_| "the thread of the tests of signatures panicked".to_owned());
        (others, signatures.and_then(|outcome| outcome))
    });
    say(&String::from_utf8_lossy(&fs::read(&log).map_err(named)?));
    others.and(signatures)
}
