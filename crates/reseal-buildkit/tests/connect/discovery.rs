//! The search for a daemon.

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use reseal_buildkit::connect::{ConnectError, Connection, Environment};
use reseal_buildkit::discover::{Candidate, candidates, discover_with, search};

use crate::support::{Answer, Dockerd, Sandbox, daemon_at, dockerd_at};

const LONG: Duration = Duration::from_secs(20);

fn capable(_: Connection) -> BoxFuture<'static, Result<(), String>> {
    Box::pin(async { Ok(()) })
}

/// As a dockerd with the classic store answers.
fn docker_is_not_capable(connection: Connection) -> BoxFuture<'static, Result<(), String>> {
    Box::pin(async move {
        if connection.address().to_string().starts_with("docker://") {
            return Err("mergeop is only enabled with the containerd image store".to_owned());
        }
        Ok(())
    })
}

fn environment(vars: &[(&str, &str)], uid: u32) -> Environment {
    Environment {
        vars: vars
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        uid,
    }
}

#[test]
fn the_cheapest_way_comes_first() {
    let rest = "docker:// docker-container://buildkitd podman-container://buildkitd nerdctl-container://buildkitd buildx://";
    let system = "unix:///run/buildkit/buildkitd.sock unix:///run/buildkit-default/buildkitd.sock";
    let own = "unix:///run/user/7/buildkit/buildkitd.sock unix:///run/user/7/buildkit-default/buildkitd.sock";
    let table = [
        (environment(&[], 0), format!("{system} {rest}")),
        (environment(&[], 7), format!("{own} {system} {rest}")),
        (
            environment(&[("XDG_RUNTIME_DIR", "/run/user/7")], 0),
            format!("{system} {own} {rest}"),
        ),
        (
            environment(
                &[("BUILDX_BUILDER", "farm"), ("DOCKER_HOST", "tcp://h:1")],
                0,
            ),
            format!("buildx://farm {system} {rest}"),
        ),
        (
            environment(
                &[("BUILDKIT_HOST", "tcp://h"), ("BUILDX_BUILDER", "farm")],
                0,
            ),
            "tcp://h:1234".to_owned(),
        ),
        (
            environment(&[("BUILDKIT_HOST", "")], 0),
            format!("{system} {rest}"),
        ),
    ];
    for (environment, expected) in table {
        let list = candidates(&environment).unwrap();
        let found: Vec<String> = list
            .iter()
            .map(|candidate| candidate.address.to_string())
            .collect();
        assert_eq!(found.join(" "), expected);
        assert!(list.iter().all(|candidate| !candidate.why.is_empty()));
    }
}

#[test]
fn a_variable_that_is_no_address_is_an_error() {
    for (name, value) in [
        ("BUILDKIT_HOST", "/run/b.sock"),
        ("BUILDX_BUILDER", "--help"),
    ] {
        let error = candidates(&environment(&[(name, value)], 0)).unwrap_err();
        assert!(matches!(error, ConnectError::Address(_)), "{error}");
    }
}

/// Candidates for sockets of a sandbox.
fn sockets(sandbox: &Sandbox, names: &[&str]) -> Vec<Candidate> {
    let address = |name: &&str| {
        format!("unix://{}", sandbox.path(name).display())
            .parse()
            .unwrap()
    };
    names
        .iter()
        .map(|name| Candidate {
            address: address(name),
            why: format!("test {name}"),
        })
        .collect()
}

#[tokio::test]
async fn the_first_that_works_is_taken_and_the_log_says_why() {
    let sandbox = Sandbox::new();
    daemon_at(&sandbox.path("web"), Answer::WebPage);
    let second = daemon_at(&sandbox.path("second"), Answer::Info);
    let third = daemon_at(&sandbox.path("third"), Answer::Info);
    let list = sockets(&sandbox, &["none", "web", "second", "third"]);
    let mut log = Vec::new();
    let found = search(&list, &sandbox.options(LONG), &capable, &mut |line| {
        log.push(line);
    })
    .await
    .unwrap();
    assert_eq!(
        (found.address.clone(), found.why.as_str()),
        (list[2].address.clone(), "test second")
    );
    assert!(found.private.is_none());
    assert_eq!((second.get(), third.get()), (1, 0));
    // The socket that does not exist is no news.
    assert_eq!(log.len(), 2, "{log:?}");
    assert!(
        log[0].starts_with("not using")
            && log[0].contains("(test web)")
            && log[0].contains("not BuildKit"),
        "{log:?}"
    );
    assert_eq!(
        log[1],
        format!("using BuildKit at `{}` (test second)", list[2].address)
    );
}

#[tokio::test]
async fn a_stalled_one_leaves_time_for_the_others() {
    let sandbox = Sandbox::new();
    daemon_at(&sandbox.path("stalled"), Answer::Never);
    daemon_at(&sandbox.path("good"), Answer::Info);
    let list = sockets(&sandbox, &["stalled", "good"]);
    let mut log = Vec::new();
    let found = search(
        &list,
        &sandbox.options(Duration::from_secs(2)),
        &capable,
        &mut |line| log.push(line),
    )
    .await
    .unwrap();
    assert_eq!(found.address, list[1].address);
    assert!(log[0].contains("no answer within"), "{log:?}");
}

#[tokio::test]
async fn a_probe_that_stalls_or_refuses_is_a_reason() {
    let sandbox = Sandbox::new();
    daemon_at(&sandbox.path("a"), Answer::Info);
    let list = sockets(&sandbox, &["a"]);
    let attempts = search(
        &list,
        &sandbox.options(Duration::from_millis(400)),
        &|_| Box::pin(std::future::pending()),
        &mut |_| {},
    )
    .await
    .unwrap_err();
    assert!(
        attempts[0].outcome.contains("did not tell within 0.4 s"),
        "{attempts:?}"
    );
    let attempts = search(
        &list,
        &sandbox.options(LONG),
        &|_| Box::pin(async { Err("too old".to_owned()) }),
        &mut |_| {},
    )
    .await
    .unwrap_err();
    assert_eq!(attempts[0].outcome, "too old");
}

#[tokio::test]
async fn a_dockerd_that_cannot_merge_is_passed_over_with_the_reason() {
    let mut sandbox = Sandbox::new();
    let docker = sandbox.path("d.sock");
    sandbox.set("DOCKER_HOST", &format!("unix://{}", docker.display()));
    dockerd_at(&docker, Dockerd::Upgrade);
    let socket = sandbox.path("b.sock");
    daemon_at(&socket, Answer::Info);
    sandbox.bridge("podman", &socket);
    let list: Vec<Candidate> = candidates(&sandbox.environment())
        .unwrap()
        .into_iter()
        .filter(|candidate| !candidate.address.to_string().starts_with("unix://"))
        .collect();
    let mut log = Vec::new();
    let found = search(
        &list,
        &sandbox.options(LONG),
        &docker_is_not_capable,
        &mut |line| log.push(line),
    )
    .await
    .unwrap();
    assert_eq!(found.address.to_string(), "podman-container://buildkitd");
    assert!(
        log[0].contains("`docker://` (DOCKER_HOST)") && log[0].contains("containerd image store"),
        "{log:?}"
    );
    assert_eq!(log.len(), 2, "{log:?}");
}

#[tokio::test]
async fn a_program_without_the_container_is_no_news() {
    let sandbox = Sandbox::new();
    let socket = sandbox.path("b.sock");
    daemon_at(&socket, Answer::Info);
    for (program, words) in [
        (
            "docker",
            "Cannot connect to the Docker daemon at unix:///d.",
        ),
        (
            "podman",
            "Error: no container with name or ID \"buildkitd\" found",
        ),
    ] {
        sandbox.program(program, &format!("echo '{words}' >&2\nexit 125"));
    }
    sandbox.bridge("nerdctl", &socket);
    let list: Vec<Candidate> = candidates(&sandbox.environment())
        .unwrap()
        .into_iter()
        .filter(|candidate| candidate.address.to_string().contains("-container://"))
        .collect();
    let mut log = Vec::new();
    let found = search(&list, &sandbox.options(LONG), &capable, &mut |line| {
        log.push(line);
    })
    .await
    .unwrap();
    assert_eq!(found.address.to_string(), "nerdctl-container://buildkitd");
    assert_eq!(log.len(), 1, "{log:?}");
}

#[tokio::test]
async fn buildkit_host_is_final() {
    let mut sandbox = Sandbox::new();
    daemon_at(&sandbox.path("other"), Answer::Info);
    let missing = format!("unix://{}", sandbox.path("none").display());
    sandbox.set("BUILDKIT_HOST", &missing);
    sandbox.program("buildkitd", "echo started >\"$HOME/started\"");
    let error = discover_with(
        &sandbox.environment(),
        &sandbox.options(LONG),
        true,
        &capable,
        &mut |_| {},
    )
    .await
    .unwrap_err();
    assert!(
        !sandbox.path("started").exists(),
        "a private daemon was started instead"
    );
    let text = error.to_string();
    assert!(
        text.contains(&missing)
            && text.contains("(BUILDKIT_HOST)")
            && text.contains("no such socket"),
        "{text}"
    );

    sandbox.set(
        "BUILDKIT_HOST",
        &format!("unix://{}", sandbox.path("other").display()),
    );
    let found = discover_with(
        &sandbox.environment(),
        &sandbox.options(LONG),
        true,
        &capable,
        &mut |_| {},
    )
    .await
    .unwrap();
    assert_eq!(found.why, "BUILDKIT_HOST");
}

#[tokio::test]
async fn when_nothing_is_found_every_place_is_listed_in_time() {
    let mut sandbox = Sandbox::new();
    sandbox.set(
        "DOCKER_HOST",
        &format!("unix://{}", sandbox.path("d.sock").display()),
    );
    let refuse = |_| -> BoxFuture<'static, Result<(), String>> {
        Box::pin(async { Err("not in this test".to_owned()) })
    };
    let began = Instant::now();
    let error = discover_with(
        &sandbox.environment(),
        &sandbox.options(Duration::from_secs(10)),
        true,
        &refuse,
        &mut |_| {},
    )
    .await
    .unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(10));
    let ConnectError::NothingFound { attempts } = &error else {
        panic!("{error}")
    };
    assert_eq!(
        attempts.last().unwrap().outcome,
        "`buildkitd` is not on PATH"
    );
    let text = error.to_string();
    for place in [
        "/run/buildkit/buildkitd.sock",
        "`docker://` (DOCKER_HOST)",
        "`docker` is not on PATH",
        "`podman` is not on PATH",
        "buildx://",
    ] {
        assert!(text.contains(place), "{place}: {text}");
    }
    assert!(error.hint().unwrap().contains("--addr"));
}
