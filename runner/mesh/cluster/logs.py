"""The proxies' access logs of a window, out of their containers' logs."""

from __future__ import annotations

import math
import time
from datetime import datetime
from typing import TYPE_CHECKING

from runner.mesh.cluster.api import segment
from runner.mesh.cluster.pods import PROXY

if TYPE_CHECKING:
    from runner.mesh.cluster.api import Api
    from runner.mesh.cluster.pods import Pod

_SLACK = 5
"""Seconds: the node's clock may differ from ours, and a line is written when its request has ended."""

_MOST = 4_000_000
"""Bytes of one container's log: a report shows a sample."""


def access_log(api: Api, pod: Pod, since: float, until: float) -> list[str]:
    """The lines of a proxy's access log that began between two wall-clock times (seconds since the epoch).

    Empty when the mesh writes none (`meshConfig.accessLogFile`).

    Raises:
        MeshError: the log can't be read.
    """
    seconds = max(1, math.ceil(time.time() - since) + _SLACK)
    query = {"container": PROXY, "sinceSeconds": str(seconds), "limitBytes": str(_MOST)}
    path = f"/api/v1/namespaces/{segment(pod.namespace)}/pods/{segment(pod.name)}/log"
    return lines_between(api.text(path, query), since, until)


def lines_between(text: str, since: float, until: float) -> list[str]:
    """The access-log lines of a window; the proxy's and the agent's own messages are passed over."""
    found = []
    for line in text.splitlines():
        moment = _moment(line)
        if moment is not None and since <= moment <= until:
            found.append(line)
    return found


def _moment(line: str) -> float | None:
    if not line.startswith("["):
        return None
    try:
        return datetime.fromisoformat(line[1 : line.index("]")]).timestamp()
    except ValueError:
        return None
