#!/usr/bin/env python3
"""compare.py OURS THEIRS: whether two Trivy reports hold the same packages and findings. Prints what differs."""

import json
import sys


def contents(path: str) -> set:
    with open(path) as report:
        result = json.load(report)["Results"][0]
    packages = {("package", package["ID"], package["SrcName"]) for package in result["Packages"]}
    keys = ("VulnerabilityID", "PkgID", "InstalledVersion", "FixedVersion", "Status", "Severity")
    return packages | {tuple(found.get(key) for key in keys) for found in result["Vulnerabilities"]}


ours, theirs = (contents(path) for path in sys.argv[1:3])
for entry in sorted(ours ^ theirs, key=str):
    print("only in", sys.argv[1 if entry in ours else 2], entry, file=sys.stderr)
sys.exit(ours != theirs)
