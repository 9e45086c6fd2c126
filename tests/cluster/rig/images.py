"""The images of the rig, packed from what was built here: archives that containerd imports."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import platform
import py_compile
import struct
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from tests.cluster.rig.places import CACHE
from tests.cluster.rig.processes import locked
from tests.cluster.rig.root import base_layer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_OCI = "application/vnd.oci.image"
_CHUNK = 1 << 20
_SMALL = 10 << 20
"""Bytes; a larger file is a program whose path tells its version."""


Layer = Mapping[str, Path]
"""A layer's files, by their absolute path in the image."""


class Descriptor(TypedDict):
    """What refers to a blob: its `sha256:...` and its size in bytes."""

    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Image:
    """What one image is, above the base layer.

    Attributes:
        names: with their tags.
        layers: from below.
        entrypoint: the command.
        environ: of its processes.
        user: who they are.
        folder: where they start.
    """

    names: tuple[str, ...]
    layers: tuple[Layer, ...] = ()
    entrypoint: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    folder: str = "/"


def archive(images: Sequence[Image], name: str, above: Path | None = None) -> Path:
    """Images as one archive, made unless it is there.

    Args:
        images: what to pack.
        name: of the archive.
        above: an archive that is imported before and so need not be repeated: its layers are only referred to.

    Raises:
        RigError: the base layer can't be made.
    """
    base = base_layer()
    layers = {id(layer): layer for image in images for layer in image.layers}  # images share them
    keys = {number: _key(layer) for number, layer in layers.items()}
    mark = hashlib.sha256(f"{base.name} {above and above.name} 3".encode())
    for image in images:
        mark.update(repr((image.names, image.entrypoint, sorted(image.environ.items()), image.user)).encode())
        mark.update(image.folder.encode() if image.folder != "/" else b"")
        for layer in image.layers:
            mark.update(keys[id(layer)].encode())
    path = CACHE / f"{name}-{mark.hexdigest()[:12]}.tar"
    with locked(CACHE / f".{name}.lock"):
        if not path.exists():
            part = path.with_suffix(".part")
            known = json.loads(above.with_suffix(".json").read_text(encoding="ascii")) if above else {}
            digests = _pack(part, base, images, keys, known)
            for old in {*CACHE.glob(f"{name}-*.json"), *CACHE.glob(f"{name}-*.tar")}:
                old.unlink()
            path.with_suffix(".json").write_text(json.dumps(digests), encoding="ascii")
            part.rename(path)
    return path


def _key(layer: Layer) -> str:
    mark = hashlib.sha256()
    for target, source in sorted(layer.items()):
        facts = source.stat()
        mark.update(repr((target, facts.st_mode & 0o100)).encode())
        told = facts.st_size >= _SMALL or "site-packages" in source.parts
        mark.update(f"{source.name} {facts.st_size}".encode() if told else source.read_bytes())
    return mark.hexdigest()


def _pack(
    path: Path, base: Path, images: Sequence[Image], keys: Mapping[int, str], known: Mapping[str, Descriptor]
) -> dict[str, Descriptor]:
    """Write an archive in the layout of the Open Container Initiative; every layer's descriptor by its key."""
    index = []
    digests = dict(known)
    with tarfile.open(path, "w") as packed:
        _put(packed, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        for image in images:
            if base.name not in digests:
                digests[base.name] = _add(packed, base)
            layers = [digests[base.name]]
            for files in image.layers:
                key = keys[id(files)]
                if key not in digests:
                    part = path.with_suffix(".layer")
                    _layer(part, files)
                    digests[key] = _add(packed, part)
                    part.unlink()
                layers.append(digests[key])
            config = _blob(packed, _config(image, [str(layer["digest"]) for layer in layers]))
            manifest = {
                "schemaVersion": 2,
                "mediaType": f"{_OCI}.manifest.v1+json",
                "config": {"mediaType": f"{_OCI}.config.v1+json", **config},
                "layers": [{"mediaType": f"{_OCI}.layer.v1.tar", **layer} for layer in layers],
            }
            told = {"mediaType": manifest["mediaType"], **_blob(packed, json.dumps(manifest).encode())}
            index += [{**told, "annotations": {"io.containerd.image.name": name}} for name in image.names]
        _put(packed, "index.json", json.dumps({"schemaVersion": 2, "manifests": index}).encode())
    return digests


def _add(packed: tarfile.TarFile, layer: Path) -> Descriptor:
    digest = _digest(layer)
    packed.add(layer, f"blobs/sha256/{digest}")
    return {"digest": f"sha256:{digest}", "size": layer.stat().st_size}


def _blob(packed: tarfile.TarFile, content: bytes) -> Descriptor:
    """Add a blob; its descriptor."""
    digest = hashlib.sha256(content).hexdigest()
    _put(packed, f"blobs/sha256/{digest}", content)
    return {"digest": f"sha256:{digest}", "size": len(content)}


def _layer(path: Path, files: Layer) -> None:
    made: set[str] = set()
    with tarfile.open(path, "w") as tar:
        for target, source in sorted(files.items()):
            for parent in reversed(Path(target.lstrip("/")).parents):
                if str(parent) not in {".", *made} and not _in_base(str(parent)):
                    made.add(str(parent))
                    folder = tarfile.TarInfo(str(parent))
                    folder.type, folder.mode = tarfile.DIRTYPE, 0o755
                    tar.addfile(folder)
            entry = tarfile.TarInfo(target.lstrip("/"))
            facts = source.stat()
            entry.size, entry.mtime = facts.st_size, int(facts.st_mtime)
            entry.mode = 0o755 if facts.st_mode & 0o100 else 0o644
            with source.open("rb") as content:
                tar.addfile(entry, content)
            if source.suffix == ".py":
                _put(tar, _bytecode_name(target).lstrip("/"), _bytecode(source, target))


def _bytecode_name(target: str) -> str:
    path = Path(target)
    return str(path.parent / "__pycache__" / f"{path.stem}.{sys.implementation.cache_tag}.pyc")


def _bytecode(source: Path, target: str) -> bytes:
    """A module compiled, since every pod would do it again (two seconds of a core); a Python of another version ignores it."""
    facts = source.stat()
    try:
        found = Path(importlib.util.cache_from_source(str(source))).read_bytes()
    except OSError:
        found = b""
    wanted = struct.pack("<III", 0, int(facts.st_mtime) & 0xFFFFFFFF, facts.st_size & 0xFFFFFFFF)
    if found[:16] == importlib.util.MAGIC_NUMBER + wanted:
        return found
    with tempfile.TemporaryDirectory() as folder:
        compiled = Path(folder) / "module.pyc"
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(str(source), str(compiled), dfile=target, doraise=True, invalidation_mode=mode)
        return compiled.read_bytes()


def _in_base(folder: str) -> bool:
    """Whether the base layer has a folder, which is then left as it is there (some are links, as /bin is)."""
    return folder in {"usr", "usr/bin", "usr/local", "usr/local/bin", "usr/lib", "var", "var/lib", "etc", "opt"}


def _config(image: Image, digests: Iterable[str]) -> bytes:
    environ = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", **image.environ}
    config = {
        "Entrypoint": list(image.entrypoint),
        "Env": [f"{name}={value}" for name, value in environ.items()],
        "User": image.user,
        "WorkingDir": image.folder,
    }
    layers = {"type": "layers", "diff_ids": list(digests)}
    return json.dumps({"architecture": _architecture(), "os": "linux", "config": config, "rootfs": layers}).encode()


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _put(packed: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    packed.addfile(entry, io.BytesIO(content))
