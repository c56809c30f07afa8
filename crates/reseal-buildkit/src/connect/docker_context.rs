//! Which dockerd `docker://` means: `DOCKER_HOST`, contexts, and the certificates that go with them.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::address::{Address, host_and_port, ssh};
use super::environment::Environment;
use super::error::ConnectError;
use super::tls::TlsFiles;

/// Docker's own default.
const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
/// Docker's ports by convention, without and with TLS.
const PLAIN_PORT: u16 = 2375;
const TLS_PORT: u16 = 2376;

/// How a dockerd is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DockerEndpoint {
    /// A socket on this machine.
    Unix(PathBuf),
    /// Over the network.
    Tcp {
        /// Name or address, IPv6 without brackets.
        host: String,
        /// The port.
        port: u16,
        /// Certificates; all absent means in the clear.
        tls: TlsFiles,
    },
    /// Through `ssh HOST docker system dial-stdio`.
    Ssh {
        /// The remote user.
        user: Option<String>,
        /// The remote host.
        host: String,
        /// The port of the SSH server.
        port: Option<u16>,
    },
}

/// Resolves what stands behind `docker://`, in the order of Docker's own command line: an explicit host, `DOCKER_HOST`,
/// `DOCKER_CONTEXT`, the current context of `config.json`, the default socket. `tls` are certificates given by flags;
/// they go before those of the environment.
pub fn docker_endpoint(
    host: Option<&str>,
    tls: &TlsFiles,
    environment: &Environment,
) -> Result<DockerEndpoint, ConnectError> {
    match host {
        Some(path) if path.starts_with('/') => Ok(DockerEndpoint::Unix(path.into())),
        Some(url) if url.contains("://") => from_url(url, tls, environment),
        Some(pair) if pair.contains(':') => from_url(&format!("tcp://{pair}"), tls, environment),
        Some(context) => from_context(context, tls, environment),
        None => match (
            environment.var("DOCKER_HOST"),
            environment.var("DOCKER_CONTEXT"),
        ) {
            (Some(url), _) => from_url(url, tls, environment),
            (None, Some(context)) => from_context(context, tls, environment),
            (None, None) => match current_context(environment)? {
                Some(context) => from_context(&context, tls, environment),
                None => Ok(DockerEndpoint::Unix(DEFAULT_SOCKET.into())),
            },
        },
    }
}

fn from_url(
    url: &str,
    flags: &TlsFiles,
    environment: &Environment,
) -> Result<DockerEndpoint, ConnectError> {
    let wants_tls = ["DOCKER_TLS_VERIFY", "DOCKER_TLS"]
        .iter()
        .any(|name| environment.var(name).is_some());
    let tls = if !flags.is_empty() {
        flags.clone()
    } else if wants_tls && url.starts_with("tcp://") {
        let folder = environment
            .var("DOCKER_CERT_PATH")
            .map(PathBuf::from)
            .or_else(|| environment.docker_config());
        TlsFiles::from_dir(&folder.unwrap_or_default())?
    } else {
        TlsFiles::default()
    };
    parse_url(url, tls).map_err(|why| ConnectError::DockerContext {
        name: format!("of {url}"),
        why,
    })
}

fn parse_url(url: &str, tls: TlsFiles) -> Result<DockerEndpoint, String> {
    let (scheme, rest) = url
        .split_once("://")
        .ok_or("there is no scheme in front of the host")?;
    match scheme {
        "unix" if rest.starts_with('/') => Ok(DockerEndpoint::Unix(rest.into())),
        "unix" => Err("the path of the socket is not absolute".to_owned()),
        "tcp" => {
            let (host, port) = host_and_port("docker", rest.trim_end_matches('/'))
                .map_err(|error| error.to_string())?;
            let port = port.unwrap_or(if tls.is_empty() { PLAIN_PORT } else { TLS_PORT });
            Ok(DockerEndpoint::Tcp { host, port, tls })
        }
        "ssh" => match ssh(rest).map_err(|error| error.to_string())? {
            Address::Ssh {
                user,
                host,
                port,
                socket: None,
            } => Ok(DockerEndpoint::Ssh { user, host, port }),
            _ => Err("a path behind an SSH host has no meaning for Docker".to_owned()),
        },
        other => Err(format!(
            "hosts that start with `{other}://` cannot be reached from here; unix://, tcp:// and ssh:// can"
        )),
    }
}

/// The context named by `config.json`; a missing file or field means the default.
fn current_context(environment: &Environment) -> Result<Option<String>, ConnectError> {
    #[derive(Deserialize)]
    struct Config {
        #[serde(rename = "currentContext")]
        current_context: Option<String>,
    }
    let Some(path) = environment
        .docker_config()
        .map(|folder| folder.join("config.json"))
    else {
        return Ok(None);
    };
    let broken = |why: String| ConnectError::DockerContext {
        name: "named by config.json".to_owned(),
        why: format!("`{}`: {why}", path.display()),
    };
    let Some(bytes) = read(&path).map_err(broken)? else {
        return Ok(None);
    };
    let config: Config =
        serde_json::from_slice(&bytes).map_err(|error| broken(error.to_string()))?;
    Ok(config.current_context.filter(|name| !name.is_empty()))
}

fn from_context(
    name: &str,
    flags: &TlsFiles,
    environment: &Environment,
) -> Result<DockerEndpoint, ConnectError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Meta {
        endpoints: std::collections::BTreeMap<String, Endpoint>,
    }
    #[derive(Deserialize)]
    struct Endpoint {
        #[serde(rename = "Host", default)]
        host: String,
        #[serde(rename = "SkipTLSVerify", default)]
        skip_verify: bool,
    }
    if name == "default" {
        return Ok(DockerEndpoint::Unix(DEFAULT_SOCKET.into()));
    }
    let broken = |why: String| ConnectError::DockerContext {
        name: name.to_owned(),
        why,
    };
    let folder = environment
        .docker_config()
        .ok_or_else(|| broken("neither DOCKER_CONFIG nor HOME is set".to_owned()))?
        .join("contexts");
    let id = id(name);
    let path = folder.join("meta").join(&id).join("meta.json");
    let bytes = read(&path).map_err(broken)?.ok_or_else(|| {
        broken(format!(
            "there is no such context in `{}`",
            folder.display()
        ))
    })?;
    let meta: Meta = serde_json::from_slice(&bytes)
        .map_err(|error| broken(format!("`{}`: {error}", path.display())))?;
    let endpoint = meta
        .endpoints
        .get("docker")
        .ok_or_else(|| broken("it has no Docker endpoint".to_owned()))?;
    if endpoint.skip_verify {
        return Err(broken(
            "it switches the check of certificates off, which reseal does not do".to_owned(),
        ));
    }
    let files = folder.join("tls").join(&id).join("docker");
    let tls = if !flags.is_empty() {
        flags.clone()
    } else if files.is_dir() {
        from_store(&files)
    } else {
        TlsFiles::default()
    };
    parse_url(&endpoint.host, tls).map_err(broken)
}

fn from_store(folder: &Path) -> TlsFiles {
    let find = |name: &str| Some(folder.join(name)).filter(|path| path.exists());
    TlsFiles {
        ca: find("ca.pem"),
        cert: find("cert.pem"),
        key: find("key.pem"),
        server_name: None,
    }
}

/// Docker's folder name for a context: the hex SHA-256 of its name.
fn id(name: &str) -> String {
    format!("{:x}", Sha256::digest(name.as_bytes()))
}

/// Reads a small file; `None` when it is not there.
fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("`{}`: {error}", path.display())),
    }
}
