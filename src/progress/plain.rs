//! Readable lines without times of day, for logs.

use std::{fmt::Write as _, time::Duration};

use reseal_pipeline::Event;

use super::{
    HEARTBEAT, Renderer, Size,
    board::{Board, Change, bracketed},
};
use crate::environment::Ci;

pub(super) struct Plain {
    board: Board,
    ci: Option<Ci>,
    /// Time of day when the run began, for GitLab's section markers.
    began: i64,
    spoke: Duration,
    open: bool,
}

impl Plain {
    pub(super) fn new(ci: Option<Ci>, began: i64) -> Self {
        Self {
            board: Board::default(),
            ci,
            began,
            spoke: Duration::ZERO,
            open: false,
        }
    }

    /// Folds the daemon's output where the CI system can.
    fn section(&mut self, open: bool, now: Duration) -> String {
        if self.open == open {
            return String::new();
        }
        self.open = open;
        let time = self.began.saturating_add_unsigned(now.as_secs());
        match (self.ci, open) {
            (Some(Ci::Github), true) => "::group::solve\n".into(),
            (Some(Ci::Github), false) => "::endgroup::\n".into(),
            (Some(Ci::Gitlab), true) => {
                format!("\u{1b}[0Ksection_start:{time}:reseal_solve\r\u{1b}[0Ksolve\n")
            }
            (Some(Ci::Gitlab), false) => {
                format!("\u{1b}[0Ksection_end:{time}:reseal_solve\r\u{1b}[0K\n")
            }
            _ => String::new(),
        }
    }
}

/// Returns the line of a change that has one.
pub(super) fn line(change: &Change) -> Option<String> {
    Some(match change {
        Change::Fact(text) | Change::Note(text) => text.clone(),
        Change::Warning(text) => format!("warning: {text}"),
        Change::Started { label, step } => format!("{}{step}", bracketed(label)),
        Change::Finished {
            label,
            step,
            detail,
        } => format!("{}{step}: {detail}", bracketed(label)),
        Change::Failed {
            label,
            step,
            message,
        } => format!("{}{step}: failed: {message}", bracketed(label)),
        Change::Log { label, text } => format!("{}| {text}", bracketed(label)),
        Change::Solving(_) => return None,
    })
}

impl Renderer for Plain {
    fn event(&mut self, event: Event, now: Duration) -> String {
        let mut out = String::new();
        for change in self.board.apply(event, now) {
            match change {
                Change::Solving(open) => out.push_str(&self.section(open, now)),
                change => {
                    if let Some(line) = line(&change) {
                        let _ = writeln!(out, "{line}");
                    }
                }
            }
        }
        if !out.is_empty() {
            self.spoke = now;
        }
        out
    }

    fn tick(&mut self, now: Duration, _size: Size) -> String {
        if now.saturating_sub(self.spoke) < HEARTBEAT {
            return String::new();
        }
        self.spoke = now;
        format!("{}\n", self.board.heartbeat(now))
    }

    fn finish(&mut self, now: Duration) -> String {
        self.section(false, now)
    }
}

#[cfg(test)]
mod tests {
    use reseal_buildkit::SolveEvent;
    use reseal_oci::{Digest, Platform};
    use reseal_pipeline::Stage;

    use super::*;

    fn vertex(digest: &str, name: &str, completed: bool, cached: bool) -> Event {
        Event::Solve(SolveEvent::Vertex {
            digest: digest.into(),
            name: name.into(),
            started: Some(1.0),
            completed: completed.then_some(2.0),
            cached,
            error: None,
        })
    }

    fn log(data: &str) -> Event {
        Event::Solve(SolveEvent::Log {
            vertex: "v1".into(),
            stream: 1,
            data: data.into(),
        })
    }

    fn told(ci: Option<Ci>, events: Vec<Event>) -> String {
        let mut plain = Plain::new(ci, 1000);
        let mut out = String::new();
        for (second, event) in events.into_iter().enumerate() {
            out.push_str(&plain.event(event, Duration::from_secs(second as u64)));
        }
        out + &plain.finish(Duration::from_secs(99))
    }

    const SIZE: Size = Size {
        width: 80,
        height: 24,
    };

    #[test]
    fn a_run_reads_as_lines() {
        let platform: Platform = "linux/arm64".parse().unwrap();
        let digest = Digest::of(b"x");
        let out = told(
            None,
            vec![
                Event::Resolved {
                    reference: "r.io/a:1".into(),
                    digest: digest.clone(),
                    platforms: vec![platform.clone()],
                },
                Event::Planned {
                    platform: platform.clone(),
                    packages: 1,
                    findings: 2,
                },
                Event::Builder {
                    address: "unix:///b".into(),
                    why: "BUILDKIT_HOST".into(),
                    version: Some("v0.32.2".into()),
                    platforms: vec![(platform.clone(), true)],
                },
                vertex("v1", "[linux/arm64] upgrade packages", false, false),
                log("Get:1 a\nGet"),
                log(":2 b\r\n 5%\r10%"),
                vertex("v1", "[linux/arm64] upgrade packages", true, false),
                vertex("v1", "[linux/arm64] upgrade packages", true, true),
                vertex("v2", "[linux/arm64] base image", true, true),
                vertex("v3", "[linux/arm64] package database", true, false),
                Event::Started(Stage::Push, None),
                Event::Bytes {
                    stage: Stage::Push,
                    platform: None,
                    done: 1_400_000,
                    total: 1_400_000,
                },
                Event::Finished(Stage::Push, None),
                Event::Warned("careful \u{1b}[2J".into()),
            ],
        );
        assert_eq!(
            out,
            format!(
                "r.io/a:1 is {digest} (linux/arm64)\n\
                 [linux/arm64] plan: 1 package for 2 findings\n\
                 builder unix:///b (BUILDKIT_HOST), BuildKit v0.32.2: linux/arm64 emulated\n\
                 [linux/arm64] upgrade packages\n\
                 [linux/arm64] | Get:1 a\n\
                 [linux/arm64] | Get:2 b\n\
                 [linux/arm64] | 10%\n\
                 [linux/arm64] upgrade packages: 3.0 s\n\
                 [linux/arm64] base image: cached\n\
                 [linux/arm64] package database: 1.0 s\n\
                 push: 2.0 s, 1.4 MB\n\
                 warning: careful \\u{{1b}}[2J\n"
            )
        );
    }

    #[test]
    fn a_failed_step_says_so_once() {
        let failed = || {
            Event::Solve(SolveEvent::Vertex {
                digest: "v1".into(),
                name: "[linux/arm64] upgrade packages".into(),
                started: Some(1.0),
                completed: Some(2.0),
                cached: false,
                error: Some("exit code: 100\nstack".into()),
            })
        };
        assert_eq!(
            told(None, vec![failed(), failed()]),
            "[linux/arm64] upgrade packages: failed: exit code: 100\n"
        );
    }

    #[test]
    fn output_cannot_act_on_the_ci_system() {
        let out = told(
            Some(Ci::Github),
            vec![
                Event::Started(Stage::Solve, None),
                vertex("v1", "[linux/amd64] x", false, false),
                log("::set-output name=x::y\n##[error]z\n"),
            ],
        );
        assert_eq!(
            out,
            "::group::solve\n[linux/amd64] x\n[linux/amd64] | |::set-output name=x::y\n[linux/amd64] | # #[error]z\n::endgroup::\n"
        );
    }

    #[test]
    fn sections_on_gitlab_have_times() {
        let out = told(
            Some(Ci::Gitlab),
            vec![
                Event::Started(Stage::Solve, None),
                Event::Finished(Stage::Solve, None),
            ],
        );
        assert_eq!(
            out,
            "\u{1b}[0Ksection_start:1000:reseal_solve\r\u{1b}[0Ksolve\n\
             \u{1b}[0Ksection_end:1001:reseal_solve\r\u{1b}[0K\nsolve: 1.0 s\n"
        );
    }

    #[test]
    fn a_minute_of_silence_is_broken() {
        let mut plain = Plain::new(None, 0);
        plain.event(
            vertex("v1", "[linux/amd64] upgrade packages", false, false),
            Duration::from_secs(2),
        );
        assert_eq!(plain.tick(Duration::from_secs(61), SIZE), "");
        assert_eq!(
            plain.tick(Duration::from_secs(62), SIZE),
            "still running after 1 m 02 s: [linux/amd64] upgrade packages (1 m 00 s)\n"
        );
        assert_eq!(plain.tick(Duration::from_secs(63), SIZE), "");
    }

    #[test]
    fn a_line_without_an_end_is_cut() {
        let out = told(
            None,
            vec![
                vertex("v1", "[linux/amd64] x", false, false),
                log(&"y".repeat(40_000)),
            ],
        );
        assert!(
            out.lines().count() >= 3 && out.lines().all(|line| line.len() < 3000),
            "{}",
            out.len()
        );
    }
}
