//! Failures keep what the user needs: exit code, output, vertex, and whose fault it was.

use reseal_buildkit::{
    Address, BuildError, BuildOptions, Client, ConnectOptions, Output, SolveEvent, build, dial,
};
use reseal_llb::{Exec, Graph, ImageOptions, Platform, RootFs, Src};
use reseal_testkit::buildkitd::{Answer, FakeBuildkitd, Script, exec_failure, failed_vertex};

use crate::support::{Setup, graph};

const VERTEX: &str = "sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";

#[tokio::test(start_paused = true)]
async fn a_failed_process_comes_with_its_exit_code_and_output() {
    let fails = Answer::Fails(
        exec_failure(VERTEX, 100, 10),
        failed_vertex(VERTEX, "E: Unable to fetch\n"),
    );
    let mut setup = Setup::answering(vec![fails]).await;
    let error = setup.patch(&["linux/amd64"]).await.unwrap_err();
    let BuildError::Exec {
        vertex,
        exit_code,
        message,
        log_tail,
    } = error
    else {
        panic!("{error:?}")
    };
    assert_eq!(
        (vertex.as_deref(), exit_code, log_tail.as_str()),
        (Some(VERTEX), 100, "E: Unable to fetch\n")
    );
    assert!(message.ends_with("exit code: 100"), "{message}");
    let told = setup.daemon.returns().remove(0).error.unwrap();
    assert!(told.message.contains("exit code 100"), "{}", told.message);
}

#[tokio::test(start_paused = true)]
async fn the_frontend_itself_sees_the_output_of_a_failed_process() {
    let fails = Answer::Fails(
        exec_failure(VERTEX, 100, 10),
        failed_vertex(VERTEX, "E: Unable to fetch\n"),
    );
    let mut setup = Setup::answering(vec![fails]).await;
    let options = setup.options();
    build(&setup.client, options, |gateway| async move {
        let error = gateway.solve(&graph(), true).await.unwrap_err();
        assert!(matches!(&error, BuildError::Exec { log_tail, .. } if log_tail == "E: Unable to fetch\n"), "{error:?}");
        Err(error)
    })
    .await
    .unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn progress_arrives_as_events() {
    let fails = Answer::Fails(exec_failure(VERTEX, 1, 0), failed_vertex(VERTEX, "output"));
    let mut setup = Setup::answering(vec![fails]).await;
    setup.patch(&["linux/amd64"]).await.unwrap_err();
    let vertex = SolveEvent::Vertex {
        digest: VERTEX.to_owned(),
        name: "patch".to_owned(),
        started: Some(1.5),
        completed: Some(2.0),
        cached: false,
        error: Some("process did not complete".to_owned()),
    };
    assert_eq!(setup.events.recv().await, Some(vertex));
    assert_eq!(
        setup.events.recv().await,
        Some(SolveEvent::Log {
            vertex: VERTEX.to_owned(),
            stream: 2,
            data: b"output".to_vec()
        })
    );
    assert_eq!(setup.events.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_went_away_does_not_stop_a_build() {
    let mut setup = Setup::answering(vec![Answer::layer(b"layer")]).await;
    setup.events.close();
    setup.patch(&["linux/amd64"]).await.unwrap();
}

/// The limit belongs to the connection, so this goes the real way: over a socket, with `dial`.
#[tokio::test]
async fn an_error_with_64_kib_of_stack_traces_survives() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("buildkitd.sock");
    let fails = Answer::Fails(
        exec_failure(VERTEX, 3, 64 << 10),
        failed_vertex(VERTEX, "last words"),
    );
    let _daemon = FakeBuildkitd::listen(
        Script {
            answers: vec![fails],
            ..Script::default()
        },
        &socket,
    )
    .await
    .unwrap();
    let client = Client::new(
        dial(&Address::Unix(socket), &ConnectOptions::default())
            .await
            .unwrap(),
    );
    let (events, _) = tokio::sync::mpsc::unbounded_channel();
    let error = build(&client, BuildOptions::new(events), |gateway| async move {
        gateway
            .solve(&graph(), true)
            .await
            .map(|_| Output::default())
    });
    let error = error.await.unwrap_err();
    assert!(
        matches!(&error, BuildError::Exec { exit_code: 3, log_tail, .. } if log_tail == "last words"),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_dies_is_a_lost_daemon() {
    let mut setup = Setup::answering(vec![Answer::Dies]).await;
    let error = setup.patch(&["linux/amd64"]).await.unwrap_err();
    assert!(matches!(error, BuildError::Lost { .. }), "{error:?}");
    assert!(error.is_transient() && error.hint().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_the_daemon_ends_is_a_session_error() {
    let mut setup = Setup::answering(vec![Answer::EndsSession]).await;
    let error = setup.patch(&["linux/amd64"]).await.unwrap_err();
    assert!(matches!(error, BuildError::Session { .. }), "{error:?}");
    setup.daemon.cancelled().await;
}

#[tokio::test(start_paused = true)]
async fn a_graph_beyond_the_daemons_capabilities_is_never_sent() {
    let mut script = Script::default();
    script.capabilities.insert(
        "diffop".to_owned(),
        Some("only enabled with containerd image store backend".to_owned()),
    );
    let mut setup = Setup::new(script).await;
    let platform = Platform::new("linux", "amd64", "");
    let mut graph = Graph::new();
    let base = graph.image(
        "registry.example/shop/cart@sha256:9c1e",
        &platform,
        ImageOptions::default(),
    );
    let patched = graph
        .exec(Exec::new(["/bin/true"], RootFs::Writable(base), &platform))
        .root()
        .unwrap();
    let Src::From(diff) = graph.diff(Src::From(base), Src::From(patched)) else {
        panic!("no diff")
    };
    let definition = graph.definition(diff);
    let options = setup.options();
    let error = build(&setup.client, options, |gateway| async move {
        gateway
            .solve(&definition, true)
            .await
            .map(|_| Output::default())
    });
    let error = error.await.unwrap_err();
    assert!(
        matches!(&error, BuildError::Unsupported(refused) if refused.id == "diffop"),
        "{error:?}"
    );
    assert!(!setup.daemon.calls().contains(&"gateway.Solve".to_owned()));
    assert_eq!(setup.daemon.returns().len(), 1);
}
