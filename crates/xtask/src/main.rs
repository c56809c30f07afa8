//! The project's own chores: `cargo xtask TASK`.

mod codegen;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask TASK\n\n  codegen [--check]  generate crates/reseal-proto/src/gen from proto/";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match args.split_first() {
        Some((task, rest)) => match task.as_str() {
            "codegen" => codegen::run(rest),
            other => Err(format!("unknown task `{other}`\n{USAGE}")),
        },
        None => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            #[expect(
                clippy::print_stderr,
                reason = "a developer's tool talks to its terminal"
            )]
            {
                eprintln!("{message}");
            }
            ExitCode::FAILURE
        }
    }
}
