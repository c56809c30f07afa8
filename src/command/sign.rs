//! `reseal sign`, `attest`, `verify-signature`, `promote`, `rollback` and `key`

use std::path::Path;

use reseal_oci::{Location, Tag};
use reseal_pipeline::{
    Events, PipelineError, PromoteSettings, Promotion, Requirement, Sealed, SignSettings,
};
use reseal_registry::Secret;
use reseal_sign::key::{KeyFiles, generate_key, import_key};

use super::{Context, registries};
use crate::{
    args::{
        AttestArgs, KeyArgs, KeyCommand, PromoteArgs, RegistryArgs, RollbackArgs, SignArgs,
        SignerArgs, VerifySignatureArgs,
    },
    failure::Failure,
    output, password,
    progress::Drawing,
    render, settings, signing,
};

pub(super) async fn sign(args: &SignArgs, context: &mut Context) -> Result<u8, Failure> {
    let settings = SignSettings {
        image: settings::location(&args.image)?,
        recursive: args.recursive,
        session: signing::required(&args.signer, &args.registry, &context.env)?,
    };
    let time = settings::time(&args.timeout)?;
    let registries = registries(&args.registry, &context.env)?;
    let (events, stream) = Events::channel();
    let drawing = Drawing::start(context.mode, &context.env, stream);
    let work = async { Ok(reseal_pipeline::sign(&settings, &registries, &events).await?) };
    let outcome = context.signals.bound(time, work).await;
    drawing.finish().await;
    let sealed = outcome?;
    agree(&settings, &args.signer, &args.registry, None, context).await;
    tell(&settings.image, &sealed, context)
}

/// Says which command of cosign agrees.
async fn agree(
    settings: &SignSettings,
    args: &SignerArgs,
    registry: &RegistryArgs,
    attestation: Option<&str>,
    context: &Context,
) {
    let digest = match &settings.image {
        Location::Registry(reference) => reference.digest.as_ref(),
        Location::Layout { digest, .. } => digest.as_ref(),
    };
    let Some(digest) = digest else { return };
    let about = (&settings.image, digest, attestation);
    if let Some(command) = signing::cosign(about, args, registry, &settings.session).await {
        context.tell(&command);
    }
}

pub(super) async fn attest(args: &AttestArgs, context: &mut Context) -> Result<u8, Failure> {
    signing::no_annotations(&args.signer.annotations)?;
    let predicate = signing::read(&args.predicate, "predicate")?;
    let predicate = serde_json::from_slice(&predicate).map_err(|error| {
        Failure::usage(format!("`{}` is no JSON", args.predicate.display())).because(&error)
    })?;
    let predicate_type = predicate_type(&args.predicate_type)?;
    let settings = SignSettings {
        image: settings::location(&args.image)?,
        recursive: false,
        session: signing::required(&args.signer, &args.registry, &context.env)?,
    };
    let time = settings::time(&args.timeout)?;
    let registries = registries(&args.registry, &context.env)?;
    let (events, stream) = Events::channel();
    let drawing = Drawing::start(context.mode, &context.env, stream);
    let work = async {
        Ok(
            reseal_pipeline::attest(&settings, &predicate_type, &predicate, &registries, &events)
                .await?,
        )
    };
    let outcome = context.signals.bound(time, work).await;
    drawing.finish().await;
    let sealed = outcome?;
    let kind = Some(predicate_type.as_str());
    agree(&settings, &args.signer, &args.registry, kind, context).await;
    tell(&settings.image, &sealed, context)
}

/// Returns the predicate type of a short name, as cosign has them.
fn predicate_type(name: &str) -> Result<String, Failure> {
    match Requirement::parse(name) {
        Some(Requirement::Attestation(uri)) => Ok(uri),
        Some(Requirement::Verification) => {
            Ok(reseal_sign::statement::predicate_type::VERIFICATION.to_owned())
        }
        Some(Requirement::Signature) | None => Err(Failure::usage(format!(
            "`{name}` is no type of predicate that is known"
        ))
        .hint("Name slsaprovenance1, vuln, openvex, spdxjson, cyclonedx, custom, or a URI")),
    }
}

fn tell(image: &Location, sealed: &[Sealed], context: &Context) -> Result<u8, Failure> {
    let text = if context.json() {
        output::document(&serde_json::json!({
            "schema": "reseal.dev/signatures/v1",
            "image": image.to_string(),
            "signatures": sealed,
        }))
    } else {
        render::sign::sealed(sealed)
    };
    output::stdout(&text)?;
    Ok(0)
}

pub(super) async fn verify_signature(
    args: &VerifySignatureArgs,
    context: &mut Context,
) -> Result<u8, Failure> {
    let image = settings::location(&args.image)?;
    let require = signing::requirements(&args.require)?;
    let trust = signing::trust(&args.trust, &require, &context.env)?;
    let registries = registries(&args.registry, &context.env)?;
    let work = async {
        Ok(reseal_pipeline::verify_signature(&image, &require, &trust, &registries).await?)
    };
    let proofs = context.signals.bound(settings::time("5m")?, work).await?;
    let text = if context.json() {
        output::document(&serde_json::json!({
            "schema": "reseal.dev/proofs/v1",
            "image": image.to_string(),
            "proofs": proofs,
        }))
    } else {
        render::sign::proofs(&proofs)
    };
    output::stdout(&text)?;
    Ok(0)
}

pub(super) async fn promote(args: &PromoteArgs, context: &mut Context) -> Result<u8, Failure> {
    let require = signing::requirements(&args.require)?;
    let settings = PromoteSettings {
        source: settings::location(&args.image)?,
        destination: settings::tagged(&args.destination)?,
        also: args
            .also_tag
            .iter()
            .map(|text| {
                text.parse::<Tag>()
                    .map_err(|error| Failure::usage(format!("`--also-tag`: {error}")))
            })
            .collect::<Result<_, _>>()?,
        trust: signing::trust(&args.trust, &require, &context.env)?,
        require,
    };
    let time = settings::time(&args.timeout)?;
    let registries = registries(&args.registry, &context.env)?;
    let (events, stream) = Events::channel();
    let drawing = Drawing::start(context.mode, &context.env, stream);
    let keep = |promotion: &Promotion| keep_record(args.record.as_deref(), promotion);
    let work =
        async { Ok(reseal_pipeline::promote(&settings, &registries, &keep, &events).await?) };
    let outcome = context.signals.bound(time, work).await;
    drawing.finish().await;
    let promoted = outcome?;
    context.tell(&render::sign::tags(&promoted.tags));
    let text = if context.json() {
        output::document(&promoted)
    } else {
        format!(
            "{}@{}\n",
            promoted.promoted.reference, promoted.promoted.digest
        )
    };
    output::stdout(&text)?;
    Ok(0)
}

/// Writes what a promotion is about to do, and what an earlier run of it has done. One that moves nothing must not overwrite the
/// record of another.
fn keep_record(path: Option<&Path>, promotion: &Promotion) -> Result<(), PipelineError> {
    let Some(path) = path else { return Ok(()) };
    // A pipe is not waited for.
    let earlier = path.is_file().then(|| std::fs::read(path).ok()).flatten();
    let record = match earlier.and_then(|bytes| reseal_pipeline::read_record("", &bytes).ok()) {
        Some(earlier) => promotion.going_on_from(&earlier),
        None => promotion.clone(),
    };
    if path.exists() && record.tags.iter().all(|tag| !tag.moved) {
        return Ok(());
    }
    output::write(path, &output::document(&record)).map_err(|failure| PipelineError::Usage {
        message: format!("{}: {}", failure.message, failure.causes.join(": ")),
        hint: Some("No tag has moved: choose another place for `--record`".into()),
    })
}

pub(super) async fn rollback(args: &RollbackArgs, context: &mut Context) -> Result<u8, Failure> {
    let name = args.record.display().to_string();
    let bytes = signing::read(&args.record, "record")?;
    let record = reseal_pipeline::read_record(&name, &bytes)?;
    let trust = signing::trust(&args.trust, &[Requirement::Signature], &context.env)?;
    let registries = registries(&args.registry, &context.env)?;
    let (events, stream) = Events::channel();
    let drawing = Drawing::start(context.mode, &context.env, stream);
    let work =
        async { Ok(reseal_pipeline::rollback(&record, &trust, &registries, &events).await?) };
    let outcome = context.signals.bound(settings::time("10m")?, work).await;
    drawing.finish().await;
    let done = outcome?;
    let text = if context.json() {
        output::document(&done)
    } else {
        render::sign::tags(&done.tags)
    };
    output::stdout(&text)?;
    Ok(0)
}

pub(super) fn key(args: &KeyArgs, context: &Context) -> Result<u8, Failure> {
    let env = &context.env;
    match &args.what {
        KeyCommand::Generate { output_key_prefix } => {
            let password = new_password(context)?;
            let files = generate_key(&password).map_err(|error| signing::key_failure(&error))?;
            write_key(output_key_prefix, &files)
        }
        KeyCommand::Import {
            key,
            output_key_prefix,
        } => {
            let text = signing::read(key, "key")?;
            let old = || password::ask(env, "Password of the key as it is: ");
            let password = new_password(context)?;
            let files =
                import_key(&text, &old, &password).map_err(|error| signing::key_failure(&error))?;
            write_key(output_key_prefix, &files)
        }
        KeyCommand::Public { key } => {
            let signer = signing::open_key(key, env)?;
            output::stdout(&signer.public_key().to_pem())?;
            Ok(0)
        }
    }
}

fn new_password(context: &Context) -> Result<Secret, Failure> {
    password::choose(&context.env).map_err(|error| signing::key_failure(&error))
}

/// Keys are never overwritten: signatures of the old one would be worth nothing.
fn write_key(prefix: &Path, files: &KeyFiles) -> Result<u8, Failure> {
    let path = |extension: &str| {
        let mut name = prefix.as_os_str().to_owned();
        name.push(extension);
        std::path::PathBuf::from(name)
    };
    let (private, public) = (path(".key"), path(".pub"));
    for path in [&private, &public] {
        if path.exists() {
            return Err(Failure::usage(format!("`{}` exists", path.display()))
                .hint("Choose another `--output-key-prefix`, or move it away"));
        }
    }
    output::write_private(&private, &files.private)?;
    output::write(&public, &files.public)?;
    output::stdout(&format!("{}\n{}\n", private.display(), public.display()))?;
    Ok(0)
}
