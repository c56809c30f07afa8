//! Daemons over the network, in the clear or with TLS on both sides.

use std::sync::Arc;

use rustls::pki_types::ServerName;

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
            reseal_net::connect(host, port),
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

/// Adds what to do about a connection that opened and then failed. With TLS 1.3 a daemon refuses the client's
/// certificate only after the handshake has ended for the client.
pub(super) fn explain(error: ConnectError, files: &TlsFiles) -> ConnectError {
    match error {
        ConnectError::Unreachable {
            address,
            why,
            hint: None,
        } => {
            let hint = if files.is_empty() {
                "the daemon may expect TLS: give its authority and a client certificate (ca.pem, cert.pem, key.pem)".to_owned()
            } else {
                tls_hint(files, &why)
            };
            ConnectError::Unreachable {
                address,
                why,
                hint: Some(hint),
            }
        }
        other => other,
    }
}

fn tls_failure(address: &Address, files: &TlsFiles, error: &std::io::Error) -> ConnectError {
    let why = causes(error);
    ConnectError::Unreachable {
        address: address.to_string(),
        hint: Some(tls_hint(files, &why)),
        why: format!("the TLS handshake failed: {why}"),
    }
}

fn tls_hint(files: &TlsFiles, why: &str) -> String {
    let text = if why.contains("received fatal alert") {
        match &files.cert {
            Some(cert) if !why.contains("CertificateRequired") => {
                return format!(
                    "the daemon does not accept the certificate in `{}`",
                    cert.display()
                );
            }
            _ => "the daemon asks for a client certificate (cert.pem and key.pem)",
        }
    } else if why.contains("UnknownIssuer") || why.contains("BadSignature") {
        match &files.ca {
            Some(ca) => {
                return format!(
                    "`{}` is not the authority that signed the daemon's certificate",
                    ca.display()
                );
            }
            None => "give the authority that signed the daemon's certificate (ca.pem)",
        }
    } else if why.contains("NotValidForName") || why.contains("not valid for name") {
        "the daemon's certificate is for another name: use that name in the address, or give it as the TLS server name"
    } else if why.contains("xpired") {
        "the daemon's certificate, or this machine's clock, is out of date"
    } else if why.contains("InvalidContentType") || why.contains("corrupt message") {
        "the daemon does not speak TLS on this port: leave the certificates out, or use its TLS port"
    } else if files.cert.is_none() {
        "the daemon may ask for a client certificate (cert.pem and key.pem)"
    } else {
        "check the certificates on both sides"
    };
    text.to_owned()
}
