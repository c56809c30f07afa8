//! One file a command: settings, one call into the pipeline, rendering.

mod lock;
mod patch;
mod plan;
mod report;
mod sign;
mod tools;
mod verify;

use std::{sync::Arc, time::Duration};

use reseal_pipeline::{Class, NamedReport, PipelineError};
use reseal_registry::{CredentialStore, Registries};

use crate::{
    args::{Cli, Command, Format, GlobalArgs, RegistryArgs},
    environment::Env,
    exit::Reason,
    failure::Failure,
    output,
    progress::Mode,
    render, reports, settings,
    signals::Signals,
};

/// What every command gets.
pub(crate) struct Context {
    /// The environment.
    pub(crate) env: Env,
    /// Flags of all commands.
    pub(crate) global: GlobalArgs,
    /// How progress is shown.
    pub(crate) mode: Mode,
    /// Ctrl-C and SIGTERM.
    pub(crate) signals: Signals,
}

impl Context {
    /// Returns whether standard output carries JSON.
    fn json(&self) -> bool {
        self.global.format == Format::Json
    }

    /// Writes text for people, where people read.
    fn tell(&self, text: &str) {
        if matches!(self.mode, Mode::Plain | Mode::Tty) {
            output::stderr(text);
        }
    }
}

/// Runs a command and returns its exit code.
pub(crate) async fn run(cli: Cli, env: Env, mode: Mode) -> Result<u8, Failure> {
    let mut context = Context {
        env,
        global: cli.global,
        mode,
        signals: Signals::listen(),
    };
    match cli.command {
        Command::Patch(args) => patch::run(&args, &mut context).await,
        Command::Plan(args) => plan::run(&args, &mut context).await,
        Command::Verify(args) => verify::run(&args, &mut context).await,
        Command::Fetch(args) => lock::fetch(&args, &mut context).await,
        Command::Reproduce(args) => lock::reproduce(&args, &mut context).await,
        Command::Sign(args) => sign::sign(&args, &mut context).await,
        Command::Attest(args) => sign::attest(&args, &mut context).await,
        Command::VerifySignature(args) => sign::verify_signature(&args, &mut context).await,
        Command::Promote(args) => sign::promote(&args, &mut context).await,
        Command::Rollback(args) => sign::rollback(&args, &mut context).await,
        Command::Key(args) => sign::key(&args, &context),
        Command::Cache(args) => lock::cache(&args, &context),
        Command::Report(args) => report::run(args, &mut context).await,
        Command::Doctor(args) => tools::doctor(&args, &mut context).await,
        Command::Version => tools::version(&context),
        Command::Completions { shell } => tools::completions(shell),
    }
}

/// Opens the registries with the credentials that the environment has.
fn registries(args: &RegistryArgs, env: &Env) -> Result<Registries, Failure> {
    let credentials = credentials(env)?;
    let settings = settings::registry(args, credentials)?;
    Registries::new(settings).map_err(|source| {
        PipelineError::Store {
            action: "set up access to registries".into(),
            source,
        }
        .into()
    })
}

/// Reads the credentials.
pub(crate) fn credentials(env: &Env) -> Result<Arc<CredentialStore>, Failure> {
    CredentialStore::from_environment(&env.variables, env.home())
        .map(Arc::new)
        .map_err(|error| {
            let failure = Failure::new(Reason::Class(Class::RegistryAuth), error.to_string());
            match error.hint() {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        })
}

/// Loads reports without blocking signals: standard input may never end.
async fn load(names: &[String]) -> Result<Vec<NamedReport>, Failure> {
    let names = names.to_vec();
    tokio::task::spawn_blocking(move || reports::load(&names))
        .await
        .map_err(|error| {
            Failure::new(Reason::Class(Class::Internal), "Could not read the reports")
                .because(&error)
        })?
}

/// Shows the summary of a run that a shut gate ended: it is the explanation.
fn explain(context: &Context, failure: &Failure, warnings: bool) {
    if let Some(result) = &failure.result {
        context.tell(&render::result::summary(result, warnings));
    }
}

/// The longest that connecting to a daemon may take.
const CONNECT: Duration = Duration::from_secs(10);
