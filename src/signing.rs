//! Opens keys, services and trust: the one place where signing touches files, the terminal and the environment.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use reseal_oci::{Digest, Location};
use reseal_pipeline::{Class, Requirement, SealSettings, Trust};
use reseal_sign::{
    Identity, Session, SignSettings, SignatureFormat,
    key::{KeyError, KeyReference, PublicKey},
    oidc::{AUDIENCE, KUBERNETES_TOKEN, TokenSource},
    service::{Choice, Http, HttpSettings, Rekor, Services},
    verify::{Claim, Log, Match, Timestamps, TrustedRoot, VerifyError, VerifyPolicy, Who},
};

use crate::{
    args::{RegistryArgs, SignatureForm, SignerArgs, Switch, TrustArgs},
    environment::Env,
    exit::Reason,
    failure::Failure,
    password,
    render::cosign::{self, By, Check, Root},
    settings,
};

/// Opens what signs; `None` when nothing was asked for.
pub(crate) fn session(
    args: &SignerArgs,
    registry: &RegistryArgs,
    env: &Env,
) -> Result<Option<Arc<Session>>, Failure> {
    let keyless = args.keyless || args.identity_token.is_some();
    let identity = match (&args.sign_key, keyless) {
        (Some(key), _) => Identity::Key(open_key(key, env)?),
        (None, true) => Identity::Keyless {
            tokens: tokens(args, env)?,
            audience: AUDIENCE.to_owned(),
        },
        (None, false) => return Ok(None),
    };
    if let Some(path) = &args.trusted_root {
        // It is for those who verify: better to say now than to them that it is none.
        TrustedRoot::parse(&read(path, "trusted root")?).map_err(|error| {
            let hint = error.hint();
            with(usage_of("Could not use the trusted root", &error), hint)
        })?;
    }
    let tlog = args.tlog == Switch::On;
    let settings = SignSettings {
        services: services(args, tlog, env)?,
        identity,
        tlog,
        format: match args.signature_format {
            SignatureForm::Both => SignatureFormat::Both,
            SignatureForm::Bundle => SignatureFormat::Bundle,
            SignatureForm::Legacy => SignatureFormat::Legacy,
        },
        annotations: pairs("--annotations", &args.annotations)?,
    };
    let http = Http::new(HttpSettings {
        ca_files: registry.registry_ca.clone(),
        ..HttpSettings::default()
    })
    .map_err(|error| signing("Could not set up access to signing services", &error))?;
    let session = Session::open(settings, http).map_err(|error| {
        let hint = error.hint();
        with(usage_of("Could not sign", &error), hint)
    })?;
    Ok(Some(Arc::new(session)))
}

/// As [`session`], where nothing to sign with is an error.
pub(crate) fn required(
    args: &SignerArgs,
    registry: &RegistryArgs,
    env: &Env,
) -> Result<Arc<Session>, Failure> {
    session(args, registry, env)?.ok_or_else(|| {
        Failure::usage("nothing is there to sign with").hint(
            "Give a key with `--sign-key`, or sign with the identity of a CI job by `--keyless`",
        )
    })
}

/// Reads `KEY=VALUE` texts.
fn pairs(flag: &str, texts: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    texts
        .iter()
        .map(|text| match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(Failure::usage(format!(
                "`{flag}` is `{text}`, not KEY=VALUE"
            ))),
        })
        .collect()
}

/// Refuses annotations where no signature is made or asked for: a condition must not be dropped in silence.
pub(crate) fn no_annotations(texts: &[String]) -> Result<(), Failure> {
    if texts.is_empty() {
        return Ok(());
    }
    Err(
        Failure::usage("`--annotations` belong to signatures, and attestations have none").hint(
            "Leave them out, or use them with a signature (`reseal sign`, `--require signature`)",
        ),
    )
}

/// Returns how `patch` signs what it made; `attest`: also what it found.
pub(crate) fn seal(
    args: &SignerArgs,
    attest: bool,
    registry: &RegistryArgs,
    env: &Env,
) -> Result<Option<SealSettings>, Failure> {
    Ok(session(args, registry, env)?.map(|session| SealSettings {
        attest,
        ..sealed_by(session, env)
    }))
}

/// Returns how a run signs and attests with a session.
pub(crate) fn sealed_by(session: Arc<Session>, env: &Env) -> SealSettings {
    SealSettings {
        session,
        attest: true,
        run: settings::origin(env),
    }
}

/// Says which command of cosign agrees with what was signed: image, digest, and the type of an attestation.
pub(crate) async fn cosign(
    (image, digest, attestation): (&Location, &Digest, Option<&str>),
    args: &SignerArgs,
    registry: &RegistryArgs,
    session: &Session,
) -> Option<String> {
    let public = args.sign_key.as_deref().and_then(public_half);
    let identity = session.identity().await;
    let by = match (&args.sign_key, &public, &identity) {
        (_, Some(public), _) => By::PublicKey(public),
        (Some(key), None, _) => By::PrivateKey(key),
        (None, None, Some((identity, issuer))) => By::Identity(identity, issuer),
        (None, None, None) => return None,
    };
    let plain_http = match image {
        Location::Registry(reference) => {
            let host = reference.repository.registry();
            registry.plain_http.iter().any(|one| one == host)
        }
        Location::Layout { .. } => false,
    };
    let own_services =
        args.signing_config.is_some() || args.fulcio_url.is_some() || args.rekor_url.is_some();
    Some(cosign::advice(&Check {
        image,
        digest,
        attestation,
        by,
        log: args.tlog == Switch::On,
        root: match &args.trusted_root {
            Some(path) => Root::File(path),
            None if own_services => Root::Unknown,
            None => Root::Public,
        },
        plain_http,
        registry_ca: &registry.registry_ca,
    }))
}

/// Returns the file beside a private key that holds its public half, as `reseal key` and cosign write it.
fn public_half(key: &str) -> Option<String> {
    let stem = key.strip_suffix(".key")?;
    let public = format!("{stem}.pub");
    Path::new(&public).is_file().then_some(public)
}

/// Opens whose signatures count for what is required.
pub(crate) fn trust(
    args: &TrustArgs,
    required: &[Requirement],
    env: &Env,
) -> Result<Trust, Failure> {
    if !required.contains(&Requirement::Signature) {
        no_annotations(&args.annotations)?;
    }
    let wrong = |error: VerifyError| {
        let hint = error.hint();
        with(
            usage_of("Could not tell whose signatures count", &error),
            hint,
        )
    };
    let who = match &args.key {
        Some(key) => Who::Key(public_key(key, env)?),
        None => Who::Identity {
            identity: either(
                args.certificate_identity.as_deref(),
                args.certificate_identity_regexp.as_deref(),
            )
            .ok_or_else(nobody)?
            .map_err(wrong)?,
            issuer: either(
                args.certificate_oidc_issuer.as_deref(),
                args.certificate_oidc_issuer_regexp.as_deref(),
            )
            .ok_or_else(nobody)?
            .map_err(wrong)?,
            claims: claims(&args.certificate_claim)?,
        },
    };
    let log = args.tlog == Switch::On;
    let root = match &args.trusted_root {
        Some(path) => Some(TrustedRoot::parse(&read(path, "trusted root")?).map_err(wrong)?),
        None if log || args.key.is_none() => Some(TrustedRoot::public_instance().map_err(wrong)?),
        None => None,
    };
    let mut policy = VerifyPolicy::new(who, root);
    policy.log = if log { Log::Required } else { Log::Off };
    policy.annotations = pairs("--annotations", &args.annotations)?;
    if args.use_signed_timestamps {
        policy.timestamps = Timestamps::Required;
    }
    if let Some(root) = &policy.trusted_root
        && !root.has_certificate_logs()
    {
        policy.certificate_log = Log::Off;
    }
    policy.check().map_err(wrong)?;
    Ok(Trust {
        policy,
        now: env.now,
    })
}

/// Reads names of proofs.
pub(crate) fn requirements(names: &[String]) -> Result<Vec<Requirement>, Failure> {
    names
        .iter()
        .map(|name| {
            Requirement::parse(name).ok_or_else(|| {
                Failure::usage(format!("`{name}` is no proof that is known")).hint(
                    "Name signature, verification, provenance, vuln, openvex, spdx, cyclonedx, or a predicate type",
                )
            })
        })
        .collect()
}

fn claims(texts: &[String]) -> Result<Vec<(Claim, Match)>, Failure> {
    pairs("--certificate-claim", texts)?
        .into_iter()
        .map(|(name, value)| Ok((name.parse()?, Match::exact(value)?)))
        .collect::<Result<_, VerifyError>>()
        .map_err(|error| {
            let hint = error.hint();
            with(
                usage_of("Could not read `--certificate-claim`", &error),
                hint,
            )
        })
}

fn nobody() -> Failure {
    Failure::usage("nobody is named whose signature counts").hint(
        "Give `--key cosign.pub`, or `--certificate-identity` and `--certificate-oidc-issuer`",
    )
}

fn either(exact: Option<&str>, pattern: Option<&str>) -> Option<Result<Match, VerifyError>> {
    exact
        .map(Match::exact)
        .or_else(|| pattern.map(Match::pattern))
}

/// Opens a private key.
pub(crate) fn open_key(
    text: &str,
    env: &Env,
) -> Result<Arc<dyn reseal_sign::key::Signer>, Failure> {
    let reference: KeyReference = text.parse().map_err(|error| key_failure(&error))?;
    reference
        .open(&|name| env.variables.get(name).cloned(), &|| {
            password::ask(env, "Password of the key: ")
        })
        .map_err(|error| key_failure(&error))
}

fn public_key(text: &str, env: &Env) -> Result<PublicKey, Failure> {
    let pem = match text.strip_prefix("env://") {
        Some(name) => env
            .get(name)
            .map(|value| value.as_bytes().to_vec())
            .ok_or_else(|| Failure::usage(format!("the variable {name} is not set")))?,
        None => read(Path::new(text), "public key")?,
    };
    reseal_sign::verify::public_key(&pem).map_err(|error| {
        let hint = error.hint();
        with(
            usage_of(&format!("Could not use the public key `{text}`"), &error),
            hint,
        )
    })
}

/// Says why a key cannot be used.
pub(crate) fn key_failure(error: &KeyError) -> Failure {
    let hint = error.hint();
    with(usage_of("Could not use the key", error), hint)
}

fn tokens(args: &SignerArgs, env: &Env) -> Result<TokenSource, Failure> {
    if let Some(text) = &args.identity_token {
        return Ok(TokenSource::given(text));
    }
    TokenSource::detect(
        &|name| env.variables.get(name).cloned(),
        Path::new(KUBERNETES_TOKEN),
    )
    .map_err(|error| {
        let hint = error.hint();
        with(signing("Could not find an identity token", &error), hint)
    })
}

fn services(args: &SignerArgs, tlog: bool, env: &Env) -> Result<Services, Failure> {
    let wrong = |error| usage_of("Could not use the signing configuration", &error);
    let url = |flag: &str, text: &str| {
        text.parse().map_err(|error| {
            Failure::usage(format!(
                "`{flag}` is `{text}`, which is no address: {error}"
            ))
        })
    };
    let named = args.fulcio_url.is_some() || args.rekor_url.is_some() || args.tsa_url.is_some();
    let mut services = match &args.signing_config {
        Some(path) => Services::from_signing_config(&read(path, "signing configuration")?, env.now)
            .map_err(wrong)?,
        // Without a log nothing of the public instance is needed, and with named services nothing of it is meant.
        None if named || !tlog => Services::default(),
        None => Services::public_good(env.now).map_err(wrong)?,
    };
    if let Some(text) = &args.fulcio_url {
        services.fulcio = Some(url("--fulcio-url", text)?);
    }
    if let Some(text) = &args.rekor_url {
        let log: reseal_sign::service::Url = url("--rekor-url", text)?;
        services.rekor_v1 = Some(log.clone());
        services.rekor = Choice::all(vec![Rekor::V1(log)]);
    }
    if let Some(text) = &args.tsa_url {
        services.tsa = Choice::all(vec![url("--tsa-url", text)?]);
    }
    Ok(services)
}

/// Reads a small file that a flag names.
pub(crate) fn read(path: &Path, what: &str) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| {
        Failure::usage(format!("Could not read the {what} `{}`", path.display())).because(&error)
    })
}

fn usage_of(message: &str, error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::usage(message).because(error)
}

fn signing(message: &str, error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new(Reason::Class(Class::Signing), message).because(error)
}

fn with(failure: Failure, hint: Option<String>) -> Failure {
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
