"""The Debian root file system under every image of the rig, made once by debootstrap."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

from tests.cluster.rig.places import CACHE
from tests.cluster.rig.processes import RigError, call, locked

_PACKAGES = "iptables,nftables,ca-certificates,python3-minimal,libpython3-stdlib,curl,procps"
_SUITE = "bookworm"
_PROXY_UID = 1337
"""The user whose traffic istio-init leaves alone."""

_SKIPPED = (
    "var/cache",
    "var/lib/apt",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
    "dev",
    "proc",
    "sys",
    "var/log",
)


def base_layer() -> Path:
    """The base layer as a tar.

    Raises:
        RigError: debootstrap is missing, needs root, or failed.
    """
    key = hashlib.sha256(f"{_PACKAGES} {_SUITE} {_SKIPPED} 1".encode()).hexdigest()[:12]
    layer = CACHE / f"base-{key}.tar"
    with locked(CACHE / ".base.lock"):
        if not layer.exists():
            _make(layer)
    return layer


def _make(layer: Path) -> None:
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        raise RigError("the images need root and debootstrap")
    sys.stderr.write("making the base image (a minute the first time)\n")
    folder = Path(tempfile.mkdtemp(prefix="root-", dir=CACHE))
    try:
        root = folder / "root"
        call(["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", _SUITE, str(root), _mirror()])
        call(["chroot", str(root), "update-alternatives", "--set", "iptables", "/usr/sbin/iptables-nft"])
        call(["chroot", str(root), "update-alternatives", "--set", "ip6tables", "/usr/sbin/ip6tables-nft"])
        uid = str(_PROXY_UID)
        call(["chroot", str(root), "useradd", "--uid", uid, "--user-group", "--no-create-home", "istio-proxy"])
        part = folder / "base.tar"
        skipped = [f"--exclude=./{name}/*" for name in _SKIPPED]
        call(["tar", "-C", str(root), "--numeric-owner", "--one-file-system", *skipped, "-cf", str(part), "."])
        part.rename(layer)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _mirror() -> str:
    """Where this machine's apt gets the suite from.

    Raises:
        RigError: it does not.
    """
    listed = call(["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages"])
    for line in listed.splitlines():
        address, _, suite = line.partition(" ")
        if suite == _SUITE:
            return address
    raise RigError(f"apt on this machine has no mirror of Debian {_SUITE}")
