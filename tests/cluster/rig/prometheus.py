"""Prometheus on the rig, and proxies that count what it is asked for: `istio_requests_total` and its sisters, from stock Envoy."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster.rig.catalogue import HUB, stock
from tests.cluster.rig.images import Image, archive
from tests.cluster.rig.places import FILES
from tests.cluster.rig.processes import RigError

if TYPE_CHECKING:
    from tests.cluster.rig.node import Node


def install(node: Node) -> None:
    """Install both into istio-system, and return when Prometheus is ready.

    Raises:
        RigError: Debian's prometheus is missing, or did not start.
    """
    program = shutil.which("prometheus")
    if program is None:
        raise RigError("this needs Debian's prometheus")
    files = {"/usr/bin/prometheus": Path(program), "/opt/targets.py": FILES / "targets.py"}
    image = Image((f"{HUB}/prometheus:1",), (files,), ("/usr/bin/prometheus",))
    node.load_more(archive([image], "prometheus", above=archive(stock(), "parts")))
    control = node.control
    for name in ("stock-metrics-envoyfilter.yaml", "prometheus.yaml"):
        control.kubectl("apply", "-f", str(FILES / name))
    control.kubectl("-n", "istio-system", "rollout", "status", "deployment/prometheus", "--timeout=120s")
