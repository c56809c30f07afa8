//! Every way a build ends tells the daemon so, in the right order.

use std::sync::{Arc, Mutex};

use reseal_buildkit::{BuildError, Exported, Output, build};
use reseal_testkit::buildkitd::{Answer, Script};
use tonic::Code;

use crate::support::{Setup, graph};

#[tokio::test(start_paused = true)]
async fn the_session_comes_first_and_ends_last() {
    let mut setup = Setup::answering(vec![Answer::layer(b"layer")]).await;
    setup.patch(&["linux/amd64"]).await.unwrap();
    setup.daemon.session_ended().await;
    let calls = setup.daemon.calls();
    let at = |name: &str| {
        calls
            .iter()
            .position(|call| call == name)
            .unwrap_or_else(|| panic!("no {name} in {calls:?}"))
    };
    let order = [
        "Session",
        "Solve",
        "Ping",
        "gateway.Solve",
        "Return",
        "session ended",
    ]
    .map(at);
    assert!(order.is_sorted(), "{calls:?}");
    assert!(
        calls.contains(&"Status".to_owned()) && !calls.contains(&"cancelled".to_owned()),
        "{calls:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failing_frontend_returns_its_error_and_gets_it_back() {
    let mut setup = Setup::answering(vec![]).await;
    let options = setup.options();
    let error = build(&setup.client, options, |_| async {
        Err(BuildError::callback("no database in the image"))
    })
    .await
    .unwrap_err();
    assert!(matches!(error, BuildError::Callback(_)), "{error:?}");
    let told = setup.daemon.returns().remove(0).error.unwrap();
    assert_eq!(
        (told.code, told.message.as_str()),
        (Code::Aborted.into(), "no database in the image")
    );
    assert!(!setup.daemon.calls().contains(&"cancelled".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_build_resets_the_solve_and_ends_the_session() {
    let mut setup = Setup::answering(vec![Answer::Hangs]).await;
    let options = setup.options();
    let client = setup.client.clone();
    let running = tokio::spawn(async move {
        build(&client, options, |gateway| async move {
            gateway
                .solve(&graph(), true)
                .await
                .map(|_| Output::default())
        })
        .await
    });
    setup.daemon.hanging().await;
    running.abort();
    setup.daemon.cancelled().await;
    setup.daemon.session_ended().await;
    assert!(setup.daemon.returns().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_panicking_frontend_cancels_too() {
    let mut setup = Setup::answering(vec![]).await;
    let options = setup.options();
    let client = setup.client.clone();
    let running =
        tokio::spawn(async move { build(&client, options, |_| async { panic!("a bug") }).await });
    assert!(running.await.unwrap_err().is_panic());
    setup.daemon.cancelled().await;
    setup.daemon.session_ended().await;
}

#[tokio::test(start_paused = true)]
async fn a_solve_that_the_daemon_refuses_ends_the_build_without_the_frontend() {
    let mut setup = Setup::new(Script {
        refuse: Some(tonic::Status::permission_denied(
            "network.host is not allowed",
        )),
        ..Script::default()
    })
    .await;
    let options = setup.options();
    let called = Arc::new(Mutex::new(false));
    let seen = Arc::clone(&called);
    let error = build(&setup.client, options, |_| async move {
        *seen.lock().unwrap() = true;
        Ok(Output::default())
    });
    let error = error.await.unwrap_err();
    assert!(
        matches!(
            &error,
            BuildError::Solve {
                code: Code::PermissionDenied,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(!*called.lock().unwrap());
}

#[tokio::test(start_paused = true)]
async fn one_client_runs_builds_one_after_the_other() {
    let mut setup = Setup::answering(vec![Answer::layer(b"one"), Answer::layer(b"two")]).await;
    assert!(matches!(
        setup.patch(&["linux/amd64"]).await.unwrap(),
        Exported::Index { .. }
    ));
    let (sender, _events) = tokio::sync::mpsc::unbounded_channel();
    setup.options = Some(reseal_buildkit::BuildOptions {
        export: Some(Arc::clone(&setup.sink)),
        ..reseal_buildkit::BuildOptions::new(sender)
    });
    assert!(matches!(
        setup.patch(&["linux/amd64"]).await.unwrap(),
        Exported::Index { .. }
    ));
    let solves = setup.daemon.solves();
    assert_ne!(
        (&solves[0].r#ref, &solves[0].session),
        (&solves[1].r#ref, &solves[1].session)
    );
}
