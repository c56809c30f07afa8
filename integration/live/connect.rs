//! Real daemons, reached in every way that this machine has.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reseal_buildkit::{
    Address, Client, ConnectOptions, Connection, Environment, PrivateDaemon, PrivateOptions,
    TlsFiles, dial, discover,
};
use tempfile::TempDir;

/// Returns what a variable of `integration/up.sh` says; tells when the test is skipped for want of it.
#[expect(clippy::print_stderr, reason = "a skipped test says why")]
fn server(name: &str) -> Option<String> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        eprintln!("skipped: {name} is not set");
    }
    value
}

/// Asks the daemon for its version and its abilities.
async fn assert_can_patch(connection: Connection) {
    let client = Client::new(connection);
    assert!(
        client.info().await.unwrap().is_some(),
        "daemons since 0.11 tell their version"
    );
    let capabilities = client.capabilities().await.unwrap();
    for id in ["diffop", "mergeop"] {
        capabilities.supports(id).unwrap();
    }
}

/// This process's environment with other values for some names.
fn environment(changes: &[(&str, &str)]) -> Environment {
    let mut vars: BTreeMap<String, String> = std::env::vars().collect();
    for name in [
        "BUILDKIT_HOST",
        "BUILDX_BUILDER",
        "DOCKER_HOST",
        "DOCKER_CONTEXT",
    ] {
        vars.remove(name);
    }
    for (name, value) in changes {
        vars.insert((*name).to_owned(), (*value).to_owned());
    }
    Environment { vars, uid: 0 }
}

#[tokio::test]
async fn a_buildkitd_on_a_socket() {
    for name in ["RESEAL_IT_BUILDKIT_NEW", "RESEAL_IT_BUILDKIT_OLD"] {
        let Some(address) = server(name) else {
            continue;
        };
        let connection = dial(&address.parse().unwrap(), &ConnectOptions::default()).await;
        assert_can_patch(connection.unwrap()).await;
        let mut log = Vec::new();
        let environment = environment(&[("BUILDKIT_HOST", &address)]);
        let found = discover(
            &environment,
            &ConnectOptions::default(),
            true,
            &mut |line| log.push(line),
        )
        .await
        .unwrap();
        assert_eq!(found.address.to_string(), address);
        assert_eq!(
            log,
            [format!("using BuildKit at `{address}` (BUILDKIT_HOST)")]
        );
    }
}

#[tokio::test]
async fn the_buildkit_inside_dockerd() {
    let Some(host) = server("RESEAL_IT_DOCKER") else {
        return;
    };
    let address: Address = format!("docker://{host}").parse().unwrap();
    let connection = dial(&address, &ConnectOptions::default()).await.unwrap();
    assert_can_patch(connection).await;
    let options = ConnectOptions {
        environment: environment(&[("DOCKER_HOST", &host)]),
        ..ConnectOptions::default()
    };
    let connection = dial(&Address::Docker { host: None }, &options).await;
    assert_can_patch(connection.unwrap()).await;
}

#[tokio::test]
async fn a_buildkitd_behind_docker_exec() {
    let (Some(host), Some(tools), Some(daemon)) = (
        server("RESEAL_IT_DOCKER"),
        server("RESEAL_IT_TOOLS"),
        server("RESEAL_IT_BUILDKIT_NEW"),
    ) else {
        return;
    };
    let Some(container) = Container::start(&host, Path::new(&tools), &daemon) else {
        return;
    };
    let options = ConnectOptions {
        environment: container.environment(),
        ..ConnectOptions::default()
    };
    let address: Address = format!("docker-container://{}", container.name)
        .parse()
        .unwrap();
    assert_can_patch(dial(&address, &options).await.unwrap()).await;

    container.docker(&["stop", "--time=0", &container.name]);
    let error = dial(&address, &options).await.unwrap_err();
    assert!(error.to_string().contains("is not running"), "{error}");
    assert!(error.hint().unwrap().contains("start the container"));
    let missing = Address::DockerContainer {
        name: "reseal-no-such".to_owned(),
        context: None,
    };
    let error = dial(&missing, &options).await.unwrap_err();
    assert!(error.to_string().contains("No such container"), "{error}");
}

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

#[tokio::test]
async fn a_private_buildkitd_serves_one_run_and_leaves_nothing_behind() {
    let Some(tools) = server("RESEAL_IT_TOOLS") else {
        return;
    };
    let temp = tempfile::tempdir().unwrap();
    let path = format!("{tools}:/usr/sbin:/usr/bin:/sbin:/bin");
    let options = PrivateOptions {
        environment: environment(&[
            ("PATH", &path),
            ("TMPDIR", &temp.path().display().to_string()),
        ]),
        ..PrivateOptions::default()
    };
    for by_drop in [false, true] {
        let (daemon, connection) = PrivateDaemon::start(&options).await.unwrap();
        assert_can_patch(connection.clone()).await;
        let began = Instant::now();
        if by_drop {
            // With the connection still open, as when a run is cancelled.
            drop(daemon);
        } else {
            drop(connection);
            daemon.shutdown().await;
        }
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "{:?}",
            began.elapsed()
        );
        assert!(std::fs::read_dir(temp.path()).unwrap().next().is_none());
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&temp.path().display().to_string()));
    }
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
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A container that holds nothing but buildctl and the socket of the real daemon.
struct Container {
    name: String,
    host: String,
    docker: PathBuf,
    folder: TempDir,
}

impl Container {
    fn start(host: &str, tools: &Path, daemon: &str) -> Option<Self> {
        let docker = Path::new(&server("RESEAL_IT_RUN")?).join("docker/bin/docker");
        let folder = tempfile::tempdir().unwrap();
        let this = Self {
            name: format!("reseal-live-{}", std::process::id()),
            host: host.to_owned(),
            docker,
            folder,
        };
        let root = this.folder.path().join("root");
        std::fs::create_dir_all(root.join("bin")).unwrap();
        std::fs::copy(tools.join("buildctl"), root.join("bin/buildctl")).unwrap();
        let tar = this.folder.path().join("root.tar");
        let status = Command::new("tar")
            .arg("-C")
            .arg(&root)
            .arg("-cf")
            .arg(&tar)
            .arg(".")
            .status()
            .unwrap();
        assert!(status.success());
        this.docker(&[
            "import",
            "--change=ENV PATH=/bin",
            &tar.display().to_string(),
            &this.name,
        ]);
        let socket = daemon.strip_prefix("unix://")?;
        // It lasts as long as its stdin is open.
        this.docker(&[
            "run",
            "--detach",
            "--interactive",
            "--network=none",
            &format!("--name={}", this.name),
            &format!("--volume={socket}:/run/buildkit/buildkitd.sock"),
            &this.name,
            "buildctl",
            "dial-stdio",
        ]);
        Some(this)
    }

    fn environment(&self) -> Environment {
        let programs = self.docker.parent().unwrap().display().to_string();
        environment(&[("DOCKER_HOST", &self.host), ("PATH", &programs)])
    }

    fn docker(&self, args: &[&str]) {
        let output = Command::new(&self.docker)
            .args(args)
            .env("DOCKER_HOST", &self.host)
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {args:?}: {words}");
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        for args in [["rm", "--force"], ["rmi", "--force"]] {
            let _ = Command::new(&self.docker)
                .args(args)
                .arg(&self.name)
                .env("DOCKER_HOST", &self.host)
                .output();
        }
    }
}
