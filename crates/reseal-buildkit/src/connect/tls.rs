//! Certificates for connections over TCP.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::error::ConnectError;

/// PEM files for TLS; all absent means a connection in the clear.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates of the authorities to trust, instead of the system's.
    pub ca: Option<PathBuf>,
    /// The client's certificate chain.
    pub cert: Option<PathBuf>,
    /// The client's private key.
    pub key: Option<PathBuf>,
    /// The name to expect in the server's certificate, else the host of the address.
    pub server_name: Option<String>,
}

impl TlsFiles {
    /// Finds `ca.pem`, `cert.pem` and `key.pem`, as far as they exist, in a folder.
    pub fn from_dir(folder: &Path) -> Result<Self, ConnectError> {
        let find = |name: &str| Some(folder.join(name)).filter(|path| path.exists());
        let files = Self {
            ca: find("ca.pem"),
            cert: find("cert.pem"),
            key: find("key.pem"),
            server_name: None,
        };
        if files.is_empty() {
            let why = if folder.is_dir() {
                "it holds none of ca.pem, cert.pem and key.pem"
            } else {
                "there is no such folder"
            };
            return Err(error(folder, why));
        }
        Ok(files)
    }

    /// Whether nothing asks for TLS.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Reads the files and makes rustls's settings of them; `protocols` are offered by ALPN.
    pub(super) fn client_config(&self, protocols: &[&[u8]]) -> Result<ClientConfig, ConnectError> {
        let builder =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("ring supports the default protocol versions")
                .with_root_certificates(self.roots()?);
        let mut config = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                let chain = certificates(cert)?;
                let secret = PrivateKeyDer::from_pem_slice(&read(key)?)
                    .map_err(|why| error(key, pem_problem(&why, "private key")))?;
                builder
                    .with_client_auth_cert(chain, secret)
                    .map_err(|why| {
                        error(
                            key,
                            format!(
                                "it does not work with the certificate `{}`: {why}",
                                cert.display()
                            ),
                        )
                    })?
            }
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), None) => {
                return Err(error(
                    cert,
                    "a certificate needs its private key beside it (key.pem)",
                ));
            }
            (None, Some(key)) => {
                return Err(error(
                    key,
                    "a private key needs its certificate beside it (cert.pem)",
                ));
            }
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(config)
    }

    fn roots(&self) -> Result<RootCertStore, ConnectError> {
        let mut roots = RootCertStore::empty();
        let Some(ca) = &self.ca else {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            return Ok(roots);
        };
        for certificate in certificates(ca)? {
            roots.add(certificate).map_err(|why| {
                error(
                    ca,
                    format!("a certificate in it cannot be used as an authority: {why}"),
                )
            })?;
        }
        Ok(roots)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let bytes = read(path)?;
    let found = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|why| error(path, pem_problem(&why, "certificate")))?;
    if found.is_empty() {
        return Err(error(path, "it holds no PEM certificate"));
    }
    Ok(found)
}

fn pem_problem(why: &rustls::pki_types::pem::Error, what: &str) -> String {
    match why {
        rustls::pki_types::pem::Error::NoItemsFound => {
            format!("it holds no PEM {what}, or an encrypted one")
        }
        other => format!("it is not valid PEM: {other}"),
    }
}

/// PEM files are small; anything else was named by mistake.
const MAX_FILE_BYTES: u64 = 4 << 20;

fn read(path: &Path) -> Result<Vec<u8>, ConnectError> {
    let size = std::fs::metadata(path)
        .map_err(|why| error(path, why.to_string()))?
        .len();
    if size > MAX_FILE_BYTES {
        return Err(error(
            path,
            format!("{size} bytes are too many for a PEM file"),
        ));
    }
    std::fs::read(path).map_err(|why| error(path, why.to_string()))
}

fn error(path: &Path, why: impl Into<String>) -> ConnectError {
    ConnectError::Tls {
        path: path.to_owned(),
        why: why.into(),
    }
}
