//! Whom a client trusts, and how it shows itself.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// Makes the TLS side of a client that trusts the system's roots, if they are asked for, and the authorities in these PEM
/// files. Without either it trusts nobody: for servers without TLS. `client` is a certificate and its key, PEM.
///
/// # Errors
///
/// What is wrong with a file, as a clause that names it.
pub fn configure<'a>(
    system_roots: bool,
    authorities: impl IntoIterator<Item = &'a Path>,
    client: Option<(&Path, &Path)>,
) -> Result<ClientConfig, String> {
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
    for file in authorities {
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
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots);
    let mut config = match client {
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

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(file, &error.to_string()))
}

fn unusable(file: &Path, why: &str) -> String {
    format!("could not use certificate file {}: {why}", file.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_authority_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, "not a certificate").unwrap();
        for path in [file, folder.path().join("missing.pem")] {
            let error = configure(false, [path.as_path()], None).unwrap_err();
            assert!(error.contains(path.to_str().unwrap()), "{error}");
        }
    }
}
