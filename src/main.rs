//! The command line: arguments become settings, settings one call into the pipeline, its result text or JSON.
//!
//! This is the only code that prints, exits and reads the environment.

mod args;
mod command;
mod daemons;
mod doctor;
mod environment;
mod escape;
mod exit;
mod failure;
mod logging;
mod output;
mod password;
mod progress;
mod render;
mod reports;
mod settings;
mod signals;
mod signing;

use std::{
    hash::{BuildHasher as _, RandomState},
    io::IsTerminal as _,
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::FromArgMatches as _;
use reseal_pipeline::Class;

use args::{Cli, Format};
use environment::Env;
use exit::Reason;
use failure::Failure;
use progress::Mode;

/// Gives memory back that the C library's allocator keeps in as many pools as there are threads: a patch has many threads and
/// large short-lived buffers. Its settings are in `.cargo/config.toml`.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // The hook has said what happened; the exit code has to say that it is a bug.
    std::panic::catch_unwind(run).unwrap_or(ExitCode::from(Reason::Class(Class::Internal).code()))
}

fn run() -> ExitCode {
    let env = environment();
    let parsed = args::command(&env.variables)
        .try_get_matches()
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return refused(&error, &env),
    };
    logging::start(&cli.global, &env);
    // Whoever installed one first decided as well as we would have.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (format, mode) = (cli.global.format, progress::choose(&cli.global, &env));
    let colour = env.colour(env.stderr_terminal);
    let code = execute(cli, env, mode).unwrap_or_else(|failure| {
        tell(&failure, format, mode, colour);
        failure.reason.code()
    });
    ExitCode::from(code)
}

fn execute(cli: Cli, env: Env, mode: Mode) -> Result<u8, Failure> {
    // A run waits for others nearly all of its time; two threads draw and compute.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::new(
                Reason::Class(Class::Internal),
                "Could not start the runtime",
            )
            .because(&error)
        })?;
    let outcome = runtime.block_on(command::run(cli, env, mode));
    // A read of standard input that nobody waits for any more must not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(500));
    outcome
}

/// Shows a failure: to people on standard error, and as JSON where JSON was asked for.
fn tell(failure: &Failure, format: Format, mode: Mode, colour: bool) {
    let value = render::failure::json(failure);
    if format == Format::Json {
        // The exit code tells the failure even if this cannot.
        let _ = output::stdout(&output::document(&value));
    }
    if mode == Mode::Raw {
        let line = serde_json::json!({ "event": "error", "error": value });
        output::stderr(&format!("{line}\n"));
    } else {
        output::stderr(&render::failure::text(failure, colour));
    }
}

/// Shows help, the version, or what is wrong with the arguments. JSON is one document in every case, so that it is looked
/// for even in arguments that do not parse.
fn refused(error: &clap::Error, env: &Env) -> ExitCode {
    let _ = error.print();
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    let arguments: Vec<String> = std::env::args_os()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let json = arguments.iter().any(|argument| argument == "--format=json")
        || arguments
            .windows(2)
            .any(|pair| pair[0] == "--format" && pair[1] == "json")
        || env.get("RESEAL_FORMAT") == Some("json");
    if json {
        let message = error.to_string();
        let message = message
            .lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches("error: ");
        let failure = Failure::usage(message).hint("See `reseal --help`");
        let _ = output::stdout(&output::document(&render::failure::json(&failure)));
    }
    ExitCode::from(exit::USAGE)
}

/// Reads everything that this program takes from the process it runs in.
fn environment() -> Env {
    Env {
        variables: std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
        stderr_terminal: std::io::stderr().is_terminal(),
        stdout_terminal: std::io::stdout().is_terminal(),
        now: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX)),
        random: RandomState::new().hash_one(std::process::id()),
        uid: uid(),
    }
}

#[cfg(unix)]
fn uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(not(unix))]
fn uid() -> u32 {
    0
}
