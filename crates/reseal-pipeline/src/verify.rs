//! `verify`: is each finding of the report gone, by the package databases in the layers?

use std::collections::BTreeSet;

use futures_util::future::try_join_all;
use reseal_pkg::OsRelease;
use reseal_plan::{FindingResult, LeftOut, Policy, Verdict, count, verdicts};
use reseal_registry::Registries;
use reseal_report::{Finding, Report};

use crate::{
    error::{Class, PipelineError},
    event::{Event, Events, Stage},
    facts,
    gate::pass_gate,
    native::Native,
    outcome::{Outcome, PlatformResult, Preserved, RunResult, SCHEMA},
    planning::plan,
    reports::{self, Basis, bases},
    reproduce::carried,
    seal::{self, Place, SealSettings, Targets, signed_name},
    settings::{Input, NamedReport, NativeSettings, Unreported},
    source::{Patched, Source, SourcePlatform, resolve},
    statements::{self, Names},
};

/// Settings of `verify`.
#[derive(Debug, Clone)]
pub struct VerifySettings {
    /// The patched image, and the reports that it was patched by.
    pub input: Input,
    /// Reports of a scan after the patch: they must agree.
    pub rescan_reports: Vec<NamedReport>,
    /// How packages are fetched to compare the files of the patch layers with; they are not when `None`.
    pub packages: Option<NativeSettings>,
    /// How it is attested that the image passed; not at all when `None`.
    pub seal: Option<SealSettings>,
}

/// Verifies an image from its own layers: the top one with a package database decides.
///
/// # Errors
/// [`PipelineError::Gate`] with the result when a finding remains, comes back or is new; [`PipelineError::Verification`] when a
/// file is not as it is in its package; those of reading image, reports and packages.
pub async fn verify(
    settings: &VerifySettings,
    registries: &Registries,
    events: &Events,
) -> Result<RunResult, PipelineError> {
    if settings.input.reports.is_empty() {
        return Err(PipelineError::Usage {
            message: "verify needs the report that the image was patched by".into(),
            hint: Some("Give it with `-r`".into()),
        });
    }
    let source = resolve(&settings.input, Patched::Itself, registries, events).await?;
    let (bases, warnings) = bases(&settings.input, &source)?;
    events.send(Event::Started(Stage::Verify, None));
    let mut result = RunResult {
        schema: SCHEMA,
        outcome: Outcome::Verified,
        source: source.as_pinned(),
        patched: source.as_pinned(),
        tag: None,
        platforms: Vec::new(),
        preserved: source.preserved.clone(),
        dropped_attestations: Vec::new(),
        counts: reseal_plan::Counts::default(),
        warnings,
        signatures: Vec::new(),
    };
    let mut verified = Vec::new();
    for (platform, basis) in source.platforms.iter().zip(&bases) {
        match basis {
            Basis::Report(report) => verified.push((platform, report)),
            Basis::All | Basis::Preserve => result.preserved.push(Preserved {
                platform: platform.platform.clone(),
                digest: platform.manifest.raw.digest.clone(),
                reason: "no report speaks of it: not verified".to_owned(),
            }),
        }
    }
    result.platforms = try_join_all(
        verified
            .into_iter()
            .map(|(platform, report)| verify_platform(&source, platform, report, &settings.input)),
    )
    .await?;
    if let Some(packages) = &settings.packages {
        against_packages(settings, packages, &source, &mut result, events).await?;
    }
    result.counts = count(
        result
            .platforms
            .iter()
            .flat_map(|platform| &platform.findings),
    );
    agree(settings, &source, &mut result)?;
    pass_gate(&mut result)?;
    events.send(Event::Finished(Stage::Verify, None));
    if let Some(seal) = &settings.seal {
        attest(settings, &source, &mut result, seal, events).await?;
    }
    Ok(result)
}

/// Compares the files of the patch layers with those of the signed packages that the image says it was made from.
async fn against_packages(
    settings: &VerifySettings,
    packages: &NativeSettings,
    source: &Source,
    result: &mut RunResult,
    events: &Events,
) -> Result<(), PipelineError> {
    let lock = carried(source).await?;
    let native = NativeSettings {
        lock: Some(lock.clone()),
        ..packages.clone()
    };
    let engine = &Native::open(source, &settings.input, &native, events)?;
    let compared = result.platforms.iter().map(|verified| {
        let (lock, of) = (&lock, &verified.platform);
        async move {
            let platform = source.platforms.iter().find(|one| one.platform == *of);
            let locked = lock.platforms.iter().find(|one| one.platform == *of);
            match (platform, locked) {
                (Some(platform), Some(locked)) => engine.against_packages(platform, locked).await,
                // It passed through the patch as it was.
                _ => Ok(Vec::new()),
            }
        }
    });
    let compared = try_join_all(compared).await?;
    for (platform, packages) in result.platforms.iter_mut().zip(compared) {
        platform.packages = packages;
    }
    Ok(())
}

/// Attests that the image passed.
async fn attest(
    settings: &VerifySettings,
    source: &Source,
    result: &mut RunResult,
    seal: &SealSettings,
    events: &Events,
) -> Result<(), PipelineError> {
    let name = signed_name(&settings.input.source);
    let names = Names {
        source: &name,
        patched: &name,
    };
    let reports = [&settings.input.reports[..], &settings.rescan_reports].concat();
    let facts = statements::facts(result, &reports, names, seal.run_until_now());
    let place = Place {
        store: source.store.as_ref(),
        name: &name,
    };
    let targets = Targets {
        root: source.pinned.descriptor(),
        children: Vec::new(),
        sign: false,
        statements: &[statements::verified(&facts)],
    };
    result.signatures = seal::seal(&place, &targets, &seal.session, events).await?;
    Ok(())
}

async fn verify_platform(
    source: &Source,
    platform: &SourcePlatform,
    report: &Report,
    input: &Input,
) -> Result<PlatformResult, PipelineError> {
    let name = platform.platform.to_string();
    let found = facts::from_layers(source.store.as_ref(), &platform.manifest, &name, true).await?;
    // The report is bound to the image by its layers; its family stands in where os-release lies further down.
    let os = found.os.unwrap_or_else(|| OsRelease {
        id: report.family.clone().unwrap_or_else(|| "debian".to_owned()),
        version_id: report.os_version.clone(),
        id_like: Vec::new(),
        version_codename: None,
        pretty_name: None,
    });
    let facts = platform.facts(os, found.database, None);
    let plan = plan(&facts, Some(report), &input.policy)?;
    let findings = verdicts(&plan.findings, &facts.database, &input.policy);
    let digest = &platform.manifest.raw.digest;
    Ok(PlatformResult {
        distribution: Some(plan.distribution),
        ..PlatformResult::unchanged(&platform.platform, digest, findings, plan.held)
    })
}

/// Whether a filter leaves a finding out; what only may be left out counts.
fn excludes(policy: &Policy, finding: &Finding) -> bool {
    let source = finding.source.as_ref().map(|source| source.name.as_str());
    match policy.leaves_out(finding, source) {
        Some(LeftOut::Filter) => policy.can_judge(finding),
        Some(LeftOut::Unfixed) => true,
        Some(LeftOut::Severity) | None => false,
    }
}

/// A scan after the patch must find none of what counts as fixed, and nothing new at or above the gate.
fn agree(
    settings: &VerifySettings,
    source: &Source,
    result: &mut RunResult,
) -> Result<(), PipelineError> {
    if settings.rescan_reports.is_empty() {
        return Ok(());
    }
    let rescans = Input {
        reports: settings.rescan_reports.clone(),
        unreported: Unreported::Fail,
        allow_report_mismatch: false,
        ..settings.input.clone()
    };
    let (bases, warnings) = reports::bases(&rescans, source)?;
    result.warnings.extend(warnings);
    let (mut again, mut new_at_gate) = (Vec::new(), Vec::new());
    for (platform, basis) in source.platforms.iter().zip(&bases) {
        let Basis::Report(rescan) = basis else {
            continue;
        };
        if rescan.packages.is_empty() && rescan.findings.is_empty() {
            return Err(PipelineError::Mismatch {
                message: format!(
                    "The scan after the patch lists no package of {}: it proves nothing",
                    platform.platform
                ),
                hint: "Scan with `trivy image --format json --list-all-pkgs`".into(),
            });
        }
        let Some(verified) = result
            .platforms
            .iter()
            .find(|verified| verified.platform == platform.platform)
        else {
            continue;
        };
        let key =
            |finding: &FindingResult| (finding.finding.id.clone(), finding.finding.package.clone());
        let known: BTreeSet<_> = verified.findings.iter().map(key).collect();
        let gone: BTreeSet<_> = verified
            .findings
            .iter()
            .filter(|finding| matches!(finding.verdict, Verdict::Fixed | Verdict::Removed))
            .map(key)
            .collect();
        for finding in &rescan.findings {
            let key = (finding.id.clone(), finding.package.clone());
            if gone.contains(&key) {
                again.push(format!("{} in {}", key.0, key.1));
            } else if !known.contains(&key) {
                result.counts.new += 1;
                let policy = &settings.input.policy;
                if policy.gates(finding.severity) && !excludes(policy, finding) {
                    new_at_gate.push(format!("{} in {}", key.0, key.1));
                }
            }
        }
    }
    let (class, message) = match (again.as_slice(), new_at_gate.as_slice()) {
        ([], []) => return Ok(()),
        ([], new) => (
            Class::NewFinding,
            format!(
                "The scan after the patch found something new: {}",
                new.join(", ")
            ),
        ),
        (again, _) => (
            Class::Residual,
            format!(
                "The scan after the patch still found what counts as fixed: {}",
                again.join(", ")
            ),
        ),
    };
    result.outcome = Outcome::Residual;
    Err(PipelineError::Gate {
        message,
        class,
        result: Box::new(result.clone()),
    })
}
