//! The main job: resolve, read, plan, solve, take only the patch, assemble, push, verify, and move the tag last.

mod sealing;

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use reseal_oci::{AppendMeta, Digest, RawManifest, annotation, append, assemble};
use reseal_plan::{FindingResult, count, verdicts};
use reseal_registry::{Registries, Target};
use tempfile::TempDir;

use crate::{
    created,
    destination::Destination,
    error::PipelineError,
    event::{Event, Events, Stage},
    gate::pass_gate,
    history,
    lock::Carried,
    make::{Done, Making, make},
    nothing::findings_without_image,
    outcome::{LayerResult, Outcome, PackageResult, PlatformResult, Preserved, RunResult, SCHEMA},
    patch_layer::{self, Finished},
    publish::{Pushable, Route, copy_root, publish},
    read_back,
    reports::{Basis, bases},
    settings::{Builder, Builders, PatchSettings},
    solve::{Job, Solved},
    source::{Patched, Source, resolve, store_error},
};

/// Patches an image. Until the last step nothing that a user can pull by name has changed.
///
/// # Errors
/// Every [`PipelineError`]; [`PipelineError::Gate`] carries the result of a run whose image was pushed by digest but
/// did not pass.
pub async fn patch(
    settings: &PatchSettings,
    registries: &Registries,
    builders: &dyn Builders,
    events: &Events,
) -> Result<RunResult, PipelineError> {
    let source = resolve(&settings.input, Patched::Base, registries, events).await?;
    let destination = Destination::new(settings, &source, registries)?;
    let (bases, mut warnings) = bases(&settings.input, &source)?;
    for warning in &warnings {
        events.send(Event::Warned(warning.clone()));
    }
    let mut run = Run::new(settings, &source, &destination, events);
    let built = run
        .build(&bases, registries, builders, &mut warnings)
        .await?;
    match built {
        // The folder with the layers goes when everything is pushed.
        Some(_folder) => run.publish_and_verify(&mut warnings).await,
        None => run.unchanged(warnings).await,
    }
}

/// Makes the patch of a lock again without publishing anything, and returns the digest of what would be pushed.
pub(crate) async fn rebuild(
    settings: &PatchSettings,
    registries: &Registries,
    events: &Events,
) -> Result<Digest, PipelineError> {
    let source = resolve(&settings.input, Patched::Base, registries, events).await?;
    let destination = Destination::new(settings, &source, registries)?;
    let (bases, mut warnings) = bases(&settings.input, &source)?;
    let mut run = Run::new(settings, &source, &destination, events);
    let built = run
        .build(&bases, registries, &NoBuilders, &mut warnings)
        .await?;
    if built.is_none() || run.pushables.is_empty() {
        return Ok(source.root.digest.clone());
    }
    Ok(run.root()?.0.digest)
}

/// For the native engine, which asks for none.
struct NoBuilders;

#[async_trait]
impl Builders for NoBuilders {
    async fn connect(&self) -> Result<Vec<Builder>, PipelineError> {
        Err(PipelineError::Capability {
            message: "Only the native engine repeats a patch".into(),
            hint: "Patch the image anew".into(),
        })
    }

    fn named(&self) -> bool {
        true
    }

    async fn close(&self) {}
}

struct Run<'a> {
    settings: &'a PatchSettings,
    source: &'a Source,
    destination: &'a Destination,
    events: &'a Events,
    preserved: Vec<Preserved>,
    /// Results by position among the source's platforms.
    platforms: BTreeMap<usize, PlatformResult>,
    /// What is pushed, by the digest of the base manifest.
    pushables: BTreeMap<Digest, Pushable>,
    /// What verification needs, by position.
    layers: BTreeMap<usize, (Solved, Finished)>,
}

impl<'a> Run<'a> {
    fn new(
        settings: &'a PatchSettings,
        source: &'a Source,
        destination: &'a Destination,
        events: &'a Events,
    ) -> Self {
        Self {
            settings,
            source,
            destination,
            events,
            preserved: source.preserved.clone(),
            platforms: BTreeMap::new(),
            pushables: BTreeMap::new(),
            layers: BTreeMap::new(),
        }
    }

    /// Makes the new manifests of all platforms. Returns the folder that their layers lie in; `None` when nothing was to do.
    async fn build(
        &mut self,
        bases: &[Basis],
        registries: &Registries,
        builders: &dyn Builders,
        warnings: &mut Vec<String>,
    ) -> Result<Option<TempDir>, PipelineError> {
        if let Some(lock) = &self.settings.native.lock {
            lock.is_for(self.source.platforms.iter().map(|one| &one.platform))?;
        }
        let jobs = self.jobs(bases);
        if jobs.is_empty() {
            return Ok(None);
        }
        let folder = tempfile::Builder::new()
            .prefix("reseal-")
            .tempdir_in(&self.settings.temp_dir)
            .map_err(|source| PipelineError::Io {
                action: format!("create a folder in `{}`", self.settings.temp_dir.display()),
                source,
            })?;
        let making = Making {
            source: self.source,
            settings: self.settings,
            registries,
            folder: folder.path(),
            events: self.events,
        };
        let made = make(&jobs, builders, making).await?;
        warnings.extend(made.warnings);
        for (place, reason) in made.failed {
            let platform = &self.source.platforms[place].platform;
            let warning = format!("patching {platform} failed, its original is kept: {reason}");
            self.events.send(Event::Warned(warning.clone()));
            warnings.push(warning);
            self.preserve(place, "patching failed");
        }
        self.finish(made.done, folder.path()).await?;
        Ok(Some(folder))
    }

    /// Sorts platforms into those that a builder has to work on and those that are done without one.
    fn jobs(&mut self, bases: &[Basis]) -> Vec<Job> {
        let mut jobs = Vec::new();
        let lock = self.settings.native.lock.as_ref();
        for (place, (platform, basis)) in self.source.platforms.iter().zip(bases).enumerate() {
            let name = &platform.platform;
            if lock.is_some_and(|lock| lock.platforms.iter().all(|one| one.platform != *name)) {
                self.preserve(place, "the lock does not name it");
                continue;
            }
            let report = match basis {
                Basis::Preserve => {
                    self.preserve(place, "no report speaks of it");
                    continue;
                }
                Basis::Report(report) => Some(report),
                Basis::All => None,
            };
            // A report in which nothing is to patch needs no builder, unless an earlier patch has to be made again.
            if platform.previous.is_none()
                && lock.is_none()
                && !self.settings.input.allow_report_mismatch
                && let Some(findings) = report
                    .and_then(|report| findings_without_image(report, &self.settings.input.policy))
            {
                self.platforms
                    .insert(place, self.unchanged_platform(place, findings, Vec::new()));
                continue;
            }
            jobs.push(Job {
                place,
                platform: platform.clone(),
                basis: basis.clone(),
            });
        }
        jobs
    }

    /// Turns raw layers into patch layers and appends them to the original manifests.
    async fn finish(
        &mut self,
        done: Vec<Done>,
        folder: &std::path::Path,
    ) -> Result<(), PipelineError> {
        let epoch = self.settings.epoch;
        let finished = try_join_all(done.into_iter().map(|done| {
            let place = done.solved.place;
            let platform = self.source.platforms[place].platform.clone();
            let blob = folder.join(format!("layer-{place}.tar.gz"));
            let events = self.events.clone();
            async move {
                events.send(Event::Started(Stage::Layer, Some(platform.clone())));
                let done = tokio::task::spawn_blocking(move || {
                    let name = platform.to_string();
                    let solved = &done.solved;
                    let finished = match &solved.raw {
                        Some(raw) => patch_layer::finish(
                            raw,
                            blob,
                            &solved.before,
                            &solved.aliases,
                            epoch,
                            &name,
                        )?,
                        None => None,
                    };
                    if let Some(finished) = &finished {
                        events.send(Event::Layer {
                            platform: platform.clone(),
                            size: finished.layer.size,
                            packages: finished.changes.len(),
                        });
                    }
                    events.send(Event::Finished(Stage::Layer, Some(platform)));
                    Ok::<_, PipelineError>((done, finished))
                })
                .await;
                done.expect("cleaning a layer does not panic")
            }
        }))
        .await?;
        for (done, finished) in finished {
            if let Some(finished) = finished {
                self.add(done, finished)?;
                continue;
            }
            let policy = &self.settings.input.policy;
            let Done {
                solved, emulated, ..
            } = done;
            let findings = verdicts(&solved.plan.findings, &solved.before, policy);
            let held = solved.plan.held.clone();
            let mut result = self.unchanged_platform(solved.place, findings, held);
            result.distribution = Some(solved.plan.distribution.clone());
            result.emulated = emulated;
            self.platforms.insert(solved.place, result);
        }
        Ok(())
    }

    fn add(&mut self, done: Done, finished: Finished) -> Result<(), PipelineError> {
        let Done {
            solved,
            engine,
            emulated,
        } = done;
        let place = solved.place;
        let platform = &self.source.platforms[place];
        let name = platform.platform.to_string();
        if self.settings.strict_layer && !finished.script_written.is_empty() {
            return Err(PipelineError::StrictLayer {
                platform: name,
                paths: finished.script_written.join(", "),
            });
        }
        let base = &platform.manifest.raw.digest;
        let created = match self.settings.epoch {
            Some(epoch) => created::from_epoch(epoch),
            None => created::at_least(platform.config.created.as_deref(), finished.epoch),
        };
        let mut annotations = self.annotations(base, Some(engine));
        annotations.insert(
            annotation::PATCH_LAYER.to_owned(),
            finished.layer.digest.to_string(),
        );
        let configured = solved
            .native
            .as_ref()
            .map_or(&[][..], |native| &native.unconfigured);
        // What a script wrote follows from no lock.
        if let Some(ingredients) = &solved.native
            && configured.is_empty()
        {
            annotations.insert(
                annotation::PATCH_LOCK.to_owned(),
                Carried {
                    generator: self.generator().to_owned(),
                    epoch: self.settings.epoch,
                    packages: ingredients.packages.clone(),
                }
                .to_text(),
            );
        }
        let meta = AppendMeta {
            created,
            created_by: format!(
                "{} upgraded {}",
                self.generator(),
                history::summary(&finished.changes)
            ),
            comment: "reseal".to_owned(),
            annotations,
        };
        let image = append(&platform.manifest, &platform.config, &finished.layer, &meta)?;
        let result = PlatformResult {
            platform: platform.platform.clone(),
            distribution: Some(solved.plan.distribution.clone()),
            source_digest: base.clone(),
            digest: image.manifest.digest.clone(),
            layer: Some(LayerResult {
                digest: finished.layer.digest.clone(),
                diff_id: finished.layer.diff_id.clone(),
                size: finished.layer.size,
            }),
            packages: finished
                .changes
                .iter()
                .map(|change| PackageResult {
                    name: change.name.clone(),
                    architecture: change.architecture.clone(),
                    from: change.from.clone(),
                    to: change.to.clone(),
                    source: None,
                })
                .collect(),
            findings: Vec::new(),
            held: solved.plan.held.clone(),
            script_written: finished.script_written.clone(),
            engine,
            configured: configured.to_vec(),
            emulated,
        };
        self.platforms.insert(place, result);
        let blob = finished.blob.clone();
        self.pushables
            .insert(base.clone(), Pushable { image, blob });
        self.layers.insert(place, (solved, finished));
        Ok(())
    }

    /// Name and version of the program that makes the patch, or of the one whose patch is repeated.
    fn generator(&self) -> &str {
        let lock = self.settings.native.lock.as_ref();
        lock.map_or(&self.settings.generator, |lock| &lock.generator)
    }

    /// What a patched manifest says about itself; an index, whose platforms may have several engines, names none.
    fn annotations(&self, base: &Digest, engine: Option<&str>) -> BTreeMap<String, String> {
        let lock = self.settings.native.lock.as_ref();
        let name = lock.map_or(&self.source.base_name, |lock| &lock.source.reference);
        let mut patch = serde_json::json!({"by": self.generator()});
        if let Some(engine) = engine {
            patch["engine"] = engine.into();
        }
        BTreeMap::from([
            (annotation::BASE_NAME.to_owned(), name.clone()),
            (annotation::BASE_DIGEST.to_owned(), base.to_string()),
            (annotation::PATCH_BASE.to_owned(), base.to_string()),
            (annotation::PATCH.to_owned(), patch.to_string()),
        ])
    }

    async fn publish_and_verify(
        mut self,
        warnings: &mut Vec<String>,
    ) -> Result<RunResult, PipelineError> {
        if self.pushables.is_empty() {
            return self.unchanged(std::mem::take(warnings)).await;
        }
        let (root, dropped) = self.root()?;
        self.events.send(Event::Started(Stage::Push, None));
        let route = Route {
            from: &self.source.store,
            to: &self.destination.store,
            same: self.destination.same,
        };
        publish(&route, &self.pushables, &self.source.root, &root).await?;
        self.events.send(Event::Finished(Stage::Push, None));

        self.events.send(Event::Started(Stage::Verify, None));
        self.verify(&root.digest).await?;
        self.events.send(Event::Finished(Stage::Verify, None));

        let outcome = if self.pushables.is_empty() {
            Outcome::Unchanged
        } else {
            Outcome::Patched
        };
        let mut result = self.result(outcome, &root.digest, std::mem::take(warnings));
        result.dropped_attestations = dropped;
        pass_gate(&mut result)?;
        self.seal(&root, &mut result).await?;
        self.tag(&root, &mut result).await?;
        Ok(result)
    }

    /// The rebuilt index, or the manifest where there is no index, and what it no longer lists.
    fn root(&self) -> Result<(RawManifest, Vec<Digest>), PipelineError> {
        let Some(index) = &self.source.index else {
            let only = self
                .pushables
                .values()
                .next()
                .expect("the caller checked that there is one");
            return Ok((only.image.manifest.clone(), Vec::new()));
        };
        // An earlier patch stays where this run made no new one.
        let mut replacements = self.source.earlier.clone();
        for (base, new) in &self.pushables {
            replacements.insert(base.clone(), new.image.descriptor.clone());
        }
        let assembled = assemble(
            index,
            &replacements,
            &self.annotations(&index.raw.digest, None),
        )?;
        Ok((
            assembled.index,
            assembled
                .dropped
                .into_iter()
                .map(|descriptor| descriptor.digest)
                .collect(),
        ))
    }

    async fn verify(&mut self, root: &Digest) -> Result<(), PipelineError> {
        let store = self.destination.store.as_ref();
        let raw = read_back::manifest(store, root).await?;
        let read = try_join_all(self.layers.iter().map(|(place, (solved, finished))| {
            let result = &self.platforms[place];
            let (raw, platform) = (&raw, result.platform.to_string());
            let digest = &result.digest;
            let hash = solved.native.is_some();
            async move {
                let layer = &finished.layer;
                let after = read_back::layer(store, raw, digest, layer, &platform, hash).await?;
                Ok::<_, PipelineError>((*place, after))
            }
        }))
        .await?;
        for (place, after) in read {
            let (solved, finished) = &self.layers[&place];
            if after.database.packages != finished.after.packages {
                return Err(PipelineError::Verification(format!(
                    "the package database of {} in the registry is not the one that was made",
                    solved.plan.platform
                )));
            }
            let policy = &self.settings.input.policy;
            let result = self
                .platforms
                .get_mut(&place)
                .expect("each layer has a result");
            result.findings = verdicts(&solved.plan.findings, &after.database, policy);
            if let Some(ingredients) = &solved.native {
                ingredients.prove(&after.files, result)?;
            }
        }
        Ok(())
    }

    async fn unchanged(self, warnings: Vec<String>) -> Result<RunResult, PipelineError> {
        let digest = self.source.pinned.digest.clone();
        let mut result = self.result(Outcome::Unchanged, &digest, warnings);
        result.patched = self.source.as_pinned();
        pass_gate(&mut result)?;
        if self.settings.tag_unchanged && self.destination.tag.is_some() {
            let route = Route {
                from: &self.source.store,
                to: &self.destination.store,
                same: self.destination.same,
            };
            copy_root(&route, &self.source.pinned).await?;
            result.patched = self.destination.pinned(&digest);
            self.seal(&self.source.pinned, &mut result).await?;
            self.tag(&self.source.pinned, &mut result).await?;
        }
        Ok(result)
    }

    fn result(&self, outcome: Outcome, digest: &Digest, warnings: Vec<String>) -> RunResult {
        let platforms: Vec<PlatformResult> = self.platforms.values().cloned().collect();
        let counts = count(platforms.iter().flat_map(|platform| &platform.findings));
        RunResult {
            schema: SCHEMA,
            outcome,
            source: self.source.as_pinned(),
            patched: self.destination.pinned(digest),
            tag: None,
            platforms,
            preserved: self.preserved.clone(),
            dropped_attestations: Vec::new(),
            counts,
            warnings,
            signatures: Vec::new(),
        }
    }

    /// The last step. The source's tag must still mean what was patched.
    async fn tag(&self, root: &RawManifest, result: &mut RunResult) -> Result<(), PipelineError> {
        let Some(tag) = &self.destination.tag else {
            return Ok(());
        };
        self.events.send(Event::Started(Stage::Tag, None));
        if let Some(source) = &self.source.tag {
            let now = self
                .source
                .store
                .resolve(&Target::Tag(source.clone()))
                .await
                .map_err(store_error(format!(
                    "check that `{}` has not moved",
                    self.source.name
                )))?;
            if now
                .as_ref()
                .is_none_or(|now| now.digest != self.source.pinned.digest)
            {
                return Err(PipelineError::TagMoved {
                    reference: self.source.name.clone(),
                    from: self.source.pinned.digest.clone(),
                    to: now.map_or_else(|| "nothing".to_owned(), |now| now.digest.to_string()),
                });
            }
        }
        self.destination
            .store
            .put_manifest(root, &Target::Tag(tag.clone()))
            .await
            .map_err(store_error(format!(
                "tag {} as `{tag}` in {}",
                root.digest,
                self.destination.store.describe()
            )))?;
        result.tag = Some(tag.to_string());
        self.events.send(Event::Finished(Stage::Tag, None));
        Ok(())
    }

    fn preserve(&mut self, place: usize, reason: &str) {
        let platform = &self.source.platforms[place];
        self.preserved.push(Preserved {
            platform: platform.platform.clone(),
            digest: platform.current().clone(),
            reason: reason.to_owned(),
        });
    }

    fn unchanged_platform(
        &self,
        place: usize,
        findings: Vec<FindingResult>,
        held: Vec<String>,
    ) -> PlatformResult {
        let platform = &self.source.platforms[place];
        PlatformResult::unchanged(&platform.platform, platform.current(), findings, held)
    }
}
