//! What the daemon says it can do, and the refusal when it cannot.

use std::collections::{BTreeMap, BTreeSet};

/// Ids that `BuildKit` defines but never announces; asking for them would refuse every daemon.
const NEVER_ANNOUNCED: [&str; 2] = [
    "exec.meta.removemountstubs.recursive",
    "file.copy.modestring",
];

/// The capabilities of one daemon, as its answer to a gateway `Ping` lists them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capabilities {
    known: BTreeMap<String, State>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Enabled,
    Disabled { reason: String },
}

/// One capability that the daemon lacks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("buildkitd does not support `{id}`: {reason}")]
pub struct CapabilityError {
    /// The capability's id, for example `diffop`.
    pub id: String,
    /// Why not: the daemon's own words, or that it does not know the id.
    pub reason: String,
    /// What the user can do.
    pub hint: Option<String>,
}

impl CapabilityError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

impl Capabilities {
    /// Adds one announced capability; `disabled` carries the daemon's reason.
    pub(crate) fn announce(&mut self, id: String, disabled: Option<String>) {
        let state = disabled.map_or(State::Enabled, |reason| State::Disabled { reason });
        self.known.insert(id, state);
    }

    /// Checks one capability id.
    pub fn supports(&self, id: &str) -> Result<(), CapabilityError> {
        if NEVER_ANNOUNCED.contains(&id) {
            return Ok(());
        }
        match self.known.get(id) {
            Some(State::Enabled) => Ok(()),
            Some(State::Disabled { reason }) => Err(CapabilityError {
                id: id.to_owned(),
                reason: reason.clone(),
                hint: hint_for_disabled(id),
            }),
            None => Err(CapabilityError {
                id: id.to_owned(),
                reason: "this daemon does not know it".to_owned(),
                hint: Some("update the daemon; reseal needs BuildKit 0.12 or newer".to_owned()),
            }),
        }
    }

    /// Every capability of `needed` that the daemon lacks, in order.
    pub fn missing(&self, needed: &BTreeSet<&'static str>) -> Vec<CapabilityError> {
        needed
            .iter()
            .filter_map(|id| self.supports(id).err())
            .collect()
    }

    /// The ids that are switched on.
    pub fn enabled(&self) -> impl Iterator<Item = &str> {
        self.known
            .iter()
            .filter(|(_, state)| **state == State::Enabled)
            .map(|(id, _)| id.as_str())
    }
}

/// Docker's classic graph drivers switch exactly these two off.
fn hint_for_disabled(id: &str) -> Option<String> {
    matches!(id, "mergeop" | "diffop").then(|| {
        "this looks like a Docker engine without the containerd image store: switch that on \
         (`\"features\": {\"containerd-snapshotter\": true}` in daemon.json), or use a buildkitd of its own"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daemon() -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.announce("exec.meta.base".to_owned(), None);
        capabilities.announce(
            "diffop".to_owned(),
            Some("only enabled with containerd image store backend".to_owned()),
        );
        capabilities
    }

    #[test]
    fn enabled_disabled_and_unknown_ids_are_told_apart() {
        let daemon = daemon();
        assert_eq!(daemon.supports("exec.meta.base"), Ok(()));
        let disabled = daemon.supports("diffop").expect_err("it is off");
        assert_eq!(
            disabled.to_string(),
            "buildkitd does not support `diffop`: only enabled with containerd image store backend"
        );
        assert!(
            disabled
                .hint()
                .expect("a way out")
                .contains("containerd-snapshotter")
        );
        let unknown = daemon
            .supports("exec.teleport")
            .expect_err("nobody knows it");
        assert!(unknown.hint().expect("a way out").contains("0.12"));
    }

    #[test]
    fn ids_that_are_never_announced_are_not_held_against_the_daemon() {
        assert_eq!(
            daemon().supports("exec.meta.removemountstubs.recursive"),
            Ok(())
        );
    }

    #[test]
    fn missing_lists_every_gap_in_order() {
        let needed = BTreeSet::from(["mergeop", "exec.meta.base", "diffop"]);
        let ids: Vec<String> = daemon()
            .missing(&needed)
            .into_iter()
            .map(|error| error.id)
            .collect();
        assert_eq!(ids, ["diffop", "mergeop"]);
    }
}
