"""Which hosts a VirtualService, DestinationRule or Gateway lays claim to, read from any that a cluster holds.

Other people's resources use fields that this program's models do not know, so only what decides about conflicts is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.istio.hosts import MESH_GATEWAY, full_gateway, full_host, hosts_overlap

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
        """Whether the proxies of a namespace get it (`exportTo`); its own do only where that names theirs, or `.`."""
        return _exported(self.export_to, namespace)

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
        export_to: namespaces that see it; empty for all.
    """

    key: ResourceKey
    host: str
    subsets: frozenset[str]
    policy: bool
    selective: bool
    export_to: frozenset[str] = frozenset()

    def seen_in(self, namespace: str) -> bool:
        """Whether the proxies of a namespace get it (`exportTo`)."""
        return _exported(self.export_to, namespace)


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

    def shared_place(
        self, other: GatewayClaim, targets: Mapping[int, set[int]] | None = None
    ) -> tuple[int, str] | None:
        """The first port and host that the other serves too at pods that may be the same; a `*` beside a name is no conflict.

        Args:
            other: another Gateway's.
            targets: the gateway pods' ports by the port of their Service: 80 there is 8080 of a Gateway that names that one.
        """
        theirs = dict(other.selector)
        if any(theirs.get(key, value) != value for key, value in self.selector):
            return None
        known = targets or {}
        taken = {(port, host) for number, host in other.places for port in known.get(number, {number})}
        return min(
            (
                (number, host)
                for number, host in self.places
                if any((port, host) in taken for port in known.get(number, {number}))
            ),
            default=None,
        )


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


def shared_gateways(
    ours: Iterable[Resource], others: Iterable[Resource], targets: Mapping[int, set[int]] | None = None
) -> list[str]:
    """Of two Gateways for the same host and port of the same pods Istio makes one; a sentence for each pair, and what to do.

    Args:
        ours: resources, the Gateways among which are ours.
        others: those of others.
        targets: as for `GatewayClaim.shared_place`.
    """
    mine = gateway_claims(ours)
    found = []
    for theirs in gateway_claims(others):
        for claim in mine:
            shared = claim.shared_place(theirs, targets) if theirs.key != claim.key else None
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
                _export_to(resource),
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
                _export_to(resource),
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


def _exported(export_to: frozenset[str], namespace: str) -> bool:
    return not export_to or "*" in export_to or namespace in export_to


def _export_to(resource: Resource) -> frozenset[str]:
    names = _list(resource.spec.get("exportTo"))
    return frozenset(resource.key.namespace if name == "." else str(name) for name in names)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
