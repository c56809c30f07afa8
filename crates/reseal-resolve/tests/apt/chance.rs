//! Small universes by chance, the same ones for the same seed.

use std::fmt::Write as _;

use crate::world::{Index, World};

/// xorshift64*: enough to spread cases, and the same everywhere.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(drawn).unwrap() % limit
    }

    pub(crate) fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }
}

struct Plan {
    installed: Vec<bool>,
    offered: Vec<bool>,
    /// Whether a package provides the virtual name, in its installed and its offered version.
    provides: Vec<(bool, bool)>,
    /// The source of each package.
    source: Vec<usize>,
}

/// Makes a universe in which what is installed fits together; returns the installed names too.
///
/// `calm` leaves out what seldom happens within a release: alternatives, conflicts, virtual names,
/// dependencies that nothing meets.
pub(crate) fn world(chance: &mut Chance, calm: bool) -> (World, Vec<String>) {
    let count = 4 + chance.below(9);
    let plan = Plan {
        installed: (0..count).map(|_| chance.percent(70)).collect(),
        offered: (0..count).map(|_| chance.percent(75)).collect(),
        provides: (0..count)
            .map(|_| (chance.percent(20), chance.percent(20)))
            .collect(),
        source: (0..count)
            .map(|this| {
                if chance.percent(40) {
                    chance.below(3)
                } else {
                    10 + this
                }
            })
            .collect(),
    };
    let mut status = String::new();
    let mut packages = String::new();
    let mut names = Vec::new();
    for this in 0..count {
        if plan.installed[this] {
            names.push(format!("p{this:02}"));
            old(chance, &plan, this, calm, &mut status);
        }
        if plan.offered[this] || !plan.installed[this] {
            new(chance, &plan, this, calm, &mut packages);
        }
    }
    if names.is_empty() {
        status += "Package: only\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n";
    }
    let index = Index {
        packages,
        ..Index::default()
    };
    let world = World {
        status,
        indexes: vec![index],
        by_source: chance.percent(50),
        ..World::default()
    };
    (world, names)
}

fn old(chance: &mut Chance, plan: &Plan, this: usize, calm: bool, out: &mut String) {
    let word = if chance.percent(4) { "hold" } else { "install" };
    let _ = write!(
        out,
        "Package: p{this:02}\nStatus: {word} ok installed\nArchitecture: amd64\nVersion: 1\n\
         Source: s{}\n",
        plan.source[this]
    );
    let mut depends = Vec::new();
    for _ in 0..chance.below(3) {
        let other = chance.below(plan.installed.len());
        if other == this || !plan.installed[other] {
            continue;
        }
        // A calm package that needs one version exactly can be upgraded itself.
        let kinds = if calm && !plan.offered[this] { 2 } else { 5 };
        let version = ["", " (>= 1)", " (= 1)", " (<< 2)", ""][chance.below(kinds)];
        let mut text = format!("p{other:02}{version}");
        if !calm && chance.percent(25) {
            let third = other_than(chance, plan, this);
            let version = ["", " (>= 2)", " (= 1)"][chance.below(3)];
            text = if chance.percent(50) {
                format!("{text} | p{third:02}{version}")
            } else {
                format!("p{third:02}{version} | {text}")
            };
        }
        depends.push(text);
    }
    let provided = (0..plan.installed.len()).any(|i| plan.installed[i] && plan.provides[i].0);
    if !calm && provided && chance.percent(15) {
        depends.push("virtual".to_owned());
    }
    field(out, "Depends", &depends);
    if !calm && chance.percent(10) {
        let other = chance.below(plan.installed.len());
        if other != this {
            field(out, "Breaks", &[format!("p{other:02} (>= 2)")]);
        }
    }
    if !calm && plan.provides[this].0 {
        field(out, "Provides", &["virtual".to_owned()]);
    }
    out.push('\n');
}

fn new(chance: &mut Chance, plan: &Plan, this: usize, calm: bool, out: &mut String) {
    let _ = write!(
        out,
        "Package: p{this:02}\nArchitecture: amd64\nVersion: 2\nFilename: ./p{this:02}.deb\n\
         Size: 1\nSHA256: {this:064}\nSource: s{}\n",
        plan.source[this]
    );
    let mut depends = Vec::new();
    for _ in 0..chance.below(4) {
        let other = chance.below(plan.installed.len());
        if other == this {
            continue;
        }
        let version = ["", " (>= 1)", " (>= 2)", " (= 2)", " (<< 2)", " (>= 3)"];
        // A calm release asks for nothing that it does not have, and seldom for more packages.
        let there = plan.offered[other] || !plan.installed[other];
        if calm && !plan.installed[other] && chance.percent(80) {
            continue;
        }
        let drawn = chance.below(if calm { 4 } else { 20 });
        let drawn = if calm && !there { drawn % 2 } else { drawn };
        let version = version[if drawn < 6 { drawn } else { drawn % 4 }];
        let mut text = format!("p{other:02}{version}");
        if !calm && chance.percent(25) {
            let third = other_than(chance, plan, this);
            let version = ["", " (>= 2)", " (>= 1)"][chance.below(3)];
            let _ = write!(text, " | p{third:02}{version}");
        }
        depends.push(text);
    }
    if !calm && chance.percent(10) {
        depends.push("virtual".to_owned());
    }
    field(out, "Depends", &depends);
    for (key, likely) in [("Breaks", 20), ("Conflicts", 4)] {
        let other = other_than(chance, plan, this);
        let fits = !calm || (key == "Breaks" && plan.offered[other]);
        if chance.percent(likely) && fits {
            let version = if key == "Breaks" { " (<< 2)" } else { "" };
            field(out, key, &[format!("p{other:02}{version}")]);
        }
    }
    if !calm && plan.provides[this].1 {
        field(out, "Provides", &["virtual".to_owned()]);
    }
    out.push('\n');
}

fn field(out: &mut String, key: &str, values: &[String]) {
    if !values.is_empty() {
        let _ = writeln!(out, "{key}: {}", values.join(", "));
    }
}

/// Draws a package that is not the one given; there are always four or more.
fn other_than(chance: &mut Chance, plan: &Plan, this: usize) -> usize {
    let drawn = chance.below(plan.installed.len() - 1);
    drawn + usize::from(drawn >= this)
}
