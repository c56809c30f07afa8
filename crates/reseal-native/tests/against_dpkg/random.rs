//! Made-up packages and changes, drawn from few paths so that they meet.

use std::fs;

use super::packages::{Package, package};
use super::scene::{Scene, possible};

/// A generator with a fixed sequence: a failing seed stays one.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

const NAMES: &[&str] = &["aa", "bb", "cc"];
const FILES: &[&str] = &[
    "/usr/share/x/a",
    "/usr/share/x/b",
    "/usr/share/x/y/a",
    "/usr/share/x/y/b",
    "/usr/share/z",
    "/lib/x/a",
    "/usr/lib/x/b",
    "/usr/share/doc/x/c",
    "/usr/share/x/y/deep/a",
];
const CONFFILES: &[&str] = &["/etc/x/a", "/etc/x/b", "/etc/y"];
const TEXTS: &[&str] = &["1", "2", "3"];

fn draw(draw: &mut Draw, name: &str, version: usize) -> Package {
    let mut out = package(name, &version.to_string());
    let mut taken = std::collections::BTreeSet::new();
    for _ in 0..draw.below(6) {
        let path = draw.one(FILES);
        // The same file under two names of its directory.
        if !taken.insert(path.replace("/usr/lib", "/lib")) {
            continue;
        }
        out = match draw.below(6) {
            0 => out.link(path, draw.one(&["a", "../z", "/usr/share/x", "nowhere"])),
            1 if !path.ends_with("/x/a") => out.hard_after(path),
            _ => out.file(path, draw.one(TEXTS)),
        };
    }
    for path in CONFFILES {
        match draw.below(6) {
            0 | 1 => out = out.conffile(path, draw.one(TEXTS)),
            2 if version > 1 => {
                out = out.append("conffiles", &format!("remove-on-upgrade {path}\n"));
            }
            _ => {}
        }
    }
    for other in NAMES {
        if *other != name && draw.below(3) == 0 {
            out = out.replaces(other, draw.one(&["", " (<< 2)", " (<< 3)"]));
        }
    }
    if draw.below(4) == 0 {
        out = out.append(
            "triggers",
            draw.one(&["interest /usr/share/x\n", "interest t\n", "activate t\n"]),
        );
    }
    out
}

impl Package {
    fn hard_after(self, path: &str) -> Self {
        // To a file that sorts before, so that it comes first in the archive.
        self.file("/usr/share/a-first", "first")
            .hard(path, "/usr/share/a-first")
    }

    fn replaces(self, other: &str, limit: &str) -> Self {
        let so_far = self.replaced();
        let list = if so_far.is_empty() {
            format!("{other}{limit}")
        } else {
            format!("{so_far}, {other}{limit}")
        };
        self.set_replaced(list)
    }
}

#[test]
fn whatever_dpkg_does_with_made_up_packages_is_done() {
    if !possible() {
        return;
    }
    let (mut compared, mut refused) = (0, Vec::new());
    let seeds = std::env::var("RESEAL_SEEDS").map_or(24, |count| count.parse().unwrap());
    for seed in 0..seeds {
        let mut source = Draw(seed * 7 + 1);
        let mut scene = Scene::new();
        if source.below(3) == 0 {
            scene = scene.option("path-exclude=/usr/share/doc/*");
        }
        let old: Vec<_> = NAMES
            .iter()
            .map(|name| draw(&mut source, name, 1))
            .collect();
        for package in &old {
            // One that meets a file of another is not there.
            scene = scene.try_with(package);
        }
        scene = scene.changed(|root| {
            for path in CONFFILES.iter().chain(FILES) {
                let at = root.join(path.trim_start_matches('/'));
                match source.below(8) {
                    0 => {
                        let _ = fs::remove_file(&at);
                    }
                    1 if path.starts_with("/etc") && at.parent().unwrap().is_dir() => {
                        let _ = fs::remove_file(&at);
                        fs::write(&at, source.one(TEXTS)).unwrap();
                    }
                    _ => {}
                }
            }
        });
        let count = 1 + source.below(2);
        let new: Vec<_> = NAMES[..count]
            .iter()
            .map(|name| draw(&mut source, name, 2))
            .collect();
        match scene.compare(&new) {
            Ok(_) => compared += 1,
            Err(why) if why.starts_with("refused") => refused.push(why),
            Err(why) if why.starts_with("only dpkg refuses") => refused.push(why),
            Err(why) => panic!("seed {seed}: {why}\n{old:#?}\n{new:#?}"),
        }
    }
    assert!(
        compared * 3 > seeds,
        "only {compared} of {seeds}: {refused:#?}"
    );
}
