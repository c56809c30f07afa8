//! Every answer holds together: looked at again, without the solver and without apt.

use std::{collections::BTreeMap, ops::ControlFlow};

use reseal_pkg::dpkg::{Candidate, Database, Relation, Relations, split_stream};
use reseal_resolve::Want;

use crate::chance::{self, Chance};

struct Present {
    version: String,
    depends: Relations,
    negative: Vec<Relation>,
    provides: Relations,
}

#[test]
fn after_every_answer_all_dependencies_are_met_and_nothing_is_broken() {
    let mut answers = 0;
    for seed in 1..1500 {
        let mut chance = Chance::new(1_000_000 + seed);
        let (world, names) = chance::world(&mut chance, seed % 2 == 0);
        let want = if seed % 3 == 0 || names.is_empty() {
            Want::All
        } else {
            let name = names[chance.below(names.len())].clone();
            Want::Packages(vec![(name, "amd64".to_owned())])
        };
        let Ok(changes) = world.ours(&want) else {
            continue;
        };
        answers += 1;
        let mut present = BTreeMap::new();
        let installed = Database::parse(world.status.as_bytes()).unwrap();
        for package in installed.installed() {
            let read = |field| package.relations(field).unwrap();
            let mut negative: Vec<Relation> = read("Conflicts").each().cloned().collect();
            negative.extend(read("Breaks").each().cloned());
            let there = Present {
                version: package.version.clone(),
                depends: read("Depends"),
                negative,
                provides: read("Provides"),
            };
            present.insert(package.name.clone(), there);
        }
        split_stream(world.indexes[0].packages.as_bytes(), &mut |stanza| {
            let candidate = Candidate::parse(stanza).unwrap().unwrap();
            let line = format!("{}:amd64 {}", candidate.name, candidate.version);
            if changes.contains(&line) {
                let mut negative: Vec<Relation> = candidate.conflicts.each().cloned().collect();
                negative.extend(candidate.breaks.each().cloned());
                let there = Present {
                    version: candidate.version,
                    depends: candidate.depends,
                    negative,
                    provides: candidate.provides,
                };
                present.insert(candidate.name, there);
            }
            ControlFlow::Continue(())
        })
        .unwrap();
        holds_together(&present, seed);
    }
    assert!(answers > 700, "{answers}");
}

fn holds_together(present: &BTreeMap<String, Present>, seed: u64) {
    let meets = |relation: &Relation, name: &String, there: &Present| {
        let by_name = relation.name == *name && relation.admits(&there.version);
        let provided = there.provides.each().any(|p| p.name == relation.name);
        by_name || (provided && relation.version.is_none())
    };
    for (name, there) in present {
        for group in &there.depends.0 {
            let met = group
                .iter()
                .any(|relation| present.iter().any(|(n, p)| meets(relation, n, p)));
            assert!(met, "case {seed}: {name} lacks {group:?}");
        }
        for relation in &there.negative {
            let other = present
                .iter()
                .find(|(other, p)| *other != name && meets(relation, other, p));
            assert!(other.is_none(), "case {seed}: {name} is beside {relation}");
        }
    }
}
