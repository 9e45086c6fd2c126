"""Bringing the whole rig up and down."""

from __future__ import annotations

import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.cluster.rig import istio, namespaces, network
from tests.cluster.rig.builds import PROGRAMS
from tests.cluster.rig.catalogue import ours, stock
from tests.cluster.rig.control import ControlPlane
from tests.cluster.rig.images import archive
from tests.cluster.rig.node import Node, groups, remove_cgroups
from tests.cluster.rig.places import CGROUP, HOME, HOST_LINK, KUBECONFIG, LOCK, NETWORK, NODE_ADDRESS, NODE_LINK
from tests.cluster.rig.processes import RigError, call, locked

_BRIDGE_PLUGIN = "/usr/lib/cni/bridge"
_DEBIAN = {
    "etcd": "etcd-server",
    "containerd": "containerd",
    "runc": "runc",
    _BRIDGE_PLUGIN: "containernetworking-plugins",
    "nft": "nftables",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "debootstrap": "debootstrap",
    "openssl": "openssl",
    "nsenter": "util-linux",
    "ip": "iproute2",
    "prometheus": "prometheus",
}
"""What has to be there, and Debian's package that brings it."""

_UP = HOME / "up"


@dataclass(slots=True)
class _Clock:
    """Says how long each step took."""

    since: float

    def tell(self, what: str) -> None:
        now = time.monotonic()
        sys.stderr.write(f"{what}: {now - self.since:.1f} s\n")
        self.since = now


def packages() -> list[str]:
    """Debian's packages that this machine lacks for the rig."""
    return [package for name, package in _DEBIAN.items() if shutil.which(name) is None]


def lacking() -> list[str]:
    """What this machine lacks for the rig, in words."""
    lacks = [] if os.geteuid() == 0 else ["root"]
    lacks += [] if shutil.which("go") else ["Go"]
    return lacks + [f"Debian's {name}" for name in packages()]


def control() -> ControlPlane:
    """The control plane of the rig that is up.

    Raises:
        RigError: none is.
    """
    return ControlPlane(HOME, address=NODE_ADDRESS, enter=namespaces.enter())


def is_up() -> bool:
    """Whether a whole rig runs."""
    return _UP.exists() and namespaces.exist() and control().ready()


def up() -> Path:
    """Bring the rig up unless it is; the kubeconfig.

    Raises:
        RigError: the machine lacks something, or a part did not start; nothing is left then.
    """
    lacks = lacking()
    if lacks:
        raise RigError(f"the rig needs {', '.join(lacks)}")
    with locked(LOCK):
        if is_up():
            return KUBECONFIG
        _down()
        try:
            _up()
        except BaseException:
            logs = HOME / "processes"
            if logs.is_dir() and (kept := os.environ.get("MESHTRIAL_RIG_KEEP_LOGS")):
                shutil.copytree(logs, kept, dirs_exist_ok=True)
            _down()
            raise
    return KUBECONFIG


def down() -> None:
    """End the rig; nothing of it is left on the machine but its cache.

    Raises:
        RigError: something can't be removed.
    """
    with locked(LOCK):
        _down()


def _up() -> None:
    clock = _Clock(time.monotonic())
    for program in PROGRAMS:
        program.build()
    clock.tell("programs")
    parts = archive(stock(), "parts")
    code = archive(ours(), "ours", above=parts)
    clock.tell("images")
    HOME.mkdir(mode=0o755, parents=True)
    namespaces.create()
    network.create()
    plane = control()
    plane.start()
    clock.tell("control plane")
    node = Node(plane)
    node.load(parts)
    node.load_more(code)
    clock.tell("images loaded")
    node.start()
    clock.tell("node")
    istio.install(plane)
    clock.tell("Istio")
    _UP.touch()


def _down() -> None:
    namespaces.end()
    network.remove()
    remove_cgroups()
    shutil.rmtree(HOME, ignore_errors=True)
    left = leftovers()
    if left:
        raise RigError(f"the rig is down, but this is left: {'; '.join(left)}")


def leftovers() -> list[str]:
    """What there is of a rig on this machine, in words: empty after `down`."""
    found = [str(HOME)] if HOME.exists() else []
    for process in psutil.process_iter(["pid", "name", "cmdline"]):
        words = process.info["cmdline"] or []
        if any(f"{HOME}/" in word for word in words) or _in_group(process.info["pid"]):
            found.append(f"process {process.info['pid']} ({process.info['name']})")
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    found += [f"mount {line.split()[4]}" for line in mounts if f"{HOME}/" in line]
    found += [f"interface {name}" for name in psutil.net_if_addrs() if name in {HOST_LINK, NODE_LINK}]
    if NETWORK in call(["ip", "route", "show"]):
        found.append(f"route to {NETWORK}")
    rules = call(["nft", "list", "ruleset"])
    found += [f"firewall {name}" for name in (network.TABLE, "kube-proxy", "KUBE-", "CNI-") if name in rules]
    return found + [f"control group {group}" for group in groups()]


def _in_group(pid: int) -> bool:
    try:
        return f"/{CGROUP}/" in Path(f"/proc/{pid}/cgroup").read_text(encoding="ascii")
    except OSError:
        return False
