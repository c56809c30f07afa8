//! `CycloneDX` 1.5: what is in the patched image, in a form that Trivy scans without the image.
//! <https://cyclonedx.org/docs/1.5/json/>

use reseal_oci::Digest;
use serde_json::{Value, json};

use super::facts::{Image, Installed, Inventory};
use super::purl;

/// Returns the document. `created` is RFC 3339, `version` that of reseal.
pub fn cyclonedx(image: &Image, inventories: &[Inventory], created: &str, version: &str) -> Value {
    let mut components = Vec::new();
    for inventory in inventories {
        let parts = parts(inventory);
        if inventory.digest == image.digest {
            components.extend(parts);
        } else {
            let mut child = container(image, &inventory.digest, Some(&inventory.platform));
            child["components"] = json!(parts);
            components.push(child);
        }
    }
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": format!("urn:uuid:{}", uuid(&image.digest, created)),
        "version": 1,
        "metadata": {
            "timestamp": created,
            "tools": {"components": [{"type": "application", "name": "reseal", "version": version}]},
            "component": container(image, &image.digest, None),
        },
        "components": components,
    })
}

fn container(image: &Image, digest: &Digest, platform: Option<&str>) -> Value {
    let url = purl::image(&image.name, digest, platform.and_then(purl::architecture));
    json!({
        "bom-ref": url,
        "type": "container",
        "name": image.name,
        "version": digest.as_str(),
        "hashes": [{"alg": "SHA-256", "content": digest.hex()}],
        "purl": url,
    })
}

fn parts(inventory: &Inventory) -> Vec<Value> {
    let distribution = &inventory.distribution;
    let mut parts = vec![json!({
        "bom-ref": format!("os:{}", inventory.platform),
        "type": "operating-system",
        "name": distribution.id,
        "version": distribution.version,
    })];
    for package in &inventory.packages {
        let url = purl::package(
            distribution,
            &package.name,
            Some(&package.version),
            Some(&package.architecture),
            true,
        );
        parts.push(json!({
            // The same package may be in several platforms, but a reference must be the only one of its kind.
            "bom-ref": format!("{url}#{}", inventory.platform),
            "type": "library",
            "name": package.name,
            "version": package.version,
            "purl": url,
            "properties": properties(&distribution.id, package),
        }));
    }
    parts
}

/// Trivy finds advisories of Debian by the source package, and takes it from these alone.
fn properties(kind: &str, package: &Installed) -> Vec<Value> {
    let (epoch, rest) = package
        .source_version
        .split_once(':')
        .unwrap_or(("", &package.source_version));
    let (version, release) = rest.rsplit_once('-').unwrap_or((rest, ""));
    [
        ("PkgType", kind),
        ("SrcName", &package.source),
        ("SrcVersion", version),
        ("SrcRelease", release),
        ("SrcEpoch", epoch),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(name, value)| json!({"name": format!("aquasecurity:trivy:{name}"), "value": value}))
    .collect()
}

/// A UUID of version 8 (RFC 9562) that the same input gives again.
fn uuid(digest: &Digest, created: &str) -> String {
    let hash = Digest::of(format!("{} {created}", digest.as_str()).as_bytes());
    let hex = hash.hex();
    format!(
        "{}-{}-8{}-a{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..32]
    )
}
