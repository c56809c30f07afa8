//! Daemons behind a child process: `docker exec`, `kubectl exec`, `ssh`, … with gRPC over its stdin and stdout.
//!
//! One child is one connection. It runs in a process group of its own, so that an interrupt from the terminal reaches
//! reseal first, which can then still cancel the build over it.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::sync::{oneshot, watch};

use super::address::Address;
use super::channel::BoxIo;
use super::environment::Environment;
use super::error::{ConnectError, has_no_container, last_words};

/// How much of standard error is kept, in bytes: enough for the last error of any of the programs.
const KEPT_OUTPUT: usize = 16 << 10;
/// How many characters of it go into a message.
const SHOWN_OUTPUT: usize = 600;
/// How long a child may take to end by itself once its stdin is closed.
const GRACE: Duration = Duration::from_millis(500);

/// A program and its arguments; no shell is involved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Invocation {
    pub(super) program: &'static str,
    pub(super) args: Vec<String>,
}

impl Invocation {
    fn new<const N: usize>(program: &'static str, args: [&str; N]) -> Self {
        Self {
            program,
            args: args.map(str::to_owned).to_vec(),
        }
    }

    fn arg(&mut self, text: impl Into<String>) -> &mut Self {
        self.args.push(text.into());
        self
    }

    /// Adds `--name=value`: one word, so that no value can be taken for an option.
    fn option(&mut self, name: &str, value: Option<&String>) -> &mut Self {
        if let Some(value) = value {
            self.args.push(format!("--{name}={value}"));
        }
        self
    }

    fn args<const N: usize>(&mut self, words: [&str; N]) -> &mut Self {
        self.args.extend(words.map(str::to_owned));
        self
    }

    /// The child for an address, or `None` when it is not reached through one.
    pub(super) fn of(
        address: &Address,
        platform: Option<&String>,
        timeout: Duration,
    ) -> Option<Self> {
        let dial = ["buildctl", "dial-stdio"];
        let mut call;
        match address {
            Address::DockerContainer { name, context } => {
                call = Self::new("docker", []);
                call.option("context", context.as_ref())
                    .args(["exec", "-i"])
                    .arg(name)
                    .args(dial);
            }
            Address::PodmanContainer { name } => {
                call = Self::new("podman", ["exec", "-i"]);
                call.arg(name).args(dial);
            }
            Address::NerdctlContainer { name, namespace } => {
                call = Self::new("nerdctl", []);
                call.option("namespace", namespace.as_ref())
                    .args(["exec", "-i"])
                    .arg(name)
                    .args(dial);
            }
            Address::KubePod {
                pod,
                context,
                namespace,
                container,
            } => {
                call = Self::new("kubectl", []);
                call.option("context", context.as_ref())
                    .option("namespace", namespace.as_ref())
                    .arg("exec");
                call.option("container", container.as_ref())
                    .arg("-i")
                    .arg(pod)
                    .arg("--")
                    .args(dial);
            }
            Address::Ssh {
                user,
                host,
                port,
                socket,
            } => {
                call = Self::ssh(user.as_ref(), host, *port, timeout);
                call.arg("buildctl");
                if let Some(socket) = socket {
                    call.arg("--addr").arg(format!("unix://{socket}"));
                }
                call.arg("dial-stdio");
            }
            Address::Buildx { builder } => {
                call = Self::new("docker", ["buildx", "dial-stdio"]);
                call.option("builder", builder.as_ref())
                    .option("platform", platform)
                    .arg("--progress=plain");
            }
            Address::Unix(_) | Address::Tcp { .. } | Address::Docker { .. } => return None,
        }
        Some(call)
    }

    /// `docker system dial-stdio` on another machine, as Docker itself does for `ssh://` hosts.
    pub(super) fn docker_over_ssh(
        user: Option<&String>,
        host: &str,
        port: Option<u16>,
        timeout: Duration,
    ) -> Self {
        let mut call = Self::ssh(user, host, port, timeout);
        call.args(["docker", "system", "dial-stdio"]);
        call
    }

    fn ssh(user: Option<&String>, host: &str, port: Option<u16>, timeout: Duration) -> Self {
        // Nobody could answer a question: the terminal is not the child's, and the time is short.
        let mut call = Self::new("ssh", ["-T", "-o", "BatchMode=yes"]);
        call.arg("-o")
            .arg(format!("ConnectTimeout={}", timeout.as_secs().max(1)));
        if let Some(user) = user {
            call.arg("-l").arg(user);
        }
        if let Some(port) = port {
            call.arg("-p").arg(port.to_string());
        }
        call.arg("--").arg(host);
        call
    }
}

/// Starts the child and returns its stdin and stdout as one stream.
pub(super) fn spawn(
    address: &Address,
    call: &Invocation,
    environment: &Environment,
) -> Result<(BoxIo, Arc<Child>), ConnectError> {
    let (path, args) = locate(call, environment).ok_or_else(|| {
        ConnectError::absent(address, format!("`{}` is not on PATH", call.program))
    })?;
    let mut child = Command::new(path)
        .args(args)
        .envs(&environment.vars)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                ConnectError::absent(address, format!("`{}` is not on PATH", call.program))
            }
            _ => ConnectError::unreachable(
                address,
                format!("could not start `{}`: {error}", call.program),
            ),
        })?;
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(ConnectError::unreachable(
            address,
            format!("`{}` started without its pipes", call.program),
        ));
    };
    let record = Arc::new(Mutex::new(Record::default()));
    let (stop, stopped) = oneshot::channel();
    let (ended, has_ended) = watch::channel(false);
    tokio::spawn(supervise(
        child,
        stopped,
        Arc::clone(&record),
        stderr,
        ended,
    ));
    let guard = Child {
        program: call.program,
        record,
        has_ended,
        _stop: stop,
    };
    Ok((Box::new(tokio::io::join(stdout, stdin)), Arc::new(guard)))
}

/// Finds the program; `docker buildx` also works as a program of its own when there is no docker.
fn locate(
    call: &Invocation,
    environment: &Environment,
) -> Option<(std::path::PathBuf, Vec<String>)> {
    if environment.var("PATH").is_none() {
        // Without a known PATH the system searches its own.
        return Some((call.program.into(), call.args.clone()));
    }
    if let Some(path) = environment.find_program(call.program) {
        return Some((path, call.args.clone()));
    }
    let is_buildx =
        call.program == "docker" && call.args.first().is_some_and(|first| first == "buildx");
    let names = ["buildx", "docker-buildx"];
    let path = names
        .iter()
        .filter(|_| is_buildx)
        .find_map(|name| environment.find_program(name))?;
    Some((path, call.args[1..].to_vec()))
}

#[derive(Debug, Default)]
struct Record {
    output: Vec<u8>,
    status: Option<ExitStatus>,
}

/// Keeps the child alive: when it is dropped the child is asked to end by closing its pipes, then killed, and reaped.
#[derive(Debug)]
pub(super) struct Child {
    program: &'static str,
    record: Arc<Mutex<Record>>,
    has_ended: watch::Receiver<bool>,
    _stop: oneshot::Sender<()>,
}

impl Child {
    /// The child's end and last words, if there are any.
    pub(super) fn diagnostics(&self) -> Option<String> {
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        let words = last_words(without_usage(&record.output), SHOWN_OUTPUT);
        match (record.status, words.is_empty()) {
            (None, true) => None,
            (None, false) => Some(format!("`{}` says: {words}", self.program)),
            (Some(status), true) => Some(format!("`{}` ended with {status}", self.program)),
            (Some(status), false) => {
                Some(format!("`{}` ended with {status}: {words}", self.program))
            }
        }
    }

    /// Replaces the sight from our end of the pipe (broken pipe, unexpected end) by what the child had to say.
    pub(super) async fn explain(&self, failure: ConnectError) -> ConnectError {
        match failure {
            ConnectError::Unreachable { address, why, .. } => {
                // The pipe breaks a moment before the end of the process is known.
                let mut ended = self.has_ended.clone();
                let _ = tokio::time::timeout(GRACE * 2, ended.wait_for(|ended| *ended)).await;
                let why = self.diagnostics().unwrap_or(why);
                let hint = hint(&address, self.program, &why);
                ConnectError::Unreachable { address, why, hint }
            }
            ConnectError::Timeout {
                address,
                limit,
                stage,
            } => {
                let stage = match self.diagnostics() {
                    Some(words) => format!("{stage}; {words}"),
                    None => stage,
                };
                ConnectError::Timeout {
                    address,
                    limit,
                    stage,
                }
            }
            other => other,
        }
    }
}

/// Leaves out the explanation of all commands and options that many programs print behind an error.
fn without_usage(output: &[u8]) -> &[u8] {
    let usage = b"\nUsage:";
    let end = output.windows(usage.len()).position(|part| part == usage);
    &output[..end.unwrap_or(output.len())]
}

/// Next steps for the messages that the programs are known for.
fn hint(address: &str, program: &str, words: &str) -> Option<String> {
    let has = |text: &str| words.contains(text);
    let text = if has("Host key verification failed") {
        "connect once by hand with `ssh` to accept the host's key".to_owned()
    } else if has("Permission denied (") {
        "load the key into your SSH agent, or name it in ~/.ssh/config".to_owned()
    } else if has("is not running") || has("on running containers") || has("in a stopped state") {
        format!("start the container, for example with `{program} start`")
    } else if has_no_container(words) && program == "nerdctl" {
        "check the name with `nerdctl ps -a`, and `?namespace=` with `nerdctl namespace ls`"
            .to_owned()
    } else if has_no_container(words) {
        format!("check the name with `{program} ps -a`")
    } else if has("annot connect to the Docker daemon") {
        "start dockerd, or choose another with DOCKER_HOST or DOCKER_CONTEXT".to_owned()
    } else if has("buildctl") && has("not found") && address.starts_with("kube-pod://") {
        "BuildKit's `buildctl` has to be on the PATH over there; `?container=NAME` chooses among the pod's containers"
            .to_owned()
    } else if has("buildctl") && has("not found") {
        "BuildKit's `buildctl` has to be on the PATH over there".to_owned()
    } else if has("docker") && has("not found") && program == "ssh" {
        "`docker` has to be on the PATH over there".to_owned()
    } else if has("no builder ") {
        "`docker buildx ls` shows the builders".to_owned()
    } else if has("'buildx' is not a docker command")
        || has("unknown command: docker buildx")
        || (has("unknown flag: --") && address.starts_with("buildx://"))
    {
        // A docker without the plugin takes the plugin's options for its own.
        "install the buildx plugin, 0.13 or newer".to_owned()
    } else if has("dial-stdio") && has("nknown") {
        "update buildx to 0.13 or newer".to_owned()
    } else {
        return None;
    };
    Some(text)
}

async fn supervise(
    mut child: tokio::process::Child,
    stopped: oneshot::Receiver<()>,
    record: Arc<Mutex<Record>>,
    stderr: impl AsyncRead + Send + Unpin + 'static,
    ended: watch::Sender<bool>,
) {
    let reader = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(keep_output(
        stderr,
        Arc::clone(&record),
    )));
    let group = child.id();
    let status = tokio::select! {
        status = child.wait() => status,
        _ = stopped => if let Ok(status) = tokio::time::timeout(GRACE, child.wait()).await { status } else {
            kill_group(group);
            let _ = child.start_kill();
            child.wait().await
        },
    };
    // What was written last may still be in the pipe; a grandchild that keeps it open must not hold us up.
    let _ = tokio::time::timeout(GRACE, reader).await;
    record.lock().unwrap_or_else(PoisonError::into_inner).status = status.ok();
    let _ = ended.send(true);
}

/// Ends the child together with what it started, such as docker's plugins. The child is not yet reaped, so the number
/// cannot belong to anybody else.
fn kill_group(group: Option<u32>) {
    let pid = group
        .and_then(|id| i32::try_from(id).ok())
        .and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
}

async fn keep_output(mut stderr: impl AsyncRead + Unpin, record: Arc<Mutex<Record>>) {
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = stderr.read(&mut chunk).await {
        let output = &mut record.lock().unwrap_or_else(PoisonError::into_inner).output;
        output.extend_from_slice(&chunk[..count]);
        let excess = output.len().saturating_sub(KEPT_OUTPUT);
        output.drain(..excess);
    }
}
