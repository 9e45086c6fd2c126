"""What the benchmarks on a cluster share: which cluster, namespaces of their own, and many small pods with real sidecars."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from bench.cpu import cpu_seconds
from bench.measure import say
from runner.istio.load import parse_manifests
from runner.mesh.cluster.connect import connect
from runner.mesh.cluster.mesh import ClusterMesh
from runner.spec.mesh import ClusterTarget

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.mesh.cluster.api import Api

IMAGE_VARIABLE = "MESHTRIAL_BENCH_IMAGE"
"""An image with `sleep`, where the cluster is not the rig."""

WORKLOADS = 6
_STEP = 12
"""Pods are added so many at a time: each starts two processes with a certificate to fetch."""

_LIGHT = """
apiVersion: v1
kind: Service
metadata: {{name: light-{number}}}
spec: {{selector: {{app: light-{number}}}, ports: [{{name: http, port: 9080}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: light-{number}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: light-{number}}}}}
  template:
    metadata:
      labels: {{app: light-{number}}}
      annotations:
        proxy.istio.io/config: '{{"concurrency": 1}}'
        sidecar.istio.io/proxyCPU: 5m
        sidecar.istio.io/proxyMemory: 32Mi
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {{name: app, image: "{image}", imagePullPolicy: IfNotPresent, command: [sleep, infinity]}}
"""


def use_cluster() -> str:
    """Point KUBECONFIG at the cluster to use: that of `$MESHTRIAL_KUBECONFIG` or `$KUBECONFIG`, else the rig that is up.

    Returns:
        Its kubeconfig.

    Raises:
        SystemExit: there is none.
    """
    given = os.environ.get("MESHTRIAL_KUBECONFIG") or os.environ.get("KUBECONFIG")
    if not given:
        from tests.cluster.rig import lifecycle, places  # noqa: PLC0415 - the rig is one of many clusters

        if lifecycle.lacking() or not lifecycle.is_up():
            raise SystemExit("no cluster: make cluster-up, or set MESHTRIAL_KUBECONFIG")
        given = str(places.KUBECONFIG)
    os.environ["KUBECONFIG"] = given
    return given


@contextlib.contextmanager
def namespace(prefix: str) -> Iterator[str]:
    """A namespace with injection for as long as the context lasts; returns once it is gone again."""
    name = f"{prefix}-{os.urandom(3).hex()}"
    api = connect(None)
    metadata = {"name": name, "labels": {"istio-injection": "enabled"}}
    api.call("POST", "/api/v1/namespaces", None, {"kind": "Namespace", "metadata": metadata})
    try:
        yield name
    finally:
        api.call("DELETE", f"/api/v1/namespaces/{name}")
        _wait_until(lambda: not _exists(api, name), f"the namespace {name} to go")
        api.close()


@contextlib.contextmanager
def sidecars(number: int) -> Iterator[ClusterMesh]:
    """A namespace with so many sidecars, beside small applications that do nothing, as a mesh."""
    image = os.environ.get(IMAGE_VARIABLE, "docker.io/local/client:1")
    with namespace("bench") as name:
        api = connect(None)
        mesh = ClusterMesh(api, name)
        try:
            for total in sorted({*range(_STEP, number, _STEP), number}):
                each, more = divmod(total, WORKLOADS)
                text = "---".join(
                    _LIGHT.format(number=place, replicas=each + (place < more), image=image)
                    for place in range(WORKLOADS)
                )
                say(f"{total} of {number} pods")
                mesh.apply(parse_manifests(text, "light.yaml", namespace=name))
        finally:
            mesh.close()
        mesh = ClusterMesh.open(ClusterTarget(namespace=name))
        try:
            yield mesh
        finally:
            mesh.close()


class Processes:
    """CPU time of processes by name, where the cluster runs on this machine; nothing where it does not."""

    def __init__(self, *names: str) -> None:
        self.found = [one for one in psutil.process_iter(["name"]) if one.info["name"] in names]

    def seconds(self) -> float:
        """CPU seconds so far, of all of them."""
        total = 0.0
        for process in self.found:
            with contextlib.suppress(OSError, psutil.Error):
                total += cpu_seconds([process])
        return total


def istioctl() -> str | None:
    """The program: on PATH, or what the rig built."""
    built = sorted(Path.home().glob(".cache/meshtrial/rig/bin/istioctl-*"), key=lambda path: path.stat().st_mtime)
    return shutil.which("istioctl") or (str(built[-1]) if built else None)


def _exists(api: Api, name: str) -> bool:
    items = api.get("/api/v1/namespaces").get("items") or []
    return any(item["metadata"]["name"] == name for item in items)


def _wait_until(condition, what: str, limit: float = 180.0) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {limit:.0f} s for {what}")
        time.sleep(0.5)
