//! A buildkitd of our own for one run.
//!
//! **Invariant:** the daemon and everything it left on the disk end with the value: at [`PrivateDaemon::shutdown`], when
//! it is dropped, and, through a watchdog, even when this process is killed.

mod config;
mod state;

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::connect::{
    Address, ConnectError, ConnectOptions, Connection, Environment, dial, last_words, seconds,
};
use state::State;

/// How long a daemon may take to end after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(4);
/// How often is looked whether it is ready, or has ended.
const STEP: Duration = Duration::from_millis(20);
/// How many characters of its log go into a message.
const SHOWN_LOG: usize = 1500;

const WATCHDOG: &str = include_str!("watchdog.sh");

/// How to start a private daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateOptions {
    /// Registries (`host[:port]`) that it talks to over plain HTTP.
    pub plain_http: Vec<String>,
    /// Where `buildkitd` and `rootlesskit` are looked for (`PATH`), where its state goes (`TMPDIR`), and who we are.
    pub environment: Environment,
    /// How long it may take to answer.
    pub ready_timeout: Duration,
}

impl Default for PrivateOptions {
    fn default() -> Self {
        Self {
            plain_http: Vec::new(),
            environment: Environment::default(),
            ready_timeout: Duration::from_secs(15),
        }
    }
}

/// A running daemon of our own.
#[derive(Debug)]
pub struct PrivateDaemon {
    daemon: Group,
    watchdog: Option<Child>,
    address: Address,
    // Dropped last: the folder can go only when nobody writes there any more.
    state: State,
}

impl PrivateDaemon {
    /// Starts `buildkitd` from `PATH`, through `rootlesskit` unless we are root, and waits until it answers.
    pub async fn start(options: &PrivateOptions) -> Result<(Self, Connection), ConnectError> {
        let environment = &options.environment;
        let absent = |why: &str| ConnectError::Absent {
            address: "buildkitd".to_owned(),
            why: why.to_owned(),
        };
        let failed = |why: String| ConnectError::Private {
            why,
            log_tail: String::new(),
        };
        let buildkitd = environment
            .find_program("buildkitd")
            .ok_or_else(|| absent("`buildkitd` is not on PATH"))?;
        let rootlesskit = match environment.uid {
            0 => None,
            _ => Some(environment.find_program("rootlesskit").ok_or_else(|| {
                failed(
                    "`rootlesskit`, which it needs unless run by root, is not on PATH".to_owned(),
                )
            })?),
        };
        let state = State::create(environment, rootlesskit.clone())
            .map_err(|error| failed(format!("no folder for its state: {error}")))?;
        let config = config::toml(&state.path("root"), &state.socket(), &options.plain_http);
        std::fs::write(state.path("buildkitd.toml"), config)
            .map_err(|error| failed(format!("no configuration: {error}")))?;

        let mut command = command(&buildkitd, rootlesskit.as_ref(), &state);
        let log =
            File::create(state.path("buildkitd.log")).and_then(|log| Ok((log.try_clone()?, log)));
        let (out, err) = log.map_err(|error| failed(format!("no log file: {error}")))?;
        command
            .envs(&environment.vars)
            .env("TMPDIR", state.path("tmp"))
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0);
        let child = command.spawn().map_err(|error| failed(error.to_string()))?;
        let daemon = Group::new(child);
        let watchdog = watch(&daemon, &state, environment);
        let mut this = Self {
            daemon,
            watchdog,
            address: Address::Unix(state.socket()),
            state,
        };
        let connection = this.wait_ready(options).await?;
        Ok((this, connection))
    }

    /// Returns the address of its socket.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Ends it and removes its state; drop the connections to it before, or it is killed after a few seconds.
    pub async fn shutdown(self) {
        self.daemon.signal(Signal::TERM);
        let end = Instant::now() + GRACE;
        while !self.daemon.has_ended() && Instant::now() < end {
            tokio::time::sleep(STEP).await;
        }
        // What is left, removing a gigabyte included, must not hold up the runtime's other tasks.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }

    async fn wait_ready(&mut self, options: &PrivateOptions) -> Result<Connection, ConnectError> {
        let end = Instant::now() + options.ready_timeout;
        loop {
            if self.daemon.has_ended() {
                let status = self.daemon.end();
                let status = status
                    .map_or_else(|| "no known status".to_owned(), |status| status.to_string());
                return Err(self.failure(format!("it ended with {status}")));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.failure(format!(
                    "it did not answer within {}",
                    seconds(options.ready_timeout)
                )));
            }
            let connect = ConnectOptions {
                timeout: left,
                ..ConnectOptions::default()
            };
            if let Ok(connection) = dial(&self.address, &connect).await {
                return Ok(connection);
            }
            tokio::time::sleep(STEP).await;
        }
    }

    fn failure(&self, why: String) -> ConnectError {
        let log = std::fs::read(self.state.path("buildkitd.log")).unwrap_or_default();
        ConnectError::Private {
            why,
            log_tail: last_words(&log, SHOWN_LOG),
        }
    }
}

impl Drop for PrivateDaemon {
    fn drop(&mut self) {
        self.daemon.end();
        if let Some(watchdog) = &mut self.watchdog {
            let _ = watchdog.kill();
            let _ = watchdog.wait();
        }
    }
}

fn command(buildkitd: &PathBuf, rootlesskit: Option<&PathBuf>, state: &State) -> Command {
    let mut command;
    if let Some(rootlesskit) = rootlesskit {
        command = Command::new(rootlesskit);
        // The host's network: registries on loopback stay reachable, and no helper such as slirp4netns is needed.
        command
            .args(["--net=host", "--copy-up=/etc"])
            .arg(format!(
                "--state-dir={}",
                state.path("rootlesskit").display()
            ))
            .arg(buildkitd);
    } else {
        command = Command::new(buildkitd);
    }
    command.arg("--config").arg(state.path("buildkitd.toml"));
    command
}

/// Starts the script that ends the daemon when this process is killed. Without a shell there is none; the orderly ways
/// to end do not need it.
fn watch(daemon: &Group, state: &State, environment: &Environment) -> Option<Child> {
    let shell = environment.find_program("sh")?;
    let mut command = Command::new(shell);
    command
        .args(["-c", WATCHDOG, "reseal-watchdog"])
        .arg(daemon.leader.id().to_string())
        .arg(state.folder())
        .args(state.rootlesskit());
    command
        .envs(&environment.vars)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    command
        .spawn()
        .inspect_err(|error| tracing::debug!(%error, "no watchdog for the private buildkitd"))
        .ok()
}

/// A child that leads a process group, ended when dropped.
///
/// Signals go to the group only while its leader is not reaped: until then the number cannot belong to anybody else.
#[derive(Debug)]
struct Group {
    leader: Child,
    is_reaped: bool,
}

impl Group {
    fn new(leader: Child) -> Self {
        Self {
            leader,
            is_reaped: false,
        }
    }

    fn pid(&self) -> Option<Pid> {
        let id = i32::try_from(self.leader.id()).ok();
        id.filter(|_| !self.is_reaped).and_then(Pid::from_raw)
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            let _ = kill_process_group(pid, signal);
        }
    }

    /// Whether the leader has ended; it is left to be reaped.
    fn has_ended(&self) -> bool {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match self.pid() {
            Some(pid) => !matches!(waitid(WaitId::Pid(pid), look), Ok(None)),
            None => true,
        }
    }

    /// Ends the group, the leader politely if there is time, and reaps the leader.
    fn end(&mut self) -> Option<ExitStatus> {
        if !self.has_ended() {
            self.signal(Signal::TERM);
        }
        let end = Instant::now() + GRACE;
        while !self.has_ended() && Instant::now() < end {
            std::thread::sleep(STEP);
        }
        // Also for what outlived its leader.
        self.signal(Signal::KILL);
        let status = self.leader.wait().ok();
        self.is_reaped = true;
        status
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}
