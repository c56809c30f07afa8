//! Connections to `BuildKit` daemons: the address grammar and the ways behind it.
//!
//! **Invariant:** a [`Connection`] has been answered by a daemon, within the time of its options. Nothing of an address
//! passes through a local shell, and no part of it can be taken for an option of a program.

mod address;
mod channel;
mod docker;
mod docker_context;
mod environment;
mod error;
mod identifier;
mod stdio;
mod tcp;
mod tls;
mod unix;
mod watched;

use std::time::Duration;

pub use address::{Address, AddressError, DEFAULT_PORT, SCHEMES, parse_addr_flag};
pub use channel::{Connection, MAX_MESSAGE_BYTES};
pub use docker_context::{DockerEndpoint, docker_endpoint};
pub use environment::Environment;
pub use error::{Attempt, ConnectError};
pub use tls::TlsFiles;

pub(crate) use error::{last_words, seconds};

use channel::{Deadline, establish};

/// How to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectOptions {
    /// Certificates for `tcp://` and for a dockerd behind TCP.
    pub tls: TlsFiles,
    /// Time for a whole connection including the daemon's first answer; for a search, the time of all its tries.
    pub timeout: Duration,
    /// The platform whose node `buildx://` should give, such as `linux/arm64`.
    pub platform: Option<String>,
    /// Where `docker://` and the child processes find their settings.
    pub environment: Environment,
    /// Registries (`host[:port]`) that a private daemon talks to over plain HTTP.
    pub plain_http: Vec<String>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            tls: TlsFiles::default(),
            timeout: Duration::from_secs(10),
            platform: None,
            environment: Environment::default(),
            plain_http: Vec::new(),
        }
    }
}

/// Connects to the daemon at `address` and waits for its first answer, at most [`ConnectOptions::timeout`].
pub async fn dial(address: &Address, options: &ConnectOptions) -> Result<Connection, ConnectError> {
    if let Some(platform) = options
        .platform
        .as_ref()
        .filter(|platform| !identifier::is_platform(platform))
    {
        return Err(AddressError::Platform {
            value: platform.clone(),
        }
        .into());
    }
    let deadline = Deadline::after(options.timeout);
    match address {
        Address::Unix(path) => {
            let io = unix::open(address, path, deadline).await?;
            establish(address, "localhost", io, None, deadline).await
        }
        Address::Tcp { host, port } => {
            let io = tcp::open(address, (host, *port), &options.tls, tcp::H2, deadline).await?;
            let authority = tcp::authority(host, *port, &options.tls);
            establish(address, &authority, io, None, deadline)
                .await
                .map_err(|error| tcp::explain(error, &options.tls))
        }
        Address::Docker { host } => docker::dial(address, host.as_deref(), options, deadline).await,
        _ => {
            let call = stdio::Invocation::of(address, options.platform.as_ref(), options.timeout)
                .expect("every address that is no socket has a child process");
            let (io, child) = stdio::spawn(address, &call, &options.environment)?;
            establish(address, "localhost", io, Some(child), deadline).await
        }
    }
}
