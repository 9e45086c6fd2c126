"""Which hosts a VirtualService, DestinationRule or Gateway lays claim to, read from any that a cluster holds.

Other people's resources use fields that this program's models do not know, so only what decides about conflicts is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.istio.hosts import MESH_GATEWAY, full_gateway, full_host, hosts_overlap

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.istio.resource import Resource, ResourceKey


@dataclass(frozen=True, slots=True)
class RouteClaim:
    """A VirtualService's hosts.

    Attributes:
        key: whose.
        hosts: full names.
        gateways: `mesh`, or `NAMESPACE/NAME`.
        export_to: namespaces that see it; empty for all.
    """

    key: ResourceKey
    hosts: tuple[str, ...]
    gateways: frozenset[str]
    export_to: frozenset[str]

    def seen_in(self, namespace: str) -> bool:
        """Whether the sidecars of a namespace get it (`exportTo`)."""
        own = namespace == self.key.namespace
        return own or not self.export_to or "*" in self.export_to or namespace in self.export_to

    def shared_host(self, other: RouteClaim) -> str | None:
        """The first of our hosts that the other has too."""
        for host in self.hosts:
            if any(hosts_overlap(host, name) for name in other.hosts):
                return host
        return None


@dataclass(frozen=True, slots=True)
class RuleClaim:
    """A DestinationRule's host.

    Attributes:
        key: whose.
        host: full name.
        subsets: their names.
        policy: whether it has a policy for the whole host.
        selective: whether it is for some callers only (`workloadSelector`).
    """

    key: ResourceKey
    host: str
    subsets: frozenset[str]
    policy: bool
    selective: bool


@dataclass(frozen=True, slots=True)
class GatewayClaim:
    """What a Gateway serves.

    Attributes:
        key: whose.
        selector: labels of the gateway's pods.
        places: port and host (without the namespace that may stand before it) of each server.
    """

    key: ResourceKey
    selector: tuple[tuple[str, str], ...]
    places: frozenset[tuple[int, str]]

    def shared_place(self, other: GatewayClaim) -> tuple[int, str] | None:
        """The first port and host that the other serves too at pods that may be the same; a `*` beside a name is no conflict."""
        theirs = dict(other.selector)
        if any(theirs.get(key, value) != value for key, value in self.selector):
            return None
        return min(self.places & other.places, default=None)


def gateway_claims(resources: Iterable[Resource]) -> list[GatewayClaim]:
    """The claims of all Gateways among some resources."""
    found = []
    for resource in resources:
        if resource.key.kind != "Gateway":
            continue
        places = [
            (int((server.get("port") or {}).get("number") or 0), str(host).rpartition("/")[2].lower())
            for server in _list(resource.spec.get("servers"))
            if isinstance(server, dict)
            for host in _list(server.get("hosts"))
        ]
        selector = {str(key): str(value) for key, value in (resource.spec.get("selector") or {}).items()}
        found.append(GatewayClaim(resource.key, tuple(sorted(selector.items())), frozenset(places)))
    return found


def shared_gateways(ours: Iterable[Resource], others: Iterable[Resource]) -> list[str]:
    """Of two Gateways for the same host and port of the same pods Istio makes one; a sentence for each pair, and what to do."""
    mine = gateway_claims(ours)
    found = []
    for theirs in gateway_claims(others):
        for claim in mine:
            shared = claim.shared_place(theirs) if theirs.key != claim.key else None
            if shared is None:
                continue
            port, host = shared
            found.append(
                f"{theirs.key} serves the host {host} at port {port} of the same gateway pods as {claim.key}: Istio makes one of them, "
                f"so requests may go to the services of {theirs.key.namespace}, wherever its older routes match"
            )
    return found


SHARED_GATEWAYS = "Give yours a host of its own (and load.host that name), or take the other away for the run"
"""What to do about it."""


def route_claims(resources: Iterable[Resource]) -> list[RouteClaim]:
    """The claims of all VirtualServices among some resources."""
    found = []
    for resource in resources:
        if resource.key.kind != "VirtualService":
            continue
        spec, namespace = resource.spec, resource.key.namespace
        gateways = {full_gateway(str(name), namespace) for name in _list(spec.get("gateways"))}
        found.append(
            RouteClaim(
                resource.key,
                tuple(full_host(str(host), namespace) for host in _list(spec.get("hosts"))),
                frozenset(gateways or {MESH_GATEWAY}),
                frozenset(namespace if name == "." else str(name) for name in _list(spec.get("exportTo"))),
            )
        )
    return found


def rule_claims(resources: Iterable[Resource]) -> list[RuleClaim]:
    """The claims of all DestinationRules among some resources."""
    found = []
    for resource in resources:
        if resource.key.kind != "DestinationRule":
            continue
        spec = resource.spec
        subsets = [str(item.get("name")) for item in _list(spec.get("subsets")) if isinstance(item, dict)]
        found.append(
            RuleClaim(
                resource.key,
                full_host(str(spec.get("host") or ""), resource.key.namespace).lower(),
                frozenset(subsets),
                bool(spec.get("trafficPolicy")),
                bool(spec.get("workloadSelector")),
            )
        )
    return found


def hosts_of(resources: Iterable[Resource]) -> set[str]:
    """Full names of the hosts that resources configure or send to."""
    resources = list(resources)
    hosts = {host for claim in route_claims(resources) for host in claim.hosts}
    hosts |= {claim.host for claim in rule_claims(resources)}
    for resource in resources:
        for rule in _list(resource.spec.get("http")) if resource.key.kind == "VirtualService" else []:
            for part in _list(rule.get("route")) if isinstance(rule, dict) else []:
                host = (part.get("destination") or {}).get("host") if isinstance(part, dict) else None
                if host:
                    hosts.add(full_host(str(host), resource.key.namespace))
    return hosts


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
