"""On a cluster: from `apply` to the proof that every sidecar holds a change, beside a fixed sleep and `istioctl proxy-status`.

One VirtualService (another status for an injected abort) is changed in a namespace with 6 and with 60 real sidecars. Ours returns when
every one of them shows the change in its own config and istiod says that it was acknowledged. Beside it stands what scripts do after
`kubectl apply`: sleep, and hope; and polling `istioctl proxy-status` until everything is SYNCED, as it also is before istiod has
noticed the change. In each of those the sidecars' own config is looked at when the script would go on, and the share of them that hold
the change is told. Then all counters of all sidecars are collected: over the port-forwards that a run keeps open, and by
`kubectl exec pilot-agent request GET stats`, as one does by hand; with the CPU time that it costs this process and, where the cluster
runs on this machine, the API server, the kubelet and the sidecars.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import time
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

import psutil

from bench.cluster import Processes, istioctl, sidecars, use_cluster
from bench.cpu import cpu_seconds
from bench.measure import Result, Sample, Series, ratio, series, side_by_side
from runner.istio.load import parse_manifests
from runner.probes import proxy_stats

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.mesh.cluster.admin import Fleet
    from runner.mesh.cluster.mesh import ClusterMesh

_SIZES = (6, 60)
_ABORT = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: light-0}}
spec:
  hosts: [light-0]
  http:
  - fault: {{abort: {{percentage: {{value: 100}}, httpStatus: {status}}}}}
    route: [{{destination: {{host: light-0}}}}]
"""
_SLEEPS = (1.0, 5.0, 10.0)
_ROUTES = "/config_dump?resource=dynamic_route_configs"
_SYNCED = frozenset({"SYNCED", "NOT_SENT", "IGNORED"})
_SERVERS = ("kube", "kube-apiserver", "kubelet", "containerd")
_TIME, _CPU, _HELD, _CLUSTER, _PROXIES = "time", "CPU", "held", "cluster CPU", "sidecar CPU"
_LIMIT = 60.0
_REST_LIMIT, _QUICK = 180.0, 2.0


class _Mesh:
    """A namespace under change; every change is another one."""

    def __init__(self, mesh: ClusterMesh) -> None:
        self.mesh = mesh
        self.fleet: Fleet = mesh._fleet  # noqa: SLF001 - to look at the sidecars without the mesh's own confirmation
        self._statuses = itertools.cycle(range(520, 600))
        self._me = psutil.Process()
        self._servers = Processes(*_SERVERS)
        self._sidecars = Processes("envoy", "pilot-agent")
        self._rest()
        mesh.apply(self._change(next(self._statuses)))

    def _rest(self) -> None:
        """Wait until so many new proxies have come to rest: all of them answer quickly, twice in a row."""
        deadline, quick = time.monotonic() + _REST_LIMIT, 0
        while quick < 2:
            began = perf_counter()
            answers = self.fleet.get(_ROUTES)
            here = len(answers) == len(self.fleet.clients) and perf_counter() - began < _QUICK
            quick = quick + 1 if here else 0
            if time.monotonic() > deadline:
                raise RuntimeError(f"the sidecars did not come to rest within {_REST_LIMIT:.0f} s")
            time.sleep(1.0)

    def _change(self, status: int):  # type: ignore[no-untyped-def]
        return parse_manifests(_ABORT.format(status=status), "bench.yaml", namespace=self.mesh.namespace)

    def _share(self, status: int) -> float:
        """How many of the sidecars hold a change, in percent; the gateway has no part in it."""
        texts = self.fleet.get(_ROUTES)
        inside = [name for name, client in self.fleet.clients.items() if not client.pod.gateway]
        held = [name for name in inside if f'"http_status": {status}' in texts.get(name, "")]
        return 100 * len(held) / len(inside)

    def ours(self) -> Sample:
        """`apply`."""
        status = next(self._statuses)
        spent, began = cpu_seconds([self._me]), perf_counter()
        self.mesh.apply(self._change(status))
        took = perf_counter() - began
        cpu = cpu_seconds([self._me]) - spent
        held = self._share(status)
        if held < 100:
            raise RuntimeError(f"apply returned, and {held:.0f} % of the sidecars held the change")
        return {_TIME: took, _CPU: cpu, _HELD: held}

    def sleeping(self) -> Sample:
        """Write, sleep, look."""
        status = next(self._statuses)
        self.mesh.store.change(self._change(status), ())
        began = perf_counter()
        found = {}
        for seconds in _SLEEPS:
            time.sleep(max(0.0, seconds - (perf_counter() - began)))
            found[f"{_HELD} {seconds:g}"] = self._share(status)
        self._settle(status)
        return found

    def polling(self, program: str) -> Sample:
        """Write, and ask istioctl until it says that all is synced."""
        status = next(self._statuses)
        self.mesh.store.change(self._change(status), ())
        began = perf_counter()
        while not self._synced(program):
            if perf_counter() - began > _LIMIT:
                raise RuntimeError("istioctl proxy-status never said SYNCED")
        took = perf_counter() - began
        held = self._share(status)
        self._settle(status)
        return {_TIME: took, _HELD: held}

    @staticmethod
    def _synced(program: str) -> bool:
        said = subprocess.run(
            [program, "--kubeconfig", os.environ["KUBECONFIG"], "proxy-status", "-o", "json"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        states = [
            config.get("configStatus")
            for resource in json.loads(said)["resources"]
            for config in resource.get("genericXdsConfigs") or []
        ]
        return bool(states) and all(state in _SYNCED for state in states)

    def _settle(self, status: int) -> None:
        """Wait, uncounted, until the change is everywhere, so that the next one begins from rest."""
        deadline = time.monotonic() + _LIMIT
        while self._share(status) < 100:
            if time.monotonic() > deadline:
                raise RuntimeError("a change never arrived")
            time.sleep(0.2)

    def collect(self, *, by_exec: bool) -> Sample:
        """Read every counter of every sidecar once."""
        for client in self.fleet.clients.values():
            client.by_exec = by_exec
        try:
            if not by_exec:
                self.fleet.get("/ready")
            before = cpu_seconds([self._me]), self._servers.seconds(), self._sidecars.seconds()
            began = perf_counter()
            texts = self.fleet.get(proxy_stats.COUNTERS_PATH)
            counters = [proxy_stats.parse_stats(text) for text in texts.values()]
            took = perf_counter() - began
            after = cpu_seconds([self._me]), self._servers.seconds(), self._sidecars.seconds()
        finally:
            for client in self.fleet.clients.values():
                client.by_exec = False
        if len(counters) < len(self.fleet.clients) or not all(counters):
            raise RuntimeError(f"{len(counters)} of {len(self.fleet.clients)} proxies answered: {self.fleet.silent}")
        mine, servers, proxies = (later - earlier for earlier, later in zip(before, after, strict=True))
        return {_TIME: took, _CPU: mine, _CLUSTER: servers, _PROXIES: proxies}


def measure(*, quick: bool) -> Result:
    """Run the benchmark."""
    use_cluster()
    program = istioctl()
    rows: list[Series] = []
    notes: list[str] = []
    for size in _SIZES:
        with sidecars(size) as opened:
            mesh = _Mesh(opened)
            arms: dict[str, Callable[[], Sample]] = {"ours": mesh.ours, "sleep": mesh.sleeping}
            if program:
                arms["istioctl"] = lambda mesh=mesh, program=program: mesh.polling(program)  # type: ignore[misc]
            found = side_by_side(arms, 2 if quick else 5, warm=False)
            readings = side_by_side(
                {
                    "open": lambda mesh=mesh: mesh.collect(by_exec=False),  # type: ignore[misc]
                    "exec": lambda mesh=mesh: mesh.collect(by_exec=True),  # type: ignore[misc]
                },
                1 if quick else 3,
                warm=False,
            )
            local = bool(mesh._sidecars.found)  # noqa: SLF001 - of this module
        rows += _applied(size, found)
        rows += _collected(size, readings, local=local)
        notes += _said(size, found)
    return Result(rows, [*notes, *([] if program else ["There is no istioctl here."])])


def _applied(size: int, found: dict[str, list[Sample]]) -> list[Series]:
    ours = series(found, "ours", _TIME, "s", f"{size} sidecars: apply to confirmed on every one")
    rows = [ours, _milliseconds(found, "ours", _CPU, "- CPU of this process")]
    rows += [
        series(
            found, "sleep", f"{_HELD} {seconds:g}", "%", f"- sleep of {seconds:g} s instead: sidecars that hold it then"
        )
        for seconds in _SLEEPS
    ]
    if "istioctl" in found:
        theirs = series(found, "istioctl", _TIME, "s", "- istioctl proxy-status until SYNCED instead")
        rows += [theirs, series(found, "istioctl", _HELD, "%", "- - sidecars that hold it then")]
        rows.append(ratio("- apply to confirmed, to istioctl's SYNCED", ours, theirs))
    return rows


def _collected(size: int, found: dict[str, list[Sample]], *, local: bool) -> list[Series]:
    rows = []
    for arm, how in (("open", "over open port-forwards"), ("exec", "by exec of pilot-agent")):
        rows.append(series(found, arm, _TIME, "s", f"{size} sidecars: all counters collected {how}"))
        rows.append(_milliseconds(found, arm, _CPU, "- CPU of this process"))
        if local:
            rows.append(_milliseconds(found, arm, _CLUSTER, "- CPU of API server, kubelet and containerd"))
            rows.append(_milliseconds(found, arm, _PROXIES, "- CPU of all sidecars together"))
    return rows


def _milliseconds(found: dict[str, list[Sample]], arm: str, quantity: str, what: str) -> Series:
    return Series(what, "ms", tuple(1000 * sample[quantity] for sample in found[arm]))


def _said(size: int, found: dict[str, list[Sample]]) -> list[str]:
    ours = median(sample[_TIME] for sample in found["ours"])
    wasted = [f"{seconds - ours:.1f} s of a sleep of {seconds:g} s" for seconds in _SLEEPS if seconds > ours]
    notes = [f"{size} sidecars: with the proof in hand, {' and '.join(wasted)} are left."] if wasted else []
    early = _short(found.get("istioctl", ()))
    if early:
        notes.append(f"{size} sidecars: {early}")
    return notes


def _short(samples: Sequence[Sample]) -> str:
    few = [sample[_HELD] for sample in samples if sample[_HELD] < 100]
    if not few:
        return ""
    return (
        f"in {len(few)} of {len(samples)} changes proxy-status said SYNCED while only {min(few):.0f} to {max(few):.0f} % of the sidecars "
        "held the change: everything was synced with what istiod had read before."
    )
