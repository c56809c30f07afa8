//! Daemons over the network, in the clear or with TLS on both sides.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;

use super::address::Address;
use super::channel::{BoxIo, Deadline};
use super::error::{ConnectError, causes};
use super::tls::TlsFiles;

/// The protocol that gRPC speaks.
pub(super) const H2: &[&[u8]] = &[b"h2"];
/// What an upgrade starts with.
pub(super) const HTTP1: &[&[u8]] = &[b"http/1.1"];

/// Opens a connection, with TLS if any certificate or name for it is given.
pub(super) async fn open(
    address: &Address,
    (host, port): (&str, u16),
    files: &TlsFiles,
    protocols: &[&[u8]],
    deadline: Deadline,
) -> Result<BoxIo, ConnectError> {
    // Before the network, so that a wrong file is found even when the daemon is away.
    let tls = if files.is_empty() {
        None
    } else {
        let name = files.server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_owned()).map_err(|_| {
            ConnectError::unreachable(
                address,
                format!("`{name}` cannot be the name in a certificate"),
            )
        })?;
        Some((files.client_config(protocols)?, name))
    };
    let stream = deadline
        .wait(
            address,
            "opening the TCP connection",
            TcpStream::connect((host, port)),
        )
        .await?;
    let stream = stream.map_err(|error| ConnectError::from_io(address, &error))?;
    // Messages are small and wait for each other; only a slower connection is lost when this is refused.
    let _ = stream.set_nodelay(true);
    let Some((config, name)) = tls else {
        return Ok(Box::new(stream));
    };
    let handshake = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream);
    let secured = deadline
        .wait(address, "shaking hands for TLS", handshake)
        .await?;
    Ok(Box::new(
        secured.map_err(|error| tls_failure(address, files, &error))?,
    ))
}

/// What the HTTP/2 requests call the server.
pub(super) fn authority(host: &str, port: u16, files: &TlsFiles) -> String {
    let host = files.server_name.as_deref().unwrap_or(host);
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

fn tls_failure(address: &Address, files: &TlsFiles, error: &std::io::Error) -> ConnectError {
    let why = causes(error);
    let hint = if why.contains("UnknownIssuer") || why.contains("BadSignature") {
        match &files.ca {
            Some(ca) => format!(
                "`{}` is not the authority that signed the daemon's certificate",
                ca.display()
            ),
            None => "give the authority that signed the daemon's certificate (ca.pem)".to_owned(),
        }
    } else if why.contains("NotValidForName") || why.contains("not valid for name") {
        "the daemon's certificate is for another name: use that name in the address, or give it as the TLS server name".to_owned()
    } else if why.contains("xpired") {
        "the daemon's certificate, or this machine's clock, is out of date".to_owned()
    } else if why.contains("InvalidContentType") || why.contains("corrupt message") {
        "the daemon does not speak TLS on this port: leave the certificates out, or use its TLS port".to_owned()
    } else {
        "check the certificates on both sides".to_owned()
    };
    ConnectError::Unreachable {
        address: address.to_string(),
        why: format!("the TLS handshake failed: {why}"),
        hint: Some(hint),
    }
}
