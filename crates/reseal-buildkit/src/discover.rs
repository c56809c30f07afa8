//! The search for a daemon when no address was given.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::Client;
use crate::connect::{
    Address, Attempt, ConnectError, ConnectOptions, Connection, Environment, dial, seconds,
};
use crate::private_daemon::{PrivateDaemon, PrivateOptions};

/// What every patch needs of a daemon; a dockerd with a classic image store has neither.
const NEEDED: [&str; 2] = ["diffop", "mergeop"];

/// Asks a connected daemon whether it can do what is needed; the error is the reason against it.
pub type Probe<'a> =
    dyn Fn(Connection) -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'a;

/// A daemon, and how it was found. Drop the connection before the private daemon, or call [`PrivateDaemon::shutdown`].
#[derive(Debug)]
pub struct Found {
    /// Where it is.
    pub address: Address,
    /// Why this one was taken, for the log.
    pub why: String,
    /// The open connection.
    pub connection: Connection,
    /// The daemon itself when it was started for this run.
    pub private: Option<PrivateDaemon>,
}

/// One place to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Where.
    pub address: Address,
    /// Why it is looked at.
    pub why: String,
}

/// Finds a daemon that can do what every patch needs, the cheapest way first, within [`ConnectOptions::timeout`].
///
/// `BUILDKIT_HOST` is final: when it is set, nothing else is looked at. When nothing is found and `allow_private` is set, a
/// `buildkitd` on `PATH` is started for this run. `log` hears which daemon was taken and why, and what was there but not taken.
pub async fn discover(
    environment: &Environment,
    options: &ConnectOptions,
    allow_private: bool,
    log: &mut (dyn FnMut(String) + Send),
) -> Result<Found, ConnectError> {
    discover_with(
        environment,
        options,
        allow_private,
        &|connection| Box::pin(can_patch(connection)),
        log,
    )
    .await
}

/// Like [`discover`] with another test of what a daemon can do.
pub async fn discover_with(
    environment: &Environment,
    options: &ConnectOptions,
    allow_private: bool,
    probe: &Probe<'_>,
    log: &mut (dyn FnMut(String) + Send),
) -> Result<Found, ConnectError> {
    let options = ConnectOptions {
        environment: environment.clone(),
        ..options.clone()
    };
    let candidates = candidates(environment)?;
    let is_final = environment.var("BUILDKIT_HOST").is_some();
    let mut attempts = match search(&candidates, &options, probe, log).await {
        Ok(found) => return Ok(found),
        Err(attempts) => attempts,
    };
    if allow_private && !is_final {
        match start_private(environment, &options, probe, log).await {
            Ok(found) => return Ok(found),
            Err(attempt) => attempts.push(attempt),
        }
    }
    Err(ConnectError::NothingFound { attempts })
}

/// Lists the places to look at, in order; it looks at nothing but the environment.
pub fn candidates(environment: &Environment) -> Result<Vec<Candidate>, ConnectError> {
    let mut list = Vec::new();
    let mut add = |address: Address, why: String| {
        if !list
            .iter()
            .any(|candidate: &Candidate| candidate.address == address)
        {
            list.push(Candidate { address, why });
        }
    };
    if let Some(host) = environment.var("BUILDKIT_HOST") {
        add(host.parse()?, "BUILDKIT_HOST".to_owned());
        return Ok(list);
    }
    if let Some(name) = environment.var("BUILDX_BUILDER") {
        add(
            format!("buildx://{name}").parse()?,
            "BUILDX_BUILDER".to_owned(),
        );
    }
    // nerdctl's set-up keeps one daemon a containerd namespace, `default` unless told.
    let names = ["buildkit/buildkitd.sock", "buildkit-default/buildkitd.sock"];
    let system = names.map(|name| Address::Unix(format!("/run/{name}").into()));
    let own = environment
        .runtime_dir()
        .map(|folder| names.map(|name| Address::Unix(folder.join(name))));
    let (first, second) = if environment.uid == 0 {
        (Some(system), own)
    } else {
        (own, Some(system))
    };
    for address in [first, second].into_iter().flatten().flatten() {
        add(address, "usual socket".to_owned());
    }
    let why = match (
        environment.var("DOCKER_HOST"),
        environment.var("DOCKER_CONTEXT"),
    ) {
        (Some(_), _) => "DOCKER_HOST",
        (None, Some(_)) => "DOCKER_CONTEXT",
        (None, None) => "Docker's own BuildKit",
    };
    add(Address::Docker { host: None }, why.to_owned());
    // The name that BuildKit's own instructions give the container.
    let name = "buildkitd".to_owned();
    let containers = [
        Address::DockerContainer {
            name: name.clone(),
            context: None,
        },
        Address::PodmanContainer { name: name.clone() },
        Address::NerdctlContainer {
            name,
            namespace: None,
        },
    ];
    for address in containers {
        add(address, "container with the usual name".to_owned());
    }
    add(
        Address::Buildx { builder: None },
        "buildx's current builder".to_owned(),
    );
    Ok(list)
}

/// Tries the candidates one after the other. One that stalls gets half of the time that is left, so that those behind
/// it still have their turn.
pub async fn search(
    candidates: &[Candidate],
    options: &ConnectOptions,
    probe: &Probe<'_>,
    log: &mut (dyn FnMut(String) + Send),
) -> Result<Found, Vec<Attempt>> {
    let end = Instant::now() + options.timeout.min(Duration::from_secs(3600));
    let mut attempts = Vec::new();
    for (index, candidate) in candidates.iter().enumerate() {
        let left = end.saturating_duration_since(Instant::now());
        let share = if index + 1 == candidates.len() {
            left
        } else {
            left / 2
        };
        let outcome = if share.is_zero() {
            Err(("there was no time left for it".to_owned(), true))
        } else {
            attempt(candidate, options, probe, share).await
        };
        match outcome {
            Ok(connection) => {
                log(format!(
                    "using BuildKit at `{}` ({})",
                    candidate.address, candidate.why
                ));
                return Ok(Found {
                    address: candidate.address.clone(),
                    why: candidate.why.clone(),
                    connection,
                    private: None,
                });
            }
            Err((outcome, is_worth_telling)) => {
                if is_worth_telling {
                    log(format!(
                        "not using BuildKit at `{}` ({}): {outcome}",
                        candidate.address, candidate.why
                    ));
                }
                attempts.push(Attempt {
                    address: candidate.address.to_string(),
                    chosen: candidate.why.clone(),
                    outcome,
                });
            }
        }
    }
    Err(attempts)
}

/// Returns the reason against a candidate, and whether it is more than "nothing there".
async fn attempt(
    candidate: &Candidate,
    options: &ConnectOptions,
    probe: &Probe<'_>,
    limit: Duration,
) -> Result<Connection, (String, bool)> {
    let end = Instant::now() + limit;
    let options = ConnectOptions {
        timeout: limit,
        ..options.clone()
    };
    let connection = dial(&candidate.address, &options)
        .await
        .map_err(|error| (reason(&error), !error.is_absent()))?;
    match tokio::time::timeout_at(end, probe(connection.clone())).await {
        Ok(Ok(())) => Ok(connection),
        Ok(Err(why)) => Err((why, true)),
        Err(_) => Err((
            format!("it did not tell within {} what it can do", seconds(limit)),
            true,
        )),
    }
}

/// The error without the address, which stands in front of it anyway.
fn reason(error: &ConnectError) -> String {
    match error {
        ConnectError::Absent { why, .. } | ConnectError::Unreachable { why, .. } => why.clone(),
        ConnectError::Timeout { limit, stage, .. } => {
            format!("no answer within {} while {stage}", seconds(*limit))
        }
        other => other.to_string(),
    }
}

async fn start_private(
    environment: &Environment,
    options: &ConnectOptions,
    probe: &Probe<'_>,
    log: &mut (dyn FnMut(String) + Send),
) -> Result<Found, Attempt> {
    let why = "no daemon was found and `buildkitd` is on PATH".to_owned();
    let failed = |outcome: String| Attempt {
        address: "buildkitd".to_owned(),
        chosen: "private daemon".to_owned(),
        outcome,
    };
    let settings = PrivateOptions {
        plain_http: options.plain_http.clone(),
        environment: environment.clone(),
        ..PrivateOptions::default()
    };
    let (daemon, connection) = match PrivateDaemon::start(&settings).await {
        Ok(started) => started,
        Err(error) => {
            if !error.is_absent() {
                log(error.to_string());
            }
            return Err(failed(reason(&error)));
        }
    };
    let capable = tokio::time::timeout(options.timeout, probe(connection.clone())).await;
    let refusal = match capable {
        Ok(Ok(())) => {
            let address = daemon.address().clone();
            log(format!(
                "started a private buildkitd at `{address}` ({why}); it ends with this run"
            ));
            return Ok(Found {
                address,
                why,
                connection,
                private: Some(daemon),
            });
        }
        Ok(Err(refusal)) => refusal,
        Err(_) => format!(
            "it did not tell within {} what it can do",
            seconds(options.timeout)
        ),
    };
    drop(connection);
    daemon.shutdown().await;
    log(format!("not using the private buildkitd: {refusal}"));
    Err(failed(refusal))
}

async fn can_patch(connection: Connection) -> Result<(), String> {
    let client = Client::new(connection);
    let capabilities = client
        .capabilities()
        .await
        .map_err(|error| error.to_string())?;
    for id in NEEDED {
        capabilities
            .supports(id)
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}
