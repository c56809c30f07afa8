//! Gives every flag its environment twin, so that none can be forgotten.

use std::collections::BTreeMap;

use clap::{Arg, ArgAction, Command, CommandFactory as _, builder::FalseyValueParser};

use super::Cli;

/// Returns the command line with an environment twin for each flag. A variable that is set but empty counts as not set,
/// because CI systems hand over empty strings for inputs that nobody gave.
pub(crate) fn command(variables: &BTreeMap<String, String>) -> Command {
    // A lock names its image.
    let command = Cli::command().mut_subcommand("patch", |patch| {
        patch.mut_arg("image", |image| {
            image.required(false).required_unless_present("lock")
        })
    });
    with_twins(command, variables)
}

/// Flags without a twin. `--quiet` has RESEAL_PROGRESS=quiet: a second variable could contradict the first.
const WITHOUT: [&str; 3] = ["help", "version", "quiet"];

fn with_twins(command: Command, variables: &BTreeMap<String, String>) -> Command {
    command
        .mut_args(|arg| with_twin(arg, variables))
        .mut_subcommands(|sub| with_twins(sub, variables))
}

fn with_twin(arg: Arg, variables: &BTreeMap<String, String>) -> Arg {
    let Some(long) = arg.get_long().filter(|long| !WITHOUT.contains(long)) else {
        return arg;
    };
    let name = twin(long);
    if variables.get(&name).is_some_and(String::is_empty) {
        return arg;
    }
    // clap keeps names for the life of the process; there are about forty, made once.
    let name: &'static str = Box::leak(name.into_boxed_str());
    let switch = matches!(arg.get_action(), ArgAction::SetTrue);
    let arg = arg.env(name).hide_env_values(true);
    if switch {
        arg.value_parser(FalseyValueParser::new())
    } else {
        arg
    }
}

/// Returns the twin of a flag: `RESEAL_LOG_FORMAT` for `log-format`.
fn twin(long: &str) -> String {
    format!("RESEAL_{}", long.to_uppercase().replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches as _;

    use super::*;
    use crate::args;

    #[test]
    fn the_command_line_is_consistent() {
        command(&BTreeMap::new()).debug_assert();
    }

    #[test]
    fn every_flag_has_a_twin_but_help_version_and_quiet() {
        fn check(command: &Command) {
            for arg in command
                .get_arguments()
                .filter(|arg| arg.get_long().is_some())
            {
                let long = arg.get_long().unwrap();
                if !WITHOUT.contains(&long) {
                    let env = arg
                        .get_env()
                        .unwrap_or_else(|| panic!("--{long} has no twin"))
                        .to_str()
                        .unwrap();
                    assert_eq!(env, twin(long));
                }
            }
            command.get_subcommands().for_each(check);
        }
        check(&command(&BTreeMap::new()));
    }

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        let variables = BTreeMap::from([("RESEAL_TAG".to_owned(), String::new())]);
        let command = command(&variables);
        let patch = command.find_subcommand("patch").unwrap();
        let env = |id| {
            patch
                .get_arguments()
                .find(|arg| arg.get_id() == id)
                .unwrap()
                .get_env()
        };
        assert!(env("tag").is_none());
        assert!(env("to").is_some());
    }

    #[test]
    fn lists_can_be_repeated_and_joined_by_commas() {
        let matches = Cli::command()
            .try_get_matches_from([
                "reseal",
                "plan",
                "image",
                "--platform",
                "linux/amd64,linux/arm64",
                "--platform",
                "linux/s390x",
            ])
            .unwrap();
        let args::Command::Plan(plan) = Cli::from_arg_matches(&matches).unwrap().command else {
            panic!("not plan")
        };
        assert_eq!(
            plan.input.platform,
            ["linux/amd64", "linux/arm64", "linux/s390x"]
        );
    }
}
