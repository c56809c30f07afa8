//! Where a `BuildKit` daemon can be: the address grammar of `--addr` and `BUILDKIT_HOST`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::identifier;

/// The port that `tcp://HOST` without one means, by buildkitd's convention.
pub const DEFAULT_PORT: u16 = 1234;

/// Every scheme that is understood, in the order of the documentation.
pub const SCHEMES: &str = "unix://, tcp://, docker-container://, podman-container://, nerdctl-container://, kube-pod://, ssh://, docker:// and buildx://";

/// Where a `BuildKit` daemon is reached. A value is valid: no part of it can be taken for an option of a program.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// `unix:///path`: a socket on this machine.
    Unix(PathBuf),
    /// `tcp://host:port`: HTTP/2 in the clear, or TLS when certificate files are given.
    Tcp {
        /// Name or address, IPv6 without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// `docker-container://NAME[?context=CTX]`: through `docker exec`.
    DockerContainer {
        /// The container.
        name: String,
        /// The Docker context, else Docker's own choice.
        context: Option<String>,
    },
    /// `podman-container://NAME`: through `podman exec`.
    PodmanContainer {
        /// The container.
        name: String,
    },
    /// `nerdctl-container://NAME[?namespace=NS]`: through `nerdctl exec`.
    NerdctlContainer {
        /// The container.
        name: String,
        /// The containerd namespace.
        namespace: Option<String>,
    },
    /// `kube-pod://POD[?context=&namespace=&container=]`: through `kubectl exec`.
    KubePod {
        /// The pod.
        pod: String,
        /// The context of the kubeconfig.
        context: Option<String>,
        /// The namespace.
        namespace: Option<String>,
        /// The container inside the pod.
        container: Option<String>,
    },
    /// `ssh://[user@]host[:port][/socket]`: through `ssh … buildctl dial-stdio`.
    Ssh {
        /// The remote user.
        user: Option<String>,
        /// The remote host, IPv6 without brackets.
        host: String,
        /// The port of the SSH server.
        port: Option<u16>,
        /// The daemon's socket over there, else buildctl's default.
        socket: Option<String>,
    },
    /// `docker://[HOST]`: the `BuildKit` inside dockerd. HOST is a socket path, a `unix://`, `tcp://` or `ssh://` URL,
    /// `name:port`, or the name of a Docker context; without it `DOCKER_HOST` and the current context decide.
    Docker {
        /// What stands behind `docker://`.
        host: Option<String>,
    },
    /// `buildx://[BUILDER]`: through `docker buildx dial-stdio`.
    Buildx {
        /// The builder, else buildx's current one.
        builder: Option<String>,
    },
}

/// Why a text is not a usable address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// No text at all.
    #[error("empty BuildKit address; accepted are {SCHEMES}")]
    Empty,
    /// Nothing that looks like `scheme://`.
    #[error("BuildKit address `{value}` has no scheme; accepted are {SCHEMES}")]
    NoScheme {
        /// What was given.
        value: String,
    },
    /// A scheme that is not one of ours.
    #[error("BuildKit address scheme `{scheme}://` is not known; accepted are {SCHEMES}")]
    UnknownScheme {
        /// The scheme without `://`.
        scheme: String,
    },
    /// A known scheme with a part that does not fit.
    #[error("BuildKit address for `{scheme}://` is not valid: {why}")]
    Invalid {
        /// The scheme without `://`.
        scheme: &'static str,
        /// What does not fit; never the text of a password.
        why: String,
    },
    /// The platform in front of `=` is not one.
    #[error("`{value}` in front of the BuildKit address is not a platform such as `linux/arm64`")]
    Platform {
        /// What was given.
        value: String,
    },
}

impl AddressError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoScheme { value } if value.starts_with('/') => Some(format!("write `unix://{value}`")),
            Self::NoScheme { value } if value.contains(':') => Some(format!("write `tcp://{value}`")),
            Self::NoScheme { .. } => Some("write for example `unix:///run/buildkit/buildkitd.sock`".to_owned()),
            Self::UnknownScheme { scheme } => match scheme.as_str() {
                "buildkit" => Some("write `unix:///run/buildkit/buildkitd.sock` for a daemon on this machine, `tcp://HOST:1234` for one elsewhere".to_owned()),
                "http" | "https" | "grpc" | "grpcs" => Some("write `tcp://HOST:PORT`; giving certificate files switches TLS on".to_owned()),
                "npipe" | "fd" => Some("use `tcp://HOST:PORT` or `docker-container://NAME`".to_owned()),
                _ => None,
            },
            Self::Invalid { scheme: "unix", .. } => Some("write three slashes: `unix:///run/buildkit/buildkitd.sock`".to_owned()),
            Self::Invalid { scheme: "ssh", .. } => Some("keys and passwords belong in the SSH agent or its configuration".to_owned()),
            _ => None,
        }
    }
}

/// Parses a value of `--addr`: an address, or `PLATFORM=ADDRESS` for the native node of one platform.
pub fn parse_addr_flag(value: &str) -> Result<(Option<String>, Address), AddressError> {
    let scheme_end = value.find("://").unwrap_or(value.len());
    match value[..scheme_end].split_once('=') {
        Some((platform, _)) if identifier::is_platform(platform) => Ok((
            Some(platform.to_owned()),
            value[platform.len() + 1..].parse()?,
        )),
        Some((platform, _)) => Err(AddressError::Platform {
            value: platform.to_owned(),
        }),
        None => Ok((None, value.parse()?)),
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(value: &str) -> Result<Self, AddressError> {
        if value.trim().is_empty() {
            return Err(AddressError::Empty);
        }
        let Some((scheme, rest)) = value.split_once("://") else {
            return Err(AddressError::NoScheme {
                value: printable(value),
            });
        };
        match scheme {
            "unix" => unix(rest),
            "tcp" => {
                let (host, port) = host_and_port("tcp", rest)?;
                Ok(Self::Tcp {
                    host,
                    port: port.unwrap_or(DEFAULT_PORT),
                })
            }
            "docker-container" => {
                let mut query = Query::parse("docker-container", rest, &["context"])?;
                Ok(Self::DockerContainer {
                    name: query.target("container", identifier::is_name)?,
                    context: query.take("context", identifier::is_name)?,
                })
            }
            "podman-container" => {
                let query = Query::parse("podman-container", rest, &[])?;
                Ok(Self::PodmanContainer {
                    name: query.target("container", identifier::is_name)?,
                })
            }
            "nerdctl-container" => {
                let mut query = Query::parse("nerdctl-container", rest, &["namespace"])?;
                Ok(Self::NerdctlContainer {
                    name: query.target("container", identifier::is_name)?,
                    namespace: query.take("namespace", identifier::is_name)?,
                })
            }
            "kube-pod" => {
                let mut query =
                    Query::parse("kube-pod", rest, &["context", "namespace", "container"])?;
                Ok(Self::KubePod {
                    pod: query.target("pod", identifier::is_kubernetes_name)?,
                    context: query.take("context", identifier::is_kubernetes_context)?,
                    namespace: query.take("namespace", identifier::is_kubernetes_name)?,
                    container: query.take("container", identifier::is_kubernetes_name)?,
                })
            }
            "ssh" => ssh(rest),
            "docker" => docker(rest),
            "buildx" => match rest {
                "" => Ok(Self::Buildx { builder: None }),
                name if identifier::is_name(name) => Ok(Self::Buildx {
                    builder: Some(name.to_owned()),
                }),
                name => Err(invalid(
                    "buildx",
                    format!("`{}` is not a builder name", printable(name)),
                )),
            },
            _ => Err(AddressError::UnknownScheme {
                scheme: printable(scheme),
            }),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port } => write!(f, "tcp://{}:{port}", bracketed(host)),
            Self::DockerContainer { name, context } => write!(
                f,
                "docker-container://{name}{}",
                QueryText(&[("context", context)])
            ),
            Self::PodmanContainer { name } => write!(f, "podman-container://{name}"),
            Self::NerdctlContainer { name, namespace } => write!(
                f,
                "nerdctl-container://{name}{}",
                QueryText(&[("namespace", namespace)])
            ),
            Self::KubePod {
                pod,
                context,
                namespace,
                container,
            } => {
                write!(
                    f,
                    "kube-pod://{pod}{}",
                    QueryText(&[
                        ("context", context),
                        ("namespace", namespace),
                        ("container", container)
                    ])
                )
            }
            Self::Ssh {
                user,
                host,
                port,
                socket,
            } => {
                f.write_str("ssh://")?;
                if let Some(user) = user {
                    write!(f, "{user}@")?;
                }
                f.write_str(&bracketed(host))?;
                if let Some(port) = port {
                    write!(f, ":{port}")?;
                }
                f.write_str(socket.as_deref().unwrap_or_default())
            }
            Self::Docker { host } => write!(f, "docker://{}", host.as_deref().unwrap_or_default()),
            Self::Buildx { builder } => {
                write!(f, "buildx://{}", builder.as_deref().unwrap_or_default())
            }
        }
    }
}

/// Prints the parameters that are set as `?a=b&c=d`.
struct QueryText<'a>(&'a [(&'a str, &'a Option<String>)]);

impl fmt::Display for QueryText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = self
            .0
            .iter()
            .filter_map(|(key, value)| value.as_ref().map(|value| (key, value)));
        for (index, (key, value)) in set.enumerate() {
            write!(f, "{}{key}={value}", if index == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

fn unix(rest: &str) -> Result<Address, AddressError> {
    // The kernel's limit for a socket path is 108 bytes with the closing zero.
    match rest {
        path if !path.starts_with('/') => Err(invalid(
            "unix",
            format!("`{}` is not an absolute path", printable(path)),
        )),
        path if path.contains(char::is_control) => Err(invalid(
            "unix",
            "the path holds control characters".to_owned(),
        )),
        path if path.len() > 107 => Err(invalid(
            "unix",
            format!(
                "the path is {} bytes long, the system takes 107",
                path.len()
            ),
        )),
        path => Ok(Address::Unix(PathBuf::from(path))),
    }
}

/// Splits and checks `[user@]host[:port][/socket]`; also used for `ssh://` values of `DOCKER_HOST`.
pub(super) fn ssh(rest: &str) -> Result<Address, AddressError> {
    if rest.contains(['?', '#']) {
        return Err(invalid(
            "ssh",
            "queries and fragments have no meaning here".to_owned(),
        ));
    }
    let (authority, socket) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    // The value itself is never repeated: it may be a password.
    if user.is_some_and(|user| user.contains(':')) {
        return Err(invalid(
            "ssh",
            "it holds a password, which would show in process lists".to_owned(),
        ));
    }
    if let Some(user) = user.filter(|user| !identifier::is_user(user)) {
        return Err(invalid(
            "ssh",
            format!("`{}` is not a user name", printable(user)),
        ));
    }
    let (host, port) = host_and_port("ssh", host)?;
    let socket = Some(socket).filter(|socket| !matches!(*socket, "" | "/"));
    if let Some(socket) = socket.filter(|socket| !identifier::is_remote_path(socket)) {
        return Err(invalid(
            "ssh",
            format!("`{}` is not a plain socket path", printable(socket)),
        ));
    }
    Ok(Address::Ssh {
        user: user.map(str::to_owned),
        host,
        port,
        socket: socket.map(str::to_owned),
    })
}

/// Checks what stands behind `docker://` as far as that is possible without looking at contexts.
fn docker(rest: &str) -> Result<Address, AddressError> {
    let checked = match rest {
        "" => return Ok(Address::Docker { host: None }),
        path if path.starts_with('/') => unix(path).map(drop),
        url if url.contains("://") => match url.parse()? {
            Address::Unix(_) | Address::Tcp { .. } | Address::Ssh { socket: None, .. } => Ok(()),
            _ => Err(invalid(
                "docker",
                "behind it fit a socket path, unix://, tcp://, ssh://HOST or a context name"
                    .to_owned(),
            )),
        },
        host if host.contains(':') => host_and_port("docker", host).map(drop),
        name if identifier::is_name(name) => Ok(()),
        name => Err(invalid(
            "docker",
            format!("`{}` is not a context name", printable(name)),
        )),
    };
    checked.map(|()| Address::Docker {
        host: Some(rest.to_owned()),
    })
}

/// Splits `host[:port]` with IPv6 in brackets.
pub(super) fn host_and_port(
    scheme: &'static str,
    text: &str,
) -> Result<(String, Option<u16>), AddressError> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest
            .split_once(']')
            .ok_or_else(|| invalid(scheme, "a bracket is not closed".to_owned()))?;
        let port = match after {
            "" => None,
            after => Some(after.strip_prefix(':').ok_or_else(|| {
                invalid(scheme, "behind the bracket fits only a port".to_owned())
            })?),
        };
        (host, port)
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    if !identifier::is_host(host) {
        return Err(invalid(
            scheme,
            format!("`{}` is not a host name or address", printable(host)),
        ));
    }
    let port = match port {
        None => None,
        Some(port) => match port.parse::<u16>() {
            Ok(number) if number != 0 && port.chars().all(|c| c.is_ascii_digit()) => Some(number),
            _ => {
                return Err(invalid(
                    scheme,
                    format!("`{}` is not a port", printable(port)),
                ));
            }
        },
    };
    Ok((host.to_owned(), port))
}

/// `target?key=value&key=value`
struct Query {
    scheme: &'static str,
    target: String,
    values: BTreeMap<String, String>,
}

impl Query {
    fn parse(scheme: &'static str, rest: &str, known: &[&str]) -> Result<Self, AddressError> {
        let (target, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut values = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !known.contains(&key) {
                return Err(invalid(
                    scheme,
                    format!("the parameter `{}` is not known", printable(key)),
                ));
            }
            let value = percent_decode(value).ok_or_else(|| {
                invalid(
                    scheme,
                    format!("the value of `{key}` is not valid percent-encoded text"),
                )
            })?;
            // An empty value means "not given": templates in CI files write `?context=`.
            if !value.is_empty() && values.insert(key.to_owned(), value).is_some() {
                return Err(invalid(
                    scheme,
                    format!("the parameter `{key}` is given twice"),
                ));
            }
        }
        Ok(Self {
            scheme,
            target: target.trim_end_matches('/').to_owned(),
            values,
        })
    }

    fn target(&self, what: &str, fits: fn(&str) -> bool) -> Result<String, AddressError> {
        if fits(&self.target) {
            return Ok(self.target.clone());
        }
        Err(invalid(
            self.scheme,
            format!("`{}` is not a {what} name", printable(&self.target)),
        ))
    }

    fn take(&mut self, key: &str, fits: fn(&str) -> bool) -> Result<Option<String>, AddressError> {
        match self.values.remove(key) {
            Some(value) if !fits(&value) => Err(invalid(
                self.scheme,
                format!("`{}` does not fit as {key}", printable(&value)),
            )),
            value => Ok(value),
        }
    }
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?)
                .ok()
                .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

fn bracketed(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

fn invalid(scheme: &'static str, why: String) -> AddressError {
    AddressError::Invalid { scheme, why }
}

/// Foreign text for a message: without control characters, not longer than a line.
fn printable(text: &str) -> String {
    let clean: String = text
        .chars()
        .take(80)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    if text.chars().count() > 80 {
        format!("{clean}…")
    } else {
        clean
    }
}
