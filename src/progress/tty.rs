//! One line a running step, redrawn in place; what is done scrolls away above. Output of the package manager is folded into
//! its last line, and comes in full with the error if the step fails.

use std::{fmt::Write as _, time::Duration};

use reseal_pipeline::Event;

use super::{
    Renderer, Size,
    board::{Board, Change, bracketed, transferred},
    plain,
};
use crate::render::elapsed;

pub(super) struct Tty {
    board: Board,
    colour: bool,
    /// Lines that stay, not yet written.
    done: Vec<String>,
    /// Lines on the screen that will be redrawn.
    drawn: usize,
}

impl Tty {
    pub(super) fn new(colour: bool) -> Self {
        Self {
            board: Board::default(),
            colour,
            done: Vec::new(),
            drawn: 0,
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    /// Moves to the first redrawn line, clears what was there, and writes the lines that stay.
    fn rewind(&mut self) -> String {
        let mut out = String::new();
        if self.drawn > 0 {
            let _ = write!(out, "\u{1b}[{}A\r\u{1b}[J", self.drawn);
            self.drawn = 0;
        }
        for line in self.done.drain(..) {
            out.push_str(&line);
            out.push('\n');
        }
        out
    }
}

impl Renderer for Tty {
    fn event(&mut self, event: Event, now: Duration) -> String {
        for change in self.board.apply(event, now) {
            let line = plain::line(&change);
            let line = match (&change, line) {
                (
                    Change::Finished {
                        label,
                        step,
                        detail,
                    },
                    _,
                ) => {
                    format!(
                        "{} {}{step}  {}",
                        self.paint("32", "done"),
                        bracketed(label),
                        self.paint("2", detail)
                    )
                }
                (Change::Failed { .. }, Some(line)) => self.paint("31", &line),
                (Change::Warning(_), Some(line)) => self.paint("33", &line),
                (Change::Fact(_), Some(line)) => line,
                // Running steps are rows; output and remarks stay folded.
                _ => continue,
            };
            self.done.push(line);
        }
        String::new()
    }

    fn tick(&mut self, now: Duration, size: Size) -> String {
        let mut out = self.rewind();
        let rows: Vec<String> = self
            .board
            .rows()
            .map(|row| {
                let mut line = format!(
                    "  .. {}{}  {}",
                    bracketed(&row.label),
                    row.step,
                    elapsed(now.saturating_sub(row.began))
                );
                if let Some(bytes) = transferred(row.bytes) {
                    let _ = write!(line, "  {bytes}");
                }
                if !row.last.is_empty() {
                    let _ = write!(line, "  {}", row.last);
                }
                fit(&line, size.width - 1)
            })
            .collect();
        let room = size.height - 2;
        let shown = if rows.len() > room {
            room - 1
        } else {
            rows.len()
        };
        for row in &rows[..shown] {
            out.push_str(row);
            out.push('\n');
        }
        self.drawn = shown;
        if rows.len() > shown {
            let _ = writeln!(out, "  .. and {} more", rows.len() - shown);
            self.drawn += 1;
        }
        out
    }

    fn finish(&mut self, _now: Duration) -> String {
        self.rewind()
    }
}

/// Cuts a line to the width of the terminal. Characters beyond ASCII may take two columns; a line that wraps would break
/// the redrawing, one that is a little short would not.
fn fit(line: &str, width: usize) -> String {
    let mut used = 0;
    line.chars()
        .take_while(|character| {
            used += if character.is_ascii() { 1 } else { 2 };
            used <= width
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use reseal_buildkit::SolveEvent;

    use super::*;

    const SIZE: Size = Size {
        width: 60,
        height: 5,
    };

    fn vertex(at: usize, completed: bool) -> Event {
        Event::Solve(SolveEvent::Vertex {
            digest: format!("v{at}"),
            name: format!("[linux/amd64] step {at}"),
            started: Some(1.0),
            completed: completed.then_some(2.0),
            cached: false,
            error: None,
        })
    }

    #[test]
    fn running_steps_are_redrawn_and_finished_ones_stay() {
        let mut tty = Tty::new(false);
        tty.event(vertex(1, false), Duration::ZERO);
        tty.event(
            Event::Solve(SolveEvent::Log {
                vertex: "v1".into(),
                stream: 1,
                data: b"Unpacking libssl3\n".to_vec(),
            }),
            Duration::ZERO,
        );
        tty.event(
            Event::Solve(SolveEvent::Status {
                vertex: "v1".into(),
                id: "a".into(),
                name: String::new(),
                current: 1000,
                total: 2000,
            }),
            Duration::ZERO,
        );
        let first = "  .. [linux/amd64] step 1  2.0 s  1.0 kB of 2.0 kB  Unpacki\n";
        assert_eq!(tty.tick(Duration::from_secs(2), SIZE), first);
        tty.event(vertex(1, true), Duration::from_secs(3));
        assert_eq!(
            tty.tick(Duration::from_secs(3), SIZE),
            "\u{1b}[1A\r\u{1b}[Jdone [linux/amd64] step 1  3.0 s, 1.0 kB\n"
        );
        assert_eq!(tty.finish(Duration::from_secs(4)), "");
    }

    #[test]
    fn more_steps_than_rows_are_counted() {
        let mut tty = Tty::new(false);
        for at in 0..5 {
            tty.event(vertex(at, false), Duration::ZERO);
        }
        let out = tty.tick(Duration::ZERO, SIZE);
        assert_eq!(out.lines().count(), 3);
        assert!(out.ends_with("  .. and 3 more\n"), "{out}");
        assert!(tty.finish(Duration::ZERO).starts_with("\u{1b}[3A"));
    }

    #[test]
    fn wide_characters_never_make_a_line_wrap() {
        assert_eq!(fit("ab中文", 4), "ab中");
        assert_eq!(fit("ab", 4), "ab");
    }
}
