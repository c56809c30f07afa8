//! Fake daemons and fake programs.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use reseal_buildkit::connect::{ConnectOptions, Environment};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

/// How a fake daemon answers `Control.Info`.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// As one since 0.11 does.
    Info,
    /// As one before 0.11 does.
    Unimplemented,
    /// Not at all.
    Never,
    /// With an internal error of that message.
    Failure(String),
    /// As a web server does.
    WebPage,
}

type Body = StreamBody<stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

fn body(frames: Vec<Frame<Bytes>>) -> Body {
    StreamBody::new(stream::iter(frames.into_iter().map(Ok).collect::<Vec<_>>()))
}

async fn answer(request: Request<Incoming>, answer: Answer) -> Result<Response<Body>, Infallible> {
    assert_eq!(request.uri().path(), "/moby.buildkit.v1.Control/Info");
    let grpc = || Response::builder().header("content-type", "application/grpc");
    let response = match answer {
        Answer::Never => std::future::pending().await,
        Answer::WebPage => Response::builder().status(404).body(body(Vec::new())),
        Answer::Unimplemented => grpc()
            .header("grpc-status", "12")
            .header("grpc-message", "unknown method Info")
            .body(body(Vec::new())),
        Answer::Info => {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            grpc().body(body(vec![
                Frame::data(Bytes::from_static(&[0; 5])),
                Frame::trailers(trailers),
            ]))
        }
        Answer::Failure(message) => {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("13"));
            trailers.insert("grpc-message", HeaderValue::from_str(&message).unwrap());
            grpc().body(body(vec![Frame::trailers(trailers)]))
        }
    };
    Ok(response.unwrap())
}

/// Serves one connection.
pub(crate) async fn serve(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, how: Answer) {
    let service = hyper::service::service_fn(move |request| answer(request, how.clone()));
    let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    // Room for the trailers of `Failure`, as in a real daemon.
    server.max_header_list_size(16 << 20);
    let _ = server.serve_connection(TokioIo::new(io), service).await;
}

/// Counts the connections that a fake took.
#[derive(Debug, Clone, Default)]
pub(crate) struct Count(Arc<AtomicUsize>);

impl Count {
    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    fn one_more(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A daemon on a socket.
pub(crate) fn daemon_at(path: &Path, how: Answer) -> Count {
    let listener = UnixListener::bind(path).unwrap();
    let count = Count::default();
    let counter = count.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counter.one_more();
            tokio::spawn(serve(stream, how.clone()));
        }
    });
    count
}

/// A daemon on a port of the loopback interface.
pub(crate) async fn daemon_on_port(how: Answer) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, how.clone()));
        }
    });
    port
}

/// What a fake dockerd knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dockerd {
    /// Since 29.2: HTTP/2 at once.
    Direct,
    /// Before: a redirect for HTTP/2, and the upgrade.
    Upgrade,
    /// A proxy in front of the socket that lets little through.
    Refuses,
    /// Never a word to HTTP/2, and the upgrade.
    SilentThenUpgrade,
}

/// A dockerd on a socket; it insists on the exact upgrade request.
pub(crate) fn dockerd_at(path: &Path, kind: Dockerd) -> Count {
    let listener = UnixListener::bind(path).unwrap();
    let count = Count::default();
    let counter = count.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counter.one_more();
            tokio::spawn(dockerd(stream, kind));
        }
    });
    count
}

async fn dockerd(mut stream: tokio::net::UnixStream, kind: Dockerd) {
    if kind == Dockerd::Direct {
        return serve(stream, Answer::Info).await;
    }
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let reply: &[u8] = if head.starts_with("pri * http/2.0\r\n") {
        if kind == Dockerd::SilentThenUpgrade {
            return std::future::pending().await;
        }
        b"HTTP/1.1 301 Moved Permanently\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"
    } else if kind == Dockerd::Refuses {
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 15\r\n\r\nnot on the list"
    } else {
        assert!(head.starts_with("post /grpc http/1.1\r\n"), "{head}");
        assert!(
            head.contains("\r\nconnection: upgrade\r\n") && head.contains("\r\nupgrade: h2c\r\n"),
            "{head}"
        );
        b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    };
    stream.write_all(reply).await.unwrap();
    if reply.starts_with(b"HTTP/1.1 101") {
        serve(stream, Answer::Info).await;
    }
}

/// A temporary folder with programs of our own on `PATH`, and nothing else there.
pub(crate) struct Sandbox {
    folder: TempDir,
    pub(crate) vars: BTreeMap<String, String>,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("c")
            .tempdir_in("/tmp")
            .unwrap();
        let bin = folder.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        let vars = [
            ("PATH", bin),
            ("HOME", folder.path().to_owned()),
            ("XDG_RUNTIME_DIR", folder.path().join("run")),
        ]
        .map(|(name, path)| (name.to_owned(), path.display().to_string()));
        Self {
            folder,
            vars: vars.into(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.vars.insert(name.to_owned(), value.to_owned());
    }

    pub(crate) fn environment(&self) -> Environment {
        Environment {
            vars: self.vars.clone(),
            uid: 0,
        }
    }

    pub(crate) fn options(&self, timeout: Duration) -> ConnectOptions {
        ConnectOptions {
            timeout,
            environment: self.environment(),
            ..ConnectOptions::default()
        }
    }

    /// Writes a file, with its folders.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Puts a shell script on `PATH`. Another process writes it: while this one has it open for writing, a fork for
    /// another test would make it "text file busy".
    pub(crate) fn program(&self, name: &str, script: &str) {
        let target = self.path("bin").join(name);
        let mut child = Command::new("/bin/sh")
            .args(["-c", "cat >\"$0\" && chmod 755 \"$0\""])
            .arg(&target)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        write!(child.stdin.take().unwrap(), "#!/bin/sh\n{script}\n").unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// Puts a program on `PATH` that notes its arguments and its process id, and bridges to a socket.
    pub(crate) fn bridge(&self, name: &str, socket: &Path) {
        self.program(
            name,
            &format!("{}\n{}", self.note(name), self.exec_bridge(socket, "")),
        );
    }

    /// Like [`Self::bridge`], but it stays when its stdin is closed.
    pub(crate) fn stubborn_bridge(&self, name: &str, socket: &Path) {
        self.program(
            name,
            &format!("{}\n{}", self.note(name), self.exec_bridge(socket, "stay")),
        );
    }

    /// Script lines that note arguments (one a line, an empty line between calls) and process id.
    pub(crate) fn note(&self, name: &str) -> String {
        let (args, pid) = (
            self.path(&format!("{name}.args")),
            self.path(&format!("{name}.pid")),
        );
        format!(
            "{{ printf '%s\\n' \"$@\"; echo; }} >>'{}'\necho $$ >'{}'",
            args.display(),
            pid.display()
        )
    }

    fn exec_bridge(&self, socket: &Path, how: &str) -> String {
        let bridge = self.write("bridge.py", BRIDGE);
        format!(
            "exec '{}' '{}' '{}' '{how}'",
            python().display(),
            bridge.display(),
            socket.display()
        )
    }

    /// The arguments of each call of a program.
    pub(crate) fn calls(&self, name: &str) -> Vec<Vec<String>> {
        let text = std::fs::read_to_string(self.path(&format!("{name}.args"))).unwrap_or_default();
        text.split_terminator("\n\n")
            .map(|call| call.lines().map(str::to_owned).collect())
            .collect()
    }

    /// The process id of the last call.
    pub(crate) fn pid(&self, name: &str) -> u32 {
        std::fs::read_to_string(self.path(&format!("{name}.pid")))
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    }
}

/// Whether a process exists, zombies included.
pub(crate) fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Waits until something holds, for at most ten seconds.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it never came to be that {what}");
}

/// The interpreter itself: version managers put slow wrappers on `PATH` that need more of the environment.
pub(crate) fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let output = Command::new("python3")
            .args(["-c", "import sys; print(sys.executable)"])
            .output()
            .expect("python3 is installed");
        PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
    })
}

const BRIDGE: &str = r#"
import os, signal, socket, sys, threading
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
def upward():
    while chunk := os.read(0, 65536):
        peer.sendall(chunk)
    peer.shutdown(socket.SHUT_WR)
threading.Thread(target=upward, daemon=True).start()
def received():
    # A daemon that goes away with requests unread resets the connection: an end like any other.
    try:
        return peer.recv(65536)
    except ConnectionResetError:
        return b""
while chunk := received():
    os.write(1, chunk)
if sys.argv[2] == "stay":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        signal.pause()
sys.stderr.write("bridge: the daemon went away\n")
sys.stderr.flush()
os._exit(3)
"#;
