//! What was decided: pure functions from arguments and environment to the settings of the pipeline and of its clients.

mod builder;
mod duration;
mod engine;
mod origin;
mod policy;
mod registry;
mod tag;
mod target;

use std::{collections::BTreeSet, time::Duration};

use reseal_oci::{Location, Platform};
use reseal_pipeline::{Input, Lock, NativeSettings, PatchSettings, Proxy, Unreported};

pub(crate) use builder::{BuilderSettings, builder};
pub(crate) use engine::{cache_dir, native};
pub(crate) use origin::origin;
pub(crate) use registry::registry;
pub(crate) use tag::same_image;
pub(crate) use target::tagged;

use crate::{
    args::{InputArgs, PatchArgs, ReproduceArgs, UnreportedPlatforms},
    environment::Env,
    failure::Failure,
};

/// Name and version of this program.
pub(crate) const GENERATOR: &str = concat!("reseal ", env!("CARGO_PKG_VERSION"));

/// Decides what `patch` does. Reports are read later: nothing here touches the disk.
pub(crate) fn patch(
    args: &PatchArgs,
    lock: Option<Lock>,
    env: &Env,
) -> Result<PatchSettings, Failure> {
    let mut input = match &lock {
        Some(lock) => input_of(
            &args.input,
            locked_image(args.input.image.as_deref(), lock)?,
        )?,
        None => input(&args.input)?,
    };
    // A lock names digests of packages: a platform without a report is none that nobody looked at.
    if lock.is_some() && args.input.report.is_empty() {
        input.unreported = Unreported::PatchAll;
    }
    let (to, tag_of_target) = match &args.to {
        Some(text) => {
            let (to, tag) = target::parse(text)?;
            (Some(to), tag)
        }
        None => (None, None),
    };
    let tag = args
        .tag
        .as_deref()
        .map(|template| tag::fill(template, &input.source, env))
        .transpose()?;
    if let (Some(tag), Some(other)) = (&tag, &tag_of_target)
        && tag != other
    {
        return Err(Failure::usage(format!(
            "`--tag` names the tag {tag}, and `--to` the tag {other}"
        ))
        .hint("Give one of them"));
    }
    let tag = tag.or(tag_of_target);
    if let Some(tag) = &tag
        && same_image(&input.source, to.as_ref(), tag)
    {
        return Err(Failure::usage(format!(
            "the result would replace its own source, `{}`",
            input.source
        ))
        .hint(
            "Choose another tag, such as `-t '{{tag}}-patched'`, or another repository with `--to`",
        ));
    }
    if args.tag_unchanged && tag.is_none() {
        return Err(Failure::usage("`--tag-unchanged` needs a tag").hint("Add `-t TAG`"));
    }
    if args.engine.packages.packages.is_some() && args.lock.is_none() {
        return Err(Failure::usage("`--packages` needs `--lock`: a folder of packages has no signature to trust")
            .hint("Write a lock where there is a network: `reseal plan IMAGE -r report.json --lock patch.lock`"));
    }
    Ok(PatchSettings {
        input,
        to,
        tag,
        tag_unchanged: args.tag_unchanged,
        allow_platform_failure: platforms(
            &args.allow_platform_failure,
            "--allow-platform-failure",
        )?
        .into_iter()
        .collect(),
        engine: if lock.is_some() {
            reseal_pipeline::EngineChoice::Native
        } else {
            engine::choice(&args.engine)
        },
        epoch: match &lock {
            Some(lock) => lock.epoch,
            None => epoch(env)?,
        },
        native: NativeSettings {
            lock,
            scripts: engine::scripts(&args.engine),
            ..engine::native(&args.engine.packages, env)?
        },
        seal: None,
        strict_layer: args.strict_layer,
        freshness: freshness(args.no_cache, env),
        proxy: proxy(env),
        temp_dir: env.temp_dir(),
        generator: GENERATOR.to_owned(),
    })
}

/// Decides which image is read, and which findings count.
pub(crate) fn input(args: &InputArgs) -> Result<Input, Failure> {
    let image = args
        .image
        .as_deref()
        .ok_or_else(|| Failure::usage("no image is named"))?;
    input_of(args, location(image)?)
}

fn input_of(args: &InputArgs, source: Location) -> Result<Input, Failure> {
    let wanted = platforms(&args.platform, "--platform")?;
    Ok(Input {
        source,
        reports: Vec::new(),
        platforms: (!wanted.is_empty()).then_some(wanted),
        unreported: match args.unreported_platforms {
            UnreportedPlatforms::Fail => Unreported::Fail,
            UnreportedPlatforms::PatchAll => Unreported::PatchAll,
            UnreportedPlatforms::Preserve => Unreported::Preserve,
        },
        allow_report_mismatch: args.allow_report_mismatch,
        policy: policy::resolve(args)?,
    })
}

/// Returns the image that a lock names, at the place that the user names, if any: a mirror has the same digest.
fn locked_image(named: Option<&str>, lock: &Lock) -> Result<Location, Failure> {
    let digest = &lock.source.digest;
    let text = named.unwrap_or(&lock.source.reference);
    let mut source = location(text)?;
    let place = match &mut source {
        Location::Registry(reference) => &mut reference.digest,
        Location::Layout { digest, .. } => digest,
    };
    if let Some(other) = place.as_ref().filter(|other| *other != digest) {
        return Err(Failure::usage(format!(
            "the lock is about {digest}, not {other}"
        )));
    }
    *place = Some(digest.clone());
    Ok(source)
}

/// Decides how long a run may take.
pub(crate) fn timeout(args: &InputArgs) -> Result<Duration, Failure> {
    time(&args.timeout)
}

/// Reads a length of time.
pub(crate) fn time(text: &str) -> Result<Duration, Failure> {
    duration::parse(text)
}

/// Decides what `reproduce` works with: a patch of the whole image that is never published.
pub(crate) fn reproduce(args: &ReproduceArgs, env: &Env) -> Result<PatchSettings, Failure> {
    Ok(PatchSettings {
        input: Input {
            source: location(&args.image)?,
            reports: Vec::new(),
            platforms: None,
            unreported: Unreported::PatchAll,
            allow_report_mismatch: false,
            policy: reseal_plan::Policy::default(),
        },
        to: None,
        tag: None,
        tag_unchanged: false,
        allow_platform_failure: BTreeSet::new(),
        engine: reseal_pipeline::EngineChoice::Native,
        native: engine::native(&args.packages, env)?,
        seal: None,
        strict_layer: false,
        epoch: None,
        freshness: String::new(),
        proxy: None,
        temp_dir: env.temp_dir(),
        generator: GENERATOR.to_owned(),
    })
}

/// Reads the name of an image.
pub(crate) fn location(text: &str) -> Result<Location, Failure> {
    text.parse().map_err(|error: reseal_oci::OciError| {
        Failure::usage(error.to_string())
            .hint("Name the image as REPOSITORY[:TAG][@DIGEST] or oci:PATH[:TAG][@DIGEST]")
    })
}

fn platforms(texts: &[String], flag: &str) -> Result<Vec<Platform>, Failure> {
    let mut seen = BTreeSet::new();
    let mut platforms = Vec::new();
    for text in texts {
        let platform: Platform = text.parse().map_err(|error| {
            Failure::usage(format!("`{flag}`: {error}"))
                .hint("Write a platform as in `linux/arm64`")
        })?;
        if seen.insert(platform.clone()) {
            platforms.push(platform);
        }
    }
    Ok(platforms)
}

pub(crate) fn epoch(env: &Env) -> Result<Option<i64>, Failure> {
    env.get("SOURCE_DATE_EPOCH")
        .map(|text| {
            text.parse()
                .ok()
                .filter(|seconds| *seconds >= 0)
                .ok_or_else(|| {
                    Failure::usage(format!(
                        "SOURCE_DATE_EPOCH is `{text}`, not a number of seconds since 1970"
                    ))
                })
        })
        .transpose()
}

/// The package manager's step is run again when this changes: each hour, or each time. Never by the daemon's `ignore_cache`,
/// which would wipe the package caches.
fn freshness(no_cache: bool, env: &Env) -> String {
    if no_cache {
        format!("run-{:016x}", env.random)
    } else {
        format!("hour-{}", env.now.div_euclid(3600))
    }
}

fn proxy(env: &Env) -> Option<Proxy> {
    let get = |names: [&str; 2]| env.first(&names).unwrap_or_default().to_owned();
    let proxy = Proxy {
        http: get(["http_proxy", "HTTP_PROXY"]),
        https: get(["https_proxy", "HTTPS_PROXY"]),
        no_proxy: get(["no_proxy", "NO_PROXY"]),
        all: get(["all_proxy", "ALL_PROXY"]),
    };
    (proxy != Proxy::default()).then_some(proxy)
}

#[cfg(test)]
mod tests;
