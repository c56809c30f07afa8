//! Which way progress is shown.

use crate::{
    args::{GlobalArgs, Progress},
    environment::Env,
};

/// The decided way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Lines.
    Plain,
    /// Redrawn in place.
    Tty,
    /// Only a line a minute.
    Quiet,
    /// One JSON object a line.
    Raw,
}

/// Decides the way from flag, `BUILDKIT_PROGRESS` and terminal.
pub(crate) fn choose(args: &GlobalArgs, env: &Env) -> Mode {
    let asked = if args.quiet {
        Some(Progress::Quiet)
    } else {
        args.progress
    };
    // A value that only other tools know is left to them.
    let asked = asked.or_else(|| match env.get("BUILDKIT_PROGRESS")? {
        "plain" => Some(Progress::Plain),
        "tty" => Some(Progress::Tty),
        "quiet" => Some(Progress::Quiet),
        "rawjson" => Some(Progress::Rawjson),
        _ => None,
    });
    let redraws = env.stderr_terminal && env.get("TERM") != Some("dumb");
    match asked.unwrap_or(Progress::Auto) {
        Progress::Quiet => Mode::Quiet,
        Progress::Rawjson => Mode::Raw,
        // Escape sequences in a file help nobody, even if they were asked for.
        Progress::Tty if redraws => Mode::Tty,
        // Log lines and redrawn lines would overwrite each other.
        Progress::Auto if redraws && env.ci().is_none() && !crate::logging::is_on(args, env) => {
            Mode::Tty
        }
        Progress::Plain | Progress::Tty | Progress::Auto => Mode::Plain,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::{args::Cli, environment::env};

    #[test]
    fn the_way_follows_flag_then_environment_then_terminal() {
        for (flags, variables, terminal, mode) in [
            (&[][..], &[][..], true, Mode::Tty),
            (&[], &[], false, Mode::Plain),
            (&[], &[("CI", "true")], true, Mode::Plain),
            (&[], &[("TERM", "dumb")], true, Mode::Plain),
            (&["--debug"], &[], true, Mode::Plain),
            (&[], &[("RUNNER_DEBUG", "1")], true, Mode::Plain),
            (&["--progress", "tty"], &[("CI", "true")], true, Mode::Tty),
            (&["--progress", "tty"], &[], false, Mode::Plain),
            (
                &["--progress", "tty"],
                &[("TERM", "dumb")],
                true,
                Mode::Plain,
            ),
            (
                &["--quiet"],
                &[("BUILDKIT_PROGRESS", "plain")],
                true,
                Mode::Quiet,
            ),
            (
                &["--progress", "rawjson"],
                &[("BUILDKIT_PROGRESS", "plain")],
                true,
                Mode::Raw,
            ),
            (&[], &[("BUILDKIT_PROGRESS", "plain")], true, Mode::Plain),
            (&[], &[("BUILDKIT_PROGRESS", "fancy")], true, Mode::Tty),
            (
                &["--progress", "auto"],
                &[("BUILDKIT_PROGRESS", "plain")],
                true,
                Mode::Tty,
            ),
        ] {
            let cli = Cli::try_parse_from(["reseal", "version"].iter().chain(flags)).unwrap();
            let env = Env {
                stderr_terminal: terminal,
                ..env(variables)
            };
            assert_eq!(
                choose(&cli.global, &env),
                mode,
                "{flags:?} {variables:?} {terminal}"
            );
        }
    }
}
