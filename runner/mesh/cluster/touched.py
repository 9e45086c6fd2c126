"""What a run may change on a cluster: which kinds, in which namespaces, and in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.errors import Problem
from runner.istio.kinds import KINDS
from runner.istio.peer_authentication import ROOT_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runner.istio.resource import Resource, ResourceKey

ROUTING = ("Gateway", "DestinationRule", "VirtualService")
"""The kinds that every run must be able to look at."""

CONFIG_KINDS = (
    "ServiceEntry",
    "WorkloadEntry",
    *ROUTING,
    "Sidecar",
    "RequestAuthentication",
    "PeerAuthentication",
    "AuthorizationPolicy",
    "Telemetry",
    "WasmPlugin",
    "EnvoyFilter",
)
"""Istio's kinds that change what proxies do, in the order in which they are put: what is referred to before what refers to it."""

TOUCHED_KINDS = ("ServiceAccount", "Service", "Deployment", *CONFIG_KINDS)
"""All that a run may change, in that order."""

NO_EFFECT = {
    "ProxyConfig": "proxies read it when their pods start, and a run restarts none",
    "WorkloadGroup": "it is a form for WorkloadEntries, and changes no proxy by itself",
    "Namespace": "its labels count when pods are made, and a run makes none again",
}
"""Kinds that are known and change nothing for proxies that run already, and why."""


def order(key: ResourceKey) -> tuple[int, str, str]:
    """For sorting keys in the order in which they are put."""
    return TOUCHED_KINDS.index(key.kind) if key.kind in TOUCHED_KINDS else -1, key.namespace, key.name


def elsewhere(key: ResourceKey, namespace: str) -> bool:
    """Whether a resource is one of the mesh's root namespace that a run in `namespace` may change too."""
    return key.namespace == ROOT_NAMESPACE != namespace and key.kind in CONFIG_KINDS


def misplaced(resources: Iterable[Resource], namespace: str) -> Iterator[Problem]:
    """What a run in a namespace can't change, whatever the cluster."""
    for resource in resources:
        key = resource.key
        if key.kind in NO_EFFECT and KINDS[key.kind].namespaced is bool(key.namespace):
            yield Problem(
                f"a run can't try out {key.kind}: {NO_EFFECT[key.kind]}",
                resource.position("kind"),
                suggestion="Have it there, and the pods restarted, before the run: kubectl apply -f",
            )
        elif key.kind not in TOUCHED_KINDS:
            names = "one of " + ", ".join(TOUCHED_KINDS)
            yield Problem(f"a run can't apply {key.kind} to a cluster", resource.position("kind"), names)
        elif key.namespace != namespace and not elsewhere(key, namespace):
            yield Problem(
                f"{key} is in another namespace than this run's, {namespace}",
                resource.position("metadata", "namespace"),
                expected=f"no namespace, {namespace}, or {ROOT_NAMESPACE} for Istio's config of the whole mesh",
                suggestion="What other namespaces' proxies hold is not looked at, so nothing of theirs is changed",
            )
