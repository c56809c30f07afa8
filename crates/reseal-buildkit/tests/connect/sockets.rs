//! Sockets and ports without TLS.

use std::time::{Duration, Instant};

use reseal_buildkit::connect::{Address, ConnectError, ConnectOptions, dial};
use reseal_proto::control::InfoRequest;
use reseal_proto::control::control_client::ControlClient;

use crate::support::{Answer, Sandbox, daemon_at, daemon_on_port};

fn options(millis: u64) -> ConnectOptions {
    ConnectOptions {
        timeout: Duration::from_millis(millis),
        ..ConnectOptions::default()
    }
}

#[tokio::test]
async fn a_daemon_that_answers_is_connected_old_or_new() {
    let sandbox = Sandbox::new();
    for (name, answer) in [("new", Answer::Info), ("old", Answer::Unimplemented)] {
        let path = sandbox.path(name);
        let count = daemon_at(&path, answer.clone());
        let connection = dial(&Address::Unix(path), &options(5000)).await.unwrap();
        assert_eq!(
            connection.address().to_string(),
            format!("unix://{}", sandbox.path(name).display())
        );
        assert_eq!(count.get(), 1);
        let address = Address::Tcp {
            host: "127.0.0.1".to_owned(),
            port: daemon_on_port(answer).await,
        };
        dial(&address, &options(5000)).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_not_there_is_told_from_what_does_not_work() {
    let sandbox = Sandbox::new();
    let missing = dial(&Address::Unix(sandbox.path("none")), &options(5000))
        .await
        .unwrap_err();
    assert!(missing.is_absent(), "{missing}");
    assert!(
        missing.to_string().contains("there is no such socket"),
        "{missing}"
    );
    assert!(missing.hint().unwrap().contains("start buildkitd"));

    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let refused = dial(
        &Address::Tcp {
            host: "127.0.0.1".to_owned(),
            port: closed,
        },
        &options(5000),
    )
    .await
    .unwrap_err();
    assert!(
        refused.is_absent() && refused.to_string().contains("connection refused"),
        "{refused}"
    );

    let file = sandbox.write("file", "");
    assert!(dial(&Address::Unix(file), &options(5000)).await.is_err());
}

#[tokio::test]
async fn something_else_than_buildkit_is_named_as_such() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("web");
    daemon_at(&path, Answer::WebPage);
    let error = dial(&Address::Unix(path), &options(5000))
        .await
        .unwrap_err();
    assert!(
        !error.is_absent() && error.to_string().contains("not BuildKit"),
        "{error}"
    );
}

#[tokio::test]
async fn an_error_with_a_long_stack_trace_in_its_trailers_is_read_whole() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("s");
    daemon_at(
        &path,
        Answer::Failure(format!("{} the end", "x".repeat(256 << 10))),
    );
    let error = dial(&Address::Unix(path), &options(5000))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("the end"),
        "{}",
        &error[error.len().saturating_sub(200)..]
    );
}

#[tokio::test]
async fn a_stall_ends_at_the_limit_and_names_address_and_time() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("stalled");
    daemon_at(&path, Answer::Never);
    let mute = sandbox.path("mute");
    let _listener = tokio::net::UnixListener::bind(&mute).unwrap();
    for path in [path, mute] {
        let began = Instant::now();
        let error = dial(&Address::Unix(path.clone()), &options(300))
            .await
            .unwrap_err();
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{:?}",
            began.elapsed()
        );
        let text = error.to_string();
        assert!(matches!(error, ConnectError::Timeout { .. }), "{text}");
        assert!(
            text.contains(&format!("unix://{}", path.display()))
                && text.contains("within 0.3 s while waiting for an HTTP/2 answer"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_lost_connection_is_not_opened_again() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("s");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let serving = tokio::spawn(crate::support::serve(stream, Answer::Info));
        (listener, serving)
    });
    let connection = dial(&Address::Unix(path), &options(5000)).await.unwrap();
    let (listener, serving) = server.await.unwrap();
    let mut client = ControlClient::new(connection.channel.clone());
    client.info(InfoRequest {}).await.unwrap();
    serving.abort();
    let _ = serving.await;
    let mut last = String::new();
    for _ in 0..3 {
        let status = client.info(InfoRequest {}).await.unwrap_err();
        last = format!("{status:?}");
    }
    assert!(last.contains("has ended: "), "{last}");
    assert!(connection.diagnostics().is_some());
    let again = tokio::time::timeout(Duration::from_millis(100), listener.accept()).await;
    assert!(again.is_err(), "a second connection was opened");
}
