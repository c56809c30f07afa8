//! `reseal patch`

use reseal_pipeline::{Events, Outcome, RunResult};

use super::{CONNECT, Context, explain, load, lock, registries};
use crate::{
    args::PatchArgs,
    daemons::Daemons,
    exit,
    failure::Failure,
    output::{self, Files},
    progress::Drawing,
    render, settings, signing,
};

pub(super) async fn run(args: &PatchArgs, context: &mut Context) -> Result<u8, Failure> {
    let (metadata, digest) = (args.metadata_file.as_deref(), args.digest_file.as_deref());
    let files = Files::prepare(metadata, digest, &args.input.report)?;
    let mut check = None;
    let outcome = Box::pin(patched(args, context))
        .await
        .map(|(result, command)| {
            check = command;
            result
        });
    let result = files
        .record(outcome)
        .inspect_err(|failure| explain(context, failure, false))?;
    context.tell(&render::result::summary(&result, false));
    if let Some(command) = check {
        context.tell(&command);
    }
    output::stdout(&output::answer(&result, context.json()))?;
    Ok(
        if result.outcome == Outcome::Unchanged && args.detailed_exitcode {
            exit::UNCHANGED
        } else {
            0
        },
    )
}

/// Returns the result, and the command that checks its signature.
async fn patched(
    args: &PatchArgs,
    context: &mut Context,
) -> Result<(RunResult, Option<String>), Failure> {
    let lock = args.lock.as_deref().map(lock::read).transpose()?;
    let mut settings = settings::patch(args, lock, &context.env)?;
    settings.seal = signing::seal(&args.signer, !args.no_attest, &args.registry, &context.env)?;
    let time = settings::timeout(&args.input)?;
    let builder = settings::builder(&args.builder, &args.registry, &context.env)?;
    let registries = registries(&args.registry, &context.env)?;
    let (events, stream) = Events::channel();
    let daemons = Daemons::new(builder, CONNECT, events.clone());
    let drawing = Drawing::start(context.mode, &context.env, stream);
    let work = async {
        settings.input.reports = load(&args.input.report).await?;
        Ok(reseal_pipeline::patch(&settings, &registries, &daemons, &events).await?)
    };
    let outcome = context.signals.bound(time, work).await;
    daemons.end().await;
    drawing.finish().await;
    let result = outcome?;
    let command = match &settings.seal {
        Some(seal) if !result.signatures.is_empty() => {
            let image = settings.to.as_ref().unwrap_or(&settings.input.source);
            let about = (image, &result.patched.digest, None);
            signing::cosign(about, &args.signer, &args.registry, &seal.session).await
        }
        _ => None,
    };
    Ok((result, command))
}
