//! Reads Grype's JSON.

use crate::{
    Finding, Report, ReportError, Scanner, Schema, Severity, SourcePackage,
    document::{Document, Members},
    envelope::decode_base64,
    family, findings,
    loose::loose,
    trivy::{given, platform},
};

loose! {
    struct Match {
        vulnerability: Vulnerability = "vulnerability",
        related: Vec<Related> = "relatedVulnerabilities",
        artifact: Artifact = "artifact",
    }
    struct Vulnerability {
        id: String = "id",
        severity: String = "severity",
        description: String = "description",
        fix: Fix = "fix",
        advisories: Vec<Related> = "advisories",
    }
    struct Related {
        id: String = "id",
    }
    struct Fix {
        versions: Vec<String> = "versions",
        state: String = "state",
    }
    struct Artifact {
        name: String = "name",
        version: String = "version",
        kind: String = "type",
        purl: String = "purl",
        upstreams: Vec<Upstream> = "upstreams",
    }
    struct Upstream {
        name: String = "name",
        version: String = "version",
    }
    struct Distro {
        name: String = "name",
        version: String = "version",
    }
    struct Descriptor {
        version: String = "version",
        timestamp: String = "timestamp",
    }
    struct Image {
        user_input: String = "userInput",
        id: String = "imageID",
        repo_digests: Vec<String> = "repoDigests",
        architecture: String = "architecture",
        os: String = "os",
        config: String = "config",
    }
    struct Config {
        architecture: String = "architecture",
        os: String = "os",
        variant: String = "variant",
        rootfs: RootFs = "rootfs",
    }
    struct RootFs {
        diff_ids: Vec<String> = "diff_ids",
    }
}

/// Reads the object that has `matches` and names Grype as its writer.
pub(crate) fn parse<'a>(
    document: Document<'a>,
    members: &Members<'a>,
) -> Result<Report, ReportError> {
    let source = members.object("source");
    let source_type = source.text("type").unwrap_or_default();
    if source_type != "image" {
        return Err(ReportError::NotAnImage {
            artifact_type: given(source_type).unwrap_or_else(|| "target of no type".to_owned()),
        });
    }
    let image: Image = document.member(&source, "target")?;
    // The config is carried whole; a report without a readable one still has its findings.
    let config: Config = decode_base64(&image.config)
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let descriptor: Descriptor = document.member(members, "descriptor")?;
    let distro: Distro = document.member(members, "distro")?;
    let matches: Vec<Match> = document.member(members, "matches")?;

    let mut list = findings::Unique::default();
    let mut other_findings = 0;
    for found in matches {
        if matches!(
            found.artifact.kind.as_str(),
            "deb" | "rpm" | "apk" | "alpm" | "portage"
        ) {
            list.add(finding(found));
        } else {
            other_findings += 1;
        }
    }
    let findings = list.into_findings();
    let family = family::normalise(&distro.name);
    Ok(Report {
        scanner: Scanner::Grype,
        scanner_version: given(descriptor.version),
        schema: Schema::Grype,
        artifact_name: image.user_input,
        artifact_type: Some("container_image".to_owned()),
        created_at: given(descriptor.timestamp),
        // Grype lists matches only: that it knew the distribution is all that says it looked.
        has_os_result: family.is_some(),
        family,
        os_version: given(distro.version),
        end_of_life: false,
        platform: platform(
            given(config.os).unwrap_or(image.os),
            given(config.architecture).unwrap_or(image.architecture),
            config.variant,
        ),
        image_id: given(image.id),
        diff_ids: config.rootfs.diff_ids,
        repo_digests: image.repo_digests,
        findings,
        packages: Vec::new(),
        other_findings,
    })
}

fn finding(found: Match) -> Finding {
    let Match {
        vulnerability,
        related,
        artifact,
    } = found;
    let mut vendor_ids: Vec<String> = Vec::new();
    for id in vulnerability.advisories.into_iter().chain(related) {
        if !id.id.is_empty() && id.id != vulnerability.id && !vendor_ids.contains(&id.id) {
            vendor_ids.push(id.id);
        }
    }
    Finding {
        architecture: findings::purl_architecture(&artifact.purl),
        source: source(&artifact),
        id: vulnerability.id,
        vendor_ids,
        package: artifact.name,
        installed: artifact.version,
        fixed: vulnerability
            .fix
            .versions
            .into_iter()
            .filter(|version| !version.is_empty())
            .collect(),
        severity: vulnerability.severity.parse().unwrap_or(Severity::Unknown),
        status: status(&vulnerability.fix.state),
        title: given(vulnerability.description),
    }
}

/// Returns the source package. Syft leaves out of `upstreams` what is the same as the binary's, so a
/// Debian package without any is its own source.
fn source(artifact: &Artifact) -> Option<SourcePackage> {
    let own = |version: &str| {
        if version.is_empty() {
            artifact.version.clone()
        } else {
            version.to_owned()
        }
    };
    match artifact.upstreams.first() {
        Some(upstream) if !upstream.name.is_empty() => Some(SourcePackage {
            name: upstream.name.clone(),
            version: own(&upstream.version),
        }),
        _ if artifact.kind == "deb" => Some(SourcePackage {
            name: artifact.name.clone(),
            version: artifact.version.clone(),
        }),
        _ => None,
    }
}

/// Maps Grype's words to Trivy's.
fn status(state: &str) -> Option<String> {
    let word = match state {
        "" => return None,
        "fixed" => "fixed",
        "not-fixed" => "affected",
        "wont-fix" => "will_not_fix",
        "unknown" => "unknown",
        other => other,
    };
    Some(word.to_owned())
}
