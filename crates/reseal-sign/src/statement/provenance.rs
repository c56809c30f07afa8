//! SLSA provenance, version 1: how the patched image came about. <https://slsa.dev/spec/v1.0/provenance>

use reseal_oci::Digest;
use serde_json::{Map, Value, json};

use super::facts::Facts;
use super::purl;

/// What kind of build it is; the page says what the parameters mean.
pub const BUILD_TYPE: &str = "https://reseal.dev/build-types/patch/v1";

pub(super) fn digest(digest: &Digest) -> Value {
    json!({digest.algorithm(): digest.hex()})
}

/// Returns the predicate.
pub fn provenance(facts: &Facts) -> Value {
    let run = &facts.run;
    let mut metadata = Map::new();
    if let Some(url) = &run.url {
        metadata.insert("invocationId".into(), json!(url));
    }
    metadata.insert("startedOn".into(), json!(run.started));
    metadata.insert("finishedOn".into(), json!(run.finished));
    let reports: Vec<Value> = facts
        .reports
        .iter()
        .map(|report| json!({"name": report.name, "digest": digest(&report.digest)}))
        .collect();
    let platforms: Vec<&str> = facts
        .platforms
        .iter()
        .map(|platform| platform.platform.as_str())
        .collect();
    let engines: Map<String, Value> = facts
        .platforms
        .iter()
        .map(|platform| (platform.platform.clone(), json!(platform.engine)))
        .collect();
    let layers: Vec<Value> = facts
        .platforms
        .iter()
        .filter_map(|platform| {
            let layer = platform.layer.as_ref()?;
            Some(json!({
                "name": format!("patch layer of {}", platform.platform),
                "digest": digest(layer),
            }))
        })
        .collect();
    json!({
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "image": format!("{}@{}", facts.source.name, facts.source.digest.as_str()),
                "reports": reports,
                "platforms": platforms,
            },
            "internalParameters": {"engines": engines},
            "resolvedDependencies": dependencies(facts),
        },
        "runDetails": {
            "builder": {"id": run.builder, "version": {"reseal": run.version}},
            "metadata": metadata,
            "byproducts": layers,
        },
    })
}

/// The image, its platforms, the commit, the reports, and every package that came in.
fn dependencies(facts: &Facts) -> Vec<Value> {
    let source = &facts.source;
    let mut all = vec![json!({
        "name": "image",
        "uri": purl::image(&source.name, &source.digest, None),
        "digest": digest(&source.digest),
    })];
    for platform in &facts.platforms {
        if platform.source != source.digest {
            all.push(json!({
                "name": format!("image for {}", platform.platform),
                "uri": purl::image(&source.name, &platform.source, purl::architecture(&platform.platform)),
                "digest": digest(&platform.source),
            }));
        }
    }
    if let (Some(repository), Some(commit)) = (&facts.run.repository, &facts.run.commit) {
        all.push(json!({
            "name": "commit",
            "uri": format!("git+{repository}"),
            "digest": {"gitCommit": commit},
        }));
    }
    for report in &facts.reports {
        all.push(json!({"name": report.name, "digest": digest(&report.digest)}));
    }
    for platform in &facts.platforms {
        for package in &platform.packages {
            let Some(to) = &package.to else { continue };
            let mut dependency = Map::new();
            dependency.insert("name".into(), json!(package.name));
            let architecture = Some(package.architecture.as_str());
            let uri = purl::package(
                &platform.distribution,
                &package.name,
                Some(to),
                architecture,
                true,
            );
            dependency.insert("uri".into(), json!(uri));
            if let Some(of) = &package.digest {
                dependency.insert("digest".into(), digest(of));
            }
            let before = package.from.as_deref();
            dependency.insert(
                "annotations".into(),
                json!({"platform": platform.platform, "replaces": before}),
            );
            all.push(Value::Object(dependency));
        }
    }
    all
}
