//! `cargo xtask bench`: reseal beside its peer and beside the least that can be done.
//!
//! The contestants patch the same packages of the same image and push to the same registry: the *floor* (one hand-written
//! `RUN apt-get` line through buildctl), copa, and both engines of reseal, for two platforms also as chosen by default; all but
//! the native one on the same daemon. Their runs are interleaved, so that a busy minute of the machine hits all. Cold is after
//! `buildctl prune --all`, and with an empty cache folder; warm has the base unpacked and asks for the package indexes anew;
//! again is the patched image patched once more. Medians are written with the least and the greatest value.

mod measure;
mod table;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use self::{
    measure::{Sample, measure},
    table::Table,
};
use crate::shell::{Servers, TakeDown, cargo, command, output, run, say};

const USAGE: &str =
    "usage: cargo xtask bench [--runs N] [--both] [--all] [--without-copa] [--out FILE] [--keep]

  --runs N        runs of each contestant, cold and warm; 5 when not given
  --both          patch linux/amd64 and linux/arm64 (emulated) instead of linux/amd64 alone
  --all           upgrade everything instead of the packages of a report
  --without-copa  leave the peer out
  --out FILE      write the table there as well
  --keep          leave the servers up";

/// The binary packages whose findings are patched: all from small sources, so that the work around them counts.
const PACKAGES: [&str; 5] = [
    "libexpat1",
    "libpng16-16",
    "libssh2-1",
    "libssl3",
    "openssl",
];

/// Tells in the Dockerfile of the floor what differs from run to run.
const FLOOR: &str = "FROM @IMAGE@
USER root
ARG TOKEN
RUN --mount=type=tmpfs,target=/var/lib/apt/lists --mount=type=tmpfs,target=/var/cache/apt \\
    --mount=type=tmpfs,target=/var/log --mount=type=tmpfs,target=/tmp \\
    apt-get update && apt-get @UPGRADE@
";

/// What the floor asks of apt, with a report and without.
const INSTALL: &str = "install -y --only-upgrade --no-install-recommends";
const UPGRADE: &str = "upgrade -y --with-new-pkgs --no-install-recommends";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contestant {
    Floor,
    Copa,
    Buildkit,
    Native,
    /// With the engines as they are chosen by default: for platforms that the daemon would emulate, the native one.
    Default,
}

impl Contestant {
    fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Copa => "copa 0.14.2",
            Self::Buildkit => "reseal buildkit",
            Self::Native => "reseal native",
            Self::Default => "reseal",
        }
    }
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
struct Options {
    runs: usize,
    both: bool,
    all: bool,
    copa: bool,
    out: Option<PathBuf>,
    keep: bool,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self, String> {
        let mut options = Self {
            runs: 5,
            both: false,
            all: false,
            copa: true,
            out: None,
            keep: false,
        };
        let mut words = args.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--runs" => {
                    options.runs = words
                        .next()
                        .and_then(|number| number.parse().ok())
                        .filter(|number| *number > 0)
                        .ok_or(USAGE)?;
                }
                "--both" => options.both = true,
                "--all" => options.all = true,
                "--without-copa" => options.copa = false,
                "--out" => options.out = Some(words.next().ok_or(USAGE)?.into()),
                "--keep" => options.keep = true,
                _ => return Err(USAGE.to_owned()),
            }
        }
        Ok(options)
    }
}

/// What all runs share.
struct Field {
    servers: Servers,
    reseal: PathBuf,
    folder: PathBuf,
    reports: Vec<PathBuf>,
    image: String,
    layers: usize,
    both: bool,
}

/// Runs all contestants and writes the table to standard error, and to a file when asked.
pub(crate) fn run_all(args: &[String]) -> Result<(), String> {
    let options = Options::parse(args)?;
    run(&mut cargo([
        "build",
        "--locked",
        "--release",
        "--package",
        "reseal",
    ]))?;
    let _down = TakeDown::unless(options.keep);
    let field = Field::lay_out(&options)?;
    let mut contestants = vec![Contestant::Floor, Contestant::Buildkit, Contestant::Native];
    if options.copa {
        contestants.insert(1, Contestant::Copa);
    }
    // On one platform that is the same as through BuildKit.
    if options.both {
        contestants.push(Contestant::Default);
    }
    let mut table = Table::default();
    for round in 0..options.runs {
        for contestant in &contestants {
            field.prune()?;
            let tag =
                |state: &str| format!("{}-{round}-{state}", contestant.name().replace(' ', "-"));
            for mode in ["cold", "warm", "again"] {
                let image = match (mode, contestant) {
                    ("again", Contestant::Buildkit | Contestant::Native | Contestant::Default) => {
                        field.tagged(&tag("warm"))?
                    }
                    ("again", _) => continue,
                    _ => field.image.clone(),
                };
                let sample = field.measure(*contestant, &image, &tag(mode))?;
                say(&format!(
                    "   {} {mode}: {:.2} s",
                    contestant.name(),
                    sample.seconds
                ));
                table.add(contestant.name(), mode, sample);
            }
        }
    }
    let platforms = if options.both {
        "linux/amd64 and linux/arm64"
    } else {
        "linux/amd64"
    };
    let work = if options.all {
        "everything upgraded".to_owned()
    } else {
        format!("{} packages from a report", PACKAGES.len())
    };
    let text = table.render(&format!("{platforms}, {work}"));
    say(&text);
    match options.out {
        Some(file) => fs::write(&file, text)
            .map_err(|error| format!("could not write {}: {error}", file.display())),
        None => Ok(()),
    }
}

impl Field {
    fn lay_out(options: &Options) -> Result<Self, String> {
        let servers = Servers::up("bench")?;
        let folder = Path::new(servers.get("RUN")?).join("bench");
        fs::create_dir_all(folder.join("reports"))
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        let (name, platforms): (_, &[&str]) = if options.both {
            ("BOOKWORM_LARGER_MULTI", &["AMD64", "ARM64"])
        } else {
            ("BOOKWORM_LARGER", &["AMD64"])
        };
        let mut reports = Vec::new();
        for platform in platforms.iter().filter(|_| !options.all) {
            let source = servers.get(&format!("REPORT_{name}_{platform}"))?;
            let target = folder.join("reports").join(format!("{platform}.json"));
            shorten(Path::new(source), &target)?;
            reports.push(target);
        }
        let image = servers.get(&format!("IMAGE_{name}"))?.to_owned();
        let upgrade = if options.all {
            UPGRADE.to_owned()
        } else {
            format!("{INSTALL} {}", PACKAGES.join(" "))
        };
        let dockerfile = FLOOR
            .replace("@IMAGE@", &image)
            .replace("@UPGRADE@", &upgrade);
        fs::write(folder.join("Dockerfile"), dockerfile)
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        let target = cargo_target()?;
        let mut field = Self {
            servers,
            reseal: target.join("release/reseal"),
            folder,
            reports,
            image,
            layers: 0,
            both: options.both,
        };
        field.layers = field.layer_sizes(&field.image)?.len();
        Ok(field)
    }

    fn tool(&self, name: &str) -> Result<String, String> {
        Ok(format!("{}/{name}", self.servers.get("TOOLS")?))
    }

    /// Returns the reference of what a contestant pushed.
    fn tagged(&self, tag: &str) -> Result<String, String> {
        let (repository, _) = self.image.rsplit_once(':').ok_or("the image has no tag")?;
        Ok(format!("{repository}:{tag}"))
    }

    /// Where the native engine keeps what it fetched.
    fn cache(&self) -> PathBuf {
        self.folder.join("cache")
    }

    fn prune(&self) -> Result<(), String> {
        let cache = self.cache();
        if cache.exists() {
            fs::remove_dir_all(&cache).map_err(|error| format!("{}: {error}", cache.display()))?;
        }
        let address = self.servers.get("BUILDKIT_BENCH")?;
        output(&mut command(
            &self.tool("buildctl")?,
            ["--addr", address, "prune", "--all"],
        ))
        .map(drop)
    }

    /// Runs one contestant once and returns what it cost.
    fn measure(&self, contestant: Contestant, image: &str, tag: &str) -> Result<Sample, String> {
        let mut run = self.run(contestant, image, tag)?;
        let log = Path::new(self.servers.get("REGISTRY_LOG")?);
        let (builds, containers) = (self.builds()?, self.containers()?);
        let mut sample = measure(&mut run, log)?;
        sample.solves = self.builds()?.difference(&builds).count() as u64;
        sample.containers = self.containers()?.saturating_sub(containers);
        let sizes = self.layer_sizes(&self.tagged(tag)?)?;
        sample.layer = sizes.iter().skip(self.layers).sum();
        Ok(sample)
    }

    /// Returns the builds that the daemon has a record of; it forgets the oldest.
    fn builds(&self) -> Result<BTreeSet<String>, String> {
        let address = self.servers.get("BUILDKIT_BENCH")?;
        let format = "{{.Record.Ref}}";
        let list = output(&mut command(
            &self.tool("buildctl")?,
            ["--addr", address, "debug", "histories", "--format", format],
        ))?;
        Ok(list.lines().map(str::to_owned).collect())
    }

    /// Returns how many containers the daemon has started.
    fn containers(&self) -> Result<u64, String> {
        let file = self.servers.get("CONTAINERS")?;
        let lines = fs::read(file).map_err(|error| format!("{file}: {error}"))?;
        Ok(lines.len() as u64)
    }

    fn run(&self, contestant: Contestant, source: &str, tag: &str) -> Result<Command, String> {
        let address = self.servers.get("BUILDKIT_BENCH")?;
        Ok(match contestant {
            Contestant::Floor => {
                let platforms = if self.both {
                    "linux/amd64,linux/arm64"
                } else {
                    "linux/amd64"
                };
                let image = self.tagged(tag)?;
                let mut build = self
                    .servers
                    .dockerfile("BUILDKIT_BENCH", &self.folder, &image)?;
                build.args(["--opt", &format!("platform={platforms}")]);
                build.args(["--opt", &format!("build-arg:TOKEN={tag}")]);
                build
            }
            Contestant::Copa => {
                let mut run = command(
                    &self.tool("copacetic")?,
                    [
                        "patch",
                        "--addr",
                        address,
                        "--image",
                        source,
                        "--tag",
                        tag,
                        "--push",
                        "--progress",
                        "quiet",
                        "--timeout",
                        "15m",
                    ],
                );
                match &self.reports[..] {
                    // Without a report copa patches one platform unless it is told otherwise.
                    [] if self.both => {
                        run.args(["--platform", "linux/amd64,linux/arm64"]);
                    }
                    [] => {}
                    [one] => {
                        run.arg("--report").arg(one);
                    }
                    _ => {
                        run.arg("--report").arg(self.folder.join("reports"));
                    }
                }
                run
            }
            Contestant::Buildkit | Contestant::Native | Contestant::Default => {
                let mut run = command(
                    &self.reseal.display().to_string(),
                    [
                        "patch",
                        source,
                        "--tag",
                        tag,
                        "--tag-unchanged",
                        "--quiet",
                        "--severity",
                        "all",
                        "--gate",
                        "none",
                    ],
                );
                run.arg("--cache-dir").arg(self.cache());
                match contestant {
                    Contestant::Native => run.args(["--engine", "native"]),
                    // Fresh indexes in every run, like the others.
                    Contestant::Buildkit => {
                        run.args(["--engine", "buildkit", "--addr", address, "--no-cache"])
                    }
                    _ => run.args(["--addr", address, "--no-cache"]),
                };
                for report in &self.reports {
                    run.arg("--report").arg(report);
                }
                run
            }
        })
    }

    /// Returns the sizes in bytes of the layers of one platform's image.
    fn layer_sizes(&self, image: &str) -> Result<Vec<u64>, String> {
        let mut ask = command(
            &self.tool("crane")?,
            ["manifest", "--platform", "linux/amd64", image],
        );
        let manifest: Value = serde_json::from_str(&output(&mut ask)?)
            .map_err(|error| format!("the manifest of {image} is not JSON: {error}"))?;
        let layers = manifest["layers"]
            .as_array()
            .ok_or_else(|| format!("{image} has no layers"))?;
        Ok(layers
            .iter()
            .filter_map(|layer| layer["size"].as_u64())
            .collect())
    }
}

fn cargo_target() -> Result<PathBuf, String> {
    let metadata = output(&mut cargo([
        "metadata",
        "--format-version",
        "1",
        "--no-deps",
        "--locked",
    ]))?;
    let metadata: Value = serde_json::from_str(&metadata)
        .map_err(|error| format!("cargo metadata is not JSON: {error}"))?;
    metadata["target_directory"]
        .as_str()
        .map(PathBuf::from)
        .ok_or_else(|| "cargo metadata names no target folder".to_owned())
}

/// Writes a report with the findings of PACKAGES alone.
fn shorten(source: &Path, target: &Path) -> Result<(), String> {
    let text = fs::read(source).map_err(|error| format!("{}: {error}", source.display()))?;
    let mut report: Value =
        serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", source.display()))?;
    let found = report["Results"][0]["Vulnerabilities"]
        .as_array_mut()
        .ok_or_else(|| format!("{} has no findings", source.display()))?;
    found.retain(|one| {
        one["FixedVersion"].is_string() && PACKAGES.iter().any(|package| one["PkgName"] == *package)
    });
    if found.is_empty() {
        return Err(format!(
            "{} has no finding of {}",
            source.display(),
            PACKAGES.join(", ")
        ));
    }
    fs::write(target, report.to_string()).map_err(|error| format!("{}: {error}", target.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[&str]) -> Vec<String> {
        list.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn options_have_defaults_and_are_checked() {
        let options = Options::parse(&[]).unwrap();
        assert_eq!((options.runs, options.both, options.copa), (5, false, true));
        let options = Options::parse(&words(&["--runs", "3", "--both", "--without-copa"])).unwrap();
        assert_eq!((options.runs, options.both, options.copa), (3, true, false));
        for wrong in [
            &["--runs"][..],
            &["--runs", "0"],
            &["--runs", "x"],
            &["--out"],
            &["--help"],
        ] {
            assert!(Options::parse(&words(wrong)).is_err(), "{wrong:?}");
        }
    }
}
