//! Debian and Ubuntu: apt's repositories and choice, dpkg's way of unpacking.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, BufWriter, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use reseal_native::{Deb, NativeError, Order, Scripts, lay_down, settings::Diversions};
use reseal_oci::Digest;
use reseal_pkg::dpkg::{Candidate, Database};
use reseal_plan::{Mode, PlatformPlan};
use reseal_repo::{
    Cache, Folder,
    deb::{AptSettings, Release, Repositories, read_auth, read_settings, read_sources_for},
};
use reseal_resolve::{
    Preferences, ReleaseInfo, Resolution, Resolved, Universe, Want, resolve, upgrades_by_source,
};
use reseal_rootfs::Tree;

use super::{Failure, FileProof, repository_error};
use crate::{
    error::PipelineError,
    facts::{DPKG_STATUS, MERGED, no_database},
    lock::{LockedIndex, LockedPackage, LockedPlatform, LockedRepository, hex},
    settings::NativeSettings,
};

/// How often the resolver may ask for more candidates. Each time a layer of dependencies is added; chains are short.
const ROUNDS: usize = 32;
/// Packages that are fetched at once.
const PARALLEL: usize = 4;

/// An image of the family.
pub(super) struct Image {
    tree: Arc<Tree>,
    /// The package database.
    pub database: Arc<Database>,
    /// dpkg's name of its architecture.
    architecture: String,
    /// The other architectures that it takes packages of.
    foreign: Vec<String>,
    platform: String,
}

/// Packages, and where they were chosen from.
#[derive(Default)]
pub(super) struct Chosen {
    /// Sorted by name and architecture.
    pub packages: Vec<LockedPackage>,
    /// The repositories; none with a lock.
    pub repositories: Vec<LockedRepository>,
    /// Packages that stay although they were asked for, each with the reason.
    pub kept_back: Vec<(String, String)>,
    /// What is odd about the repositories.
    pub warnings: BTreeSet<String>,
    /// The candidates, in the same order as the packages; none with a lock.
    candidates: Vec<Candidate>,
}

impl Chosen {
    /// Takes what a lock says.
    pub(super) fn from_lock(locked: &LockedPlatform) -> Self {
        let mut packages = locked.packages.clone();
        packages.sort();
        Self {
            packages,
            ..Self::default()
        }
    }

    /// Drops what is needed only to fetch the packages.
    pub(super) fn forget_candidates(&mut self) {
        self.candidates = Vec::new();
    }
}

/// What was laid down.
pub(super) struct Laid {
    /// The digests of the files that are in the layer.
    pub files: Vec<FileProof>,
    /// Packages that the image's dpkg has to configure.
    pub unconfigured: Vec<String>,
}

/// The image's repositories, and what it says about choosing from them.
pub(super) struct Sources {
    repositories: Repositories,
    settings: AptSettings,
    preferences: Preferences,
}

impl Image {
    /// Reads the package database.
    pub(super) fn new(tree: Tree, platform: &str) -> Result<Self, PipelineError> {
        let status = tree
            .contents(DPKG_STATUS)
            .ok_or_else(|| no_database(platform))?;
        let database = Database::parse(status).map_err(|source| PipelineError::Package {
            platform: platform.to_owned(),
            source,
        })?;
        // dpkg itself has the architecture that the system is of.
        let architecture = database
            .find("dpkg")
            .first()
            .map(|package| package.architecture.clone())
            .ok_or_else(|| PipelineError::Image {
                image: platform.to_owned(),
                message: "it has no dpkg, so its architecture is unknown".into(),
                hint: None,
            })?;
        let foreign = tree
            .contents("var/lib/dpkg/arch")
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .unwrap_or_default()
            .lines()
            .filter(|line| !line.is_empty() && *line != architecture)
            .map(str::to_owned)
            .collect();
        Ok(Self {
            tree: Arc::new(tree),
            database: Arc::new(database),
            architecture,
            foreign,
            platform: platform.to_owned(),
        })
    }

    /// Returns the image's files.
    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Returns links such as `lib` → `usr/lib`.
    pub(super) fn aliases(&self) -> Vec<(String, String)> {
        MERGED
            .iter()
            .filter_map(|path| {
                let target = self.tree.node(path)?.link?;
                Some((
                    (*path).to_owned(),
                    target.trim_start_matches('/').to_owned(),
                ))
            })
            .collect()
    }

    /// Returns the image's diversions.
    pub(super) fn diversions(&self) -> Result<Diversions, PipelineError> {
        let bytes = self.tree.contents("var/lib/dpkg/diversions");
        Diversions::read(bytes.unwrap_or_default()).map_err(|refusal| PipelineError::Native {
            platform: self.platform.clone(),
            source: refusal.into(),
        })
    }

    fn files(&self, prefix: &str) -> BTreeMap<String, Vec<u8>> {
        self.tree
            .paths_with_contents(prefix)
            .map(|(path, bytes)| (path.to_owned(), bytes.to_vec()))
            .collect()
    }

    /// Opens the repositories that the image names. Nothing is fetched yet.
    pub(super) fn repositories(
        &self,
        cache: &Cache,
        native: &NativeSettings,
    ) -> Result<Sources, Failure> {
        let wrap = repository_error(&self.platform);
        let mut files = self.files("etc/apt/");
        let sources = read_sources_for(&files, &self.architecture, &self.foreign).map_err(&wrap)?;
        let settings = read_settings(&files);
        let preferences = Preferences::parse(&files);
        if let Some(reason) = settings.unsupported.first()
            && native.lock.is_none()
        {
            return Err(Failure::Refused(reason.clone()));
        }
        // Keyrings lie in both folders.
        files.extend(self.files("usr/share/keyrings/"));
        let mut http = native.http()?;
        http.auth.extend(read_auth(&files).map_err(&wrap)?);
        let apt = settings.clone();
        let repositories =
            Repositories::open(sources, apt, &files, cache.clone(), http, native.now);
        Ok(Sources {
            repositories: match &native.packages {
                Some(folder) => repositories.with_folder(Folder::open(folder).map_err(&wrap)?),
                None => repositories,
            },
            settings,
            preferences,
        })
    }

    /// Chooses packages as the image's apt would.
    pub(super) async fn choose(
        &self,
        sources: &Sources,
        plan: &PlatformPlan,
    ) -> Result<Chosen, Failure> {
        let wrap = repository_error(&self.platform);
        let Sources {
            repositories,
            settings,
            preferences,
        } = sources;
        let by_source = upgrades_by_source(&self.database)
            && settings.flag("APT::Get::Upgrade-By-Source-Package") != Some(false);
        let releases = repositories.refresh().await.map_err(&wrap)?;
        let infos: Vec<ReleaseInfo> = releases.iter().map(info).collect();
        let want = match plan.mode {
            Mode::Report => Want::Packages(
                plan.packages
                    .iter()
                    .map(|package| (package.name.clone(), package.architecture.clone()))
                    .collect(),
            ),
            Mode::All => Want::All,
        };
        // What new versions need is nearly always installed: then the lists are read once.
        let mut known: BTreeSet<String> = self
            .database
            .installed()
            .map(|package| package.name.clone())
            .collect();
        let mut candidates = repositories.candidates(&known).await.map_err(&wrap)?;
        for _ in 0..ROUNDS {
            let universe = Universe {
                installed: &self.database,
                candidates: &candidates,
                releases: &infos,
                preferences,
                default_release: settings.default_release.clone(),
                by_source,
                architecture: self.architecture.clone(),
                foreign: self.foreign.clone(),
                known: known.clone(),
            };
            match resolve(&universe, &want).map_err(|error| Failure::Refused(error.to_string()))? {
                Resolved::Done(resolution) => {
                    if plan.mode == Mode::All && self.has_machine_id() {
                        not_phased(&resolution, &candidates)?;
                    }
                    return Ok(chosen(&resolution, candidates, &releases));
                }
                Resolved::NeedsCandidates(names) => {
                    known.extend(names);
                    candidates = repositories.candidates(&known).await.map_err(&wrap)?;
                }
            }
        }
        Err(Failure::Refused(
            "its dependencies go deeper than those of any distribution".to_owned(),
        ))
    }

    /// Tells whether apt can tell this system from others, by which it decides on phased updates.
    fn has_machine_id(&self) -> bool {
        self.tree
            .contents("etc/machine-id")
            .is_some_and(|id| !matches!(id.trim_ascii(), b"" | b"uninitialized"))
    }

    /// Lays the packages down into a raw layer, or into nothing to see whether they qualify; with `ahead` on two processors.
    pub(super) async fn lay_down(
        &self,
        chosen: &Chosen,
        files: Vec<PathBuf>,
        raw: Option<&Path>,
        scripts: Scripts,
        ahead: bool,
    ) -> Result<Laid, Failure> {
        let (tree, database) = (self.tree.clone(), self.database.clone());
        let (architecture, packages) = (self.architecture.clone(), chosen.packages.clone());
        let (platform, raw) = (self.platform.clone(), raw.map(Path::to_owned));
        tokio::task::spawn_blocking(move || {
            let io = |source| PipelineError::Io {
                action: match &raw {
                    Some(raw) => format!("write the layer file `{}`", raw.display()),
                    None => "lay packages down".to_owned(),
                },
                source,
            };
            let opens: Vec<_> = files
                .iter()
                .map(|path| move || Ok(Box::new(File::open(path)?) as Box<dyn Read + '_>))
                .collect();
            let debs = packages
                .iter()
                .zip(&opens)
                .map(|(package, open)| Deb {
                    name: &package.name,
                    architecture: &package.architecture,
                    version: &package.version,
                    sha256: hex(&package.digest),
                    open: open as &(dyn Fn() -> io::Result<Box<dyn Read>> + Sync),
                })
                .collect();
            let order = Order {
                tree: &tree,
                database: &database,
                debs,
                new: packages
                    .iter()
                    .filter(|package| package.new)
                    .map(|package| (package.name.clone(), package.architecture.clone()))
                    .collect(),
                architecture: &architecture,
                scripts,
                ahead,
            };
            let mut out: Box<dyn io::Write> = match &raw {
                Some(raw) => Box::new(BufWriter::new(File::create(raw).map_err(io)?)),
                None => Box::new(io::sink()),
            };
            let laid = lay_down(&order, &mut out).map_err(|error| match error {
                NativeError::Refused(refusal) => Failure::Refused(refusal.to_string()),
                error => Failure::Error(PipelineError::Native {
                    platform: platform.clone(),
                    source: error,
                }),
            })?;
            out.flush().map_err(io)?;
            Ok(Laid {
                unconfigured: laid.unconfigured().map(str::to_owned).collect(),
                files: laid
                    .files
                    .into_iter()
                    .map(|proof| FileProof {
                        path: proof.path,
                        package: (proof.package, proof.architecture),
                        sha256: proof.sha256,
                    })
                    .collect(),
            })
        })
        .await
        .expect("laying packages down does not panic")
    }
}

impl Sources {
    /// Fetches packages, each checked by size and digest, in their order.
    pub(super) async fn fetch(
        &self,
        chosen: &Chosen,
        platform: &str,
    ) -> Result<Vec<PathBuf>, PipelineError> {
        let wrap = repository_error(platform);
        let one = |place: usize| async move {
            match chosen.candidates.get(place) {
                Some(candidate) => self.repositories.fetch(candidate).await,
                None => {
                    self.repositories
                        .fetch_named(&chosen.packages[place].file())
                        .await
                }
            }
        };
        stream::iter(0..chosen.packages.len())
            .map(one)
            .buffered(PARALLEL)
            .try_collect()
            .await
            .map_err(wrap)
    }
}

/// Refuses updates that are not yet for everybody: whether they are for this system only its apt can tell.
fn not_phased(resolution: &Resolution, candidates: &[Candidate]) -> Result<(), Failure> {
    let picked = resolution.upgrades.iter().chain(&resolution.new);
    for candidate in picked.filter_map(|place| candidates.get(*place)) {
        if let Some(percentage) = candidate.phased.filter(|percentage| *percentage < 100) {
            return Err(Failure::Refused(format!(
                "{} {} is for {percentage} % of machines by now, and the image has a machine id, by which its apt decides",
                candidate.name, candidate.version
            )));
        }
    }
    Ok(())
}

fn info(release: &Release) -> ReleaseInfo {
    ReleaseInfo {
        origin: release.origin.clone(),
        label: release.label.clone(),
        suite: release.suite.clone(),
        codename: release.codename.clone(),
        version: release.version.clone(),
        component: release.component.clone(),
        site: release.source.site(),
        not_automatic: release.not_automatic,
        but_automatic_upgrades: release.but_automatic_upgrades,
    }
}

fn chosen(resolution: &Resolution, candidates: Vec<Candidate>, releases: &[Release]) -> Chosen {
    let new: BTreeSet<usize> = resolution.new.iter().copied().collect();
    let mut picked: Vec<(LockedPackage, Candidate)> = candidates
        .into_iter()
        .enumerate()
        .filter(|(place, _)| resolution.upgrades.contains(place) || new.contains(place))
        .map(|(place, candidate)| (locked(&candidate, new.contains(&place)), candidate))
        .collect();
    picked.sort_by(|a, b| a.0.cmp(&b.0));
    let (packages, candidates) = picked.into_iter().unzip();
    Chosen {
        packages,
        repositories: releases.iter().map(repository).collect(),
        kept_back: resolution.kept_back.clone(),
        warnings: releases
            .iter()
            .flat_map(|one| one.warnings.clone())
            .collect(),
        candidates,
    }
}

fn locked(candidate: &Candidate, new: bool) -> LockedPackage {
    LockedPackage {
        name: candidate.name.clone(),
        architecture: candidate.architecture.clone(),
        version: candidate.version.clone(),
        filename: candidate.filename.clone(),
        size: candidate.size,
        digest: sha256(&candidate.sha256),
        new,
    }
}

fn repository(release: &Release) -> LockedRepository {
    LockedRepository {
        uri: release.source.uri.clone(),
        suite: release.source.suite.clone(),
        release: sha256(&release.digest.to_string()),
        indexes: release
            .indexes
            .iter()
            .filter_map(|index| {
                let plain = index.plain.map(|(_, digest)| digest);
                let digest = plain.or(index.variants.first().map(|variant| variant.digest))?;
                Some(LockedIndex {
                    path: index.path.clone(),
                    digest: sha256(&digest.to_string()),
                })
            })
            .collect(),
    }
}

/// A digest that a signed index named: its form was checked when the index was read.
fn sha256(hex: &str) -> Digest {
    format!("sha256:{}", hex.trim_start_matches("sha256:"))
        .parse()
        .expect("indexes are read with 64 hexadecimal digits only")
}
