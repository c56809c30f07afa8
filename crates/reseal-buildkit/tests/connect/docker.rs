//! dockerd's embedded `BuildKit`, and which dockerd is meant.

use std::time::Duration;

use reseal_buildkit::connect::{Address, DockerEndpoint, TlsFiles, dial, docker_endpoint};

use crate::support::{Dockerd, Sandbox, dockerd_at};

const LONG: Duration = Duration::from_secs(20);

fn context_folder(name: &str) -> String {
    use sha2::Digest;
    format!("{:x}", sha2::Sha256::digest(name))
}

#[tokio::test]
async fn a_dockerd_that_speaks_http2_takes_one_connection() {
    let sandbox = Sandbox::new();
    let socket = sandbox.path("d.sock");
    let count = dockerd_at(&socket, Dockerd::Direct);
    let address = Address::Docker {
        host: Some(socket.display().to_string()),
    };
    dial(&address, &sandbox.options(LONG)).await.unwrap();
    assert_eq!(count.get(), 1);
}

#[tokio::test]
async fn a_dockerd_that_redirects_http2_is_asked_for_an_upgrade() {
    let sandbox = Sandbox::new();
    let socket = sandbox.path("d.sock");
    let count = dockerd_at(&socket, Dockerd::Upgrade);
    let address = Address::Docker {
        host: Some(format!("unix://{}", socket.display())),
    };
    dial(&address, &sandbox.options(LONG)).await.unwrap();
    assert_eq!(count.get(), 2);
}

#[tokio::test]
async fn a_dockerd_that_is_silent_to_http2_still_gets_its_upgrade_in_time() {
    let sandbox = Sandbox::new();
    let socket = sandbox.path("d.sock");
    dockerd_at(&socket, Dockerd::SilentThenUpgrade);
    let address = Address::Docker {
        host: Some(socket.display().to_string()),
    };
    dial(&address, &sandbox.options(Duration::from_secs(3)))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_refused_upgrade_is_told_with_status_and_reason() {
    let sandbox = Sandbox::new();
    let socket = sandbox.path("d.sock");
    dockerd_at(&socket, Dockerd::Refuses);
    let address = Address::Docker {
        host: Some(socket.display().to_string()),
    };
    let error = dial(&address, &sandbox.options(LONG)).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("refused `POST /grpc` with status 403: not on the list"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("POST /grpc"));
}

#[tokio::test]
async fn a_missing_dockerd_is_told_with_its_socket() {
    let mut sandbox = Sandbox::new();
    let socket = sandbox.path("none.sock");
    sandbox.set("DOCKER_HOST", &format!("unix://{}", socket.display()));
    let error = dial(&Address::Docker { host: None }, &sandbox.options(LONG))
        .await
        .unwrap_err();
    assert!(
        error.is_absent() && error.to_string().contains(&socket.display().to_string()),
        "{error}"
    );
}

fn tcp(host: &str, port: u16, tls: TlsFiles) -> DockerEndpoint {
    DockerEndpoint::Tcp {
        host: host.to_owned(),
        port,
        tls,
    }
}

fn files(folder: &std::path::Path) -> TlsFiles {
    TlsFiles {
        ca: Some(folder.join("ca.pem")),
        cert: Some(folder.join("cert.pem")),
        key: Some(folder.join("key.pem")),
        server_name: None,
    }
}

/// What stands behind `docker://`, the environment, and what is meant.
type Case<'a> = (Option<&'a str>, Vec<(&'a str, &'a str)>, DockerEndpoint);

#[test]
fn the_dockerd_is_chosen_in_the_order_of_dockers_own_command_line() {
    let sandbox = Sandbox::new();
    let certificates = sandbox.path("certificates");
    for name in ["ca.pem", "cert.pem", "key.pem"] {
        sandbox.write(&format!("certificates/{name}"), "");
        sandbox.write(
            &format!(
                ".docker/contexts/tls/{}/docker/{name}",
                context_folder("secure")
            ),
            "",
        );
    }
    for (name, host) in [
        ("remote", "ssh://me@far:2222"),
        ("secure", "tcp://box"),
        ("local", "unix:///run/other.sock"),
    ] {
        let text = format!(
            r#"{{"Name":"{name}","Metadata":{{}},"Endpoints":{{"docker":{{"Host":"{host}","SkipTLSVerify":false}}}}}}"#
        );
        sandbox.write(
            &format!(".docker/contexts/meta/{}/meta.json", context_folder(name)),
            &text,
        );
    }
    sandbox.write(
        ".docker/config.json",
        r#"{"auths":{},"currentContext":"local"}"#,
    );
    sandbox.write("plain/config.json", r#"{"auths":{}}"#);
    let plain = sandbox.path("plain").display().to_string();
    let store = sandbox.path(&format!(
        ".docker/contexts/tls/{}/docker",
        context_folder("secure")
    ));
    let default = DockerEndpoint::Unix("/var/run/docker.sock".into());
    let remote = DockerEndpoint::Ssh {
        user: Some("me".to_owned()),
        host: "far".to_owned(),
        port: Some(2222),
    };
    let cert_path = certificates.display().to_string();
    let table: Vec<Case<'_>> = vec![
        (None, vec![], DockerEndpoint::Unix("/run/other.sock".into())),
        (None, vec![("DOCKER_CONFIG", &plain)], default.clone()),
        (None, vec![("DOCKER_CONTEXT", "default")], default),
        (None, vec![("DOCKER_CONTEXT", "remote")], remote.clone()),
        (
            None,
            vec![("DOCKER_HOST", "tcp://h:99"), ("DOCKER_CONTEXT", "remote")],
            tcp("h", 99, TlsFiles::default()),
        ),
        (
            None,
            vec![("DOCKER_HOST", ""), ("DOCKER_CONTEXT", "remote")],
            remote.clone(),
        ),
        (
            None,
            vec![("DOCKER_HOST", "tcp://h")],
            tcp("h", 2375, TlsFiles::default()),
        ),
        (
            None,
            vec![
                ("DOCKER_HOST", "tcp://h/"),
                ("DOCKER_TLS_VERIFY", "1"),
                ("DOCKER_CERT_PATH", &cert_path),
            ],
            tcp("h", 2376, files(&certificates)),
        ),
        (
            None,
            vec![("DOCKER_HOST", "unix:///x"), ("DOCKER_TLS_VERIFY", "1")],
            DockerEndpoint::Unix("/x".into()),
        ),
        (
            None,
            vec![("DOCKER_CONTEXT", "secure")],
            tcp("box", 2376, files(&store)),
        ),
        (Some("remote"), vec![("DOCKER_HOST", "tcp://h:99")], remote),
        (
            Some("/x.sock"),
            vec![],
            DockerEndpoint::Unix("/x.sock".into()),
        ),
        (
            Some("unix:///x.sock"),
            vec![],
            DockerEndpoint::Unix("/x.sock".into()),
        ),
        (Some("h:77"), vec![], tcp("h", 77, TlsFiles::default())),
        (
            Some("tcp://[::1]:77"),
            vec![],
            tcp("::1", 77, TlsFiles::default()),
        ),
    ];
    for (host, vars, expected) in table {
        let mut environment = sandbox.environment();
        environment.vars.extend(
            vars.iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        assert_eq!(
            docker_endpoint(host, &TlsFiles::default(), &environment).unwrap(),
            expected,
            "{host:?} {vars:?}"
        );
    }
}

#[test]
fn certificates_from_flags_go_before_those_of_a_context() {
    let sandbox = Sandbox::new();
    let flags = files(&sandbox.path("flags"));
    assert_eq!(
        docker_endpoint(Some("h:1"), &flags, &sandbox.environment()).unwrap(),
        tcp("h", 1, flags)
    );
}

#[test]
fn a_context_that_cannot_be_used_is_named() {
    let sandbox = Sandbox::new();
    let table = [
        ("broken", "{", "EOF"),
        (
            "kubernetes",
            r#"{"Endpoints":{"kubernetes":{}}}"#,
            "no Docker endpoint",
        ),
        (
            "lax",
            r#"{"Endpoints":{"docker":{"Host":"tcp://h:1","SkipTLSVerify":true}}}"#,
            "check of certificates",
        ),
        (
            "windows",
            r#"{"Endpoints":{"docker":{"Host":"npipe:////./pipe/docker_engine"}}}"#,
            "npipe://",
        ),
        (
            "option",
            r#"{"Endpoints":{"docker":{"Host":"ssh://-oProxyCommand=id"}}}"#,
            "not a host name",
        ),
        ("empty", r#"{"Endpoints":{"docker":{}}}"#, "no scheme"),
    ];
    for (name, meta, expected) in table {
        sandbox.write(
            &format!(".docker/contexts/meta/{}/meta.json", context_folder(name)),
            meta,
        );
        let error = docker_endpoint(Some(name), &TlsFiles::default(), &sandbox.environment())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&format!("`{name}`")) && error.contains(expected),
            "{error}"
        );
    }
    let error = docker_endpoint(
        Some("nowhere"),
        &TlsFiles::default(),
        &sandbox.environment(),
    )
    .unwrap_err()
    .to_string();
    assert!(error.contains("no such context"), "{error}");
}
