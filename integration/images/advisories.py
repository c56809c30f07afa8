#!/usr/bin/env python3
"""advisories.py SUITE OUT.json STATUS... [--severities ROWS.ndjson.gz]

Collects real advisories for the packages of the test images: which vulnerability a newer version of a package closes is
what Debian's own changelog says. STATUS are package databases of images made from the suite's main archive. The
packages that -updates and -security have newer are downloaded and their changelogs read.

Run by hand when the images change; the result is committed under testdata/advisories. The severities come from a
Trivy database written as rows; a vulnerability without one is UNKNOWN. Entries that OUT.json has by hand, those with
a Status, are kept.
"""

import gzip
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import dpkg


def newer_packages(work: pathlib.Path, suite: str, status: pathlib.Path) -> list[pathlib.Path]:
    """Downloads what an upgrade of the image would install, without touching the machine's own apt."""
    lib = pathlib.Path(__file__).parent.parent / "lib.sh"
    main, security = (
        subprocess.run(["bash", "-c", f". {lib}; mirror {kind}"], check=True, text=True, capture_output=True).stdout.strip()
        for kind in ("main", "security")
    )
    for folder in ("lists/partial", "cache/archives/partial"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    signed = "[arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    (work / "sources.list").write_text(
        f"deb {signed} {main} {suite} main\ndeb {signed} {main} {suite}-updates main\n"
        f"deb {signed} {security} {suite}-security main\n"
    )
    (work / "apt.conf").write_text(
        f'Dir::Etc::SourceList "{work}/sources.list"; Dir::Etc::SourceParts "/dev/null"; Dir::State "{work}";\n'
        f'Dir::State::Lists "{work}/lists"; Dir::State::Status "{status}"; Dir::Cache "{work}/cache";\n'
        'Acquire::Check-Valid-Until "false"; Acquire::Languages "none"; APT::Sandbox::User "root";\n'
    )
    environment = {**os.environ, "APT_CONFIG": str(work / "apt.conf")}
    subprocess.run(["apt-get", "-qq", "update"], env=environment, check=True)
    subprocess.run(
        ["apt-get", "-qq", "-y", "--download-only", "dist-upgrade"],
        env=environment, check=True, stdout=subprocess.DEVNULL,
    )
    return sorted((work / "cache" / "archives").glob("*.deb"))


def changelog(package: pathlib.Path, name: str) -> str | None:
    """The Debian changelog inside a package, if it does not borrow that of another package."""
    tree = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE)
    unpacked = subprocess.run(
        ["tar", "-xO", "--wildcards", f"./usr/share/doc/{name}/changelog.Debian*gz", f"./usr/share/doc/{name}/changelog.gz"],
        stdin=tree.stdout, capture_output=True,
    ).stdout
    tree.wait()
    # Upstream's changelog may be there too: gzip members follow each other, and only Debian's has its headings.
    return gzip.decompress(unpacked).decode(errors="replace") if unpacked else None


def fixes(text: str, source: str) -> dict[str, str]:
    """The lowest version that closes each vulnerability.

    A changelog has the newest entry first, and what an entry closes stays closed in all that stand above it. Those may have
    lower versions: 5.2.5-2.1~deb11u1 is made after 5.2.5-2.1, from it.
    """
    found, versions = {}, []
    for line in text.splitlines():
        heading = re.match(rf"{re.escape(source)} \((\S+)\) ", line)
        if heading:
            versions.append(heading[1])
        elif versions:
            for vulnerability in re.findall(r"CVE-\d{4}-\d{4,}", line):
                found[vulnerability] = min(versions, key=dpkg.key)
    return found


def severities(rows: str | None) -> dict[str, str]:
    found = {}
    if rows:
        with gzip.open(rows, "rt") as lines:
            for line in lines:
                row = json.loads(line)
                if row["p"][0] == "vulnerability":
                    found[row["p"][1]] = row["v"].get("Severity", "UNKNOWN")
    return found


def main() -> None:
    words = sys.argv[1:]
    rows = None
    if "--severities" in words:
        at = words.index("--severities")
        rows = words[at + 1]
        del words[at : at + 2]
    suite, out, *statuses = words
    out = pathlib.Path(out)
    severity = severities(rows)
    kept = json.loads(out.read_text()) if out.exists() else {}
    result = {
        source: {cve: entry for cve, entry in entries.items() if "Status" in entry}
        for source, entries in kept.items()
    }
    for status in statuses:
        status = pathlib.Path(status).absolute()
        versions = {p["name"]: p for p in dpkg.installed(status)}
        with tempfile.TemporaryDirectory() as work:
            for package in newer_packages(pathlib.Path(work), suite, status):
                name = package.name.split("_")[0]
                before = versions.get(name)
                text = changelog(package, name) if before else None
                if not text:
                    continue
                for cve, version in fixes(text, before["source"]).items():
                    if dpkg.key(version) > dpkg.key(before["source_version"]):
                        result.setdefault(before["source"], {})[cve] = {
                            "FixedVersion": version,
                            "Severity": severity.get(cve, "UNKNOWN"),
                        }
    result = {source: dict(sorted(result[source].items())) for source in sorted(result) if result[source]}
    lines = ",\n".join(
        f" {json.dumps(source)}: {{\n" + ",\n".join(f"  {json.dumps(c)}: {json.dumps(e)}" for c, e in entries.items()) + "\n }"
        for source, entries in result.items()
    )
    out.write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
