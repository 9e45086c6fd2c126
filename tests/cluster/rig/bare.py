"""An apiserver with Istio's kinds and nothing behind it: what reads and writes objects is tested against the real thing, without root."""

from __future__ import annotations

import contextlib
import json
import socket
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster.rig.builds import istio_sources
from tests.cluster.rig.control import ControlPlane
from tests.cluster.rig.processes import RigError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE = 60.0

ISTIO_KINDS = Path("manifests/charts/base/files/crd-all.gen.yaml")
"""Istio's CustomResourceDefinitions, inside the Istio module."""


def _free_ports() -> tuple[int, int]:
    """A port, and a pair of neighbours' first."""
    while True:
        with socket.socket() as one, socket.socket() as two, socket.socket() as three:
            one.bind(("127.0.0.1", 0))
            two.bind(("127.0.0.1", 0))
            try:
                three.bind(("127.0.0.1", two.getsockname()[1] + 1))
            except OSError:
                continue
            return one.getsockname()[1], two.getsockname()[1]


def install_kinds(control: ControlPlane) -> None:
    """Create Istio's CRDs and wait until they are served.

    Raises:
        RigError: the apiserver refused one.
    """
    control.kubectl("apply", "--server-side", "-f", str(istio_sources() / ISTIO_KINDS))
    deadline = time.monotonic() + _PATIENCE
    while waiting := _unserved(control):  # `kubectl wait` fails on one that has no conditions yet
        if time.monotonic() > deadline:
            raise RigError(f"the apiserver does not serve {', '.join(waiting)}")
        time.sleep(0.1)


def _unserved(control: ControlPlane) -> list[str]:
    found = json.loads(control.kubectl("get", "crd", "-o", "json"))["items"]
    return [
        item["metadata"]["name"]
        for item in found
        if ("Established", "True")
        not in [(fact["type"], fact["status"]) for fact in item.get("status", {}).get("conditions") or []]
    ]


@contextlib.contextmanager
def apiserver() -> Iterator[ControlPlane]:
    """An apiserver on loopback with Istio's CRDs; ended and forgotten at the end.

    Raises:
        RigError: it can't be had: no etcd, no Go, or a part did not start.
    """
    with tempfile.TemporaryDirectory(prefix="meshtrial-apiserver-") as folder:
        api, etcd = _free_ports()
        control = ControlPlane(Path(folder), port=api, etcd=etcd)
        try:
            control.start()
            install_kinds(control)
            yield control
        finally:
            control.stop()
