"""The rig's own process, network and mount namespaces: what happens in them can't touch the machine, and ends with their first process.

The kernel kills every process of a process namespace when its first one dies, and drops mounts, interfaces and firewall rules with
the last process: that is what makes `down` complete whatever state the node is in, as for kind, whose nodes are containers.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from tests.cluster.rig.places import HOME
from tests.cluster.rig.processes import Processes

_FIRST = "first"
_WAIT = "import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\nwhile True: signal.pause()"
"""A first process has to take in orphans; with SIGCHLD ignored the kernel reaps them."""

_UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--")

PRIVATE = {"/var/log": "log", "/var/lib/cni": "lib-cni", "/var/lib/kubelet": "lib-kubelet"}
"""Folders that parts write to whatever they are told, and where in HOME they really are."""


def _holder() -> Processes:
    return Processes(HOME / "processes", _UNSHARE)


def exist() -> bool:
    """Whether the namespaces are there."""
    return _holder().alive(_FIRST)


def enter() -> tuple[str, ...]:
    """The command that runs the rest of a command line in the rig's namespaces.

    Raises:
        RigError: the rig is not up.
    """
    return ("nsenter", "--target", str(_holder().pid(_FIRST)), "--net", "--mount", "--pid", "--")


def create() -> None:
    """Make the namespaces, and mount what keeps the parts' files out of the machine's folders.

    Raises:
        RigError: they can't be made.
    """
    _holder().start(_FIRST, [sys.executable, "-S", "-c", _WAIT])
    inside = Processes(HOME / "processes", enter())
    inside.call(["mount", "-t", "tmpfs", "-o", "mode=755", "run", "/run"])
    for folder in ("lock", "netns"):
        inside.call(["mkdir", f"/run/{folder}"])
    for target, name in PRIVATE.items():
        (HOME / name).mkdir()
        inside.call(["mkdir", "-p", target])
        inside.call(["mount", "--bind", str(HOME / name), target])
    inside.call(["mount", "--make-rshared", "/"])


def end() -> None:
    """Kill everything that lives in the namespaces."""
    holder = _holder()
    if holder.alive(_FIRST):
        holder.kill(_FIRST)
    if not [other for other in HOME.parent.glob("meshtrial-rig*") if other != HOME]:  # it would lose its mounts by this
        for target in PRIVATE:
            with contextlib.suppress(OSError):
                Path(target).rmdir()  # one that is empty was made for the mount
