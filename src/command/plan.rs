//! `reseal plan`

use reseal_pipeline::Events;

use super::{Context, load, registries};
use crate::{args::PlanArgs, failure::Failure, output, progress::Drawing, render, settings};

pub(super) async fn run(args: &PlanArgs, context: &mut Context) -> Result<u8, Failure> {
    let mut input = settings::input(&args.input)?;
    let time = settings::timeout(&args.input)?;
    let registries = registries(&args.registry, &context.env)?;
    let (events, stream) = Events::channel();
    let drawing = Drawing::start(context.mode, &context.env, stream);
    let work = async {
        input.reports = load(&args.input.report).await?;
        Ok(reseal_pipeline::plan(&input, &registries, &events).await?)
    };
    let outcome = context.signals.bound(time, work).await;
    drawing.finish().await;
    let result = outcome?;
    let text = if context.json() {
        output::document(&result)
    } else {
        render::plan::text(&result)
    };
    output::stdout(&text)?;
    Ok(0)
}
