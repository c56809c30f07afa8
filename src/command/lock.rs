//! `reseal fetch`, `reseal reproduce` and `reseal cache`

use std::path::Path;

use reseal_pipeline::{Events, Lock};

use super::{Context, registries};
use crate::{
    args::{CacheAction, CacheArgs, FetchArgs, ReproduceArgs},
    failure::Failure,
    output,
    progress::Drawing,
    render, settings,
};

/// Reads a lock file.
pub(super) fn read(path: &Path) -> Result<Lock, Failure> {
    let name = path.display();
    let bytes = std::fs::read(path).map_err(|error| {
        Failure::usage(format!("Could not read the lock `{name}`")).because(&error)
    })?;
    Lock::parse(&bytes).map_err(|why| {
        Failure::usage(format!("`{name}` is no lock: {why}"))
            .hint("Write one with `reseal plan IMAGE --lock FILE`")
    })
}

pub(super) async fn fetch(args: &FetchArgs, context: &mut Context) -> Result<u8, Failure> {
    let lock = read(&args.lock)?;
    let native = settings::native(&args.packages, &context.env)?;
    let time = settings::time(&args.timeout)?;
    let (events, stream) = Events::channel();
    let drawing = Drawing::start(context.mode, &context.env, stream);
    let work = async { Ok(reseal_pipeline::fetch(&lock, &args.to, &native, &events).await?) };
    let outcome = context.signals.bound(time, work).await;
    drawing.finish().await;
    let fetched = outcome?;
    let text = if context.json() {
        output::document(&fetched)
    } else {
        format!(
            "{} in {}, {}\n",
            render::plural(fetched.packages, "package"),
            fetched.folder.display(),
            render::bytes(fetched.bytes)
        )
    };
    output::stdout(&text)?;
    Ok(0)
}

pub(super) async fn reproduce(args: &ReproduceArgs, context: &mut Context) -> Result<u8, Failure> {
    let settings = settings::reproduce(args, &context.env)?;
    let time = settings::time(&args.timeout)?;
    let registries = registries(&args.registry, &context.env)?;
    let (events, stream) = Events::channel();
    let drawing = Drawing::start(context.mode, &context.env, stream);
    let work = async { Ok(reseal_pipeline::reproduce(&settings, &registries, &events).await?) };
    let outcome = context.signals.bound(time, work).await;
    drawing.finish().await;
    let made = outcome?;
    let text = if context.json() {
        output::document(&made)
    } else {
        let packages: usize = made
            .lock
            .platforms
            .iter()
            .map(|platform| platform.packages.len())
            .sum();
        format!(
            "{} is what {} on {} give\n",
            made.digest,
            render::plural(packages, "package"),
            made.lock.source.digest
        )
    };
    output::stdout(&text)?;
    Ok(0)
}

pub(super) fn cache(args: &CacheArgs, context: &Context) -> Result<u8, Failure> {
    let folder = settings::cache_dir(args.cache_dir.clone(), &context.env);
    let usage = reseal_pipeline::cache(&folder, args.what == CacheAction::Clear)?;
    let text = if context.json() {
        output::document(&usage)
    } else {
        let verb = if args.what == CacheAction::Clear {
            "removed "
        } else {
            ""
        };
        format!(
            "{}: {verb}{}, {}\n",
            usage.folder.display(),
            render::plural(usize::try_from(usage.files).unwrap_or(usize::MAX), "file"),
            render::bytes(usage.bytes)
        )
    };
    output::stdout(&text)?;
    Ok(0)
}
