//! The status stream, turned into events, and the last output of every operation.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reseal_proto::control::{StatusRequest, StatusResponse, Vertex};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tonic::Code;

use crate::client::Control;

/// Output kept for each operation, in bytes.
const TAIL_LIMIT: usize = 64 << 10;
/// Pauses between attempts to find a build that the daemon has not registered yet.
const RETRY: Duration = Duration::from_millis(250);
const ATTEMPTS: u32 = 20;

/// One thing that happened while the daemon solved.
#[derive(Debug, Clone, PartialEq)]
pub enum SolveEvent {
    /// An operation's state; the same digest is sent again as it changes.
    Vertex {
        /// As `reseal_llb::Graph::digest` gives it; other digests are the daemon's own steps (resolve, export).
        digest: String,
        /// The custom name, or the daemon's description.
        name: String,
        /// Seconds since 1970.
        started: Option<f64>,
        /// Seconds since 1970.
        completed: Option<f64>,
        /// Whether the result came from the daemon's cache.
        cached: bool,
        /// Why it failed.
        error: Option<String>,
    },
    /// Progress inside an operation, such as one layer's download.
    Status {
        /// The operation's digest.
        vertex: String,
        /// Names the thing that progresses; unique inside the operation.
        id: String,
        /// What is done with it.
        name: String,
        /// Units done, mostly bytes.
        current: i64,
        /// Units in all; 0 if not known.
        total: i64,
    },
    /// Output of a process.
    Log {
        /// The operation's digest.
        vertex: String,
        /// 1 for standard output, 2 for standard error.
        stream: i32,
        /// Raw bytes; not cut at lines.
        data: Vec<u8>,
    },
    /// A warning of the daemon.
    Warning {
        /// The operation's digest.
        vertex: String,
        /// One line.
        message: String,
    },
}

/// The last output of every operation of a build, and which have ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct VertexLogs {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    tails: HashMap<String, VecDeque<u8>>,
    ended: HashSet<String>,
    /// The stream is over: nothing more will come.
    over: bool,
}

impl VertexLogs {
    fn state(&self) -> MutexGuard<'_, State> {
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the end of an operation's output, from the start of a line if it was cut.
    pub(crate) fn tail(&self, vertex: &str) -> String {
        let state = self.state();
        let Some(tail) = state.tails.get(vertex) else {
            return String::new();
        };
        let cut = tail.len() >= TAIL_LIMIT;
        let start = if cut {
            tail.iter()
                .position(|byte| *byte == b'\n')
                .map_or(0, |end| end + 1)
        } else {
            0
        };
        let bytes: Vec<u8> = tail.iter().skip(start).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until an operation's end was reported, at most `limit`: its output comes before that on the same stream,
    /// while the error of a call overtakes both.
    pub(crate) async fn settle(&self, vertex: &str, limit: Duration) {
        let ended = async {
            loop {
                let changed = self.inner.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if self.has_ended(vertex) {
                    return;
                }
                changed.await;
            }
        };
        // Without the report there is less output to show, and nothing else is lost.
        let _ = tokio::time::timeout(limit, ended).await;
    }

    fn has_ended(&self, vertex: &str) -> bool {
        let state = self.state();
        state.over || state.ended.contains(vertex)
    }

    fn absorb(&self, response: &StatusResponse) {
        let mut state = self.state();
        for log in &response.logs {
            let tail = state.tails.entry(log.vertex.clone()).or_default();
            tail.extend(&log.msg);
            let excess = tail.len().saturating_sub(TAIL_LIMIT);
            tail.drain(..excess);
        }
        for vertex in response
            .vertexes
            .iter()
            .filter(|vertex| vertex.completed.is_some())
        {
            state.ended.insert(vertex.digest.clone());
        }
        drop(state);
        self.inner.changed.notify_waiters();
    }

    fn end(&self) {
        self.state().over = true;
        self.inner.changed.notify_waiters();
    }
}

/// Reads the status stream of a build to its end. Sending never waits: the channel has no bound, because logs must not
/// be dropped and a slow terminal must not stop the daemon.
pub(crate) async fn follow(
    mut control: Control,
    build: String,
    events: UnboundedSender<SolveEvent>,
    logs: VertexLogs,
) {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let mut seen = false;
        let ended = match control
            .status(StatusRequest {
                r#ref: build.clone(),
            })
            .await
        {
            Err(error) => Err(error),
            Ok(stream) => {
                let mut stream = stream.into_inner();
                loop {
                    match stream.message().await {
                        Ok(Some(response)) => {
                            seen = true;
                            logs.absorb(&response);
                            forward(response, &events);
                        }
                        Ok(None) => break Ok(()),
                        Err(error) => break Err(error),
                    }
                }
            }
        };
        match ended {
            Err(error)
                if !seen
                    && attempts < ATTEMPTS
                    && matches!(error.code(), Code::NotFound | Code::Unknown) =>
            {
                tokio::time::sleep(RETRY).await;
            }
            Err(error) => {
                // Progress is a courtesy: a build does not fail for it.
                tracing::debug!(status = %crate::status::describe(&error), "the status stream broke");
                break;
            }
            Ok(()) => break,
        }
    }
    logs.end();
}

fn forward(response: StatusResponse, events: &UnboundedSender<SolveEvent>) {
    let vertices = response.vertexes.into_iter().map(vertex_event);
    let statuses = response
        .statuses
        .into_iter()
        .map(|status| SolveEvent::Status {
            vertex: status.vertex,
            id: status.id,
            name: status.name,
            current: status.current,
            total: status.total,
        });
    let logs = response.logs.into_iter().map(|log| SolveEvent::Log {
        vertex: log.vertex,
        stream: i32::try_from(log.stream).unwrap_or(1),
        data: log.msg,
    });
    let warnings = response
        .warnings
        .into_iter()
        .map(|warning| SolveEvent::Warning {
            vertex: warning.vertex,
            message: String::from_utf8_lossy(&warning.short).into_owned(),
        });
    for event in vertices.chain(statuses).chain(logs).chain(warnings) {
        // A reader that has gone away wants no more events; the build goes on.
        let _ = events.send(event);
    }
}

fn vertex_event(vertex: Vertex) -> SolveEvent {
    SolveEvent::Vertex {
        digest: vertex.digest,
        name: vertex.name,
        started: vertex.started.as_ref().map(seconds),
        completed: vertex.completed.as_ref().map(seconds),
        cached: vertex.cached,
        error: Some(vertex.error).filter(|error| !error.is_empty()),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "an f64 holds today's seconds to less than a microsecond"
)]
fn seconds(at: &prost_types::Timestamp) -> f64 {
    at.seconds as f64 + f64::from(at.nanos) / 1e9
}

#[cfg(test)]
mod tests {
    use reseal_proto::control::VertexLog;

    use super::*;

    fn log(text: &str) -> StatusResponse {
        StatusResponse {
            logs: vec![VertexLog {
                vertex: "v".to_owned(),
                msg: text.as_bytes().to_vec(),
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    #[test]
    fn the_tail_keeps_the_last_64_kib_from_a_line_start() {
        let logs = VertexLogs::default();
        for line in 0..20_000 {
            logs.absorb(&log(&format!("line {line}\n")));
        }
        let tail = logs.tail("v");
        assert!(tail.len() <= TAIL_LIMIT && tail.len() > TAIL_LIMIT - 32);
        assert!(tail.starts_with("line ") && tail.ends_with("line 19999\n"));
        assert_eq!(logs.tail("other"), "");
    }

    #[test]
    fn a_short_output_is_whole_and_may_be_no_text() {
        let logs = VertexLogs::default();
        logs.absorb(&log("no newline"));
        assert_eq!(logs.tail("v"), "no newline");
        logs.absorb(&StatusResponse {
            logs: vec![VertexLog {
                vertex: "b".to_owned(),
                msg: vec![0xff, b'x'],
                ..Default::default()
            }],
            ..Default::default()
        });
        assert_eq!(logs.tail("b"), "\u{fffd}x");
    }

    #[tokio::test(start_paused = true)]
    async fn settling_waits_for_the_end_of_its_vertex_and_no_longer_than_the_limit() {
        let logs = VertexLogs::default();
        let before = tokio::time::Instant::now();
        logs.settle("v", Duration::from_secs(2)).await;
        assert_eq!(before.elapsed(), Duration::from_secs(2));
        let ended = Vertex {
            digest: "v".to_owned(),
            completed: Some(prost_types::Timestamp::default()),
            ..Default::default()
        };
        logs.absorb(&StatusResponse {
            vertexes: vec![ended],
            ..Default::default()
        });
        logs.settle("v", Duration::from_secs(2)).await;
        assert_eq!(before.elapsed(), Duration::from_secs(2));
    }
}
