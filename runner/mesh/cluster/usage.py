"""CPU time and memory of a namespace's pods: from the metrics API, else from the kubelets, else Envoy's own memory alone.

The metrics API (metrics-server) gives means over its last period with its end, and `pods.metrics.k8s.io` may be read with a Role of
one namespace. A kubelet's summary counts CPU time from a container's start, which is exact between two readings, but it is asked
through `nodes/proxy`, a permission that reaches far beyond reading (whoever has it can run commands in every pod of a node): it is
used where it is there, and never asked for. Envoy knows its memory, not its CPU time.
"""

from __future__ import annotations

import json
import re
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from runner.errors import MeshError
from runner.mesh.cluster.api import segment
from runner.mesh.cluster.errors import StatusError
from runner.mesh.cluster.pods import PROXY
from runner.results.usage import Usage
from runner.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from runner.mesh.cluster.admin import Fleet
    from runner.mesh.cluster.api import Api
    from runner.mesh.cluster.pods import Pod

_METRICS = "/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods"
_SUMMARY = "/api/v1/nodes/{node}/proxy/stats/summary"
_ONLY = {"only_cpu_and_memory": "true"}
_MEMORY = "/memory"
_ABSENT = frozenset({403, 404, 503})
"""Not allowed, not installed, or installed and not answering (an APIService without its server)."""

_SCALES = {
    "": 1.0,
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "Ki": 2.0**10,
    "Mi": 2.0**20,
    "Gi": 2.0**30,
    "Ti": 2.0**40,
}
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([a-zA-Z]*)")


class UsageReader:
    """Reads what pods use, by the best way that answers; what does not answer once is not asked again."""

    def __init__(self, api: Api, namespace: str, pods: Sequence[Pod], fleet: Fleet) -> None:
        self._api, self._namespace, self._pods, self._fleet = api, namespace, list(pods), fleet
        self._ways: list[tuple[str, Callable[[], list[Usage]]]] = [
            ("the metrics API", self._from_metrics),
            ("the kubelet (nodes/proxy)", self._from_kubelets),
            ("Envoy", self._from_envoy),
        ]
        self._refused: list[str] = []

    def read(self) -> list[Usage]:
        """CPU time and memory of every pod's parts now.

        Raises:
            MeshError: nobody says; the reasons.
        """
        while self._ways:
            name, way = self._ways[0]
            try:
                found = way()
            except StatusError as error:
                if error.code not in _ABSENT:
                    raise
                words = "is not installed" if error.not_found else error.message
                self._refused.append(f"{name}: {words}")
            else:
                if found:
                    return found
                self._refused.append(f"{name} says nothing of these pods")
            self._ways.pop(0)
        raise MeshError("; ".join(self._refused))

    @property
    def without_cpu(self) -> str:
        """Why there is no CPU time, where only Envoy's own memory is known; empty else."""
        return "; ".join(self._refused) if len(self._ways) == 1 else ""

    def _from_metrics(self) -> list[Usage]:
        answer = self._api.get(_METRICS.format(namespace=segment(self._namespace)))
        return metrics_usage(answer, self._by_name())

    def _from_kubelets(self) -> list[Usage]:
        nodes = dict.fromkeys(pod.node for pod in self._pods if pod.node)
        found: list[Usage] = []
        for node in nodes:
            found += summary_usage(self._api.get(_SUMMARY.format(node=segment(node)), _ONLY), self._by_name())
        return found

    def _from_envoy(self) -> list[Usage]:
        at = time.time()
        found = []
        for name, text in self._fleet.get(_MEMORY).items():
            pod = self._fleet.clients[name].pod
            found.append(
                Usage(pod.workload, pod.name, "proxy", at, memory=int(json.loads(text)["total_physical_bytes"]))
            )
        return found

    def _by_name(self) -> dict[tuple[str, str], Pod]:
        return {(pod.namespace, pod.name): pod for pod in self._pods}


def metrics_usage(answer: Mapping[str, Any], pods: Mapping[tuple[str, str], Pod]) -> list[Usage]:
    """What a `PodMetricsList` says of some pods.

    Args:
        answer: the list.
        pods: by namespace and name.
    """
    found = []
    for item in answer.get("items") or []:
        pod = pods.get((item["metadata"]["namespace"], item["metadata"]["name"]))
        if pod is None:
            continue
        at, over = _moment(item["timestamp"]), parse_duration(item["window"])
        for part, containers in _parts(item.get("containers") or []):
            cores = sum(quantity(entry["usage"]["cpu"]) for entry in containers)
            memory = round(sum(quantity(entry["usage"]["memory"]) for entry in containers))
            found.append(Usage(pod.workload, pod.name, part, at, cores=cores, over=over, memory=memory))
    return found


def summary_usage(answer: Mapping[str, Any], pods: Mapping[tuple[str, str], Pod]) -> list[Usage]:
    """What a kubelet's `/stats/summary` says of some pods.

    Args:
        answer: the summary.
        pods: by namespace and name.
    """
    found = []
    for item in answer.get("pods") or []:
        pod = pods.get((item["podRef"]["namespace"], item["podRef"]["name"]))
        if pod is None:
            continue
        for part, containers in _parts(item.get("containers") or []):
            counted = [entry for entry in containers if "usageCoreNanoSeconds" in (entry.get("cpu") or {})]
            if not counted:
                continue
            found.append(
                Usage(
                    pod.workload,
                    pod.name,
                    part,
                    max(_moment(entry["cpu"]["time"]) for entry in counted),
                    cpu=sum(int(entry["cpu"]["usageCoreNanoSeconds"]) for entry in counted) / 1e9,
                    memory=sum(int((entry.get("memory") or {}).get("workingSetBytes") or 0) for entry in counted),
                )
            )
    return found


def _parts(containers: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """The sidecar's container, and the others together."""
    entries = list(containers)
    for part in ("proxy", "app"):
        those = [entry for entry in entries if (entry["name"] == PROXY) == (part == "proxy")]
        if those:
            yield part, those


def quantity(text: str) -> float:
    """A Kubernetes quantity as a number: `250m`, `31Mi`, `1234567n`.

    Raises:
        ValueError: it is none.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2] not in _SCALES:
        raise ValueError(f"{text} is no quantity")
    return float(match[1]) * _SCALES[match[2]]


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
