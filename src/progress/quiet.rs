//! Nothing but a line a minute, so that a CI system does not take the run for dead.

use std::time::Duration;

use reseal_pipeline::Event;

use super::{HEARTBEAT, Renderer, Size, board::Board};

#[derive(Default)]
pub(super) struct Quiet {
    board: Board,
    spoke: Duration,
}

impl Renderer for Quiet {
    fn event(&mut self, event: Event, now: Duration) -> String {
        self.board.apply(event, now);
        String::new()
    }

    fn tick(&mut self, now: Duration, _size: Size) -> String {
        if now.saturating_sub(self.spoke) < HEARTBEAT {
            return String::new();
        }
        self.spoke = now;
        format!("{}\n", self.board.heartbeat(now))
    }

    fn finish(&mut self, _now: Duration) -> String {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_heartbeat_is_heard() {
        let size = Size {
            width: 80,
            height: 24,
        };
        let mut quiet = Quiet::default();
        assert_eq!(
            quiet.event(Event::Warned("x".into()), Duration::from_secs(1)),
            ""
        );
        assert_eq!(quiet.tick(Duration::from_secs(59), size), "");
        assert_eq!(
            quiet.tick(Duration::from_secs(60), size),
            "still running after 1 m 00 s\n"
        );
        assert_eq!(quiet.finish(Duration::from_secs(61)), "");
    }
}
