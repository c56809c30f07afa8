//! Draws the event stream. Renderers are pure: events in, text out; only [`Drawing`] writes.

mod board;
mod mode;
mod plain;
mod quiet;
mod raw;
mod tty;

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use reseal_pipeline::Event;
use tokio::{
    sync::{mpsc::UnboundedReceiver, oneshot},
    task::JoinHandle,
};

pub(crate) use mode::{Mode, choose};

use crate::environment::Env;

/// Silence after which a line says that the run goes on.
const HEARTBEAT: Duration = Duration::from_secs(60);
/// How often a terminal is redrawn, and heartbeats are looked for.
const TICK: Duration = Duration::from_millis(100);

/// Columns and rows of the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    width: usize,
    height: usize,
}

/// One way to show events. `now` is the time since the run began; the returned text goes to standard error as it is.
trait Renderer: Send {
    /// Takes an event.
    fn event(&mut self, event: Event, now: Duration) -> String;
    /// Time goes by.
    fn tick(&mut self, now: Duration, size: Size) -> String;
    /// Nothing more comes.
    fn finish(&mut self, now: Duration) -> String;
}

/// The task that draws.
pub(crate) struct Drawing {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Drawing {
    /// Starts to draw what `events` brings.
    pub(crate) fn start(mode: Mode, env: &Env, mut events: UnboundedReceiver<Event>) -> Self {
        let mut renderer: Box<dyn Renderer> = match mode {
            Mode::Plain => Box::new(plain::Plain::new(env.ci(), env.now)),
            Mode::Tty => Box::new(tty::Tty::new(env.colour(true))),
            Mode::Quiet => Box::new(quiet::Quiet::default()),
            Mode::Raw => Box::new(raw::Raw),
        };
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let begin = Instant::now();
            let mut ticks = tokio::time::interval(TICK);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    event = events.recv() => match event {
                        Some(event) => write(&renderer.event(event, begin.elapsed())),
                        None => break,
                    },
                    _ = ticks.tick() => write(&renderer.tick(begin.elapsed(), size())),
                    _ = &mut stopped => break,
                }
            }
            // What was sent before the end is still shown.
            while let Ok(event) = events.try_recv() {
                write(&renderer.event(event, begin.elapsed()));
            }
            write(&renderer.finish(begin.elapsed()));
        });
        Self { stop, task }
    }

    /// Draws what is left and gives the terminal back.
    pub(crate) async fn finish(self) {
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

/// A terminal that is gone is no reason to stop a run.
fn write(text: &str) {
    if !text.is_empty() {
        let mut stderr = std::io::stderr().lock();
        let _ = stderr
            .write_all(text.as_bytes())
            .and_then(|()| stderr.flush());
    }
}

fn size() -> Size {
    terminal_size::terminal_size_of(std::io::stderr()).map_or(
        Size {
            width: 80,
            height: 24,
        },
        |(width, height)| Size {
            width: usize::from(width.0).max(20),
            height: usize::from(height.0).max(5),
        },
    )
}
