//! Follows paths through directories and links.

use super::{Place, ROOT, Tree, join};
/// Most symbolic links that are followed for one path; Linux has the same limit.
const LINK_LIMIT: usize = 40;

/// What happens to a link at a path's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    Stays,
    Followed,
}

/// Where a path leads. The paths have no links in them but at the end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Walk {
    Found {
        place: Place,
        path: String,
    },
    /// Directories end before the path does; nothing hinders making it.
    Missing {
        path: String,
    },
}

/// One step on the way.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There is something, and it is where the way goes on or ends.
    Down(Place),
    /// There is nothing of that name.
    Nothing,
}

/// A way through the tree, with the directories that it came through.
#[derive(Debug)]
pub(super) struct Way {
    /// Where it is, below what: the root's is first, and never leaves.
    trail: Vec<(Place, usize)>,
    /// The same as text.
    path: String,
    /// What is still to do, the next part last, each with whether it came from a link.
    rest: Vec<(Box<str>, bool)>,
    links: usize,
}

impl Way {
    /// Starts at the root; `None` where the path is not clean.
    pub(super) fn new(path: &str) -> Option<Self> {
        let mut way = Self {
            trail: vec![(ROOT, 0)],
            path: String::new(),
            rest: Vec::new(),
            links: 0,
        };
        if !path.is_empty() {
            if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
                return None;
            }
            way.rest = path.rsplit('/').map(|part| (part.into(), false)).collect();
        }
        Some(way)
    }

    pub(super) fn place(&self) -> Place {
        self.trail.last().map_or(ROOT, |&(place, _)| place)
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Takes the next part that is a name, having gone up for every `..` before it.
    pub(super) fn next(&mut self) -> Option<(Box<str>, bool)> {
        loop {
            let (part, linked) = self.rest.pop()?;
            match part.as_ref() {
                "" | "." => {}
                ".." => self.up(),
                _ => return Some((part, linked)),
            }
        }
    }

    /// Tells whether the part that was taken last is the end.
    pub(super) fn at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn down(&mut self, name: &str, place: Place) {
        self.trail.push((place, self.path.len()));
        if !self.path.is_empty() {
            self.path.push('/');
        }
        self.path.push_str(name);
    }

    /// As in a container, the root is above itself.
    fn up(&mut self) {
        if self.trail.len() > 1
            && let Some((_, length)) = self.trail.pop()
        {
            self.path.truncate(length);
        }
    }

    /// Goes on along a link's target instead; `None` after too many.
    pub(super) fn follow(&mut self, target: &str) -> Option<()> {
        self.links += 1;
        if self.links > LINK_LIMIT {
            return None;
        }
        if target.starts_with('/') {
            self.trail.truncate(1);
            self.path.clear();
        }
        let parts = target.rsplit('/').map(|part| (part.into(), true));
        self.rest.extend(parts);
        Some(())
    }
}

impl Tree {
    /// Looks for a name in a directory; `None` in what is no directory.
    pub(super) fn step(&self, dir: Place, name: &str) -> Option<Step> {
        if !self.slots.is_dir(dir) {
            return None;
        }
        let found = self.slots.child(dir, name);
        Some(found.map_or(Step::Nothing, Step::Down))
    }

    /// Follows a path; `None` where it could not be made either.
    pub(super) fn walk(&self, path: &str, last: Last) -> Option<Walk> {
        let mut way = Way::new(path)?;
        while let Some((name, linked)) = way.next() {
            let Step::Down(place) = self.step(way.place(), &name)? else {
                // A link to nothing hinders whatever should come there.
                if linked {
                    return None;
                }
                let mut path = join(way.path(), &name);
                while let Some((name, _)) = way.next() {
                    path = join(&path, &name);
                }
                return Some(Walk::Missing { path });
            };
            let ends = way.at_end() && last == Last::Stays;
            match self.slots.link(place) {
                Some(target) if !ends => way.follow(target)?,
                _ => way.down(&name, place),
            }
        }
        Some(Walk::Found {
            place: way.place(),
            path: way.path,
        })
    }
}
