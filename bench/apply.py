"""A change of config, from `apply` to the proof that every proxy holds it.

`LocalMesh.apply` of one changed VirtualService (another status for an injected abort; every proxy of Bookinfo takes it)
and of one changed DestinationRule (clusters too), each returning when all proxies confirm, against one bare Envoy whose
route file is renamed into place: until a request sees it, and until its stats confirm it. After every apply to the mesh
one request through the gateway must see the new status, else the benchmark fails: a fast apply that is not in effect
would be worth nothing. The CPU time of an apply, of this process and of the eight Envoys together, stands beside: divided
by the machine's cores it is the time that no apply can go below.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import tempfile
import urllib.parse
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import psutil

from bench.bare import ADMIN_PORT, PORT, BareEnvoys, Envoy, answer
from bench.cpu import cpu_seconds
from bench.measure import Result, Sample, ratio, series, side_by_side
from runner.istio.load import parse_manifests
from runner.mesh.local.mesh import LocalMesh

if TYPE_CHECKING:
    from collections.abc import Iterator

_ABORT = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: details}}
spec:
  hosts: [details]
  http:
  - fault: {{abort: {{percentage: {{value: 100}}, httpStatus: {status}}}}}
    route: [{{destination: {{host: details}}}}]
"""
_POOL = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: reviews}}
spec:
  host: reviews
  trafficPolicy: {{connectionPool: {{http: {{http1MaxPendingRequests: {number}}}}}}}
  subsets:
  - {{name: v1, labels: {{version: v1}}}}
  - {{name: v2, labels: {{version: v2}}}}
"""
_TIME, _CPU = "confirmed", "CPU"
_VERSION = "/stats?filter=^http%5C.bare%5C.rds%5C.bare%5C.version_text$"


class _Client:
    """One connection that stays open."""

    def __init__(self, host: str, port: int) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=10)

    def get(self, path: str) -> tuple[int, str]:
        self._connection.request("GET", path)
        response = self._connection.getresponse()
        return response.status, response.read().decode()

    def close(self) -> None:
        self._connection.close()


class _Mesh:
    """The embedded mesh under change."""

    def __init__(self, mesh: LocalMesh) -> None:
        self._mesh = mesh
        supervisor = psutil.Process(int((mesh.instance.folder / "supervisor.pid").read_text(encoding="ascii")))
        self._processes = [child for child in supervisor.children() if child.name() == "envoy"]
        self._processes.append(psutil.Process())
        url = urllib.parse.urlsplit(mesh.gateway_url())
        self._client = _Client(url.hostname or "", url.port or 80)
        self._statuses = itertools.cycle(range(520, 600))
        self._numbers = itertools.count(1000)

    def _apply(self, text: str) -> Sample:
        resources = parse_manifests(text, "bench.yaml")
        spent, began = cpu_seconds(self._processes), perf_counter()
        self._mesh.apply(resources)
        took = perf_counter() - began
        return {_TIME: took * 1000, _CPU: (cpu_seconds(self._processes) - spent) * 1000}

    def virtual_service(self) -> Sample:
        """The details route aborts with another status."""
        status = next(self._statuses)
        sample = self._apply(_ABORT.format(status=status))
        seen, _ = self._client.get("/api/v1/products/0")
        if seen != status:
            raise RuntimeError(f"apply returned, but a request saw {seen}, not {status}")
        return sample

    def destination_rule(self) -> Sample:
        """The reviews clusters get another limit."""
        return self._apply(_POOL.format(number=next(self._numbers)))


class _Bare:
    """One bare Envoy under change."""

    def __init__(self, envoy: Envoy) -> None:
        self._envoy = envoy
        self._requests = _Client(envoy.address, PORT)
        self._admin = _Client(envoy.address, ADMIN_PORT)
        self._numbers = itertools.count(2)

    def _rename(self) -> tuple[str, float]:
        version = str(next(self._numbers))
        fresh = self._envoy.routes.with_name("fresh.json")
        fresh.write_text(json.dumps(answer(version, version)), encoding="utf-8")
        began = perf_counter()
        fresh.rename(self._envoy.routes)
        return version, began

    def effect(self) -> Sample:
        """From the rename until a request sees it."""
        version, began = self._rename()
        while self._requests.get("/")[1] != version:
            pass
        return {_TIME: (perf_counter() - began) * 1000}

    def confirmed(self) -> Sample:
        """From the rename until the stats say so."""
        version, began = self._rename()
        while f'"{version}"' not in self._admin.get(_VERSION)[1]:
            pass
        return {_TIME: (perf_counter() - began) * 1000}


@contextlib.contextmanager
def _both() -> Iterator[tuple[_Mesh, _Bare]]:
    with tempfile.TemporaryDirectory(prefix="meshtrial-bench-") as folder, BareEnvoys(Path(folder)) as bare:
        mesh = LocalMesh.start("bookinfo")
        try:
            yield _Mesh(mesh), _Bare(bare.envoys[0])
        finally:
            mesh.close()


def measure(*, quick: bool) -> Result:
    """Run the benchmark."""
    with _both() as (mesh, bare):
        arms = {
            "VirtualService on eight proxies": mesh.virtual_service,
            "DestinationRule on eight proxies": mesh.destination_rule,
            "rename to effect on one bare Envoy": bare.effect,
            "rename to confirmed on one bare Envoy": bare.confirmed,
        }
        found = side_by_side(arms, 10 if quick else 60)
    rule, pool, effect, confirmed = (series(found, name, _TIME, "ms", name) for name in arms)
    return Result(
        [
            rule.aimed("<= 25"),
            series(found, "VirtualService on eight proxies", _CPU, "ms", "VirtualService, CPU of all processes"),
            pool,
            series(found, "DestinationRule on eight proxies", _CPU, "ms", "DestinationRule, CPU of all processes"),
            effect,
            confirmed,
            ratio("VirtualService to bare rename to effect", rule, effect),
            ratio("VirtualService to bare rename to confirmed", rule, confirmed),
        ]
    )
