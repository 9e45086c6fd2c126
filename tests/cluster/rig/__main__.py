"""The rig by hand, and what `make cluster-up` and its sisters call: `python -m tests.cluster.rig COMMAND`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.cluster.rig import lifecycle, network, prometheus
from tests.cluster.rig.bare import apiserver
from tests.cluster.rig.node import Node
from tests.cluster.rig.processes import RigError

if TYPE_CHECKING:
    from collections.abc import Callable


def _apiserver() -> None:
    with apiserver() as control:
        print(control.kubeconfig, flush=True)
        signal.pause()


def _up() -> None:
    print(lifecycle.up(), flush=True)


def _status() -> None:
    if not lifecycle.is_up():
        raise RigError("the rig is not up")
    print(lifecycle.control().kubectl("get", "pods", "-A", "-o", "wide"))
    for rule in network.dropped():
        print(f"guard dropped {rule.packets} packets: {rule.rule}")


def _kubectl() -> None:
    sys.stdout.write(lifecycle.control().kubectl(*sys.argv[2:]))


def _prometheus() -> None:
    prometheus.install(Node(lifecycle.control()))


def _packages() -> None:
    print(" ".join(lifecycle.packages()))


def _run() -> int:
    """Run a command with a rig, which is ended afterwards unless it was up before; any other cluster is taken as it is."""
    environ = dict(os.environ)
    owned = False
    if not environ.get("MESHTRIAL_KUBECONFIG"):
        owned = not lifecycle.is_up()
        environ |= {"MESHTRIAL_KUBECONFIG": str(lifecycle.up()), "MESHTRIAL_RIG": "owned" if owned else "found"}
    try:
        return subprocess.run(sys.argv[2:], env=environ, check=False).returncode
    finally:
        if owned:
            lifecycle.down()


def main() -> int:
    """Do what the first argument says; the exit code."""
    commands: dict[str, Callable[[], int | None]] = {
        "up": _up,
        "down": lifecycle.down,
        "status": _status,
        "apiserver": _apiserver,
        "kubectl": _kubectl,
        "run": _run,
        "packages": _packages,
        "prometheus": _prometheus,
    }
    command = commands.get(sys.argv[1] if len(sys.argv) > 1 else "")
    if command is None:
        sys.stderr.write(f"usage: python -m tests.cluster.rig {'|'.join(commands)}\n")
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return command() or 0
    except RigError as error:
        sys.stderr.write(f"error: {error}\n")
        return 3
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
