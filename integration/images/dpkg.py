"""Debian's package database and version order, as far as the test images need them."""

import pathlib
import re


def paragraphs(text: str):
    """Yields each paragraph of a control file as a dictionary."""
    for block in text.split("\n\n"):
        fields, name = {}, None
        for line in block.splitlines():
            if line[:1] in (" ", "\t"):
                fields[name] += "\n" + line
            elif ":" in line:
                name, _, value = line.partition(":")
                fields[name] = value.strip()
        if fields:
            yield fields


def installed(status: pathlib.Path):
    """Yields the installed packages: name, version, architecture, source name and source version."""
    for fields in paragraphs(status.read_text()):
        if not fields.get("Status", "").endswith(" installed"):
            continue
        match = re.fullmatch(r"(\S+)(?: \((\S+)\))?", fields.get("Source", fields["Package"]))
        yield {
            "name": fields["Package"],
            "version": fields["Version"],
            "architecture": fields["Architecture"],
            "source": match[1],
            "source_version": match[2] or fields["Version"],
        }


def split(version: str) -> tuple[int, str, str]:
    """Epoch, upstream version and revision."""
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, dash, revision = rest.rpartition("-")
    return (int(epoch), upstream, revision) if dash else (int(epoch), rest, "")


def order(text: str) -> list:
    """A key that sorts one part of a version as dpkg does (Debian policy 5.6.12)."""
    key = []
    for letters, digits in re.findall(r"(\D*)(\d*)", text):
        # A tilde sorts before the end, the end before letters, letters before the rest.
        weights = [-1 if c == "~" else ord(c) if c.isalpha() else ord(c) + 256 for c in letters]
        key.append((weights + [0], int(digits or 0)))
    # The end sorts after a tilde and before everything else; a last number that is zero counts as none.
    end = ([0], 0)
    while key and key[-1] == end:
        key.pop()
    return [*key, end]


def key(version: str) -> tuple:
    """A sort key for whole versions."""
    epoch, upstream, revision = split(version)
    return epoch, order(upstream), order(revision)
