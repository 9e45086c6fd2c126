"""VirtualServices of other people for the hosts of ours: which of them sidecars follow, and which of ours they never get.

Measured with 1.31: of two for the same host sidecars follow the older one, wherever it is; one for the very host comes before one
for a wildcard, whichever is older.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.errors import Problem
from runner.istio.hosts import MESH_GATEWAY, host_matches
from runner.mesh.cluster.claims import route_claims, rule_claims
from runner.mesh.cluster.gateway_routes import NEW, age_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from runner.istio.resource import Resource, ResourceKey
    from runner.mesh.cluster.held import Held


def same_hosts(
    put: Iterable[Resource], others: Sequence[Held], times: Mapping[ResourceKey, str], namespace: str
) -> Iterator[Problem | str]:
    """Those that keep ours from having an effect on sidecars (problems), or on some hosts (warnings).

    Args:
        put: what is to be written.
        others: VirtualServices that stay.
        times: when those that are there already were made.
        namespace: whose sidecars count.
    """
    theirs = [
        (held, claim)
        for held in others
        for claim in route_claims([held.resource])
        if MESH_GATEWAY in claim.gateways and claim.seen_in(namespace)
    ]
    for resource in put:
        age = age_of(resource.key, times.get(resource.key, NEW))
        for mine in route_claims([resource]):
            if MESH_GATEWAY not in mine.gateways:
                continue
            for index, host in enumerate(mine.hosts):
                for held, claim in theirs:
                    key = held.resource.key
                    by = f", last written by {held.by}"
                    names = [name.lower() for name in claim.hosts]
                    if host.lower() in names and age_of(key, held.created) < age:
                        yield Problem(
                            f"the cluster already has {key} for the host {resource.spec['hosts'][index]}{by}: Istio takes the older one, "
                            "so this has no effect",
                            resource.position("spec", "hosts", index),
                            suggestion=_way_out(key, mine.key),
                        )
                        break
                    inner = [
                        name
                        for name in names
                        if host.startswith("*") and name != host.lower() and host_matches(host, name)
                    ]
                    if inner:
                        yield (
                            f"{key} has {', '.join(inner)}{by}: Istio takes the one with the more particular host, so {resource.key} has "
                            "no effect there"
                        )


def _way_out(theirs: ResourceKey, ours: ResourceKey) -> str:
    if theirs.namespace == ours.namespace:
        return f"Give this one the name {theirs.name}, so that it replaces that one for the run, or remove that one"
    return f"Limit that one by exportTo, or remove it for the run: kubectl -n {theirs.namespace} delete virtualservice {theirs.name}"


def hidden_by_export(put: Iterable[Resource], namespace: str) -> Iterator[Problem]:
    """Ours that no sidecar of a namespace gets, by their own `exportTo`."""
    for resource in put:
        seen = [
            item.seen_in(namespace) for item in route_claims([resource]) if MESH_GATEWAY in item.gateways and item.hosts
        ]
        seen += [item.seen_in(namespace) for item in rule_claims([resource])]
        for there in seen:
            if not there:
                yield Problem(
                    f"the proxies of {namespace} would not get {resource.key}: its exportTo leaves {namespace} out",
                    resource.position("spec", "exportTo"),
                    expected=f"{namespace}, . or * among them",
                )
