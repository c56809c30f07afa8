//! TCP with certificates on both sides.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reseal_buildkit::{Address, ConnectOptions, Connection, TlsFiles, dial};

use super::{assert_can_patch, server};

#[tokio::test]
async fn a_buildkitd_over_tcp_with_certificates_on_both_sides() {
    let Some(tools) = server("RESEAL_IT_TOOLS") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let server = TlsDaemon::start(Path::new(&tools), folder.path());
    let tls = TlsFiles::from_dir(&folder.path().join("client")).unwrap();
    let options = ConnectOptions {
        tls,
        ..ConnectOptions::default()
    };
    let connection = server.dial(&options).await;
    assert_can_patch(connection).await;

    let without = ConnectOptions {
        tls: TlsFiles {
            cert: None,
            key: None,
            ..options.tls.clone()
        },
        ..options.clone()
    };
    let error = dial(&server.address, &without).await.unwrap_err();
    let hint = error.hint().unwrap();
    assert!(hint.contains("client certificate"), "{error} {hint}");
    let error = dial(&server.address, &ConnectOptions::default())
        .await
        .unwrap_err();
    assert!(error.hint().unwrap().contains("expect TLS"), "{error}");
    let system = ConnectOptions {
        tls: TlsFiles {
            ca: None,
            ..options.tls.clone()
        },
        ..options
    };
    let error = dial(&server.address, &system).await.unwrap_err();
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
}

/// A daemon that asks its clients for certificates.
struct TlsDaemon {
    child: Child,
    address: Address,
    log: PathBuf,
}

impl TlsDaemon {
    fn start(tools: &Path, folder: &Path) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        for name in ["127.0.0.1", "client"] {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            let certificate = params.signed_by(&key, &authority).unwrap();
            let place = folder.join(name);
            std::fs::create_dir(&place).unwrap();
            std::fs::write(place.join("ca.pem"), authority.pem()).unwrap();
            std::fs::write(place.join("cert.pem"), certificate.pem()).unwrap();
            std::fs::write(place.join("key.pem"), key.serialize_pem()).unwrap();
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let files = folder.join("127.0.0.1");
        let log = folder.join("log");
        let child = Command::new(tools.join("buildkitd"))
            .arg("--config=/dev/null")
            .arg("--containerd-worker=false")
            .arg(format!("--root={}", folder.join("root").display()))
            .arg(format!("--addr=tcp://127.0.0.1:{port}"))
            .arg(format!("--tlscacert={}", files.join("ca.pem").display()))
            .arg(format!("--tlscert={}", files.join("cert.pem").display()))
            .arg(format!("--tlskey={}", files.join("key.pem").display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self {
            child,
            address: Address::Tcp {
                host: "127.0.0.1".to_owned(),
                port,
            },
            log,
        }
    }

    /// Connects as soon as it listens.
    async fn dial(&self, options: &ConnectOptions) -> Connection {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            match dial(&self.address, options).await {
                Ok(connection) => return connection,
                Err(error) if error.is_absent() && Instant::now() < end => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(error) => panic!(
                    "{error}\n{}",
                    std::fs::read_to_string(&self.log).unwrap_or_default()
                ),
            }
        }
    }
}

impl Drop for TlsDaemon {
    fn drop(&mut self) {
        // Killed, it would leave mounts behind.
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let _ = self.child.wait();
    }
}
