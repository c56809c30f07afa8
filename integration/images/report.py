#!/usr/bin/env python3
"""report.py LAYOUT IMAGE ARCHITECTURE: a Trivy report (schema 2) of one platform of an image that image.py made.

The packages are those of the image's own dpkg database and the advisories those of testdata/advisories; they meet as in
Trivy: an advisory is about a source package, its FixedVersion is a source version, and InstalledVersion is the version
of the binary package. Exits with 3 when the image has no such platform.
"""

import hashlib
import json
import pathlib
import re
import sys
import urllib.parse
import uuid

import dpkg

ADVISORIES = pathlib.Path(__file__).resolve().parents[2] / "testdata" / "advisories"
SOURCE = {
    "ID": "debian",
    "Name": "Debian Security Tracker",
    "URL": "https://salsa.debian.org/security-tracker-team/security-tracker",
}
# The releases that Debian supports no more; Trivy says so in the report.
ENDED = {"11"}
LEVELS = {"UNKNOWN": 0, "LOW": 1, "MEDIUM": 2, "HIGH": 3, "CRITICAL": 4}
# The fixed time keeps reports comparable from run to run.
CREATED = "2025-01-01T00:00:00Z"


def parts(version: str) -> dict:
    """Version, Release and Epoch as Trivy splits them."""
    epoch, upstream, revision = dpkg.split(version)
    fields = {"Version": upstream}
    if revision:
        fields["Release"] = revision
    if epoch:
        fields["Epoch"] = epoch
    return fields


def package_of(package: dict, release: str, layer: dict) -> dict:
    source = {f"Src{name}": value for name, value in parts(package["source_version"]).items()}
    epoch, colon, version = package["version"].rpartition(":")
    purl = f"pkg:deb/debian/{package['name']}@{urllib.parse.quote(version, safe='~')}"
    purl += f"?arch={package['architecture']}&distro=debian-{release}"
    if colon:
        purl += f"&epoch={epoch}"
    identifier = {"PURL": purl, "UID": hashlib.sha256(purl.encode()).hexdigest()[:16]}
    return {
        "ID": f"{package['name']}@{package['version']}",
        "Name": package["name"],
        "Identifier": identifier,
        **parts(package["version"]),
        "Arch": package["architecture"],
        "SrcName": package["source"],
        **source,
        "Layer": layer,
    }


def vulnerability(package: dict, described: dict, cve: str, advisory: dict) -> dict:
    found = {
        "VulnerabilityID": cve,
        "PkgID": described["ID"],
        "PkgName": package["name"],
        "PkgIdentifier": described["Identifier"],
        "InstalledVersion": package["version"],
        "Status": advisory.get("Status", "fixed"),
        "Layer": described["Layer"],
        "PrimaryURL": f"https://avd.aquasec.com/nvd/{cve.lower()}",
        "DataSource": SOURCE,
        "Title": f"{package['source']}: {cve}",
        "Severity": advisory["Severity"],
        "VendorSeverity": {"debian": LEVELS[advisory["Severity"]]},
    }
    if "FixedVersion" in advisory:
        found["FixedVersion"] = advisory["FixedVersion"]
    return found


def is_affected(package: dict, advisory: dict) -> bool:
    fixed = advisory.get("FixedVersion")
    return fixed is None or dpkg.key(package["source_version"]) < dpkg.key(fixed)


def main() -> None:
    layout, image, architecture = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    facts = json.loads((layout / "images.json").read_text())
    if architecture not in facts["images"]:
        sys.exit(3)
    facts, top = facts["images"][architecture], facts["digest"]
    rootfs = pathlib.Path(facts["rootfs"])

    def blob(digest: str) -> dict:
        return json.loads((layout / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_text())

    manifest, config = blob(facts["manifest"]), blob(facts["config"])
    layers = [
        {"Digest": layer["digest"], "DiffID": diff_id}
        for layer, diff_id in zip(manifest["layers"], facts["diff_ids"])
    ]
    version_id = re.search(r'^VERSION_ID="?(\d+)', (rootfs / "os-release").read_text(), re.M)[1]
    # The point release is what base-files, the owner of /etc/debian_version, is numbered after.
    packages = sorted(dpkg.installed(rootfs / "status"), key=lambda package: package["name"])
    base = next(package["version"] for package in packages if package["name"] == "base-files")
    release = base.partition("deb")[2].replace("u", ".") or version_id
    advisories = json.loads((ADVISORIES / f"debian-{version_id}.json").read_text())

    described, vulnerabilities = [], []
    for package in packages:
        described.append(package_of(package, release, layers[0]))
        for cve, advisory in advisories.get(package["source"], {}).items():
            if is_affected(package, advisory):
                vulnerabilities.append(vulnerability(package, described[-1], cve, advisory))

    repository = image.rpartition(":")[0]
    report = {
        "SchemaVersion": 2,
        "ReportID": str(uuid.uuid5(uuid.NAMESPACE_URL, facts["manifest"])),
        "CreatedAt": CREATED,
        "ArtifactID": facts["config"],
        "ArtifactName": image,
        "ArtifactType": "container_image",
        "Metadata": {
            "OS": {"Family": "debian", "Name": release, **({"EOSL": True} if version_id in ENDED else {})},
            "ImageID": facts["config"],
            "DiffIDs": facts["diff_ids"],
            "RepoTags": [image],
            "RepoDigests": [f"{repository}@{top}"],
            "Reference": image,
            "ImageConfig": config,
            "Layers": layers,
        },
        "Results": [
            {
                "Target": f"{image} (debian {release})",
                "Class": "os-pkgs",
                "Type": "debian",
                "Packages": described,
                "Vulnerabilities": vulnerabilities,
            }
        ],
    }
    json.dump(report, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
