//! TLS on both sides.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reseal_buildkit::connect::{Address, ConnectError, ConnectOptions, TlsFiles, dial};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::net::TcpListener;

use crate::support::{Answer, Sandbox, daemon_on_port, serve};

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self {
            issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap(),
        }
    }

    /// A certificate and its key, as PEM.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()])
            .unwrap()
            .signed_by(&key, &self.issuer)
            .unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// Writes the three files that a client needs.
    fn client_folder(&self, sandbox: &Sandbox, folder: &str) -> PathBuf {
        let (cert, key) = self.issue("client");
        sandbox.write(&format!("{folder}/ca.pem"), &self.issuer.pem());
        sandbox.write(&format!("{folder}/cert.pem"), &cert);
        sandbox.write(&format!("{folder}/key.pem"), &key);
        sandbox.path(folder)
    }

    /// A daemon for `name` that asks every client for a certificate of this authority.
    async fn daemon(&self, name: &str) -> u16 {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.issuer.pem().as_bytes()).unwrap())
            .unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .unwrap();
        let (cert, key) = self.issue(name);
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, Answer::Info).await;
                    }
                });
            }
        });
        port
    }
}

async fn connect(port: u16, tls: TlsFiles) -> Result<(), ConnectError> {
    let options = ConnectOptions {
        tls,
        timeout: Duration::from_secs(20),
        ..ConnectOptions::default()
    };
    dial(
        &Address::Tcp {
            host: "127.0.0.1".to_owned(),
            port,
        },
        &options,
    )
    .await
    .map(drop)
}

#[tokio::test]
async fn certificates_on_both_sides_open_the_door() {
    let sandbox = Sandbox::new();
    let authority = Authority::new();
    let files = TlsFiles::from_dir(&authority.client_folder(&sandbox, "a")).unwrap();
    connect(authority.daemon("127.0.0.1").await, files.clone())
        .await
        .unwrap();

    let elsewhere = authority.daemon("buildkit.internal").await;
    let error = connect(elsewhere, files.clone()).await.unwrap_err();
    assert!(
        error.to_string().contains("TLS handshake failed"),
        "{error}"
    );
    assert!(
        error.hint().unwrap().contains("another name"),
        "{:?}",
        error.hint()
    );
    connect(
        elsewhere,
        TlsFiles {
            server_name: Some("buildkit.internal".to_owned()),
            ..files
        },
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn a_daemon_of_another_authority_is_refused() {
    let sandbox = Sandbox::new();
    let (ours, theirs) = (Authority::new(), Authority::new());
    let mut files = TlsFiles::from_dir(&ours.client_folder(&sandbox, "ours")).unwrap();
    let port = theirs.daemon("127.0.0.1").await;
    let error = connect(port, files.clone()).await.unwrap_err();
    assert!(
        error
            .hint()
            .unwrap()
            .contains("ca.pem` is not the authority"),
        "{:?}",
        error.hint()
    );
    // The system's authorities do not know a private one either.
    files.ca = None;
    let error = connect(port, files).await.unwrap_err();
    assert!(
        error.hint().unwrap().contains("give the authority"),
        "{error} {:?}",
        error.hint()
    );
}

#[tokio::test]
async fn a_client_without_the_right_certificate_is_refused_by_the_daemon() {
    let sandbox = Sandbox::new();
    let (ours, theirs) = (Authority::new(), Authority::new());
    let right = TlsFiles::from_dir(&ours.client_folder(&sandbox, "ours")).unwrap();
    let wrong = TlsFiles::from_dir(&theirs.client_folder(&sandbox, "theirs")).unwrap();
    let port = ours.daemon("127.0.0.1").await;
    let none = TlsFiles {
        cert: None,
        key: None,
        ..right.clone()
    };
    let error = connect(port, none).await.unwrap_err();
    let hint = error.hint().unwrap();
    assert!(hint.contains("a client certificate"), "{error} {hint}");
    let others = TlsFiles {
        ca: right.ca,
        ..wrong
    };
    let error = connect(port, others).await.unwrap_err();
    let hint = error.hint().unwrap();
    assert!(hint.contains("certificate"), "{error} {hint}");
}

#[tokio::test]
async fn tls_towards_a_port_without_it_and_the_other_way_round_say_so() {
    let sandbox = Sandbox::new();
    let authority = Authority::new();
    let files = TlsFiles::from_dir(&authority.client_folder(&sandbox, "a")).unwrap();
    let error = connect(daemon_on_port(Answer::Info).await, files)
        .await
        .unwrap_err();
    assert!(
        error.hint().unwrap().contains("does not speak TLS"),
        "{error} {:?}",
        error.hint()
    );
    let port = authority.daemon("127.0.0.1").await;
    let error = connect(port, TlsFiles::default()).await.unwrap_err();
    assert!(
        error.hint().unwrap().contains("may expect TLS"),
        "{error} {:?}",
        error.hint()
    );
}

fn names(error: &ConnectError, path: &Path, why: &str) {
    let text = error.to_string();
    assert!(
        text.contains(&path.display().to_string()) && text.contains(why),
        "{text}"
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_named_before_the_network_is_touched() {
    let sandbox = Sandbox::new();
    let authority = Authority::new();
    let good = TlsFiles::from_dir(&authority.client_folder(&sandbox, "a")).unwrap();
    let text = sandbox.write("text.pem", "not PEM at all");
    let cut = sandbox.write("cut.pem", "-----BEGIN CERTIFICATE-----\nAAAA");
    let rubbish = sandbox.write(
        "rubbish.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let other = sandbox.write("other.pem", &authority.issue("x").1);
    let missing = sandbox.path("missing.pem");
    let (cert, key) = (good.cert.clone().unwrap(), good.key.clone().unwrap());
    let table = [
        (
            TlsFiles {
                ca: Some(missing.clone()),
                ..good.clone()
            },
            &missing,
            "No such file",
        ),
        (
            TlsFiles {
                ca: Some(text.clone()),
                ..good.clone()
            },
            &text,
            "no PEM certificate",
        ),
        (
            TlsFiles {
                ca: Some(cut.clone()),
                ..good.clone()
            },
            &cut,
            "not valid PEM",
        ),
        (
            TlsFiles {
                ca: Some(rubbish.clone()),
                ..good.clone()
            },
            &rubbish,
            "cannot be used as an authority",
        ),
        (
            TlsFiles {
                cert: Some(text.clone()),
                ..good.clone()
            },
            &text,
            "no PEM certificate",
        ),
        (
            TlsFiles {
                key: Some(cert.clone()),
                ..good.clone()
            },
            &cert,
            "no PEM private key",
        ),
        (
            TlsFiles {
                key: Some(other.clone()),
                ..good.clone()
            },
            &other,
            "does not work with the certificate",
        ),
        (
            TlsFiles {
                key: None,
                ..good.clone()
            },
            &cert,
            "needs its private key",
        ),
        (
            TlsFiles {
                cert: None,
                ..good.clone()
            },
            &key,
            "needs its certificate",
        ),
    ];
    for (files, path, why) in table {
        names(&connect(1, files).await.unwrap_err(), path, why);
    }
}

#[test]
fn a_folder_gives_the_files_it_has() {
    let sandbox = Sandbox::new();
    let ca = sandbox.write("one/ca.pem", "");
    assert_eq!(
        TlsFiles::from_dir(&sandbox.path("one")).unwrap(),
        TlsFiles {
            ca: Some(ca),
            ..TlsFiles::default()
        }
    );
    sandbox.write("none/readme", "");
    names(
        &TlsFiles::from_dir(&sandbox.path("none")).unwrap_err(),
        &sandbox.path("none"),
        "none of ca.pem",
    );
    names(
        &TlsFiles::from_dir(&sandbox.path("away")).unwrap_err(),
        &sandbox.path("away"),
        "no such folder",
    );
}
