//! `reseal plan`

use reseal_pipeline::Events;

use super::{Context, load, registries};
use crate::{
    args::{Engine, PlanArgs},
    failure::Failure,
    output,
    progress::Drawing,
    render, settings,
};

pub(super) async fn run(args: &PlanArgs, context: &mut Context) -> Result<u8, Failure> {
    let mut input = settings::input(&args.input)?;
    let native = settings::native(&args.engine.packages, &context.env)?;
    let by_package = args.lock.is_some() || args.engine.engine == Engine::Native;
    let epoch = settings::epoch(&context.env)?;
    let time = settings::timeout(&args.input)?;
    let registries = registries(&args.registry, &context.env)?;
    let (events, stream) = Events::channel();
    let drawing = Drawing::start(context.mode, &context.env, stream);
    let work = async {
        input.reports = load(&args.input.report).await?;
        if !by_package {
            let result = reseal_pipeline::plan(&input, &registries, &events).await?;
            return Ok((result, None));
        }
        let generator = settings::GENERATOR;
        let (result, lock) =
            reseal_pipeline::lock(&input, &native, generator, epoch, &registries, &events).await?;
        Ok((result, Some(lock)))
    };
    let outcome = context.signals.bound(time, work).await;
    drawing.finish().await;
    let (result, lock) = outcome?;
    if let (Some(path), Some(lock)) = (&args.lock, &lock) {
        output::write(path, &lock.to_text())?;
    }
    let text = if context.json() {
        output::document(&result)
    } else {
        render::plan::text(&result)
    };
    output::stdout(&text)?;
    Ok(0)
}
