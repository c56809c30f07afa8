//! `reseal doctor`, `reseal version` and `reseal completions`

use clap::CommandFactory as _;

use super::Context;
use crate::{
    args::{Cli, DoctorArgs},
    doctor::{self, Status},
    failure::Failure,
    output, render, settings,
};

pub(super) async fn doctor(args: &DoctorArgs, context: &mut Context) -> Result<u8, Failure> {
    let image = args.image.as_deref().map(settings::location).transpose()?;
    let builder = settings::builder(&args.builder, &args.registry, &context.env)?;
    let env = &context.env;
    let work =
        Box::pin(async { Ok(doctor::run(image.as_ref(), builder, &args.registry, env).await) });
    let checks = context.signals.bound(doctor::LIMIT, work).await?;
    let text = if context.global.format == crate::args::Format::Json {
        output::document(&render::doctor::json(&checks))
    } else {
        render::doctor::text(&checks, context.env.colour(context.env.stdout_terminal))
    };
    output::stdout(&text)?;
    let failed = checks.iter().find_map(|check| match check.status {
        Status::Failed(reason) => Some(reason.code()),
        _ => None,
    });
    Ok(failed.unwrap_or(0))
}

pub(super) fn version(context: &Context) -> Result<u8, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let text = if context.json() {
        let platform = format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH);
        output::document(&serde_json::json!({
            "schema": "reseal.dev/version/v1", "version": version, "platform": platform,
        }))
    } else {
        format!("reseal {version}\n")
    };
    output::stdout(&text)?;
    Ok(0)
}

pub(super) fn completions(shell: clap_complete::Shell) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "reseal", &mut script);
    output::stdout(&String::from_utf8_lossy(&script))?;
    Ok(0)
}
