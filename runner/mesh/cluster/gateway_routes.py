"""Whose routes answer first where VirtualServices of several namespaces are bound to one Gateway for one host.

Istiod puts all of them into one virtual host, those of the oldest first, and routes that take every request behind all others (seen
with 1.31). So an older one elsewhere, or one that is more particular, answers in the place of ours, and with a 200 nobody notices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.istio.hosts import MESH_GATEWAY, full_gateway
from runner.mesh.cluster.claims import route_claims

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from runner.istio.resource import Resource, ResourceKey
    from runner.mesh.cluster.held import Held

Age = tuple[str, str, str]
"""By which istiod sorts: when it was made, its name, its namespace."""

OWN_HOST = "Give your VirtualService, its Gateway and load.host a host of their own, or take the other away for the run"
"""What to do about it."""

NEW = "9999"
"""The creation time of what is not there yet."""


def age_of(key: ResourceKey, created: str) -> Age:
    """Of a resource that was made at a time; `NEW` for one that is still to be made."""
    return created or NEW, key.name, key.namespace


@dataclass(frozen=True, slots=True)
class Pattern:
    """What one match of a route takes.

    Attributes:
        kind: `exact`, `prefix` or `regex`, of the path.
        value: with what.
        alone: whether the path is the only condition.
    """

    kind: str
    value: str
    alone: bool

    @property
    def catches_all(self) -> bool:
        """Whether it takes every request."""
        return self.alone and (self.kind, self.value) in {("prefix", "/"), ("regex", ".*"), ("regex", "*")}

    def covers(self, other: Pattern) -> bool:
        """Whether it takes every request that another takes, as far as that is certain."""
        if not self.alone:
            return False
        if self.catches_all or (self.kind, self.value) == (other.kind, other.value):
            return True
        return self.kind == "prefix" and other.kind != "regex" and other.value.startswith(self.value)

    def __str__(self) -> str:
        return f"{self.value}*" if self.kind == "prefix" else self.value


@dataclass(frozen=True, slots=True)
class Rival:
    """Another namespace's VirtualService at a Gateway and host of ours.

    Attributes:
        ours: the key of ours.
        theirs: of the other.
        by: who wrote the other last.
        gateway: `NAMESPACE/NAME`.
        host: which both have.
        lost: paths of ours of which the other takes every request.
        first: paths of the other that come before some route of ours.
    """

    ours: ResourceKey
    theirs: ResourceKey
    by: str
    gateway: str
    host: str
    lost: tuple[str, ...]
    first: tuple[str, ...]

    def __str__(self) -> str:
        start = f"{self.theirs} (last written by {self.by}) has the host {self.host} at the Gateway {self.gateway} too"
        if self.lost:
            return f"{start}, and Istio lets it answer {', '.join(self.lost)} in the place of {self.ours}"
        if self.first:
            return f"{start}, and Istio looks at its {', '.join(self.first)} before routes of {self.ours}"
        return f"{start}: it answers what the routes of {self.ours} do not take"


def rivals(
    ours: Iterable[tuple[Resource, str]], others: Sequence[Held], gateways: Iterable[Resource], spaces: Iterable[str]
) -> Iterator[Rival]:
    """Those that other namespaces have.

    Args:
        ours: VirtualServices with the time when each was made; `NEW` for those that are not there yet.
        others: of other namespaces.
        gateways: Gateways that ours are bound to.
        spaces: where the gateways' pods are, which must see a VirtualService (`exportTo`).
    """
    spaces = set(spaces)
    servers = {f"{item.key.namespace}/{item.key.name}": item for item in gateways if item.key.kind == "Gateway"}
    for resource, created in ours:
        for mine in route_claims([resource]):
            for held in others:
                for theirs in route_claims([held.resource]):
                    both = sorted((mine.gateways & theirs.gateways) - {MESH_GATEWAY})
                    hosts = [host for host in mine.hosts if host in theirs.hosts]
                    seen = not spaces or any(theirs.seen_in(space) for space in spaces)
                    gateway = next((name for name in both if _admits(servers.get(name), theirs.key.namespace)), None)
                    if gateway is None or not hosts or not seen:
                        continue
                    older = age_of(held.resource.key, held.created) < age_of(resource.key, created)
                    lost, first = _before(_patterns(resource, gateway), _patterns(held.resource, gateway), older=older)
                    yield Rival(mine.key, theirs.key, held.by, gateway, hosts[0], lost, first)


def _before(
    ours: Sequence[Pattern], theirs: Sequence[Pattern], *, older: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    lost: dict[str, None] = {}
    first: dict[str, None] = {}
    for mine in ours:
        for other in theirs:
            before = older if mine.catches_all == other.catches_all else mine.catches_all
            if before and other.covers(mine):
                lost[str(mine)] = None
            elif before and (
                not other.alone or mine.covers(other) or not mine.alone or "regex" in {mine.kind, other.kind}
            ):
                first[str(other)] = None
    return tuple(lost), tuple(first)


def _admits(gateway: Resource | None, namespace: str) -> bool:
    """Whether a Gateway takes VirtualServices of a namespace (what may stand before the `/` of its hosts)."""
    if gateway is None:
        return True
    names = [
        str(host).partition("/")
        for server in _list(gateway.spec.get("servers"))
        if isinstance(server, dict)
        for host in _list(server.get("hosts"))
    ]
    allowed = {gateway.key.namespace if where == "." else where if slash else "*" for where, slash, _ in names}
    return not allowed or bool(allowed & {"*", namespace})


def _patterns(resource: Resource, gateway: str) -> list[Pattern]:
    """What the routes of a VirtualService take at a gateway."""
    found = []
    for rule in _list(resource.spec.get("http")):
        for match in _list(rule.get("match") if isinstance(rule, dict) else None) or [{}]:
            if not isinstance(match, dict):
                continue
            named = {full_gateway(str(name), resource.key.namespace) for name in _list(match.get("gateways"))}
            if named and gateway not in named:
                continue
            found.append(_pattern(match))
    return found


def _pattern(match: dict[str, Any]) -> Pattern:
    uri = match.get("uri")
    kind, value = next(iter(uri.items())) if isinstance(uri, dict) and uri else ("prefix", "/")
    alone = not (match.keys() - {"name", "uri", "gateways"})
    return Pattern(str(kind), str(value), alone)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
