#!/usr/bin/env python3
"""unpack.py http://HOST:PORT/REPOSITORY(:TAG|@DIGEST) ARCHITECTURE FOLDER

Pulls one platform of an image and lays its layers over each other, as a container runtime would. It shares no code with
what it checks. FOLDER/root is the file system and FOLDER/config.json the image's configuration. Needs root.
"""

import hashlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import urllib.parse
import urllib.request

MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
PACKED = {b"\x1f\x8b": ["gzip", "-dc"], b"\x28\xb5": ["zstd", "-dcq"]}


class Image:
    def __init__(self, url: str):
        parts = urllib.parse.urlsplit(url)
        path = parts.path.strip("/")
        repository, _, self.name = path.partition("@") if "@" in path else path.rpartition(":")
        self.base = f"{parts.scheme}://{parts.netloc}/v2/{repository}"
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def get(self, kind: str, name: str) -> bytes:
        request = urllib.request.Request(f"{self.base}/{kind}/{name}", headers={"Accept": ", ".join(MANIFESTS)})
        data = self.opener.open(request).read()
        if name.startswith("sha256:") and name != "sha256:" + hashlib.sha256(data).hexdigest():
            sys.exit(f"unpack.py: {name} is something else in the registry")
        return data


def lay(root: pathlib.Path, packed: bytes, diff_id: str) -> None:
    """Applies one layer: first what it hides, then what it brings."""
    command = PACKED.get(packed[:2])
    data = subprocess.run(command, input=packed, stdout=subprocess.PIPE, check=True).stdout if command else packed
    if diff_id != "sha256:" + hashlib.sha256(data).hexdigest():
        sys.exit(f"unpack.py: a layer does not have the content {diff_id} that the configuration names")
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            place = pathlib.PurePosixPath(member.name)
            if place.name == ".wh..wh..opq":
                for entry in (root / place.parent).iterdir():
                    remove(entry)
            elif place.name.startswith(".wh."):
                remove(root / place.parent / place.name.removeprefix(".wh."))
            elif not member.isdir():
                # A link in the way must be replaced, not followed.
                target = root / place
                if target.is_symlink() or target.is_dir():
                    remove(target)
    subprocess.run(
        ["tar", "-x", "-p", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--keep-directory-symlink",
         "--exclude=.wh.*", "--exclude=*/.wh.*", "-C", root],
        input=data, check=True,
    )


def remove(path: pathlib.Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif path.is_symlink() or path.exists():
        path.unlink()


def main() -> None:
    url, architecture, folder = sys.argv[1:4]
    image, folder = Image(url), pathlib.Path(folder)
    root = folder / "root"
    if root.exists():
        shutil.rmtree(root)
    os.makedirs(root)
    manifest = json.loads(image.get("manifests", image.name))
    if "manifests" in manifest:
        child = next(
            entry for entry in manifest["manifests"]
            if entry.get("platform", {}).get("architecture") == architecture
            and entry["platform"].get("os") == "linux"
        )
        manifest = json.loads(image.get("manifests", child["digest"]))
    config = image.get("blobs", manifest["config"]["digest"])
    (folder / "config.json").write_bytes(config)
    diff_ids = json.loads(config)["rootfs"]["diff_ids"]
    if len(diff_ids) != len(manifest["layers"]):
        sys.exit("unpack.py: the configuration does not name as many layers as the manifest")
    for layer, diff_id in zip(manifest["layers"], diff_ids):
        lay(root, image.get("blobs", layer["digest"]), diff_id)


if __name__ == "__main__":
    main()
