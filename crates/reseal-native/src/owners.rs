//! Which packages have which paths, before and while packages are laid down.

use std::collections::{BTreeMap, BTreeSet};

use reseal_pkg::dpkg::{Relations, State};

use crate::database::Conffile;

/// One package of the image or of the run. Units are told apart by their index.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    pub(crate) name: String,
    pub(crate) architecture: String,
    /// Its version now: the new one as soon as it is laid down.
    pub(crate) version: String,
    /// `Multi-Arch: same` now.
    pub(crate) same: bool,
    pub(crate) state: State,
    /// `Replaces` now.
    pub(crate) replaces: Relations,
    pub(crate) conffiles: Vec<Conffile>,
    /// It is part of the run.
    pub(crate) in_run: bool,
    /// It was laid down.
    pub(crate) done: bool,
    /// Where its stanza is in the database; `None` for one that comes in.
    pub(crate) index: Option<usize>,
}

impl Unit {
    /// Returns dpkg's name for it, where it matters which architecture it is of.
    pub(crate) fn label(&self) -> String {
        if self.same {
            format!("{}:{}", self.name, self.architecture)
        } else {
            self.name.clone()
        }
    }

    /// Tells whether its `Replaces` allow to take files of another.
    pub(crate) fn replaces(&self, other: &Self) -> bool {
        self.replaces
            .each()
            .any(|relation| relation.name == other.name && relation.admits(&other.version))
    }
}

/// The paths of all packages, as their lists have them: absolute, links in them not followed.
#[derive(Debug, Default)]
pub(crate) struct Owners<'a> {
    /// What the image's lists say: sorted by path.
    before: Vec<(&'a str, usize)>,
    /// The lists of the image by unit.
    lists: BTreeMap<usize, &'a str>,
    /// What packages that were laid down have, by unit, in order.
    now: BTreeMap<usize, Vec<String>>,
    /// The same by path.
    now_by_path: BTreeMap<String, Vec<usize>>,
    /// What other packages took over from a unit.
    taken: BTreeMap<usize, BTreeSet<String>>,
}

impl<'a> Owners<'a> {
    /// Takes the lists (`info/*.list`) of units.
    pub(crate) fn new(lists: BTreeMap<usize, &'a str>) -> Self {
        let mut before: Vec<_> = lists
            .iter()
            .flat_map(|(&unit, list)| list.lines().map(move |path| (path, unit)))
            .collect();
        before.sort_unstable();
        Self {
            before,
            lists,
            ..Self::default()
        }
    }

    /// Returns the units that have a path now.
    pub(crate) fn of(&self, path: &str) -> BTreeSet<usize> {
        let start = self.before.partition_point(|(other, _)| *other < path);
        let before = self.before[start..]
            .iter()
            .take_while(|(other, _)| *other == path)
            .map(|(_, unit)| *unit)
            .filter(|unit| !self.now.contains_key(unit));
        let now = self.now_by_path.get(path).into_iter().flatten().copied();
        before
            .chain(now)
            .filter(|unit| !self.is_taken(*unit, path))
            .collect()
    }

    /// Returns the list of a unit as it was in the image, without what others took since.
    pub(crate) fn list_before(&self, unit: usize) -> Vec<&'a str> {
        let list = self.lists.get(&unit).copied().unwrap_or_default();
        list.lines()
            .filter(|path| !path.is_empty() && !self.is_taken(unit, path))
            .collect()
    }

    /// Sets what a unit has from now on.
    pub(crate) fn set(&mut self, unit: usize, list: Vec<String>) {
        self.taken.remove(&unit);
        for path in &list {
            self.now_by_path.entry(path.clone()).or_default().push(unit);
        }
        self.now.insert(unit, list);
    }

    /// Returns what a unit that was laid down has.
    pub(crate) fn now(&self, unit: usize) -> &[String] {
        self.now.get(&unit).map_or(&[], Vec::as_slice)
    }

    /// Notes that a unit no longer has a path.
    pub(crate) fn take(&mut self, unit: usize, path: &str) {
        self.taken.entry(unit).or_default().insert(path.to_owned());
    }

    /// Returns the lists that have to be written, by unit: of those laid down, and of those that lost paths.
    pub(crate) fn changed(&self) -> BTreeMap<usize, Vec<&str>> {
        let mut out: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
        for &unit in self.now.keys().chain(self.taken.keys()) {
            let all: Vec<&str> = match self.now.get(&unit) {
                Some(list) => list.iter().map(String::as_str).collect(),
                None => self
                    .lists
                    .get(&unit)
                    .copied()
                    .unwrap_or_default()
                    .lines()
                    .collect(),
            };
            let left = all.into_iter().filter(|path| !self.is_taken(unit, path));
            out.insert(unit, left.collect());
        }
        out
    }

    /// Tells whether other packages took paths over from a unit.
    pub(crate) fn is_robbed(&self, unit: usize) -> bool {
        self.taken.contains_key(&unit)
    }

    fn is_taken(&self, unit: usize, path: &str) -> bool {
        self.taken
            .get(&unit)
            .is_some_and(|taken| taken.contains(path))
    }
}
