//! The log on standard error: tracing spans of the libraries.

use tracing_subscriber::{EnvFilter, fmt};

use crate::{
    args::{Format, GlobalArgs},
    environment::Env,
};

/// Crates whose spans are ours.
const OURS: [&str; 13] = [
    "reseal",
    "reseal_buildkit",
    "reseal_native",
    "reseal_oci",
    "reseal_pipeline",
    "reseal_pkg",
    "reseal_plan",
    "reseal_registry",
    "reseal_repo",
    "reseal_report",
    "reseal_resolve",
    "reseal_rootfs",
    "reseal_sign",
];

/// Returns whether more than warnings are logged.
pub(crate) fn is_on(args: &GlobalArgs, env: &Env) -> bool {
    level(args, env) != "warn"
}

fn level(args: &GlobalArgs, env: &Env) -> &'static str {
    match args.verbose {
        _ if args.debug || env.get("RUNNER_DEBUG") == Some("1") => "debug",
        0 => "warn",
        1 => "info",
        _ => "debug",
    }
}

/// Returns the filter: other people's crates only warn, for they log headers and frames.
fn directives(args: &GlobalArgs, env: &Env) -> String {
    let level = level(args, env);
    let ours: Vec<String> = OURS.iter().map(|name| format!("{name}={level}")).collect();
    format!("warn,{}", ours.join(","))
}

/// Starts to log. Called once.
pub(crate) fn start(args: &GlobalArgs, env: &Env) {
    let builder = fmt()
        .with_writer(std::io::stderr)
        .with_ansi(env.colour(env.stderr_terminal))
        .with_env_filter(EnvFilter::new(directives(args, env)));
    // A subscriber that is there already belongs to a test.
    let _ = match args.log_format {
        Format::Text => builder.try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::{args::Cli, environment::env};

    #[test]
    fn flags_and_the_runner_make_the_log_talk() {
        for (flags, variables, wanted) in [
            (&[][..], &[][..], "warn"),
            (&["-v"], &[], "info"),
            (&["-vv"], &[], "debug"),
            (&["--debug"], &[], "debug"),
            (&[], &[("RUNNER_DEBUG", "1")], "debug"),
            (&[], &[("RUNNER_DEBUG", "0")], "warn"),
        ] {
            let cli = Cli::try_parse_from(["reseal", "version"].iter().chain(flags)).unwrap();
            assert_eq!(level(&cli.global, &env(variables)), wanted, "{flags:?}");
            assert!(EnvFilter::try_new(directives(&cli.global, &env(variables))).is_ok());
        }
    }
}
