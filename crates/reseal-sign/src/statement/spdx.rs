//! SPDX 2.3: what is in the patched image. <https://spdx.github.io/spdx-spec/v2.3/>

use serde_json::{Value, json};

use super::facts::{Image, Inventory};
use super::purl;

/// Returns the document. `created` is RFC 3339, `version` that of reseal.
pub fn spdx(image: &Image, inventories: &[Inventory], created: &str, version: &str) -> Value {
    let mut packages = vec![container("SPDXRef-Image", image, &image.digest, None)];
    let mut relationships = vec![relationship(
        "SPDXRef-DOCUMENT",
        "DESCRIBES",
        "SPDXRef-Image",
    )];
    for (at, inventory) in inventories.iter().enumerate() {
        let mut parent = "SPDXRef-Image".to_owned();
        if inventory.digest != image.digest {
            parent = format!("SPDXRef-Platform-{at}");
            packages.push(container(
                &parent,
                image,
                &inventory.digest,
                Some(&inventory.platform),
            ));
            relationships.push(relationship("SPDXRef-Image", "CONTAINS", &parent));
        }
        for (number, package) in inventory.packages.iter().enumerate() {
            let id = format!("SPDXRef-Package-{at}-{number}");
            let url = purl::package(
                &inventory.distribution,
                &package.name,
                Some(&package.version),
                Some(&package.architecture),
                true,
            );
            packages.push(json!({
                "SPDXID": id,
                "name": package.name,
                "versionInfo": package.version,
                "supplier": format!("Organization: {}", inventory.distribution.id),
                "downloadLocation": "NOASSERTION",
                "filesAnalyzed": false,
                "sourceInfo": format!("built package from: {} {}", package.source, package.source_version),
                "primaryPackagePurpose": "LIBRARY",
                "externalRefs": [reference(&url)],
            }));
            relationships.push(relationship(&parent, "CONTAINS", &id));
        }
    }
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("{}@{}", image.name, image.digest.as_str()),
        "documentNamespace": format!("https://reseal.dev/spdx/{}/{}", image.digest.hex(), created),
        "creationInfo": {"created": created, "creators": [format!("Tool: reseal-{version}")]},
        "packages": packages,
        "relationships": relationships,
    })
}

fn container(
    id: &str,
    image: &Image,
    digest: &reseal_oci::Digest,
    platform: Option<&str>,
) -> Value {
    let url = purl::image(&image.name, digest, platform.and_then(purl::architecture));
    json!({
        "SPDXID": id,
        "name": image.name,
        "versionInfo": digest.as_str(),
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "checksums": [{"algorithm": "SHA256", "checksumValue": digest.hex()}],
        "primaryPackagePurpose": "CONTAINER",
        "externalRefs": [reference(&url)],
    })
}

fn reference(url: &str) -> Value {
    json!({
        "referenceCategory": "PACKAGE-MANAGER",
        "referenceType": "purl",
        "referenceLocator": url,
    })
}

fn relationship(from: &str, kind: &str, to: &str) -> Value {
    json!({
        "spdxElementId": from,
        "relationshipType": kind,
        "relatedSpdxElement": to,
    })
}
