//! Reads Trivy's reports: the object of `SchemaVersion` 2, and the array of older versions.

use std::{collections::HashMap, fmt};

use serde::{
    Deserialize,
    de::{Deserializer, Visitor},
};

use crate::{
    Finding, Report, ReportError, ReportPackage, ReportPlatform, Scanner, Schema, SourcePackage,
    document::{Document, Members},
    family, findings,
    loose::loose,
};

loose! {
    struct Metadata {
        os: Os = "OS",
        image_id: String = "ImageID",
        diff_ids: Vec<String> = "DiffIDs",
        repo_digests: Vec<String> = "RepoDigests",
        config: Config = "ImageConfig",
    }
    struct Os {
        family: String = "Family",
        name: String = "Name",
        end_of_life: bool = "EOSL",
    }
    struct Config {
        os: String = "os",
        architecture: String = "architecture",
        variant: String = "variant",
        rootfs: RootFs = "rootfs",
    }
    struct RootFs {
        diff_ids: Vec<String> = "diff_ids",
    }
    struct Program {
        version: String = "Version",
    }
    struct Target {
        text: String = "Target",
        // The key of the first versions, up to 0.0.x.
        file: String = "file",
        class: String = "Class",
        kind: String = "Type",
        vulnerabilities: Vec<Vulnerability> = "Vulnerabilities",
        packages: Vec<Package> = "Packages",
    }
    struct Vulnerability {
        id: String = "VulnerabilityID",
        vendor_ids: Vec<String> = "VendorIDs",
        package_id: String = "PkgID",
        package: String = "PkgName",
        identifier: Identifier = "PkgIdentifier",
        installed: String = "InstalledVersion",
        fixed: String = "FixedVersion",
        severity: String = "Severity",
        status: Status = "Status",
        title: String = "Title",
    }
    struct Identifier {
        uid: String = "UID",
        purl: String = "PURL",
    }
    struct Package {
        id: String = "ID",
        name: String = "Name",
        identifier: Identifier = "Identifier",
        version: String = "Version",
        release: String = "Release",
        epoch: u64 = "Epoch",
        architecture: String = "Arch",
        source_name: String = "SrcName",
        source_version: String = "SrcVersion",
        source_release: String = "SrcRelease",
        source_epoch: u64 = "SrcEpoch",
    }
}

/// The status word; a number in the form that the Trivy server sends.
#[derive(Default)]
struct Status(Option<String>);

/// Trivy's status words by their number.
const STATUSES: &[&str] = &[
    "unknown",
    "not_affected",
    "affected",
    "fixed",
    "under_investigation",
    "will_not_fix",
    "fix_deferred",
    "end_of_life",
];

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Word;
        impl Visitor<'_> for Word {
            type Value = Status;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status")
            }

            fn visit_str<E>(self, word: &str) -> Result<Status, E> {
                Ok(Status(given(word.to_owned())))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Status, E> {
                let word = usize::try_from(number).ok().and_then(|at| STATUSES.get(at));
                Ok(Status(word.map(|word| (*word).to_owned())))
            }
        }
        deserializer.deserialize_any(Word)
    }
}

/// Reads the object form.
pub(crate) fn parse_object<'a>(
    document: Document<'a>,
    members: &Members<'a>,
) -> Result<Report, ReportError> {
    let program: Program = document.member(members, "trivy")?;
    let scanner_version = given(program.version);
    let is_report = ["artifactname", "artifacttype", "metadata", "results"]
        .iter()
        .any(|key| members.has(key));
    let unsupported = |found: &str| ReportError::UnsupportedSchema {
        found: found.chars().take(MAX_FOUND).collect(),
        supported: "2",
        scanner_version: scanner_version.clone(),
    };
    match members.get("schemaversion").map(|raw| raw.get().trim()) {
        Some("2") if is_report => {}
        None if is_report => return Err(unsupported("(none)")),
        Some("2") | None => return Err(crate::formats::wrong("a JSON document of another kind")),
        Some(other) => return Err(unsupported(other)),
    }
    let artifact_type = given(document.member::<String>(members, "artifacttype")?);
    if let Some(artifact_type) = &artifact_type
        && !artifact_type.eq_ignore_ascii_case("container_image")
    {
        return Err(ReportError::NotAnImage {
            artifact_type: artifact_type.clone(),
        });
    }
    let metadata: Metadata = document.member(members, "metadata")?;
    let targets: Vec<Target> = document.member(members, "results")?;
    let mut report = blank(Schema::V2);
    report.scanner_version = scanner_version;
    report.artifact_name = document.member(members, "artifactname")?;
    report.artifact_type = artifact_type;
    report.created_at = given(document.member::<String>(members, "createdat")?)
        // Go's zero time: the version knows the field, the run did not set it.
        .filter(|time| !time.starts_with("0001-"));
    report.family = family::normalise(&metadata.os.family);
    report.os_version = given(metadata.os.name);
    report.end_of_life = metadata.os.end_of_life;
    report.platform = platform(
        metadata.config.os,
        metadata.config.architecture,
        metadata.config.variant,
    );
    report.image_id = given(metadata.image_id);
    report.diff_ids = metadata.diff_ids;
    if report.diff_ids.is_empty() {
        report.diff_ids = metadata.config.rootfs.diff_ids;
    }
    report.repo_digests = metadata.repo_digests;
    add_targets(&mut report, targets);
    Ok(report)
}

/// The longest `SchemaVersion` that is repeated, in characters.
const MAX_FOUND: usize = 40;

/// Reads the array form: a report from before 0.20, or the bare `Results` of a newer one.
pub(crate) fn parse_array<'a>(
    document: Document<'a>,
    part: &'a str,
) -> Result<Report, ReportError> {
    let targets: Vec<Target> = document.read(part)?;
    let mut report = blank(Schema::Legacy);
    add_targets(&mut report, targets);
    Ok(report)
}

fn blank(schema: Schema) -> Report {
    Report {
        scanner: Scanner::Trivy,
        scanner_version: None,
        schema,
        artifact_name: String::new(),
        artifact_type: None,
        created_at: None,
        family: None,
        os_version: None,
        end_of_life: false,
        platform: None,
        image_id: None,
        diff_ids: Vec::new(),
        repo_digests: Vec::new(),
        has_os_result: false,
        findings: Vec::new(),
        packages: Vec::new(),
        other_findings: 0,
    }
}

/// Returns the platform of a config; reports of anything but images have an empty one.
pub(crate) fn platform(
    os: String,
    architecture: String,
    variant: String,
) -> Option<ReportPlatform> {
    let architecture = given(architecture)?;
    Some(ReportPlatform {
        os: given(os).unwrap_or_else(|| "linux".to_owned()),
        architecture,
        variant: given(variant),
    })
}

fn add_targets(report: &mut Report, targets: Vec<Target>) {
    let mut list = findings::Unique::default();
    for target in targets {
        let name = given(target.text.clone()).unwrap_or_else(|| target.file.clone());
        if !is_os(&target, &name) {
            report.other_findings += target.vulnerabilities.len();
            continue;
        }
        report.has_os_result = true;
        if report.family.is_none() {
            report.family = family::normalise(&target.kind);
        }
        if let Some(told) = family::of_target(&name) {
            report.family.get_or_insert_with(|| told.family.to_owned());
            if report.os_version.is_none() {
                report.os_version = given(told.version.to_owned());
            }
            if report.artifact_name.is_empty() {
                told.artifact.clone_into(&mut report.artifact_name);
            }
        }
        let index = Index::new(&target.packages);
        for vulnerability in target.vulnerabilities {
            let package = index.find(&vulnerability).map(|at| &target.packages[at]);
            list.add(finding(vulnerability, package));
        }
        report
            .packages
            .extend(target.packages.iter().map(report_package));
    }
    report.findings = list.into_findings();
}

/// Tells whether a target is the distribution's packages. Up to 0.18 there is no `Class`, up to 0.6
/// not even a `Type`: then only the target's text tells.
fn is_os(target: &Target, name: &str) -> bool {
    if !target.class.is_empty() {
        return target.class.eq_ignore_ascii_case("os-pkgs");
    }
    if !target.kind.is_empty() {
        return family::is_family(&target.kind);
    }
    family::of_target(name).is_some()
}

/// Finds the package of a finding: by unique id, else by package id, else by name and version.
struct Index<'a> {
    uids: HashMap<&'a str, usize>,
    ids: HashMap<&'a str, usize>,
    versions: HashMap<(&'a str, String), usize>,
}

impl<'a> Index<'a> {
    fn new(packages: &'a [Package]) -> Self {
        let mut out = Self {
            uids: HashMap::new(),
            ids: HashMap::new(),
            versions: HashMap::new(),
        };
        for (at, package) in packages.iter().enumerate() {
            out.uids.entry(&package.identifier.uid).or_insert(at);
            out.ids.entry(&package.id).or_insert(at);
            out.versions
                .entry((&package.name, version(package)))
                .or_insert(at);
        }
        out
    }

    fn find(&self, finding: &Vulnerability) -> Option<usize> {
        let by = |map: &HashMap<&str, usize>, id: &str| {
            (!id.is_empty()).then(|| map.get(id).copied()).flatten()
        };
        by(&self.uids, &finding.identifier.uid)
            .or_else(|| by(&self.ids, &finding.package_id))
            .or_else(|| {
                let key = (finding.package.as_str(), finding.installed.clone());
                self.versions.get(&key).copied()
            })
    }
}

fn finding(from: Vulnerability, package: Option<&Package>) -> Finding {
    Finding {
        id: from.id,
        vendor_ids: from.vendor_ids,
        architecture: package
            .and_then(|package| given(package.architecture.clone()))
            .or_else(|| findings::purl_architecture(&from.identifier.purl)),
        package: from.package,
        installed: from.installed,
        fixed: from
            .fixed
            .split(',')
            .filter_map(|version| given(version.trim().to_owned()))
            .collect(),
        // A word of a future version must not make the report unreadable.
        severity: from.severity.parse().unwrap_or_default(),
        status: from.status.0,
        source: package.and_then(source),
        title: given(from.title),
    }
}

fn report_package(package: &Package) -> ReportPackage {
    ReportPackage {
        name: package.name.clone(),
        version: version(package),
        architecture: given(package.architecture.clone()),
        source: source(package),
    }
}

fn version(package: &Package) -> String {
    join(package.epoch, &package.version, &package.release)
}

fn source(package: &Package) -> Option<SourcePackage> {
    let name = given(package.source_name.clone())?;
    let version = join(
        package.source_epoch,
        &package.source_version,
        &package.source_release,
    );
    Some(SourcePackage { name, version })
}

/// Writes `[epoch:]version[-release]`.
fn join(epoch: u64, version: &str, release: &str) -> String {
    let mut out = String::new();
    if epoch != 0 {
        out = format!("{epoch}:");
    }
    out.push_str(version);
    if !release.is_empty() {
        out.push('-');
        out.push_str(release);
    }
    out
}

/// Returns a text that is there: reports leave out empty ones, and write them too.
pub(crate) fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
