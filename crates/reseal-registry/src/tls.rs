//! Which certificates are trusted and shown: the system's roots, extra authorities, and docker's `certs.d` folders.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::error::StoreError;

/// What the `certs.d` folders hold for one registry.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct HostFiles {
    authorities: Vec<PathBuf>,
    clients: Vec<(PathBuf, PathBuf)>,
}

impl HostFiles {
    /// Looks for `FOLDER/HOST/*.crt` and for pairs of `NAME.cert` and `NAME.key`. Folders that are not there hold nothing.
    pub(crate) fn find(folders: &[PathBuf], host: &str) -> Self {
        let mut found = Self::default();
        // A host comes from a parsed reference, but a name like `..` must not even be tried.
        if host.contains(['/', '\\']) || host.starts_with('.') {
            return found;
        }
        for folder in folders {
            let Ok(entries) = std::fs::read_dir(folder.join(host)) else {
                continue;
            };
            let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
            files.sort();
            for file in files {
                match file.extension().and_then(|extension| extension.to_str()) {
                    Some("crt") => found.authorities.push(file),
                    Some("cert") => {
                        let key = file.with_extension("key");
                        if key.is_file() {
                            found.clients.push((file, key));
                        }
                    }
                    _ => {}
                }
            }
        }
        found
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.authorities.is_empty() && self.clients.is_empty()
    }
}

/// Makes the TLS side of a client. Without `system_roots` and files it trusts nobody: for registries without TLS.
pub(crate) fn configure(
    ca_files: &[PathBuf],
    host: &HostFiles,
    system_roots: bool,
) -> Result<ClientConfig, StoreError> {
    let mut roots = RootCertStore::empty();
    if system_roots {
        // Honours SSL_CERT_FILE and SSL_CERT_DIR. One broken certificate in the system's store is no reason to stop;
        // a store without any is found out by the first connection.
        let loaded = rustls_native_certs::load_native_certs();
        for error in &loaded.errors {
            tracing::debug!(%error, "a system certificate could not be read");
        }
        roots.add_parsable_certificates(loaded.certs);
    }
    for file in ca_files.iter().chain(&host.authorities) {
        let certificates = certificates(file)?;
        let count = certificates.len();
        let (added, _) = roots.add_parsable_certificates(certificates);
        if added < count || count == 0 {
            return Err(unusable(
                file,
                "it holds no certificate, or one that is damaged",
            ));
        }
    }
    let builder =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| StoreError::Settings {
                why: error.to_string(),
            })?
            .with_root_certificates(roots);
    let mut config = match host.clients.first() {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let secret = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| unusable(key, &error.to_string()))?;
            builder
                .with_client_auth_cert(certificates(chain)?, secret)
                .map_err(|error| unusable(chain, &error.to_string()))?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(file, &error.to_string()))
}

fn unusable(file: &Path, why: &str) -> StoreError {
    StoreError::Settings {
        why: format!("could not use certificate file {}: {why}", file.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certs_d_gives_authorities_and_whole_pairs() {
        let folder = tempfile::tempdir().unwrap();
        let host = folder.path().join("registry.example:5000");
        std::fs::create_dir(&host).unwrap();
        for name in [
            "ca.crt",
            "b.crt",
            "client.cert",
            "client.key",
            "alone.cert",
            "notes.txt",
        ] {
            std::fs::write(host.join(name), "x").unwrap();
        }
        let folders = [PathBuf::from("/nonexistent"), folder.path().to_owned()];
        let found = HostFiles::find(&folders, "registry.example:5000");
        assert_eq!(found.authorities, [host.join("b.crt"), host.join("ca.crt")]);
        assert_eq!(
            found.clients,
            [(host.join("client.cert"), host.join("client.key"))]
        );
        for other in [
            "registry.example",
            "..",
            "registry.example:5000/../registry.example:5000",
        ] {
            assert!(HostFiles::find(&folders, other).is_empty(), "{other}");
        }
    }

    #[test]
    fn a_bad_authority_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, "not a certificate").unwrap();
        for path in [file, folder.path().join("missing.pem")] {
            let error =
                configure(std::slice::from_ref(&path), &HostFiles::default(), false).unwrap_err();
            assert!(
                error.to_string().contains(path.to_str().unwrap()),
                "{error}"
            );
        }
    }
}
