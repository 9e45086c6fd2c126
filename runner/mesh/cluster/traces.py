"""The part of a proxy's config that a resource had a hand in, so that it can be seen to change when the resource does.

Istiod writes into a proxy's config which VirtualService a route came from, which DestinationRule a cluster came from and which
AuthorizationPolicy a rule came from. Other kinds leave no mark of their own: of some it is known where they work, of the rest that
it is somewhere in the whole config. A change of such a part alone does not prove whose change it was; istiod has to be asked too.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from runner.istio.hosts import host_matches
from runner.mesh.cluster.dump import config_source
from runner.mesh.cluster.policies import jwt_filters, rules_of, transport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.istio.resource import Resource, ResourceKey
    from runner.mesh.cluster.dump import Dump

PATHS = {"VirtualService": "virtual-service", "DestinationRule": "destination-rule"}
"""Kinds that istiod names in routes and clusters, as it spells them there."""

MARKED = frozenset({*PATHS, "AuthorizationPolicy"})
"""Kinds whose marks are in the config itself."""

UNPROVEN = frozenset({"Sidecar", "Telemetry", "WasmPlugin", "EnvoyFilter", "WorkloadEntry", "ServiceEntry"})
"""Kinds of which a proxy's config does not show by itself whether they have arrived."""

UNNAMED = UNPROVEN | {"PeerAuthentication", "RequestAuthentication"}
"""Kinds whose names are nowhere in the config; of the last two it shows what they ask for."""


def made_by(dump: Dump, key: ResourceKey) -> Iterator[Any]:
    """What in a proxy's config bears the mark of a resource."""
    source = (PATHS.get(key.kind), key.namespace, key.name)
    if key.kind == "VirtualService":
        for name, virtual_host in sorted(dump.virtual_hosts(), key=lambda item: (item[0], str(item[1].get("name")))):
            for route in virtual_host.get("routes") or []:
                if config_source(route) == source:
                    yield [name, virtual_host.get("name"), route]
    elif key.kind == "AuthorizationPolicy":
        yield from map(list, rules_of(dump, key))
    else:
        for _, cluster in sorted(dump.clusters.items()):
            if config_source(cluster) == source:
                yield cluster


def slice_of(dump: Dump, resource: Resource) -> str:
    """A hash of the part of a proxy's config in which a resource shows; empty when there is no such part."""
    key = resource.key
    if key.kind in MARKED:
        parts = list(made_by(dump, key))
    elif key.kind == "PeerAuthentication":
        parts = transport(dump)
    elif key.kind == "RequestAuthentication":
        parts = jwt_filters(dump)
    elif key.kind == "ServiceEntry":
        parts = _clusters_to(dump, [str(host) for host in resource.spec.get("hosts") or []])
    else:
        parts = [dump.clusters, dump.listeners, dump.routes, dump.extensions]
    texts = [json.dumps(item, sort_keys=True) for item in parts]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16] if texts else ""


def _clusters_to(dump: Dump, hosts: list[str]) -> list[Any]:
    return [
        cluster
        for name, cluster in sorted(dump.clusters.items())
        if any(host_matches(host, name.rpartition("|")[2]) for host in hosts)
    ]
