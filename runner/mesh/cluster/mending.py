"""When may load go on after a pod died? When somebody listens in its successor, and every proxy sends there.

Kubernetes' word that a pod is ready is neither: without a readinessProbe it only means that its containers run, and proxies hear of
it later. Both are asked of those who know, with an end: no sleep stands for it.
"""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.mesh.cluster.app_ports import why_silent
from runner.mesh.cluster.dump import parse_dump
from runner.mesh.cluster.endpoints import app_ports, hosts, leading_to, outdated

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from runner.mesh.cluster.admin import Fleet, ProxyAdmin
    from runner.mesh.cluster.api import Api
    from runner.mesh.cluster.pods import Pod

MEND_LIMIT = 120.0
"""The longest wait, in seconds, for pods in the place of those that went to do their work: an image may have to be pulled."""

PROBED_LIMIT = 20.0
"""The longest wait, in seconds, for a port of a pod whose readinessProbes say that it serves: the port may be one of a Service that
nobody ever listened at."""

_FIRST_POLL, _LAST_POLL = 0.1, 1.0
_THREADS = 16
_SHOWN = 3


def replaced(before: Mapping[str, Pod], now: Mapping[str, Pod]) -> tuple[list[Pod], list[Pod]]:
    """Pods that came or in which a container was restarted, and pods that went.

    Args:
        before: by `POD.NAMESPACE`.
        now: the same.
    """
    came = [
        pod
        for name, pod in now.items()
        if name not in before or before[name].uid != pod.uid or before[name].restarts != pod.restarts
    ]
    gone = [pod for name, pod in before.items() if name not in now or now[name].uid != pod.uid]
    return came, gone


def short_of(before: Iterable[Pod], now: Iterable[Pod]) -> str:
    """Of which workloads there are fewer ready pods with a sidecar than there were, in words."""
    wanted = Counter(pod.workload for pod in before if pod.proxied)
    ready = Counter(pod.workload for pod in now if pod.proxied and pod.ready)
    short = [(ready[workload], number, workload) for workload, number in wanted.items() if ready[workload] < number]
    return "; ".join(f"{there} of {number} pods of {workload} are ready" for there, number, workload in short)


@dataclass(slots=True)
class Mending:
    """Waits until what came in the place of dead pods does its work.

    Attributes:
        api: the cluster.
        fleet: the proxies that are there now.
        services: namespace, name and spec of those that may lead to the pods.
        came: the new pods, and those in which something was restarted.
        gone: the dead ones.
        ips: the addresses that pods have now.
        over: whether there is no more to wait for, because a pod died again, say.
    """

    api: Api
    fleet: Fleet
    services: Sequence[tuple[str, str, Mapping[str, Any]]]
    came: Sequence[Pod]
    gone: Sequence[Pod]
    ips: frozenset[str]
    over: Callable[[], bool]
    _types: dict[str, dict[str, str]] = field(default_factory=dict)

    def wait(self, deadline: float) -> str:
        """Return once all do; what is still missing at the deadline (monotonic seconds), in words."""
        ports = {str(port): port for port in app_ports(self.came, self.services)}
        probed = min(deadline, time.monotonic() + PROBED_LIMIT)

        def silent(names: Collection[str]) -> dict[str, str]:
            with ThreadPoolExecutor(_THREADS, "ports") as threads:
                words = dict(
                    zip(names, threads.map(lambda name: why_silent(self.api, ports[name]), names), strict=True)
                )
            late = time.monotonic() > probed
            return {name: why for name, why in words.items() if why and not (late and ports[name].pod.probed)}

        return self._wait(ports, silent, deadline) or self._wait(self.fleet.clients, self._outdated, deadline)

    def _wait(self, names: Collection[str], look: Callable[[Collection[str]], dict[str, str]], deadline: float) -> str:
        """Look until nothing is missing of any name; what it was at the deadline, in words."""
        pause, left = _FIRST_POLL, names
        while reasons := look(left):
            if time.monotonic() > deadline or self.over():
                shown = [f"{name}: {reason}" for name, reason in list(reasons.items())[:_SHOWN]]
                more = len(reasons) - len(shown)
                return "; ".join(shown) + (f"; and {more} more" if more else "")
            left = list(reasons)
            time.sleep(pause)
            pause = min(_LAST_POLL, pause * 1.5)
        return ""

    def _outdated(self, names: Collection[str]) -> dict[str, str]:
        came = [(pod, list(leading_to(pod, self.services))) for pod in self.came]
        gone = [(pod, list(leading_to(pod, self.services))) for pod in self.gone if pod.ip and pod.ip not in self.ips]

        def look(client: ProxyAdmin) -> str:
            own = client.pod.proxy_id
            if own not in self._types:
                self._types[own] = _types(client.get("/config_dump?resource=dynamic_active_clusters"))
            held = hosts(client.get("/clusters?format=json"))
            return outdated(self._types[own], held, client.pod.node, came, gone)

        found = self.fleet.each(_readable(look), names)
        silent = {name: f"no answer ({self.fleet.silent.get(name, '')})" for name in names if name not in found}
        return {**silent, **{name: why for name, why in found.items() if why}}


def _types(text: str) -> dict[str, str]:
    return {name: str(cluster.get("type")) for name, cluster in parse_dump(text).clusters.items()}


def _readable(look: Callable[[ProxyAdmin], str]) -> Callable[[ProxyAdmin], str]:
    """The same, with an answer that can't be read as a reason to wait."""

    def careful(client: ProxyAdmin) -> str:
        try:
            return look(client)
        except ValueError as error:
            return f"its clusters can't be read: {error}"

    return careful
