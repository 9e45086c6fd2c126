"""Which proxies can hold a VirtualService or DestinationRule at all, and whether any does.

Istiod gives a sidecar what the Sidecar resource that counts for it lets it see: VirtualServices by their own namespace and their
hosts, services by theirs. What is hidden leaves no trace anywhere, and so looks just like a change that makes no difference: only
these two kinds can be told apart, since each must make a route or be for a cluster of somebody.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.istio.hosts import CLUSTER_DOMAIN, MESH_GATEWAY, full_host, host_matches, hosts_overlap
from runner.istio.peer_authentication import ROOT_NAMESPACE
from runner.mesh.cluster.claims import route_claims, rule_claims
from runner.mesh.cluster.reach import selected
from runner.mesh.cluster.traces import made_by

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from runner.istio.resource import Resource, ResourceKey
    from runner.mesh.cluster.dump import Dump
    from runner.mesh.cluster.pods import Pod

KIND = "Sidecar"

_CALLER = ("sourceLabels", "sourceNamespace", "gateways", "port")
"""Conditions by which istiod leaves a route out of the proxies that it is not for."""


@dataclass(frozen=True, slots=True)
class Egress:
    """What a Sidecar resource lets its pods see.

    Attributes:
        key: whose.
        labels: of the pods it is for; none for all.
        hosts: namespace (`*` for any) and pattern of each; None where it limits nothing.
    """

    key: ResourceKey
    labels: tuple[tuple[str, str], ...]
    hosts: tuple[tuple[str, str], ...] | None

    def shows(self, namespace: str | None, host: str) -> bool:
        """Whether a host of a namespace (None: of whichever) is among them."""
        return self.hosts is None or any(
            (namespace is None or where in {"*", namespace}) and hosts_overlap(pattern, host)
            for where, pattern in self.hosts
        )


def egresses(resources: Iterable[Resource]) -> list[Egress]:
    """What each Sidecar resource among some resources lets be seen."""
    found = []
    for resource in resources:
        if resource.key.kind != KIND:
            continue
        spec, own = resource.spec, resource.key.namespace
        entries = [entry for entry in _list(spec.get("egress")) if isinstance(entry, dict)]
        names = [str(name).partition("/") for entry in entries for name in _list(entry.get("hosts"))]
        hosts = tuple(
            (own if where == "." else where, full_host(name, own)) for where, _, name in names if where != "~"
        )
        selector = spec.get("workloadSelector")
        labels = (selector.get("labels") or {}) if isinstance(selector, dict) else {}
        pairs = tuple(sorted((str(key), str(value)) for key, value in labels.items()))
        found.append(Egress(resource.key, pairs, hosts if entries else None))
    return found


def egress_of(pod: Pod, known: Sequence[Egress]) -> Egress | None:
    """The one that counts for a pod: with its labels, else of its namespace, else of the whole mesh."""
    here = [item for item in known if item.key.namespace == pod.namespace]
    for item in here:
        if item.labels and dict(item.labels).items() <= pod.labels.items():
            return item
    everywhere = [item for item in known if item.key.namespace == ROOT_NAMESPACE and not item.labels]
    return next((item for item in (*here, *everywhere) if not item.labels), None)


def hidden_from(resource: Resource, pods: Iterable[Pod], known: Sequence[Egress]) -> list[tuple[Pod, Egress]]:
    """The pods with sidecars from which a Sidecar resource hides a VirtualService of the mesh or a DestinationRule, and which one."""
    places = list(_places(resource))
    if not places:
        return []
    counting = [(pod, egress_of(pod, known)) for pod in pods if pod.proxied and not pod.gateway]
    return [
        (pod, egress)
        for pod, egress in counting
        if egress is not None and selected(resource, pod) and not any(egress.shows(*place) for place in places)
    ]


def _places(resource: Resource) -> Iterator[tuple[str | None, str]]:
    """Namespace and host under which proxies may see it; of a service the namespace is part of its name."""
    for route in route_claims([resource]):
        if MESH_GATEWAY in route.gateways:
            yield from ((resource.key.namespace, host) for host in route.hosts)
    for rule in rule_claims([resource]):
        parts = rule.host.removesuffix(f".{CLUSTER_DOMAIN}").rpartition(".")
        yield (parts[2] if rule.host.endswith(f".{CLUSTER_DOMAIN}") else None), rule.host


@dataclass(frozen=True, slots=True)
class Unseen:
    """Resources that do nothing to the requests of some workloads, and why.

    Attributes:
        resources: VirtualServices and DestinationRules.
        workloads: the callers.
        sidecars: the Sidecar resources that hide them.
        everywhere: whether those are all callers of the namespace.
    """

    resources: tuple[ResourceKey, ...]
    workloads: tuple[str, ...]
    sidecars: tuple[ResourceKey, ...]
    everywhere: bool

    def __str__(self) -> str:
        what = " and ".join(map(str, self.resources))
        whose = "every sidecar of the namespace" if self.everywhere else ", ".join(self.workloads)
        verb = "hide" if len(self.sidecars) > 1 else "hides"
        return (
            f"{' and '.join(map(str, self.sidecars))} {verb} {what} from {whose}: requests from there are as without it"
        )


def unseen(resources: Iterable[Resource], pods: Sequence[Pod], known: Sequence[Egress]) -> list[Unseen]:
    """What Sidecar resources hide of VirtualServices and DestinationRules; those that are hidden alike together."""
    callers = {pod.workload for pod in pods if pod.proxied and not pod.gateway}
    alike: dict[tuple[tuple[str, ...], tuple[ResourceKey, ...]], list[ResourceKey]] = {}
    for resource in resources:
        found = hidden_from(resource, pods, known)
        if found:
            workloads = tuple(sorted({pod.workload for pod, _ in found}))
            sidecars = tuple(sorted({egress.key for _, egress in found}))
            alike.setdefault((workloads, sidecars), []).append(resource.key)
    return [
        Unseen(tuple(keys), workloads, sidecars, everywhere=set(workloads) == callers)
        for (workloads, sidecars), keys in alike.items()
    ]


def unheld(resource: Resource, dumps: Mapping[str, Dump], pods: Mapping[str, Pod]) -> bool:
    """Whether no proxy holds a VirtualService or DestinationRule that some proxy should.

    A VirtualService without hosts (a delegate), for gateways alone, without HTTP routes, or whose routes all are for some callers
    only may be held by nobody; gateways' own are looked at by `runner.mesh.cluster.expect`. A DestinationRule is held where there
    is a cluster of its host; a gateway has one of every service, so there a route must lead to it.
    """
    for claim in route_claims([resource]):
        if MESH_GATEWAY not in claim.gateways or not claim.hosts or not _for_anybody(resource):
            return False
        return not any(next(made_by(dump, resource.key), None) is not None for dump in dumps.values())
    for rule in rule_claims([resource]):
        concerned = {name: dump for name, dump in dumps.items() if selected(resource, pods[name])}
        return bool(concerned) and not any(
            _has_cluster(dump, rule.host, routed=pods[name].gateway) for name, dump in concerned.items()
        )
    return False


def _for_anybody(resource: Resource) -> bool:
    matches = [
        match
        for rule in _list(resource.spec.get("http"))
        if isinstance(rule, dict)
        for match in _list(rule.get("match")) or [{}]
    ]
    return any(isinstance(match, dict) and not any(match.get(name) for name in _CALLER) for match in matches)


def _has_cluster(dump: Dump, host: str, *, routed: bool) -> bool:
    names = [
        name for name in dump.clusters if name.startswith("outbound|") and host_matches(host, name.rpartition("|")[2])
    ]
    if not routed or not names:
        return bool(names)
    listeners = json.dumps(list(dump.listeners.values()))
    routes = json.dumps([item.get("routes") for _, item in dump.virtual_hosts()])
    return any(f'"{name}"' in routes or f'"{name}"' in listeners for name in names)


def why_unheld(resource: Resource, state: Iterable[Resource], pods: Iterable[Pod]) -> str:
    """What may be the reason, as a sentence: the Sidecar resources that hide it, as far as they are known."""
    hiding = sorted({str(egress.key) for _, egress in hidden_from(resource, pods, egresses(state))})
    if hiding:
        return f"no proxy holds {resource.key}: {' and '.join(hiding)} {'hide' if len(hiding) > 1 else 'hides'} it"
    what = (
        "or is no port of its hosts HTTP"
        if resource.key.kind == "VirtualService"
        else "or does no Service have its host"
    )
    return f"no proxy holds {resource.key}; does a Sidecar resource or exportTo hide it, {what}?"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
