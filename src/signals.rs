//! Ctrl-C, SIGTERM and the time limit.

use std::{future::Future, time::Duration};

use reseal_pipeline::Class;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::{exit::Reason, failure::Failure};

/// Signals that arrived.
pub(crate) struct Signals(UnboundedReceiver<Reason>);

impl Signals {
    /// Starts to listen. From now on the first Ctrl-C is a request, and the second ends the process on the spot.
    pub(crate) fn listen() -> Self {
        let (sender, receiver) = unbounded_channel();
        tokio::spawn(listen(sender));
        Self(receiver)
    }

    /// Runs `work` until it is done, the time is up or a signal arrives. Unfinished work is dropped before this returns,
    /// which cancels it on the daemon.
    pub(crate) async fn bound<T>(
        &mut self,
        time: Duration,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            result = work => result,
            () = tokio::time::sleep(time) => Err(Failure::new(
                Reason::Class(Class::Timeout),
                format!("the run was stopped after {}", crate::render::elapsed(time)),
            )
            .hint("Give it more time with `--timeout`; with `--progress plain` the log shows what took so long")),
            Some(reason) = self.0.recv() => Err(Failure::new(reason, match reason {
                Reason::Terminated => "stopped by SIGTERM",
                _ => "stopped by Ctrl-C",
            })),
        }
    }
}

#[cfg(unix)]
async fn listen(sender: UnboundedSender<Reason>) {
    use tokio::signal::unix::{SignalKind, signal};

    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return; // the system's own handling stays: the process ends at once
    };
    let mut asked = false;
    loop {
        tokio::select! {
            Some(()) = interrupt.recv() => {
                if asked {
                    quit();
                }
                asked = true;
                let _ = sender.send(Reason::Interrupted);
            }
            Some(()) = terminate.recv() => {
                let _ = sender.send(Reason::Terminated);
            }
            else => return,
        }
    }
}

#[cfg(not(unix))]
async fn listen(sender: UnboundedSender<Reason>) {
    while tokio::signal::ctrl_c().await.is_ok() {
        if sender.send(Reason::Interrupted).is_err() {
            return;
        }
        if tokio::signal::ctrl_c().await.is_ok() {
            quit();
        }
    }
}

#[expect(
    clippy::exit,
    reason = "a second Ctrl-C means now: cleaning up is what hangs"
)]
fn quit() -> ! {
    std::process::exit(i32::from(Reason::Interrupted.code()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sets its flag when it is dropped, as a cancelled solve does.
    struct Cancelled(std::sync::Arc<std::sync::atomic::AtomicBool>);

    impl Drop for Cancelled {
        fn drop(&mut self) {
            self.0.store(true, std::sync::atomic::Ordering::SeqCst);
        }
    }

    async fn stopped(sent: Option<Reason>) -> (Failure, bool) {
        let (sender, receiver) = unbounded_channel();
        if let Some(reason) = sent {
            sender.send(reason).unwrap();
        }
        let flag = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let guard = Cancelled(flag.clone());
        let work = async move {
            let _guard = guard;
            std::future::pending::<Result<(), Failure>>().await
        };
        // Only a run that nobody stops reaches its limit.
        let time = if sent.is_some() {
            Duration::from_secs(600)
        } else {
            Duration::from_millis(1)
        };
        let failure = Signals(receiver).bound(time, work).await.unwrap_err();
        drop(sender);
        (failure, flag.load(std::sync::atomic::Ordering::SeqCst))
    }

    #[tokio::test]
    async fn work_is_dropped_when_it_has_to_stop() {
        for (sent, code) in [
            (None, 124),
            (Some(Reason::Interrupted), 130),
            (Some(Reason::Terminated), 143),
        ] {
            let (failure, dropped) = stopped(sent).await;
            assert!(dropped);
            assert_eq!(failure.reason.code(), code);
        }
    }

    #[tokio::test]
    async fn work_that_ends_in_time_gives_its_result() {
        let (_sender, receiver) = unbounded_channel();
        let done = Signals(receiver)
            .bound(Duration::from_secs(60), async { Ok(7) })
            .await
            .unwrap();
        assert_eq!(done, 7);
    }
}
