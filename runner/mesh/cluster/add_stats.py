"""Deployments changed so that their sidecars keep the counters that an experiment reads: `meshtrial run --add-stats`.

A sidecar reads its list of stats when its pod starts, so a change restarts pods; Deployments roll over to new ones without a gap
where they have replicas and readiness probes, as with any `kubectl rollout restart`.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from runner.mesh.cluster.doctor_facts import ServiceFacts, ServicePort
from runner.mesh.cluster.doctor_proxies import read_proxies
from runner.mesh.cluster.doctor_stats import ANNOTATION, SidecarFacts, lost_stats, with_prefixes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runner.istio.resource import Resource
    from runner.mesh.cluster.api import Api
    from runner.mesh.cluster.pods import Pod
    from runner.mesh.finding import Demands


def with_more_stats(
    api: Api, pods: Sequence[Pod], resources: Iterable[Resource], demands: Demands, namespace: str
) -> tuple[list[Resource], list[str]]:
    """The Deployments to write, and what can't be helped, a sentence each.

    Args:
        api: to ask the sidecars what they keep.
        pods: of the namespace.
        resources: what the namespace holds, for its Services and Deployments.
        demands: what the experiment reads.
        namespace: its name.

    Raises:
        MeshError: the API server can't be asked.
    """
    held = list(resources)
    proxies, silent = read_proxies(api, pods)
    services = tuple(_service(item) for item in held if item.key.kind == "Service")
    deployments = {item.key.name: item for item in held if item.key.kind == "Deployment"}
    notes = [f"{name} could not be asked which stats it keeps: {why}" for name, why in sorted(silent.items())]
    changed = []
    for workload, prefixes in lost_stats(SidecarFacts(proxies, services), demands, namespace).items():
        deployment = deployments.get(workload)
        if deployment is None:
            notes.append(
                f"{workload} is no Deployment that may be changed here, so its sidecars go on without the stats that are needed: "
                f"annotate its pods with {ANNOTATION}"
            )
            continue
        changed.append(_annotated(deployment, prefixes))
    return changed, notes


def _annotated(deployment: Resource, prefixes: Iterable[str]) -> Resource:
    body = copy.deepcopy(deployment.body)
    metadata = body["spec"]["template"].setdefault("metadata", {})
    annotations = dict(metadata.get("annotations") or {})
    annotations[ANNOTATION] = with_prefixes(annotations.get(ANNOTATION, ""), list(prefixes))
    metadata["annotations"] = annotations
    return replace(deployment, body=body, parsed={})


def _service(resource: Resource) -> ServiceFacts:
    name = resource.key.name
    ports = tuple(
        ServicePort(name, str(port.get("name") or ""), int(port["port"]), str(port.get("appProtocol") or ""))
        for port in resource.spec.get("ports") or []
        if port.get("protocol", "TCP") == "TCP"
    )
    return ServiceFacts(name, dict(resource.spec.get("selector") or {}), ports)
