//! How `BuildKit` daemons are reached.

use std::path::PathBuf;

use reseal_buildkit::{Address, TlsFiles, parse_addr_flag};
use reseal_oci::Platform;

use crate::{
    args::{BuilderArgs, RegistryArgs},
    environment::Env,
    failure::Failure,
};

/// Addresses that were named, and what dialling needs.
#[derive(Debug, Clone)]
pub(crate) struct BuilderSettings {
    /// Named addresses, each perhaps for one platform only; none means that a daemon is searched for.
    pub(crate) addresses: Vec<(Option<Platform>, Address)>,
    /// Certificates for `tcp://`.
    pub(crate) tls: TlsFiles,
    /// A folder whose `ca.pem`, `cert.pem` and `key.pem` fill in what `tls` lacks, where they exist.
    pub(crate) tls_dir: Option<PathBuf>,
    /// Registries without TLS, for a daemon that is started for this run.
    pub(crate) plain_http: Vec<String>,
    /// What the search looks at.
    pub(crate) environment: reseal_buildkit::Environment,
}

/// Decides how daemons are reached.
pub(crate) fn builder(
    args: &BuilderArgs,
    registry: &RegistryArgs,
    env: &Env,
) -> Result<BuilderSettings, Failure> {
    let mut addresses: Vec<(Option<Platform>, Address)> = Vec::new();
    for text in &args.addr {
        let (platform, address) = parse_addr_flag(text).map_err(|error| {
            let failure = Failure::usage(format!("`--addr`: {error}"));
            match error.hint() {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        })?;
        let platform = platform
            .map(|platform| {
                platform
                    .parse::<Platform>()
                    .map_err(|error| Failure::usage(format!("`--addr`: {error}")))
            })
            .transpose()?;
        if addresses.iter().any(|(known, _)| *known == platform) {
            let which = platform.map_or_else(
                || "every platform".to_owned(),
                |platform| platform.to_string(),
            );
            return Err(Failure::usage(format!("`--addr` names two daemons for {which}"))
                .hint("Give each its platform: `--addr linux/amd64=ADDRESS --addr linux/arm64=ADDRESS`"));
        }
        addresses.push((platform, address));
    }
    if args.tls_cert.is_some() != args.tls_key.is_some() {
        return Err(Failure::usage(
            "`--tls-cert` and `--tls-key` belong together",
        ));
    }
    Ok(BuilderSettings {
        addresses,
        tls: TlsFiles {
            ca: args.tls_ca.clone(),
            cert: args.tls_cert.clone(),
            key: args.tls_key.clone(),
            server_name: args.tls_server_name.clone(),
        },
        tls_dir: args.tls_dir.clone(),
        plain_http: registry.plain_http.clone(),
        environment: reseal_buildkit::Environment {
            vars: env.variables.clone(),
            uid: env.uid,
        },
    })
}
