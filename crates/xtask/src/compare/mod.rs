//! `cargo xtask compare-engines`: the same patch by the image's package manager and by the native engine.
//!
//! Both results are unpacked and compared path by path. What both engines are known to do differently is a short list in
//! [`roots`]; anything else that differs fails. The table of maintainer scripts is written from the same comparisons:
//! a package whose scripts ran in one root and not in the other, with nothing to show for it, has inert scripts.

mod cases;
mod engines;
mod roots;

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use self::{
    cases::Case,
    engines::{Engines, remove, unpack},
};
use crate::shell::{Servers, TakeDown, helper, say};

const USAGE: &str = "usage: cargo xtask compare-engines [OPTIONS]

  --only WORD     only the cases with this word in their names; can be repeated
  --proof         only the cases that `cargo xtask test` compares
  --list          name the cases
  --reseal FILE   this program instead of one that is built now
  --env FILE      the addresses of servers that run already
  --write-table   add what was seen to crates/reseal-native/src/scripts/scripts.table
  --keep          leave the servers up, and the unpacked roots in their run folder";

#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
#[derive(Debug, Default)]
struct Options {
    only: Vec<String>,
    proof: bool,
    list: bool,
    reseal: Option<String>,
    env: Option<String>,
    write_table: bool,
    keep: bool,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut words = args.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--only" => options.only.push(words.next().ok_or(USAGE)?.clone()),
                "--reseal" => options.reseal = Some(words.next().ok_or(USAGE)?.clone()),
                "--env" => options.env = Some(words.next().ok_or(USAGE)?.clone()),
                "--proof" => options.proof = true,
                "--list" => options.list = true,
                "--write-table" => options.write_table = true,
                "--keep" => options.keep = true,
                _ => return Err(USAGE.to_owned()),
            }
        }
        Ok(options)
    }

    fn wants(&self, case: &Case) -> bool {
        let name = case.name();
        self.only.is_empty() || self.only.iter().any(|word| name.contains(word.as_str()))
    }
}

/// Compares the engines on all cases; an error says how many differ.
pub(crate) fn run_all(args: &[String]) -> Result<(), String> {
    let options = Options::parse(args)?;
    let cases: Vec<&Case> = cases::all(options.proof)
        .filter(|case| options.wants(case))
        .collect();
    if options.list {
        for case in cases {
            say(&case.name());
        }
        return Ok(());
    }
    if cases.is_empty() {
        return Err("no case has such a name; --list names them".to_owned());
    }
    let reseal = match &options.reseal {
        Some(program) => program.clone(),
        None => crate::demo::build(false)?,
    };
    let _down = TakeDown::unless(options.keep || options.env.is_some());
    let servers = match &options.env {
        Some(file) => Servers::load(file)?,
        None => Servers::up("test")?,
    };
    let folder = Path::new(servers.get("RUN")?).join("compare");
    let engines = Engines {
        reseal: &reseal,
        builder: servers.get("BUILDKIT_NEW")?,
        cache: &folder.join("cache"),
    };
    fs::create_dir_all(engines.cache).map_err(|error| format!("{}: {error}", folder.display()))?;
    let one = |case: &Case| {
        let place = folder.join(case.name());
        let mut lines = Vec::new();
        let outcome = compare(case, &servers, &engines, &place, &options, &mut lines);
        if !options.keep {
            remove(&place);
        }
        if let Err(why) = &outcome {
            lines.push(why.clone());
        }
        say(&format!("== {}\n   {}", case.name(), lines.join("\n   ")));
        outcome.is_ok()
    };
    let failed = in_turn_by(&cases, workers(options.write_table), one)?;
    if options.write_table {
        say("The table is built into reseal: build it anew.");
    }
    if failed.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = failed.iter().map(|case| case.name()).collect();
    Err(format!("the engines differ on {}", names.join(", ")))
}

/// Returns how many cases are worked on at once: a container is mostly waited for. The table has one writer.
fn workers(write_table: bool) -> usize {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    if write_table { 1 } else { processors.min(2) }
}

/// Lets `workers` threads take cases from the list until none is left, and returns those that are not well.
fn in_turn_by<'c>(
    cases: &[&'c Case],
    workers: usize,
    well: impl Fn(&Case) -> bool + Sync,
) -> Result<Vec<&'c Case>, String> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut failed = Vec::new();
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            if !well(case) {
                failed.push(*case);
            }
        }
        failed
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let mut failed = Vec::new();
        for thread in threads {
            failed.extend(
                thread
                    .join()
                    .map_err(|_| "a thread that compares panicked".to_owned())?,
            );
        }
        Ok(failed)
    })
}

/// Compares the engines on one case, says in `lines` what it saw, and adds that to the table.
fn compare(
    case: &Case,
    servers: &Servers,
    engines: &Engines<'_>,
    place: &Path,
    options: &Options,
    lines: &mut Vec<String>,
) -> Result<(), String> {
    fs::create_dir_all(place).map_err(|error| format!("{}: {error}", place.display()))?;
    let image = case.prepare(servers, place)?;
    let platform = format!("linux/{}", case.architecture);
    let mut what = vec![image.as_str(), "--platform", &platform];
    if let Some(report) = case.report {
        what.extend(["--report", servers.get(&format!("REPORT_{report}"))?]);
    }
    let theirs = engines.package_manager(&what)?;
    let ours = engines.native(&what)?;
    if let Some(reason) = &ours.refused {
        lines.push(format!("without the table: {reason}"));
    }
    let (packages, same) = (theirs.packages(), ours.packages());
    if packages.is_empty() || packages != same {
        return Err(format!("other packages: {packages:?} and {same:?}"));
    }
    let left = unpack(
        &theirs.image,
        case.architecture,
        &place.join("package-manager"),
    )?;
    let right = unpack(&ours.image, case.architecture, &place.join("native"))?;
    let found = roots::compare(&left, &right)?;
    for (path, what) in &found.different {
        lines.push(format!("{path} {what}"));
    }
    lines.push(format!(
        "{} paths compared, {} different, {} more left out by the list",
        found.paths,
        found.different.len(),
        found.left_out
    ));
    if !found.different.is_empty() {
        return Err(format!("{} paths differ", found.different.len()));
    }
    if options.write_table {
        let base = unpack(&image, case.architecture, &place.join("before"))?;
        let result = place.join("result.json");
        fs::write(&result, ours.result.to_string())
            .map_err(|error| format!("{}: {error}", result.display()))?;
        let case_name = case.name();
        helper(
            "script-table",
            [
                base.as_os_str(),
                case.architecture.as_ref(),
                result.as_os_str(),
                engines.cache.as_os_str(),
                case_name.as_ref(),
            ],
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_taken_once_and_those_that_fail_are_named() {
        let cases: Vec<&Case> = cases::all(false).collect();
        for workers in [1, 2, 5] {
            let failed = in_turn_by(&cases, workers, |case| case.name().contains("amd64")).unwrap();
            let mut names: Vec<String> = failed.iter().map(|case| case.name()).collect();
            names.sort();
            let mut wanted: Vec<String> = cases.iter().map(|case| case.name()).collect();
            wanted.retain(|name| !name.contains("amd64"));
            wanted.sort();
            assert_eq!(names, wanted);
            assert!(!names.is_empty());
        }
    }

    #[test]
    fn options_are_checked_and_choose_cases() {
        let parse = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            Options::parse(&words)
        };
        let options = parse(&["--only", "bookworm-larger", "--write-table"]).unwrap();
        assert!(options.write_table && !options.keep);
        let chosen: Vec<String> = cases::all(options.proof)
            .filter(|case| options.wants(case))
            .map(Case::name)
            .collect();
        assert!(!chosen.is_empty() && chosen.len() < cases::all(false).count());
        assert!(chosen.iter().all(|name| name.contains("bookworm-larger")));
        for wrong in [&["--only"][..], &["--help"], &["x"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
