#!/usr/bin/env python3
"""layer.py ROOT.tar FOLDER: a root file system as an image layer, and what scanners read in it.

Writes layer.tar.gz, meta.json (digest, size, diff_id), status (the dpkg database) and os-release.
"""

import gzip
import hashlib
import json
import pathlib
import sys
import tarfile
import zlib

KEPT = {"var/lib/dpkg/status": "status", "usr/lib/os-release": "os-release"}


def compress(source: pathlib.Path, target: pathlib.Path) -> dict:
    """Gzips source without a name or a time in the header and returns the digests of both forms."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    plain, packed, size = hashlib.sha256(), hashlib.sha256(), 0
    with source.open("rb") as reader, target.open("wb") as writer:
        while True:
            block = reader.read(1 << 20)
            plain.update(block)
            out = packer.compress(block) if block else packer.flush()
            packed.update(out)
            size += len(out)
            writer.write(out)
            if not block:
                break
    return {
        "digest": f"sha256:{packed.hexdigest()}",
        "size": size,
        "diff_id": f"sha256:{plain.hexdigest()}",
    }


def keep(source: pathlib.Path, folder: pathlib.Path) -> None:
    """Copies the files named by KEPT out of the tar."""
    found = set()
    with tarfile.open(source) as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            if name in KEPT and member.isfile():
                (folder / KEPT[name]).write_bytes(tar.extractfile(member).read())
                found.add(name)
    if found != set(KEPT):
        sys.exit(f"layer.py: {source} lacks {sorted(set(KEPT) - found)}")


def main() -> None:
    source, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    keep(source, folder)
    meta = compress(source, folder / "layer.tar.gz")
    with gzip.open(folder / "layer.tar.gz") as check:
        if check.read(1) == b"":
            sys.exit(f"layer.py: {source} is empty")
    (folder / "meta.json").write_text(json.dumps(meta, indent=1) + "\n")


if __name__ == "__main__":
    main()
