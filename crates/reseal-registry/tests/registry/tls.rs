//! Registries with TLS: whom the client trusts, and what it shows.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use reseal_registry::{Class, Registries};
use reseal_testkit::registry::FakeRegistry;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::common::*;

/// Made by `tls/make.sh`.
fn certificate_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/registry/tls")
        .join(name)
}

/// Puts TLS before a fake; returns the port. With `ask`, clients need a certificate of the test authority.
async fn with_tls(fake: &FakeRegistry, ask: bool) -> u16 {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let authority = CertificateDer::from_pem_file(certificate_file("ca.pem")).unwrap();
    let builder = if ask {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority).unwrap();
        builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .unwrap(),
        )
    } else {
        builder.with_no_client_auth()
    };
    let chain = vec![CertificateDer::from_pem_file(certificate_file("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(certificate_file("server.key")).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let target = fake.host().to_owned();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, target) = (acceptor.clone(), target.clone());
            tokio::spawn(async move {
                // What the client thinks of it is the test's business.
                if let (Ok(mut secure), Ok(mut plain)) = (
                    acceptor.accept(stream).await,
                    TcpStream::connect(target).await,
                ) {
                    let _ = tokio::io::copy_bidirectional(&mut secure, &mut plain).await;
                }
            });
        }
    });
    port
}

async fn manifest(registries: &Registries, host: &str) -> Result<(), reseal_registry::StoreError> {
    let store = registries.open(&format!("{host}/shop/cart").parse().unwrap());
    store.manifest(&tag("1.4")).await.map(|_| ())
}

async fn cart() -> FakeRegistry {
    let fake = FakeRegistry::start().await;
    let raw = image(&fake, "shop/cart", "cart");
    fake.put_manifest("shop/cart", MANIFEST, &raw.bytes, Some("1.4"));
    fake
}

#[tokio::test]
async fn an_authority_is_trusted_only_when_it_is_named() {
    let fake = cart().await;
    // Reaches the same socket, and is not known as this machine.
    let host = format!("0.0.0.0:{}", with_tls(&fake, false).await);
    let setup = Setup::with(None, |settings| {
        settings.ca_files = vec![certificate_file("ca.pem")];
    });
    manifest(&setup.registries, &host).await.unwrap();

    let setup = Setup::new(None);
    let error = manifest(&setup.registries, &host).await.unwrap_err();
    assert_eq!(error.class(), Class::Transport);
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    assert!(
        error.hint().unwrap().contains("--registry-ca FILE"),
        "{error}"
    );
    assert_eq!(
        setup.time.pauses().len(),
        0,
        "a certificate does not get better by waiting"
    );
    assert_eq!(fake.requests().len(), 1);
}

#[tokio::test]
async fn certs_d_turns_tls_on_for_loopback_and_shows_the_client_certificate() {
    let fake = cart().await;
    let port = with_tls(&fake, true).await;
    let host = format!("127.0.0.1:{port}");
    let folder = tempfile::tempdir().unwrap();
    let certificates = folder.path().join(&host);
    std::fs::create_dir(&certificates).unwrap();
    std::fs::copy(certificate_file("ca.pem"), certificates.join("ca.crt")).unwrap();
    let setup = || {
        Setup::with(None, |settings| {
            settings.certificate_folders = vec![folder.path().to_owned()];
        })
    };
    let error = manifest(&setup().registries, &host).await.unwrap_err();
    assert_eq!(error.class(), Class::Transport, "{error}");
    assert_eq!(fake.requests().len(), 0);
    std::fs::copy(
        certificate_file("client.pem"),
        certificates.join("client.cert"),
    )
    .unwrap();
    std::fs::copy(
        certificate_file("client.key"),
        certificates.join("client.key"),
    )
    .unwrap();
    manifest(&setup().registries, &host).await.unwrap();
    assert_eq!(fake.requests().len(), 1);
}
