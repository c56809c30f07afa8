//! `reseal verify`

use reseal_oci::Location;
use reseal_pipeline::{Events, RunResult, VerifySettings};

use super::{Context, explain, load, registries};
use crate::{
    args::VerifyArgs,
    failure::Failure,
    output::{self, Files},
    progress::Drawing,
    render, settings, signing,
};

pub(super) async fn run(args: &VerifyArgs, context: &mut Context) -> Result<u8, Failure> {
    let read = [&args.input.report[..], &args.rescan_report].concat();
    let files = Files::prepare(args.metadata_file.as_deref(), None, &read)?;
    let outcome = verified(args, context).await;
    let result = files
        .record(outcome)
        .inspect_err(|failure| explain(context, failure, true))?;
    context.tell(&render::result::summary(&result, true));
    output::stdout(&output::answer(&result, context.json()))?;
    Ok(0)
}

async fn verified(args: &VerifyArgs, context: &mut Context) -> Result<RunResult, Failure> {
    let mut settings = VerifySettings {
        input: settings::input(&args.input)?,
        rescan_reports: Vec::new(),
        packages: args
            .against_packages
            .then(|| settings::native(&args.packages, &context.env))
            .transpose()?,
        seal: None,
    };
    if args.packages.packages.is_some() && !args.against_packages {
        return Err(Failure::usage("`--packages` needs `--against-packages`")
            .hint("Add it, or leave the folder out: the findings are verified without packages"));
    }
    if args.attest {
        let named = match &settings.input.source {
            Location::Registry(reference) => reference.digest.is_some(),
            Location::Layout { digest, .. } => digest.is_some(),
        };
        if !named {
            return Err(Failure::usage("`--attest` needs the image by digest")
                .hint("Name it as REPOSITORY@DIGEST, as `reseal patch` prints it"));
        }
        signing::no_annotations(&args.signer.annotations)?;
        let session = signing::required(&args.signer, &args.registry, &context.env)?;
        settings.seal = Some(signing::sealed_by(session, &context.env));
    }
    if args.input.report.is_empty() {
        return Err(
            Failure::usage("`verify` needs the reports that the image was patched by")
                .hint("Add `-r REPORT`"),
        );
    }
    if args
        .input
        .report
        .iter()
        .chain(&args.rescan_report)
        .filter(|name| *name == "-")
        .count()
        > 1
    {
        return Err(Failure::usage("standard input can be read once only").hint("Give `-` once"));
    }
    let time = settings::timeout(&args.input)?;
    let registries = registries(&args.registry, &context.env)?;
    let (events, stream) = Events::channel();
    let drawing = Drawing::start(context.mode, &context.env, stream);
    let work = async {
        settings.input.reports = load(&args.input.report).await?;
        settings.rescan_reports = load(&args.rescan_report).await?;
        Ok(reseal_pipeline::verify(&settings, &registries, &events).await?)
    };
    let outcome = context.signals.bound(time, work).await;
    drawing.finish().await;
    outcome
}
