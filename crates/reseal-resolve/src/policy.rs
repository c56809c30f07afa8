//! Which version of a package apt prefers: its candidate.

use std::cmp::Ordering;

use reseal_pkg::version::compare_dpkg;

use crate::{
    Universe,
    preferences::{Pinned, ReleasePriorities},
};

/// From this priority on a version may replace a newer one.
const DOWNGRADE: i32 = 1000;

/// What the policy says of one package.
pub(super) enum Choice<'a> {
    /// The installed version is the candidate, or there is none.
    Stay,
    /// The candidate is older than the installed version.
    Older(&'a str),
    /// The candidate is this one of `Universe::candidates`.
    Take(usize),
}

/// The priorities of a universe.
pub(super) struct Policy<'a> {
    universe: &'a Universe<'a>,
    priorities: ReleasePriorities,
}

/// One version of a package, from wherever it may come.
struct Group<'a> {
    version: &'a str,
    source: &'a str,
    places: Vec<usize>,
    installed: bool,
}

impl<'a> Policy<'a> {
    pub(super) fn new(universe: &'a Universe<'a>) -> Self {
        Self {
            priorities: universe.preferences.of_releases(
                universe.releases,
                universe.default_release.as_deref(),
                &universe.architecture,
            ),
            universe,
        }
    }

    /// Chooses among the offers of one package, given as places in `Universe::candidates`, and what is
    /// installed, by version and source.
    pub(super) fn choose(
        &self,
        name: &str,
        architecture: &str,
        installed: Option<(&'a str, &'a str)>,
        places: &[usize],
    ) -> Choice<'a> {
        let groups = self.groups(installed, places);
        let installed = installed.map(|(version, _)| version);
        let mut best: Option<(&Group<'a>, i32)> = None;
        // From the newest on: of two with the same priority the newer stays.
        for group in &groups {
            let releases: Vec<usize> = group
                .places
                .iter()
                .map(|place| self.universe.candidates[*place].release)
                .collect();
            let pinned = Pinned {
                name,
                architecture,
                version: group.version,
                source: group.source,
                releases: &releases,
                installed: group.installed,
            };
            let priority = self.universe.preferences.of_version(
                &pinned,
                self.universe.releases,
                &self.priorities,
                &self.universe.architecture,
            );
            let older = installed.is_some_and(|there| compare_dpkg(group.version, there).is_lt());
            let better = priority > 0 && best.is_none_or(|(_, top)| priority > top);
            if better && (!older || priority >= DOWNGRADE) {
                best = Some((group, priority));
            }
        }
        match (best, installed) {
            (None, _) => Choice::Stay,
            (Some((group, _)), _) if group.installed => Choice::Stay,
            (Some((group, _)), Some(there)) if compare_dpkg(group.version, there).is_lt() => {
                Choice::Older(group.version)
            }
            (Some((group, _)), _) => group
                .places
                .first()
                .map_or(Choice::Stay, |p| Choice::Take(*p)),
        }
    }

    /// Returns the versions, newest first; each with the places that offer it, the release that
    /// counts most first.
    fn groups(&self, installed: Option<(&'a str, &'a str)>, places: &[usize]) -> Vec<Group<'a>> {
        let mut groups: Vec<Group<'a>> = Vec::new();
        if let Some((version, source)) = installed {
            groups.push(Group {
                version,
                source,
                places: Vec::new(),
                installed: true,
            });
        }
        for place in places {
            let candidate = &self.universe.candidates[*place];
            let same = |group: &&mut Group<'a>| {
                compare_dpkg(group.version, &candidate.version) == Ordering::Equal
            };
            if let Some(group) = groups.iter_mut().find(same) {
                group.places.push(*place);
            } else {
                groups.push(Group {
                    version: &candidate.version,
                    source: &candidate.source_name,
                    places: vec![*place],
                    installed: false,
                });
            }
        }
        for group in &mut groups {
            // A stable sort: among equals the order of the sources decides.
            group.places.sort_by_key(|place| {
                let release = self.universe.candidates[*place].release;
                std::cmp::Reverse(self.priorities.of(release))
            });
        }
        groups.sort_by(|a, b| compare_dpkg(b.version, a.version));
        groups
    }
}
