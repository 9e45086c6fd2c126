"""Which proxies a resource is for, by its namespace and its selector, whatever its kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.istio.peer_authentication import ROOT_NAMESPACE

if TYPE_CHECKING:
    from runner.istio.resource import Resource
    from runner.mesh.cluster.pods import Pod

GATEWAYS_TOO = frozenset({"AuthorizationPolicy", "RequestAuthentication", "Telemetry", "EnvoyFilter", "WasmPlugin"})
"""Kinds with a selector that gateways obey as sidecars do."""

SELECTIVE = frozenset({*GATEWAYS_TOO, "Sidecar", "DestinationRule"})
"""Kinds that may be for some pods of a namespace only."""

_GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name"
"""The label of pods that serve a Gateway of Kubernetes' Gateway API."""


def selected(resource: Resource, pod: Pod) -> bool:
    """Whether a resource is for a pod.

    Those of the root namespace are for every namespace; a DestinationRule without a selector is for every caller.
    """
    kind, spec = resource.key.kind, resource.spec
    if pod.gateway and kind not in GATEWAYS_TOO and kind != "DestinationRule":
        return False
    if kind not in SELECTIVE:
        return True
    if kind == "DestinationRule" and not spec.get("workloadSelector"):
        return True
    if resource.key.namespace not in {pod.namespace, ROOT_NAMESPACE}:
        return False
    targets = spec.get("targetRefs") or ([spec["targetRef"]] if spec.get("targetRef") else [])
    if targets:
        names = {_dict(target).get("name") for target in targets if _dict(target).get("kind") == "Gateway"}
        return pod.labels.get(_GATEWAY_NAME) in names
    labels = _dict(_dict(spec.get("selector")).get("matchLabels"))
    labels = labels or _dict(_dict(spec.get("workloadSelector")).get("labels"))
    labels = labels or _dict(_dict(spec.get("workloadSelector")).get("matchLabels"))
    return labels.items() <= pod.labels.items()


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
