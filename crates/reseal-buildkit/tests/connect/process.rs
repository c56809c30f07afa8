//! Daemons behind child processes.

use std::time::{Duration, Instant};

use reseal_buildkit::connect::{Address, ConnectError, ConnectOptions, dial};
use reseal_proto::control::InfoRequest;
use reseal_proto::control::control_client::ControlClient;

use crate::support::{Answer, Sandbox, daemon_at, eventually, exists};

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn every_transport_calls_its_program_with_plain_words() {
    let ssh = ["-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20"];
    let table: [(&str, Option<&str>, &str, Vec<&str>); 11] = [
        (
            "docker-container://b",
            None,
            "docker",
            vec!["exec", "-i", "b", "buildctl", "dial-stdio"],
        ),
        (
            "docker-container://b?context=c",
            None,
            "docker",
            vec!["--context=c", "exec", "-i", "b", "buildctl", "dial-stdio"],
        ),
        (
            "podman-container://b",
            None,
            "podman",
            vec!["exec", "-i", "b", "buildctl", "dial-stdio"],
        ),
        (
            "nerdctl-container://b?namespace=n",
            None,
            "nerdctl",
            vec!["--namespace=n", "exec", "-i", "b", "buildctl", "dial-stdio"],
        ),
        (
            "kube-pod://p",
            None,
            "kubectl",
            vec!["exec", "-i", "p", "--", "buildctl", "dial-stdio"],
        ),
        (
            "kube-pod://p?context=c&namespace=n&container=d",
            None,
            "kubectl",
            vec![
                "--context=c",
                "--namespace=n",
                "exec",
                "--container=d",
                "-i",
                "p",
                "--",
                "buildctl",
                "dial-stdio",
            ],
        ),
        (
            "ssh://h",
            None,
            "ssh",
            [&ssh[..], &["--", "h", "buildctl", "dial-stdio"]].concat(),
        ),
        (
            "ssh://u@h:22/run/b.sock",
            None,
            "ssh",
            [
                &ssh[..],
                &[
                    "-l",
                    "u",
                    "-p",
                    "22",
                    "--",
                    "h",
                    "buildctl",
                    "--addr",
                    "unix:///run/b.sock",
                    "dial-stdio",
                ],
            ]
            .concat(),
        ),
        (
            "docker://ssh://u@h",
            None,
            "ssh",
            [
                &ssh[..],
                &["-l", "u", "--", "h", "docker", "system", "dial-stdio"],
            ]
            .concat(),
        ),
        (
            "buildx://",
            None,
            "docker",
            vec!["buildx", "dial-stdio", "--progress=plain"],
        ),
        (
            "buildx://farm",
            Some("linux/arm64"),
            "docker",
            vec![
                "buildx",
                "dial-stdio",
                "--builder=farm",
                "--platform=linux/arm64",
                "--progress=plain",
            ],
        ),
    ];
    for (address, platform, program, args) in table {
        let sandbox = Sandbox::new();
        let socket = sandbox.path("s");
        daemon_at(&socket, Answer::Info);
        sandbox.bridge(program, &socket);
        let options = ConnectOptions {
            platform: platform.map(str::to_owned),
            ..sandbox.options(LONG)
        };
        dial(&address.parse().unwrap(), &options)
            .await
            .unwrap_or_else(|error| panic!("{address}: {error}"));
        assert_eq!(sandbox.calls(program), [args], "{address}");
    }
}

#[tokio::test]
async fn buildx_also_works_as_a_program_of_its_own() {
    let sandbox = Sandbox::new();
    let socket = sandbox.path("s");
    daemon_at(&socket, Answer::Info);
    sandbox.bridge("buildx", &socket);
    dial(&"buildx://farm".parse().unwrap(), &sandbox.options(LONG))
        .await
        .unwrap();
    assert_eq!(
        sandbox.calls("buildx"),
        [["dial-stdio", "--builder=farm", "--progress=plain"]]
    );
}

#[tokio::test]
async fn a_platform_cannot_carry_an_option() {
    let sandbox = Sandbox::new();
    let options = ConnectOptions {
        platform: Some("--help".to_owned()),
        ..sandbox.options(LONG)
    };
    let error = dial(&"buildx://".parse().unwrap(), &options)
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::Address(_)), "{error}");
}

#[tokio::test]
async fn a_missing_program_counts_as_nothing_there() {
    let sandbox = Sandbox::new();
    for (address, program) in [
        ("podman-container://b", "podman"),
        ("ssh://h", "ssh"),
        ("buildx://", "docker"),
    ] {
        let error = dial(&address.parse().unwrap(), &sandbox.options(LONG))
            .await
            .unwrap_err();
        assert!(
            error.is_absent()
                && error
                    .to_string()
                    .contains(&format!("`{program}` is not on PATH")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn the_last_words_of_a_child_and_its_status_are_the_error() {
    let table = [
        (
            "docker",
            "docker-container://b",
            "Error response from daemon: container b is not running",
            "start the container",
        ),
        (
            "docker",
            "docker-container://b",
            "Error response from daemon: No such container: b",
            "`docker ps -a`",
        ),
        (
            "podman",
            "podman-container://b",
            "Error: can only create exec sessions on running containers: container state improper",
            "`podman start`",
        ),
        (
            "podman",
            "podman-container://b",
            "Error: no container with name or ID \"b\" found: no such container",
            "`podman ps -a`",
        ),
        (
            "nerdctl",
            "nerdctl-container://b",
            "level=fatal msg=\"cannot exec in a stopped state: unknown\"",
            "`nerdctl start`",
        ),
        (
            "nerdctl",
            "nerdctl-container://b",
            "level=fatal msg=\"no such container b\"",
            "`nerdctl namespace ls`",
        ),
        (
            "ssh",
            "ssh://h",
            "sh: 1: buildctl: not found",
            "`buildctl` has to be on the PATH over there",
        ),
        (
            "kubectl",
            "kube-pod://p",
            "exec: \"buildctl\": executable file not found in $PATH",
            "`?container=NAME`",
        ),
        (
            "docker",
            "buildx://b",
            "ERROR: no builder \"b\" found",
            "`docker buildx ls`",
        ),
        (
            "ssh",
            "ssh://h",
            "Host key verification failed.",
            "accept the host's key",
        ),
        (
            "kubectl",
            "kube-pod://p",
            "Error from server (NotFound): pods \"p\" not found",
            "kubectl get pod",
        ),
    ];
    for (program, address, words, hint) in table {
        let sandbox = Sandbox::new();
        sandbox.program(
            program,
            &format!("echo 'some warning' >&2\necho '{words}' >&2\nexit 125"),
        );
        let error = dial(&address.parse().unwrap(), &sandbox.options(LONG))
            .await
            .unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(&format!(
                "`{program}` ended with exit status: 125: some warning | {words}"
            )),
            "{text}"
        );
        assert!(text.contains(address), "{text}");
        assert!(error.hint().unwrap().contains(hint), "{:?}", error.hint());
        let is_missing = words.contains("o such container");
        assert_eq!(error.is_absent(), is_missing, "{text}");
    }
}

#[tokio::test]
async fn the_usage_behind_an_error_does_not_hide_it() {
    let sandbox = Sandbox::new();
    let usage = "  -v, --version    Print version information and quit\n".repeat(40);
    let words = format!("unknown flag: --builder\nSee docker --help.\n\nUsage:  docker\n{usage}");
    sandbox.program("docker", &format!("echo '{words}' >&2\nexit 125"));
    let error = dial(&"buildx://b".parse().unwrap(), &sandbox.options(LONG))
        .await
        .unwrap_err();
    let text = error.to_string();
    let end = "exit status: 125: unknown flag: --builder | See docker --help.";
    assert!(text.ends_with(end), "{text}");
    let hint = error.hint().unwrap();
    assert!(hint.contains("install the buildx plugin"), "{hint}");
}

#[tokio::test]
async fn a_child_that_never_answers_is_ended_at_the_limit() {
    let sandbox = Sandbox::new();
    sandbox.program(
        "kubectl",
        &format!(
            "{}\necho 'waiting for the pod' >&2\nexec /bin/sleep 600",
            sandbox.note("kubectl")
        ),
    );
    let began = Instant::now();
    let error = dial(
        &"kube-pod://p".parse().unwrap(),
        &sandbox.options(Duration::from_millis(700)),
    )
    .await
    .unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(8));
    let text = error.to_string();
    assert!(
        text.contains("kube-pod://p")
            && text.contains("within 0.7 s")
            && text.contains("waiting for the pod"),
        "{text}"
    );
    let pid = sandbox.pid("kubectl");
    eventually("the child is gone and reaped", || !exists(pid)).await;
}

#[tokio::test]
async fn a_child_ends_with_the_last_clone_of_its_connection() {
    for is_stubborn in [false, true] {
        let sandbox = Sandbox::new();
        let socket = sandbox.path("s");
        daemon_at(&socket, Answer::Info);
        if is_stubborn {
            sandbox.stubborn_bridge("podman", &socket);
        } else {
            sandbox.bridge("podman", &socket);
        }
        let connection = dial(
            &"podman-container://b".parse().unwrap(),
            &sandbox.options(LONG),
        )
        .await
        .unwrap();
        let clone = connection.clone();
        let pid = sandbox.pid("podman");
        drop(connection);
        ControlClient::new(clone.channel.clone())
            .info(InfoRequest {})
            .await
            .unwrap();
        assert!(exists(pid));
        drop(clone);
        eventually("the child is gone and reaped", || !exists(pid)).await;
    }
}

#[tokio::test]
async fn when_the_child_ends_calls_fail_with_its_last_words_and_no_other_is_started() {
    let sandbox = Sandbox::new();
    let socket = sandbox.path("s");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        crate::support::serve(stream, Answer::Info).await;
    });
    sandbox.bridge("docker", &socket);
    let address: Address = "docker-container://b".parse().unwrap();
    let connection = dial(&address, &sandbox.options(LONG)).await.unwrap();
    assert_eq!(connection.diagnostics(), None);
    serving.abort();
    eventually("the end of the child is known", || {
        connection.diagnostics().is_some()
    })
    .await;
    eventually("the end of the child is known", || {
        connection
            .diagnostics()
            .is_some_and(|text| text.contains("status: 3"))
    })
    .await;
    let mut client = ControlClient::new(connection.channel.clone());
    let mut last = String::new();
    for _ in 0..3 {
        last = format!("{:?}", client.info(InfoRequest {}).await.unwrap_err());
    }
    assert!(last.contains("bridge: the daemon went away"), "{last}");
    assert_eq!(sandbox.calls("docker").len(), 1);
}
