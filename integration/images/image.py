#!/usr/bin/env python3
"""Makes test images of root file system layers as OCI layout folders, and pushes them.

    image.py make FAMILY FOLDER [--zstd] [--dress] [--bare] ARCHITECTURE=ROOTFS-FOLDER...
    image.py push FOLDER http://HOST:PORT/REPOSITORY:TAG [--user NAME:PASSWORD]

FAMILY is oci or docker (Docker schema 2). One architecture gives a single manifest, several give an index in that
order. --dress adds what a build tool leaves in a real index: annotations on every level, a platform that is not Linux
and an attestation manifest for each image. --bare is the root file system alone, run by root. A ROOTFS-FOLDER is what rootfs.sh prints.

The same input gives the same digests. `make` prints the digest; FOLDER/images.json names the manifest, config and
rootfs folder of each architecture.
"""

import base64
import hashlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import urllib.error
import urllib.parse
import urllib.request
import zlib

CREATED = "2025-01-01T00:00:00Z"
EPOCH = 1735689600
TYPES = {
    "oci": {
        "index": "application/vnd.oci.image.index.v1+json",
        "manifest": "application/vnd.oci.image.manifest.v1+json",
        "config": "application/vnd.oci.image.config.v1+json",
        "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
        "zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
    },
    "docker": {
        "index": "application/vnd.docker.distribution.manifest.list.v2+json",
        "manifest": "application/vnd.docker.distribution.manifest.v2+json",
        "config": "application/vnd.docker.container.image.v1+json",
        "gzip": "application/vnd.docker.image.rootfs.diff.tar.gzip",
    },
}
PLATFORMS = {
    "amd64": {"architecture": "amd64", "os": "linux"},
    "arm64": {"architecture": "arm64", "os": "linux", "variant": "v8"},
}
PROGRAM = """#!/bin/sh
# Stands for the program of the user's image: prints what it runs on.
set -eu
. /etc/os-release
echo "hello from $PRETTY_NAME on $(uname -m)"
exec "$@"
"""


def encode(value: object) -> bytes:
    return json.dumps(value, indent=2).encode()


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Layout:
    """An OCI layout folder that is being filled."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.blobs = folder / "blobs" / "sha256"
        self.blobs.mkdir(parents=True, exist_ok=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def path(self, digest: str) -> pathlib.Path:
        return self.blobs / digest.removeprefix("sha256:")

    def put(self, media_type: str, data: bytes) -> dict:
        digest = sha256(data)
        self.path(digest).write_bytes(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def link(self, media_type: str, digest: str, size: int, source: pathlib.Path) -> dict:
        target = self.path(digest)
        if not target.exists():
            # Layouts beside each other share their big blobs: tests run on tmpfs, where a copy costs memory.
            pool = self.folder.parent / ".pool"
            pool.mkdir(exist_ok=True)
            pooled = pool / target.name
            if not pooled.exists():
                work = pool / f"{target.name}.{os.getpid()}"
                shutil.copyfile(source, work)
                work.rename(pooled)
            os.link(pooled, target)
        return {"mediaType": media_type, "digest": digest, "size": size}


def program_layer() -> bytes:
    """A second layer as an application would have: a program and a file of its own."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, mode, content in (
            ("srv/", 0o755, None),
            ("srv/app/", 0o755, None),
            ("srv/app/hello", 0o755, PROGRAM),
            ("srv/app/version", 0o644, "1.4\n"),
        ):
            entry = tarfile.TarInfo(name.rstrip("/"))
            entry.mode, entry.mtime = mode, EPOCH
            if content is None:
                entry.type = tarfile.DIRTYPE
                tar.addfile(entry)
            else:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content.encode()))
    return out.getvalue()


def zstd_of(rootfs: pathlib.Path) -> pathlib.Path:
    """The root file system's layer packed with zstd, kept beside the gzipped one."""
    packed = rootfs / "layer.tar.zst"
    if not packed.exists():
        work = rootfs / f"layer.tar.zst.{os.getpid()}"
        subprocess.run(
            f"gzip -dc {rootfs}/layer.tar.gz | zstd -q -6 -o {work}", shell=True, check=True
        )
        work.rename(packed)
    return packed


def layers_of(layout: Layout, family: str, rootfs: pathlib.Path, options: set) -> tuple[list, list]:
    types = TYPES[family]
    meta = json.loads((rootfs / "meta.json").read_text())
    if "--zstd" in options:
        packed = zstd_of(rootfs)
        digest = sha256(packed.read_bytes())
        base = layout.link(types["zstd"], digest, packed.stat().st_size, packed)
    else:
        base = layout.link(types["gzip"], meta["digest"], meta["size"], rootfs / "layer.tar.gz")
    if "--bare" in options:
        return [base], [meta["diff_id"]]
    program = program_layer()
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    top = layout.put(types["gzip"], packer.compress(program) + packer.flush())
    return [base, top], [meta["diff_id"], sha256(program)]


def config_of(platform: dict, diff_ids: list) -> dict:
    """A configuration with what real ones have, a field that no specification knows among it."""
    return {
        **platform,
        "author": "the integration tests",
        "created": CREATED,
        "config": {
            "User": "nobody",
            "ExposedPorts": {"8080/tcp": {}},
            "Env": [
                "PATH=/srv/app:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "APP_MODE=production",
                "GREETING=two words = one value",
            ],
            "Entrypoint": ["hello"],
            "Cmd": ["cat", "/srv/app/version"],
            "WorkingDir": "/srv/app",
            "Labels": {
                "org.opencontainers.image.title": "cart",
                "org.opencontainers.image.version": "1.4",
                "com.example.quoted": "\"quotes\", <angles> & ünïcode",
            },
            "StopSignal": "SIGQUIT",
            "Healthcheck": {"Test": ["CMD", "hello", "true"], "Interval": 30000000000},
            "com.example.unknown": {"kept": True, "ratio": 1.5, "big": 12345678901234567890},
        },
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [
            {"created": CREATED, "created_by": "mmdebstrap", "comment": "root file system"},
            {"created": CREATED, "created_by": "ENV APP_MODE=production", "empty_layer": True},
            {"created": CREATED, "created_by": "COPY app /srv/app"},
            {"created": CREATED, "created_by": "ENTRYPOINT [\"hello\"]", "empty_layer": True},
        ],
        "com.example.build": {"number": 4711},
    }


def bare_config(platform: dict, diff_ids: list) -> dict:
    return {
        **platform,
        "created": CREATED,
        "config": {
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Cmd": ["bash"],
        },
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created": CREATED, "created_by": "mmdebstrap"}],
    }


def image(layout: Layout, family: str, architecture: str, rootfs: pathlib.Path, options: set) -> tuple[dict, dict]:
    """Returns the descriptor of one platform's manifest and the line about it in images.json."""
    types, platform = TYPES[family], PLATFORMS[architecture]
    layers, diff_ids = layers_of(layout, family, rootfs, options)
    describe = bare_config if "--bare" in options else config_of
    # A number as a person wrote it: a tool that reads and writes it again as a float changes the bytes.
    written = encode(describe(platform, diff_ids)).replace(b'"ratio": 1.5', b'"ratio": 1.50')
    config = layout.put(types["config"], written)
    manifest = {"schemaVersion": 2, "mediaType": types["manifest"], "config": config, "layers": layers}
    dress = "--dress" in options
    if dress:
        layers[0] = {**layers[0], "annotations": {"com.example.layer": "base"}}
        manifest["layers"] = layers
        manifest["annotations"] = {
            "org.opencontainers.image.source": "https://example.com/cart",
            "com.example.architecture": architecture,
        }
    descriptor = {**layout.put(types["manifest"], encode(manifest)), "platform": platform}
    if dress:
        descriptor["annotations"] = {"com.example.descriptor": architecture}
    facts = {
        "manifest": descriptor["digest"],
        "config": config["digest"],
        "diff_ids": diff_ids,
        "rootfs": str(rootfs),
    }
    return descriptor, facts


def attestation(layout: Layout, subject: dict) -> dict:
    """An attestation manifest for subject, in the shape that BuildKit gives it."""
    types = TYPES["oci"]
    statement = layout.put("application/vnd.in-toto+json", encode({
        "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": "https://slsa.dev/provenance/v0.2",
        "subject": [{"name": "cart", "digest": {"sha256": subject["digest"].removeprefix("sha256:")}}],
        "predicate": {"builder": {"id": ""}, "buildType": "https://example.com/build"},
    }))
    config = layout.put(types["config"], encode({
        "architecture": "unknown", "os": "unknown", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [statement["digest"]]},
    }))
    statement["annotations"] = {"in-toto.io/predicate-type": "https://slsa.dev/provenance/v0.2"}
    manifest = layout.put(types["manifest"], encode({
        "schemaVersion": 2, "mediaType": types["manifest"], "config": config, "layers": [statement],
    }))
    return {
        **manifest,
        "annotations": {
            "vnd.docker.reference.digest": subject["digest"],
            "vnd.docker.reference.type": "attestation-manifest",
        },
        "platform": {"architecture": "unknown", "os": "unknown"},
    }


def windows(layout: Layout) -> dict:
    """A platform that cannot be patched: a Windows image with one small layer."""
    types = TYPES["oci"]
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    empty = bytes(1024)
    layer = layout.put(types["gzip"], packer.compress(empty) + packer.flush())
    config = layout.put(types["config"], encode({
        "architecture": "amd64", "os": "windows", "os.version": "10.0.20348.2700",
        "config": {"Cmd": ["cmd.exe"]}, "rootfs": {"type": "layers", "diff_ids": [sha256(empty)]},
    }))
    manifest = layout.put(types["manifest"], encode({
        "schemaVersion": 2, "mediaType": types["manifest"], "config": config, "layers": [layer],
    }))
    return {
        **manifest,
        "platform": {
            "architecture": "amd64", "os": "windows",
            "os.version": "10.0.20348.2700", "os.features": ["win32k"],
        },
    }


def make(family: str, folder: pathlib.Path, options: set, sources: list) -> None:
    layout = Layout(folder)
    dress = "--dress" in options
    images, facts = [], {}
    for source in sources:
        architecture, _, rootfs = source.partition("=")
        descriptor, facts[architecture] = image(
            layout, family, architecture, pathlib.Path(rootfs), options
        )
        images.append(descriptor)
    if len(images) == 1 and not dress:
        top = {key: value for key, value in images[0].items() if key != "platform"}
    else:
        index = {"schemaVersion": 2, "mediaType": TYPES[family]["index"], "manifests": images}
        if dress:
            others = [windows(layout)] + [attestation(layout, image) for image in images]
            index["manifests"] = images[:1] + others[:1] + images[1:] + others[1:]
            index["annotations"] = {
                "org.opencontainers.image.version": "1.4",
                "com.example.index": "kept",
            }
        top = layout.put(TYPES[family]["index"], encode(index))
    named = {**top, "annotations": {"org.opencontainers.image.ref.name": "latest"}}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
    (folder / "images.json").write_text(json.dumps({"digest": top["digest"], "images": facts}, indent=1))
    print(top["digest"])


class Registry:
    """The few requests of the distribution protocol that a push needs."""

    def __init__(self, url: str, user: str | None):
        parts = urllib.parse.urlsplit(url)
        path, _, self.tag = parts.path.strip("/").rpartition(":")
        self.base = f"{parts.scheme}://{parts.netloc}"
        self.repository = f"/v2/{path}"
        self.headers = {}
        if user:
            self.headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()

    def send(self, method: str, url: str, data=None, **headers):
        request = urllib.request.Request(
            urllib.parse.urljoin(self.base, url), data=data, method=method,
            headers={**self.headers, **{k.replace("_", "-"): v for k, v in headers.items()}},
        )
        return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request)

    def blob(self, layout: Layout, descriptor: dict) -> None:
        digest = descriptor["digest"]
        try:
            self.send("HEAD", f"{self.repository}/blobs/{digest}").close()
            return
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
        with self.send("POST", f"{self.repository}/blobs/uploads/", data=b"") as answer:
            place = answer.headers["Location"]
        place += ("&" if "?" in place else "?") + urllib.parse.urlencode({"digest": digest})
        with layout.path(digest).open("rb") as data:
            self.send(
                "PUT", place, data=data, Content_Type="application/octet-stream",
                Content_Length=str(descriptor["size"]),
            ).close()

    def manifest(self, layout: Layout, descriptor: dict, name: str) -> None:
        data = layout.path(descriptor["digest"]).read_bytes()
        content = json.loads(data)
        for child in content.get("manifests", []):
            self.manifest(layout, child, child["digest"])
        for blob in [content["config"], *content["layers"]] if "layers" in content else []:
            self.blob(layout, blob)
        self.send(
            "PUT", f"{self.repository}/manifests/{name}", data=data,
            Content_Type=descriptor["mediaType"],
        ).close()


def push(folder: pathlib.Path, url: str, user: str | None) -> None:
    layout, registry = Layout(folder), Registry(url, user)
    top = json.loads((folder / "index.json").read_text())["manifests"][0]
    registry.manifest(layout, top, registry.tag)


def main() -> None:
    command, *rest = sys.argv[1:]
    if command == "make":
        options = {word for word in rest if word.startswith("--")}
        family, folder, *sources = [word for word in rest if not word.startswith("--")]
        make(family, pathlib.Path(folder), options, sources)
    elif command == "push":
        folder, url = rest[:2]
        user = rest[3] if rest[2:3] == ["--user"] else None
        push(pathlib.Path(folder), url, user)
    else:
        sys.exit(f"image.py: unknown command {command!r}")


if __name__ == "__main__":
    main()
