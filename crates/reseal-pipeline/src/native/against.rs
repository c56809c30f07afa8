//! The files of a patch layer beside those of the signed packages: a second look that knows nothing of how they were laid
//! down.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io,
    path::Path,
};

use reseal_native::{ArchiveError, deb::with_data, settings::Diversions};
use reseal_oci::layer::{EntryKind, LayerError, Meaning, try_visit};
use reseal_pkg::dpkg::{self, Ownership};
use sha2::{Digest as _, Sha256};

use super::{Native, deb};
use crate::{
    error::PipelineError,
    lock::LockedPlatform,
    outcome::{PackageResult, PackageSource},
    patch_layer::real_path,
    read_back,
    source::SourcePlatform,
};

impl Native<'_> {
    /// Compares every file of the patch layer of a platform, its top one, with the one in its signed package, and returns the
    /// changed packages. `locked` is what the image carries about itself.
    ///
    /// # Errors
    /// [`PipelineError::Verification`] for a file that is not as it is in its package; those of reading image and packages.
    pub(crate) async fn against_packages(
        &self,
        platform: &SourcePlatform,
        locked: &LockedPlatform,
    ) -> Result<Vec<PackageResult>, PipelineError> {
        let name = platform.platform.to_string();
        let store = self.source.store.as_ref();
        let mut below = platform.manifest.clone();
        let Some(top) = below.layers.pop() else {
            return Err(PipelineError::Verification(format!(
                "the manifest of {name} has no layers"
            )));
        };
        let tree = super::base::tree(store, &below, &self.cache, &name).await?;
        let image = deb::Image::new(tree, &name)?;
        let pushed = read_back::contents_of(store, &top, &name, true).await?;
        let changes = dpkg::changes(&image.database, &pushed.database);
        let chosen = deb::Chosen::from_lock(locked);
        let repositories = image
            .repositories(&self.cache, self.settings)
            .map_err(|failure| failure.into_error(&platform.platform, "it made the image"))?;
        let debs = repositories.fetch(&chosen, &name).await?;
        let aliases = image.aliases();
        let layer = Layer {
            ownership: Ownership::from_lists(pushed.lists, &aliases),
            aliases,
            diversions: image.diversions()?,
            files: pushed.files,
        };
        let packages = chosen.packages;
        let of = name.clone();
        let counts = tokio::task::spawn_blocking(move || {
            let mut seen = BTreeSet::new();
            let mut counts = BTreeMap::new();
            for (package, path) in packages.iter().zip(&debs) {
                let count = layer
                    .compare(&package.name, &package.architecture, path, &mut seen)
                    .map_err(|error| error.of(&of, &package.name))?;
                let key = (package.name.clone(), package.architecture.clone());
                counts.insert(key, (package.digest.clone(), count));
            }
            layer.all_seen(&seen, &of)?;
            Ok::<_, PipelineError>(counts)
        })
        .await
        .expect("comparing files does not panic")?;
        changes
            .into_iter()
            .map(|change| {
                let key = (change.name.clone(), change.architecture.clone());
                let source = counts.get(&key).map(|(digest, files)| PackageSource {
                    digest: digest.clone(),
                    files: *files,
                });
                if source.is_none() && change.to.is_some() {
                    return Err(PipelineError::Verification(format!(
                        "{} of {name} changed, and no package is named that it came from",
                        change.name
                    )));
                }
                Ok(PackageResult {
                    name: change.name,
                    architecture: change.architecture,
                    from: change.from,
                    to: change.to,
                    source,
                })
            })
            .collect()
    }
}

/// A patch layer.
struct Layer {
    /// Digests by path.
    files: BTreeMap<String, [u8; 32]>,
    ownership: Ownership,
    aliases: Vec<(String, String)>,
    diversions: Diversions,
}

/// What ends a comparison.
enum Stop {
    Archive(ArchiveError),
    Differs(String),
}

impl From<ArchiveError> for Stop {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(error)
    }
}

impl From<LayerError> for Stop {
    fn from(error: LayerError) -> Self {
        Self::Archive(error.into())
    }
}

impl Stop {
    fn of(self, platform: &str, package: &str) -> PipelineError {
        match self {
            Self::Archive(source) => PipelineError::Native {
                platform: platform.to_owned(),
                source: reseal_native::NativeError::Archive {
                    package: package.to_owned(),
                    source,
                },
            },
            Self::Differs(path) => PipelineError::Verification(format!(
                "`{path}` in the layer of {platform} is not the file of the package {package}"
            )),
        }
    }
}

impl Layer {
    /// Compares the files that the layer has of one package with those in its archive, and returns how many there are.
    fn compare(
        &self,
        name: &str,
        architecture: &str,
        deb: &Path,
        seen: &mut BTreeSet<String>,
    ) -> Result<usize, Stop> {
        let stems = [name.to_owned(), format!("{name}:{architecture}")];
        let mut archive: BTreeMap<String, [u8; 32]> = BTreeMap::new();
        let mut count = 0;
        let file = File::open(deb).map_err(ArchiveError::Read)?;
        with_data(file, |data| {
            try_visit(data, Meaning::Plain, &mut |member, contents| {
                let digest = match member.kind {
                    EntryKind::File => {
                        let mut hasher = Sha256::new();
                        io::copy(contents, &mut hasher).map_err(ArchiveError::Read)?;
                        hasher.finalize().into()
                    }
                    EntryKind::Hardlink => match member.link.and_then(|link| archive.get(link)) {
                        Some(digest) => *digest,
                        None => return Ok(()),
                    },
                    _ => return Ok(()),
                };
                archive.insert(member.path.to_owned(), digest);
                let absolute = format!("/{}", member.path);
                let used = self.diversions.used(&absolute, name);
                let path = real_path(used.trim_start_matches('/'), &self.aliases);
                let Some(pushed) = self.files.get(&path) else {
                    return Ok(());
                };
                // Another package may have taken it over.
                let owner = self.ownership.package_of(member.path);
                if !owner.is_some_and(|owner| stems.iter().any(|stem| stem == owner)) {
                    return Ok(());
                }
                if *pushed != digest {
                    return Err(Stop::Differs(path));
                }
                seen.insert(path);
                count += 1;
                Ok(())
            })
        })?;
        Ok(count)
    }

    /// Refuses a file that belongs to a changed package and is in none.
    fn all_seen(&self, seen: &BTreeSet<String>, platform: &str) -> Result<(), PipelineError> {
        let stray = self
            .files
            .keys()
            .find(|path| !seen.contains(*path) && self.ownership.package_of(path).is_some());
        match stray {
            Some(path) => Err(PipelineError::Verification(format!(
                "`{path}` in the layer of {platform} is in none of the packages that it is said to be from"
            ))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A package with these files, uncompressed.
    fn deb(folder: &Path, files: &[(&str, &str)]) -> std::path::PathBuf {
        let mut data = tar::Builder::new(Vec::new());
        for (path, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            data.append_data(&mut header, path, text.as_bytes())
                .unwrap();
        }
        let control = tar::Builder::new(Vec::new()).into_inner().unwrap();
        let mut out = b"!<arch>\n".to_vec();
        for (name, bytes) in [
            ("debian-binary", b"2.0\n".to_vec()),
            ("control.tar", control),
            ("data.tar", data.into_inner().unwrap()),
        ] {
            out.extend(
                format!(
                    "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
                    0,
                    0,
                    0,
                    100_644,
                    bytes.len()
                )
                .into_bytes(),
            );
            out.extend(&bytes);
            if bytes.len() % 2 == 1 {
                out.push(b'\n');
            }
        }
        let path = folder.join("a.deb");
        std::fs::write(&path, out).unwrap();
        path
    }

    fn layer(files: &[(&str, &str)]) -> Layer {
        let lists = [
            ("a".to_owned(), b"/.\n/lib\n/lib/x\n/usr/bin/y\n".to_vec()),
            ("b:amd64".to_owned(), b"/.\n/usr/bin/taken\n".to_vec()),
        ];
        let aliases = vec![("lib".to_owned(), "usr/lib".to_owned())];
        Layer {
            files: files
                .iter()
                .map(|(path, text)| ((*path).to_owned(), Sha256::digest(text).into()))
                .collect(),
            ownership: Ownership::from_lists(lists, &aliases),
            aliases,
            diversions: Diversions::read(b"/usr/bin/y\n/usr/bin/y.real\n:\n").unwrap(),
        }
    }

    #[test]
    fn files_are_found_past_links_diversions_and_packages_that_took_over() {
        let folder = tempfile::tempdir().unwrap();
        let deb = deb(
            folder.path(),
            &[
                ("./lib/x", "x"),
                ("./usr/bin/y", "y"),
                ("./usr/bin/taken", "by b since"),
                ("./usr/share/excluded", "not in the layer"),
            ],
        );
        let layer = layer(&[
            ("usr/lib/x", "x"),
            ("usr/bin/y.real", "y"),
            ("usr/bin/taken", "b"),
        ]);
        let mut seen = BTreeSet::new();
        let count = layer.compare("a", "amd64", &deb, &mut seen).ok().unwrap();
        let expected = ["usr/bin/y.real", "usr/lib/x"].map(str::to_owned);
        assert_eq!((count, seen), (2, BTreeSet::from(expected)));
    }

    #[test]
    fn another_content_and_a_file_from_nowhere_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let deb = deb(folder.path(), &[("./lib/x", "x")]);
        let mut seen = BTreeSet::new();
        let changed = layer(&[("usr/lib/x", "changed")]);
        let stop = changed.compare("a", "amd64", &deb, &mut seen);
        assert!(matches!(stop, Err(Stop::Differs(path)) if path == "usr/lib/x"));
        let stray = layer(&[("usr/lib/x", "x"), ("usr/bin/taken", "b")]);
        assert!(stray.compare("a", "amd64", &deb, &mut seen).is_ok());
        let error = stray.all_seen(&seen, "linux/amd64").unwrap_err();
        assert!(error.to_string().contains("usr/bin/taken"), "{error}");
    }
}
