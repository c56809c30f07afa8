//! What is going on: a table of running steps, kept up to date by events. Text from outside becomes safe here.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use reseal_buildkit::SolveEvent;
use reseal_oci::Platform;
use reseal_pipeline::{Event, Stage};

use crate::{
    escape,
    render::{bytes, elapsed, plural},
};

/// A log line that does not end is cut here, in bytes.
const PARTIAL: usize = 16 << 10;

/// Something that a reader sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// A fact about the run.
    Fact(String),
    /// A remark that only a log keeps.
    Note(String),
    /// A warning.
    Warning(String),
    /// A step begins. A stage of ours begins without a word: most take less than a second.
    Started { label: String, step: String },
    /// A step ended well; `detail` is `cached`, or time and bytes.
    Finished {
        label: String,
        step: String,
        detail: String,
    },
    /// A step failed.
    Failed {
        label: String,
        step: String,
        message: String,
    },
    /// Output of a step.
    Log { label: String, text: String },
    /// The daemon's work begins or ends.
    Solving(bool),
}

/// A running step.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// The platform, or nothing.
    pub(super) label: String,
    /// What is done.
    pub(super) step: String,
    /// When it began.
    pub(super) began: Duration,
    /// Bytes done and bytes in all, 0 when unknown.
    pub(super) bytes: (u64, u64),
    /// The last line of output.
    pub(super) last: String,
    transfers: BTreeMap<String, (u64, u64)>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Stage(Stage, Option<Platform>),
    Vertex(String),
}

/// All running steps, in the order in which they began.
#[derive(Debug, Default)]
pub(super) struct Board {
    rows: Vec<(Key, Row)>,
    names: BTreeMap<String, (String, String)>,
    ended: BTreeSet<String>,
    partial: BTreeMap<(String, i32), Vec<u8>>,
    solving: usize,
}

impl Board {
    /// Returns the running steps; the solve as a whole only where none of its steps is told apart.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        let alone = self.rows.len() == 1;
        self.rows
            .iter()
            .filter(move |(key, _)| alone || !matches!(key, Key::Stage(Stage::Solve, _)))
            .map(|(_, row)| row)
    }

    /// Takes an event and returns what a reader should see of it.
    pub(super) fn apply(&mut self, event: Event, now: Duration) -> Vec<Change> {
        match event {
            Event::Resolved {
                reference,
                digest,
                platforms,
            } => {
                let platforms: Vec<String> = platforms.iter().map(label).collect();
                vec![Change::Fact(format!(
                    "{} is {digest} ({})",
                    escape::line(&reference),
                    platforms.join(", ")
                ))]
            }
            Event::Builder {
                address,
                why,
                version,
                platforms,
            } => {
                let version = version
                    .map(|version| format!(", BuildKit {}", escape::line(&version)))
                    .unwrap_or_default();
                let (emulated, native): (Vec<_>, Vec<_>) =
                    platforms.iter().partition(|(_, emulated)| *emulated);
                let mut list: Vec<String> = native
                    .into_iter()
                    .map(|(platform, _)| label(platform))
                    .collect();
                list.extend(
                    emulated
                        .into_iter()
                        .map(|(platform, _)| format!("{} emulated", label(platform))),
                );
                let list = if list.is_empty() {
                    String::new()
                } else {
                    format!(": {}", list.join(", "))
                };
                vec![Change::Fact(format!(
                    "builder {} ({}){version}{list}",
                    escape::line(&address),
                    escape::line(&why)
                ))]
            }
            Event::Planned {
                platform,
                packages: 0,
                findings: 0,
            } => {
                vec![Change::Fact(format!(
                    "[{}] plan: upgrade what the distribution has newer, if anything",
                    label(&platform)
                ))]
            }
            Event::Planned {
                platform,
                packages,
                findings,
            } => vec![Change::Fact(format!(
                "[{}] plan: {} for {}",
                label(&platform),
                plural(packages, "package"),
                plural(findings, "finding")
            ))],
            Event::Layer {
                platform,
                size,
                packages,
            } => vec![Change::Fact(format!(
                "[{}] layer: {} changed, {}",
                label(&platform),
                plural(packages, "package"),
                bytes(size)
            ))],
            Event::Warned(text) => vec![Change::Warning(escape::line(&text))],
            Event::Note(text) => vec![Change::Note(escape::line(&text))],
            Event::Started(stage, platform) => self.stage_started(stage, platform, now),
            Event::Finished(stage, platform) => self.stage_finished(stage, platform, now),
            Event::Bytes {
                stage,
                platform,
                done,
                total,
            } => {
                if let Some(row) = self.row(&Key::Stage(stage, platform)) {
                    row.bytes = (done, total);
                }
                Vec::new()
            }
            Event::Solve(event) => self.solve(event, now),
        }
    }

    /// Returns the running steps in one line, or nothing when there are none.
    pub(super) fn heartbeat(&self, now: Duration) -> String {
        let list: Vec<String> = self
            .rows()
            .map(|row| {
                let time = elapsed(now.saturating_sub(row.began));
                format!("{}{} ({time})", bracketed(&row.label), row.step)
            })
            .collect();
        let steps = if list.is_empty() {
            String::new()
        } else {
            format!(": {}", list.join(", "))
        };
        escape::line(&format!("still running after {}{steps}", elapsed(now)))
    }

    fn row(&mut self, key: &Key) -> Option<&mut Row> {
        self.rows
            .iter_mut()
            .find(|(known, _)| known == key)
            .map(|(_, row)| row)
    }

    fn begin(&mut self, key: Key, label: String, step: String, now: Duration) {
        if self.row(&key).is_none() {
            let row = Row {
                label,
                step,
                began: now,
                bytes: (0, 0),
                last: String::new(),
                transfers: BTreeMap::new(),
            };
            self.rows.push((key, row));
        }
    }

    fn end(&mut self, key: &Key) -> Option<Row> {
        let at = self.rows.iter().position(|(known, _)| known == key)?;
        Some(self.rows.remove(at).1)
    }

    fn stage_started(
        &mut self,
        stage: Stage,
        platform: Option<Platform>,
        now: Duration,
    ) -> Vec<Change> {
        let label = platform.as_ref().map(label).unwrap_or_default();
        self.begin(
            Key::Stage(stage, platform),
            label,
            stage.name().to_owned(),
            now,
        );
        if stage != Stage::Solve {
            return Vec::new();
        }
        self.solving += 1;
        if self.solving == 1 {
            vec![Change::Solving(true)]
        } else {
            Vec::new()
        }
    }

    fn stage_finished(
        &mut self,
        stage: Stage,
        platform: Option<Platform>,
        now: Duration,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        if stage == Stage::Solve && self.solving > 0 {
            self.solving -= 1;
            if self.solving == 0 {
                changes.push(Change::Solving(false));
            }
        }
        if let Some(row) = self.end(&Key::Stage(stage, platform)) {
            let detail = detail(&row, now);
            changes.push(Change::Finished {
                label: row.label,
                step: row.step,
                detail,
            });
        }
        changes
    }

    fn solve(&mut self, event: SolveEvent, now: Duration) -> Vec<Change> {
        match event {
            SolveEvent::Vertex {
                digest,
                name,
                started,
                completed,
                cached,
                error,
            } => {
                if !name.is_empty() {
                    self.names.insert(digest.clone(), split(&name));
                }
                if let Some(message) = error {
                    return self.vertex_ended(&digest, Ended::Failed(&message), now);
                }
                if let Some(completed) = completed {
                    let how = if cached {
                        Ended::Cached
                    } else {
                        Ended::Ran(completed - started.unwrap_or(completed))
                    };
                    return self.vertex_ended(&digest, how, now);
                }
                if started.is_none() || self.row(&Key::Vertex(digest.clone())).is_some() {
                    return Vec::new();
                }
                let (label, step) = self.name(&digest);
                let again = self.ended.contains(&digest);
                self.begin(Key::Vertex(digest), label.clone(), step.clone(), now);
                // The daemon goes through finished steps again for each later request.
                if again {
                    Vec::new()
                } else {
                    vec![Change::Started { label, step }]
                }
            }
            SolveEvent::Status {
                vertex,
                id,
                current,
                total,
                ..
            } => {
                if let Some(row) = self.row(&Key::Vertex(vertex)) {
                    row.transfers.insert(
                        id,
                        (
                            u64::try_from(current).unwrap_or(0),
                            u64::try_from(total).unwrap_or(0),
                        ),
                    );
                    row.bytes = row.transfers.values().fold((0, 0), |sum, part| {
                        (
                            u64::saturating_add(sum.0, part.0),
                            u64::saturating_add(sum.1, part.1),
                        )
                    });
                }
                Vec::new()
            }
            SolveEvent::Log {
                vertex,
                stream,
                data,
            } => self.log(vertex, stream, &data),
            SolveEvent::Warning { message, .. } => vec![Change::Warning(escape::line(&message))],
        }
    }

    fn vertex_ended(&mut self, digest: &str, how: Ended<'_>, now: Duration) -> Vec<Change> {
        let (label, step) = self.name(digest);
        let mut changes = self.flush(digest, &label);
        let row = self.end(&Key::Vertex(digest.to_owned()));
        if !self.ended.insert(digest.to_owned()) {
            return changes;
        }
        let detail = match (how, row) {
            (Ended::Failed(message), _) => {
                let message = escape::line(message.lines().next().unwrap_or("failed"));
                changes.push(Change::Failed {
                    label,
                    step,
                    message,
                });
                return changes;
            }
            (Ended::Cached, _) => "cached".to_owned(),
            (Ended::Ran(_), Some(row)) => detail(&row, now),
            // The daemon told of its start and its end at once.
            (Ended::Ran(seconds), None) => {
                elapsed(Duration::try_from_secs_f64(seconds).unwrap_or_default())
            }
        };
        changes.push(Change::Finished {
            label,
            step,
            detail,
        });
        changes
    }

    fn log(&mut self, vertex: String, stream: i32, data: &[u8]) -> Vec<Change> {
        let (label, _) = self.name(&vertex);
        let buffer = self.partial.entry((vertex.clone(), stream)).or_default();
        buffer.extend_from_slice(data);
        let mut lines = Vec::new();
        while let Some(end) = buffer
            .iter()
            .position(|byte| *byte == b'\n')
            .or((buffer.len() > PARTIAL).then_some(PARTIAL))
        {
            let rest = buffer.split_off(end + 1);
            lines.push(shown(&std::mem::replace(buffer, rest)));
        }
        lines.retain(|line| !line.is_empty());
        if let (Some(last), Some(row)) = (lines.last().cloned(), self.row(&Key::Vertex(vertex))) {
            row.last = last;
        }
        lines
            .into_iter()
            .map(|text| Change::Log {
                label: label.clone(),
                text,
            })
            .collect()
    }

    /// Shows what a step wrote without ending the line.
    fn flush(&mut self, digest: &str, label: &str) -> Vec<Change> {
        let keys: Vec<_> = self
            .partial
            .keys()
            .filter(|(vertex, _)| vertex == digest)
            .cloned()
            .collect();
        keys.iter()
            .filter_map(|key| self.partial.remove(key))
            .map(|buffer| shown(&buffer))
            .filter(|text| !text.is_empty())
            .map(|text| Change::Log {
                label: label.to_owned(),
                text,
            })
            .collect()
    }

    fn name(&self, digest: &str) -> (String, String) {
        self.names
            .get(digest)
            .cloned()
            .unwrap_or_else(|| (String::new(), "step of the daemon".into()))
    }
}

/// Returns `[linux/arm64] `, or nothing for what belongs to no platform.
pub(super) fn bracketed(label: &str) -> String {
    if label.is_empty() {
        String::new()
    } else {
        format!("[{label}] ")
    }
}

/// Returns bytes as done of all.
pub(super) fn transferred((done, total): (u64, u64)) -> Option<String> {
    match (done, total) {
        (0, _) => None,
        (done, total) if total > done => Some(format!("{} of {}", bytes(done), bytes(total))),
        (done, _) => Some(bytes(done)),
    }
}

/// How a vertex ended.
enum Ended<'a> {
    Failed(&'a str),
    Cached,
    /// In so many seconds by the daemon's clock.
    Ran(f64),
}

fn detail(row: &Row, now: Duration) -> String {
    let time = elapsed(now.saturating_sub(row.began));
    match transferred((row.bytes.0, 0)) {
        Some(bytes) => format!("{time}, {bytes}"),
        None => time,
    }
}

fn label(platform: &Platform) -> String {
    escape::clipped(&platform.to_string(), 40)
}

/// `[linux/arm64] upgrade packages` is a platform and a step.
fn split(name: &str) -> (String, String) {
    match name
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "))
    {
        Some((label, step)) => (escape::clipped(label, 40), escape::clipped(step, 120)),
        None => (String::new(), escape::clipped(name, 120)),
    }
}

fn shown(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    escape::line(escape::last_version(text.trim_end_matches(['\n', '\r'])))
}
