//! Universes by chance.

use reseal_resolve::{Unresolved, Want};

use crate::{
    chance::{self, Chance},
    world::{differs, has_apt},
};

/// How many universes are asked of both; more with `RESEAL_APT_CASES=10000`.
pub(crate) fn cases() -> u64 {
    let asked = std::env::var("RESEAL_APT_CASES").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(60)
}

#[derive(Default, Debug)]
struct Tally {
    equal: usize,
    nothing: usize,
    left: usize,
    /// Left to apt although apt has an answer.
    left_needlessly: usize,
    broken: usize,
}

fn compare(calm: bool, all: bool) -> Tally {
    let mut tally = Tally::default();
    let mut failures = Vec::new();
    for seed in 1..=cases() {
        let mut chance = Chance::new(seed * 4 + u64::from(calm) * 2 + u64::from(all));
        let (world, names) = chance::world(&mut chance, calm);
        let want = if all || names.is_empty() {
            Want::All
        } else {
            let wanted = (0..=chance.below(3)).map(|_| {
                let name = names[chance.below(names.len())].clone();
                (name, "amd64".to_owned())
            });
            Want::Packages(wanted.collect())
        };
        let apt = world.apt(&want);
        match (world.ours(&want), &apt) {
            (Ok(ours), Ok(theirs)) if ours == *theirs => {
                tally.equal += 1;
                tally.nothing += usize::from(ours.is_empty());
            }
            (Ok(ours), _) => failures.push(differs(
                &format!("case {seed}"),
                &world,
                &want,
                &apt,
                &format!("{ours:#?}"),
            )),
            (Err(Unresolved::Broken { .. }), _) => tally.broken += 1,
            (Err(_), Err(_)) => tally.left += 1,
            (Err(_), Ok(_)) => {
                tally.left += 1;
                tally.left_needlessly += 1;
            }
        }
    }
    let shown: String = failures.iter().take(3).cloned().collect();
    let count = failures.len();
    assert!(
        failures.is_empty(),
        "{tally:?}, {count} differ; the first:\n{shown}"
    );
    eprintln!("calm: {calm}, all: {all}: {tally:?}");
    tally
}

#[test]
fn wanted_packages_of_calm_universes_are_upgraded_as_apt_does() {
    if has_apt() {
        let tally = compare(true, false);
        assert!(tally.equal > tally.left_needlessly * 8, "{tally:?}");
    }
}

#[test]
fn calm_universes_are_upgraded_as_apt_does() {
    if has_apt() {
        let tally = compare(true, true);
        assert!(tally.equal > tally.left_needlessly * 8, "{tally:?}");
    }
}

#[test]
fn wanted_packages_of_wild_universes_are_upgraded_as_apt_does_or_left_to_it() {
    if has_apt() {
        let tally = compare(false, false);
        assert!(tally.equal * 2 > tally.left_needlessly, "{tally:?}");
    }
}

#[test]
fn wild_universes_are_upgraded_as_apt_does_or_left_to_it() {
    if has_apt() {
        let tally = compare(false, true);
        assert!(tally.equal * 4 > tally.left_needlessly, "{tally:?}");
    }
}
