//! The project's own chores: `cargo xtask TASK`.
//!
//! `cargo xtask demo` waits until this program is compiled, so that it has next to no dependencies; what needs reseal's crates or a
//! code generator is a program beside it.

mod bench;
mod check;
mod compare;
mod demo;
mod deps;
mod dist;
mod shell;
mod test;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask TASK

  demo [--keep]              patch a real image on this machine and show it before and after
  test [--keep]              run every test; starts real servers, and stops them afterwards
  dist                       build the static program for release
  check                      formatting, lints, documentation, scripts, dependencies, generated code
  deps                       directions of dependencies, and purity of the pure crates
  codegen [--check]          generate crates/reseal-proto/src/gen from proto/
  bench [OPTIONS]            measure against the floor and copa; `bench --help` has the options
  compare-engines [OPTIONS]  the same patches by both engines, path by path; --write-table adds to the table of scripts

`demo`, `test`, `bench` and `compare-engines` need root and Debian; see integration/up.sh. With --keep the servers stay up.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match args.split_first() {
        Some((task, rest)) => match task.as_str() {
            "demo" => demo::run_all(rest),
            "test" => test::run_all(rest),
            "check" => check::run_all(rest),
            "dist" => dist::run_all(rest),
            "deps" => deps::run_all(rest),
            "codegen" => shell::helper("codegen", rest),
            "bench" => bench::run_all(rest),
            "compare-engines" => compare::run_all(rest),
            other => Err(format!("unknown task `{other}`\n{USAGE}")),
        },
        None => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            shell::say(&message);
            ExitCode::FAILURE
        }
    }
}
