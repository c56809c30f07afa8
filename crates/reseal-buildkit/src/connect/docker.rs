//! The `BuildKit` inside dockerd.
//!
//! From Engine 29.2 on its socket speaks gRPC directly. Older ones answer HTTP/2 with a redirect; there a connection
//! starts as `POST /grpc` with an upgrade to h2c, and becomes HTTP/2 after the `101`.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;

use super::address::Address;
use super::channel::{BoxIo, Connection, Deadline, establish};
use super::docker_context::{DockerEndpoint, docker_endpoint};
use super::error::{ConnectError, causes};
use super::stdio::{Child, Invocation, spawn};
use super::{ConnectOptions, tcp, unix};

/// How much of the time the direct way may take before the upgrade gets its turn, for servers that never answer it.
const DIRECT_SHARE: f64 = 0.4;
/// What is read of a refusal, in bytes.
const MAX_REFUSAL: usize = 4096;

/// Connects directly, else by an upgrade.
pub(super) async fn dial(
    address: &Address,
    host: Option<&str>,
    options: &ConnectOptions,
    deadline: Deadline,
) -> Result<Connection, ConnectError> {
    let endpoint = docker_endpoint(host, &options.tls, &options.environment)?;
    let authority = match &endpoint {
        DockerEndpoint::Tcp { host, port, tls } => tcp::authority(host, *port, tls),
        DockerEndpoint::Unix(_) | DockerEndpoint::Ssh { .. } => "docker".to_owned(),
    };
    let (io, child) = open(address, &endpoint, options, tcp::H2, deadline)
        .await
        .map_err(|error| name_endpoint(error, &endpoint))?;
    let direct = establish(address, &authority, io, child, deadline.share(DIRECT_SHARE)).await;
    let direct = match direct {
        Ok(connection) => return Ok(connection),
        Err(error) => error,
    };
    tracing::debug!(%address, %direct, "dockerd does not speak HTTP/2 directly, asking for an upgrade");
    let (io, child) = open(address, &endpoint, options, tcp::HTTP1, deadline).await?;
    let upgraded = deadline
        .wait(
            address,
            "waiting for dockerd's answer to the upgrade",
            upgrade(address, &authority, io),
        )
        .await;
    let io = match (upgraded, &child) {
        (Ok(Ok(io)), _) => io,
        (Ok(Err(error)) | Err(error), Some(child)) => return Err(child.explain(error).await),
        (Ok(Err(error)) | Err(error), None) => return Err(error),
    };
    establish(address, &authority, io, child, deadline).await
}

async fn open(
    address: &Address,
    endpoint: &DockerEndpoint,
    options: &ConnectOptions,
    protocols: &[&[u8]],
    deadline: Deadline,
) -> Result<(BoxIo, Option<Arc<Child>>), ConnectError> {
    match endpoint {
        DockerEndpoint::Unix(path) => Ok((unix::open(address, path, deadline).await?, None)),
        DockerEndpoint::Tcp { host, port, tls } => {
            let opened = tcp::open(address, (host, *port), tls, protocols, deadline).await;
            match opened {
                // A server that insists on HTTP/1.1 ends the handshake: no reason to give up before the upgrade.
                Err(ConnectError::Unreachable { why, .. })
                    if protocols == tcp::H2 && why.contains("NoApplicationProtocol") =>
                {
                    Ok((
                        tcp::open(address, (host, *port), tls, tcp::HTTP1, deadline).await?,
                        None,
                    ))
                }
                opened => Ok((opened?, None)),
            }
        }
        DockerEndpoint::Ssh { user, host, port } => {
            let call = Invocation::docker_over_ssh(user.as_ref(), host, *port, options.timeout);
            let (io, child) = spawn(address, &call, &options.environment)?;
            Ok((io, Some(child)))
        }
    }
}

/// `docker://` alone does not say where was looked.
fn name_endpoint(error: ConnectError, endpoint: &DockerEndpoint) -> ConnectError {
    let place = match endpoint {
        DockerEndpoint::Unix(path) => format!("`{}`", path.display()),
        DockerEndpoint::Tcp { host, port, .. } => format!("{host} port {port}"),
        DockerEndpoint::Ssh { host, .. } => format!("`ssh {host}`"),
    };
    match error {
        ConnectError::Absent { address, why } => ConnectError::Absent {
            address,
            why: format!("{place}: {why}"),
        },
        ConnectError::Unreachable { address, why, hint } => ConnectError::Unreachable {
            address,
            why: format!("{place}: {why}"),
            hint,
        },
        other => other,
    }
}

async fn upgrade(address: &Address, authority: &str, io: BoxIo) -> Result<BoxIo, ConnectError> {
    let failed = |error: hyper::Error| {
        ConnectError::unreachable(
            address,
            format!("dockerd did not answer `POST /grpc`: {}", causes(&error)),
        )
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io))
        .await
        .map_err(failed)?;
    // Hands the stream over at the 101 and ends then; ends with `sender` otherwise.
    let _driver =
        tokio_util::task::AbortOnDropHandle::new(tokio::spawn(connection.with_upgrades()));
    let request = Request::builder()
        .method(Method::POST)
        .uri("/grpc")
        .header(header::HOST, authority)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "h2c")
        .body(Empty::<Bytes>::new())
        .map_err(|error| ConnectError::unreachable(address, error.to_string()))?;
    let response = sender.send_request(request).await.map_err(failed)?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let upgraded = hyper::upgrade::on(response).await.map_err(failed)?;
        return Ok(Box::new(TokioIo::new(upgraded)));
    }
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_REFUSAL)
        .collect()
        .await
        .map(|body| body.to_bytes().to_vec())
        .unwrap_or_default();
    let words = super::error::last_words(&body, 300);
    let hint = (status == StatusCode::FORBIDDEN || status == StatusCode::NOT_FOUND).then(|| {
        "a proxy in front of the Docker socket has to let `POST /grpc` with an upgrade through; Docker itself knows it since 18.09".to_owned()
    });
    Err(ConnectError::Unreachable {
        address: address.to_string(),
        why: format!(
            "it refused `POST /grpc` with status {}{}{words}",
            status.as_u16(),
            if words.is_empty() { "" } else { ": " }
        ),
        hint,
    })
}
