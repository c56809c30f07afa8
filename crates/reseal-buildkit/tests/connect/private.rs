//! A buildkitd of our own. The fake listens where its configuration says and passes everything on to a fake in this process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use reseal_buildkit::connect::{Connection, Environment};
use reseal_buildkit::discover::discover_with;
use reseal_buildkit::private_daemon::{PrivateDaemon, PrivateOptions};

use crate::support::{Answer, Sandbox, daemon_at, eventually, exists, python};

const FAKE: &str = r#"
import os, re, signal, socket, sys, threading
how, upstream, config = sys.argv[1], sys.argv[2], open(sys.argv[4]).read()
if how == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
listener = socket.socket(socket.AF_UNIX)
listener.bind(re.search(r'address = \["unix://([^"]+)"\]', config)[1])
listener.listen()
open(re.search(r'root = "([^"]+)"', config)[1] + "/state", "w").write("x")
def copy(source, target):
    try:
        while chunk := source.recv(65536):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass
while True:
    client, _ = listener.accept()
    server = socket.socket(socket.AF_UNIX)
    server.connect(upstream)
    threading.Thread(target=copy, args=(client, server), daemon=True).start()
    threading.Thread(target=copy, args=(server, client), daemon=True).start()
"#;

/// A sandbox whose `PATH` holds a fake buildkitd, the fake daemon behind it, and a folder for temporary files.
fn prepare(how: &str) -> (Sandbox, PathBuf) {
    let mut sandbox = Sandbox::new();
    let upstream = sandbox.path("up.sock");
    daemon_at(&upstream, Answer::Info);
    let fake = sandbox.write("fake.py", FAKE);
    let exec = format!(
        "exec '{}' '{}' '{how}' '{}' \"$@\"",
        python().display(),
        fake.display(),
        upstream.display()
    );
    let script = format!(
        "{}\ncp \"$2\" '{}'\n{exec}",
        sandbox.note("buildkitd"),
        sandbox.path("toml").display()
    );
    sandbox.program("buildkitd", &script);
    let temp = sandbox.path("t");
    std::fs::create_dir(&temp).unwrap();
    let path = format!("{}:/usr/bin:/bin", sandbox.path("bin").display());
    sandbox.set("PATH", &path);
    sandbox.set("TMPDIR", &temp.display().to_string());
    (sandbox, temp)
}

fn options(environment: Environment) -> PrivateOptions {
    PrivateOptions {
        environment,
        plain_http: vec!["127.0.0.1:5000".to_owned()],
        ..PrivateOptions::default()
    }
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

#[tokio::test]
async fn it_serves_one_run_and_leaves_nothing_behind() {
    for by_drop in [false, true] {
        let (sandbox, temp) = prepare("good");
        let (daemon, connection) = PrivateDaemon::start(&options(sandbox.environment()))
            .await
            .unwrap();
        assert_eq!(connection.address(), daemon.address());
        assert!(
            daemon
                .address()
                .to_string()
                .starts_with(&format!("unix://{}", temp.display()))
        );
        let config = std::fs::read_to_string(sandbox.path("toml")).unwrap();
        assert!(
            config.contains("[registry.\"127.0.0.1:5000\"]\n  http = true"),
            "{config}"
        );
        let pid = sandbox.pid("buildkitd");
        assert!(exists(pid));
        drop(connection);
        if by_drop {
            drop(daemon);
        } else {
            daemon.shutdown().await;
        }
        assert!(!exists(pid) && is_empty(&temp));
    }
}

#[tokio::test]
async fn one_that_ignores_sigterm_is_killed() {
    let (sandbox, temp) = prepare("stubborn");
    let (daemon, _connection) = PrivateDaemon::start(&options(sandbox.environment()))
        .await
        .unwrap();
    let began = Instant::now();
    daemon.shutdown().await;
    assert!(began.elapsed() < Duration::from_secs(15));
    assert!(!exists(sandbox.pid("buildkitd")) && is_empty(&temp));
}

#[tokio::test]
async fn an_early_end_is_told_with_the_end_of_the_log() {
    let (sandbox, temp) = prepare("good");
    sandbox.program(
        "buildkitd",
        "echo 'buildkitd: no worker found: runc is missing' >&2\nexit 1",
    );
    let error = PrivateDaemon::start(&options(sandbox.environment()))
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("exit status: 1") && text.contains("no worker found: runc is missing"),
        "{text}"
    );
    assert!(error.hint().unwrap().contains("runc"));
    assert!(is_empty(&temp));
}

#[tokio::test]
async fn one_that_never_answers_is_given_up_and_ended() {
    let (sandbox, temp) = prepare("good");
    sandbox.program(
        "buildkitd",
        &format!(
            "{}\necho thinking\nexec /bin/sleep 600",
            sandbox.note("buildkitd")
        ),
    );
    let settings = PrivateOptions {
        ready_timeout: Duration::from_millis(700),
        ..options(sandbox.environment())
    };
    let text = PrivateDaemon::start(&settings)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("did not answer within 0.7 s") && text.contains("thinking"),
        "{text}"
    );
    assert!(!exists(sandbox.pid("buildkitd")) && is_empty(&temp));
}

#[tokio::test]
async fn a_cancelled_start_leaves_nothing_behind() {
    let (sandbox, temp) = prepare("good");
    sandbox.program(
        "buildkitd",
        &format!("{}\nexec /bin/sleep 600", sandbox.note("buildkitd")),
    );
    let settings = options(sandbox.environment());
    let start =
        tokio::time::timeout(Duration::from_millis(700), PrivateDaemon::start(&settings)).await;
    assert!(start.is_err());
    assert!(!exists(sandbox.pid("buildkitd")) && is_empty(&temp));
}

#[tokio::test]
async fn without_root_it_runs_in_rootlesskit() {
    let (sandbox, temp) = prepare("good");
    let user = Environment {
        uid: 1000,
        ..sandbox.environment()
    };
    let text = PrivateDaemon::start(&options(user.clone()))
        .await
        .unwrap_err()
        .to_string();
    assert!(text.contains("`rootlesskit`"), "{text}");
    let skip = "while case $1 in --*) true ;; *) false ;; esac; do shift; done\nexec \"$@\"";
    sandbox.program(
        "rootlesskit",
        &format!("{}\n{skip}", sandbox.note("rootlesskit")),
    );
    let (daemon, connection) = PrivateDaemon::start(&options(user)).await.unwrap();
    let call = &sandbox.calls("rootlesskit")[0];
    assert_eq!(call[..2], ["--net=host", "--copy-up=/etc"]);
    assert_eq!(call[3], sandbox.path("bin/buildkitd").display().to_string());
    drop(connection);
    daemon.shutdown().await;
    assert!(is_empty(&temp));
}

#[tokio::test]
async fn the_search_ends_with_it() {
    let (mut sandbox, temp) = prepare("good");
    sandbox.set(
        "DOCKER_HOST",
        &format!("unix://{}", sandbox.path("none.sock").display()),
    );
    // Whatever runs on this machine is not meant.
    let only_ours =
        |connection: Connection| -> futures_util::future::BoxFuture<'static, Result<(), String>> {
            Box::pin(async move {
                if connection
                    .address()
                    .to_string()
                    .contains("reseal-buildkitd-")
                {
                    Ok(())
                } else {
                    Err("not in this test".to_owned())
                }
            })
        };
    let options = sandbox.options(Duration::from_secs(20));
    let mut log = Vec::new();
    let found = discover_with(
        &sandbox.environment(),
        &options,
        true,
        &only_ours,
        &mut |line| log.push(line),
    )
    .await
    .unwrap();
    assert!(
        log.last()
            .unwrap()
            .starts_with("started a private buildkitd"),
        "{log:?}"
    );
    let private = found.private.unwrap();
    assert_eq!(&found.address, private.address());
    drop(found.connection);
    private.shutdown().await;
    assert!(is_empty(&temp));

    let error = discover_with(
        &sandbox.environment(),
        &options,
        false,
        &only_ours,
        &mut |_| {},
    )
    .await
    .unwrap_err();
    assert!(!error.to_string().contains("private daemon"), "{error}");
}

/// Runs in a process of its own, which the test below kills.
#[tokio::test]
async fn owner_to_be_killed() {
    let Ok(folder) = std::env::var("RESEAL_TEST_OWNER") else {
        return;
    };
    let folder = PathBuf::from(folder);
    let vars = [
        (
            "PATH",
            format!("{}:/usr/bin:/bin", folder.join("bin").display()),
        ),
        ("TMPDIR", folder.join("t").display().to_string()),
    ];
    let environment = Environment {
        vars: vars.map(|(name, value)| (name.to_owned(), value)).into(),
        uid: 0,
    };
    let _daemon = PrivateDaemon::start(&options(environment)).await.unwrap();
    std::fs::write(folder.join("ready"), "").unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn it_ends_even_when_its_owner_is_killed() {
    let (sandbox, temp) = prepare("good");
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "private::owner_to_be_killed"])
        .env("RESEAL_TEST_OWNER", sandbox.path(""))
        .spawn()
        .unwrap();
    eventually("the private daemon runs", || sandbox.path("ready").exists()).await;
    let pid = sandbox.pid("buildkitd");
    assert!(exists(pid));
    owner.kill().unwrap();
    owner.wait().unwrap();
    // Whoever adopts the daemon reaps it when it likes.
    let is_gone = || {
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .map_or(true, |stat| stat.contains(") Z"))
    };
    eventually("the daemon is gone", is_gone).await;
    eventually("its folder is gone", || is_empty(&temp)).await;
}
