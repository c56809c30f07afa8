//! What a run tells while it goes on. Libraries emit, the command line draws.

use reseal_buildkit::SolveEvent;
use reseal_oci::{Digest, Platform};

/// One step of a run, in the order in which it happens.
#[derive(Debug, Clone)]
pub enum Event {
    /// The source is pinned; nothing later looks at its tag again, but for the check before a tag moves.
    Resolved {
        /// What the user named.
        reference: String,
        /// What it points at.
        digest: Digest,
        /// The platforms that the run works on.
        platforms: Vec<Platform>,
    },
    /// A builder answers, and this is how it was found.
    Builder {
        /// Its address.
        address: String,
        /// Why it was chosen.
        why: String,
        /// Its `BuildKit` version, where it tells one.
        version: Option<String>,
        /// Platforms given to it, each with whether it runs emulated.
        platforms: Vec<(Platform, bool)>,
    },
    /// A platform has its plan.
    Planned {
        /// The platform.
        platform: Platform,
        /// Packages to upgrade; none in update-all mode, where the package manager decides.
        packages: usize,
        /// Findings that these should close.
        findings: usize,
    },
    /// The daemon's own progress. Vertex names start with `[PLATFORM] `.
    Solve(SolveEvent),
    /// A stage begins.
    Started(Stage, Option<Platform>),
    /// A stage ended well.
    Finished(Stage, Option<Platform>),
    /// Bytes of a stage so far; `total` 0 when unknown.
    Bytes {
        /// The stage.
        stage: Stage,
        /// The platform, if the stage belongs to one.
        platform: Option<Platform>,
        /// Bytes done.
        done: u64,
        /// Bytes in all, 0 when unknown.
        total: u64,
    },
    /// The patch layer of a platform is ready.
    Layer {
        /// The platform.
        platform: Platform,
        /// Compressed size in bytes.
        size: u64,
        /// Packages that changed.
        packages: usize,
    },
    /// Something the user should know that does not stop the run.
    Warned(String),
    /// A remark for the log.
    Note(String),
}

/// The stages of a run; see the story in `docs/design.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Reading manifests and configurations.
    Resolve,
    /// Finding and asking builders.
    Connect,
    /// Reading package databases.
    Facts,
    /// The solve on the daemon.
    Solve,
    /// Laying packages down without one.
    LayDown,
    /// Collecting packages.
    Fetch,
    /// Cleaning the layer.
    Layer,
    /// Sending blobs and manifests.
    Push,
    /// Reading the pushed digest back.
    Verify,
    /// Signing and attesting.
    Sign,
    /// Checking signatures and attestations.
    Prove,
    /// Moving the tag.
    Tag,
}

impl Stage {
    /// Returns the stage's name as the user sees it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Facts => "read package database",
            Self::Solve => "solve",
            Self::LayDown => "lay packages down",
            Self::Fetch => "fetch packages",
            Self::Layer => "clean layer",
            Self::Push => "push",
            Self::Verify => "verify",
            Self::Sign => "sign",
            Self::Prove => "check signatures",
            Self::Tag => "tag",
        }
    }
}

/// Where events go. Cheap to clone; sending never blocks and never fails.
#[derive(Debug, Clone)]
pub struct Events(tokio::sync::mpsc::UnboundedSender<Event>);

impl Events {
    /// Returns the sending side and the stream that a renderer reads.
    pub fn channel() -> (Self, tokio::sync::mpsc::UnboundedReceiver<Event>) {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Sends one event; an event that nobody reads any more is dropped.
    pub fn send(&self, event: Event) {
        let _ = self.0.send(event);
    }
}
