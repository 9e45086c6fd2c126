"""What a proxy holds, read from its own `config_dump`: clusters, listeners and routes, and which Istio resource each came from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_ANY = "@type"


@dataclass(frozen=True, slots=True)
class Dump:
    """One proxy's config.

    Attributes:
        clusters: by name.
        listeners: active ones by name.
        routes: route configurations by name.
        errors: resources that the proxy refused, with its words.
        warming: clusters and listeners that are not in use yet.
    """

    clusters: dict[str, dict[str, Any]] = field(default_factory=dict)
    listeners: dict[str, dict[str, Any]] = field(default_factory=dict)
    routes: dict[str, dict[str, Any]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    warming: tuple[str, ...] = ()

    def virtual_hosts(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every virtual host with the name of its route configuration."""
        for name, route_config in self.routes.items():
            for virtual_host in route_config.get("virtual_hosts") or []:
                yield name, virtual_host

    def digest(self, namespace: str) -> str:
        """A version of what this proxy holds, as far as it concerns a namespace.

        A change of another namespace's services reaches every sidecar and every gateway, and none of our requests.
        """
        routes: list[list[Any]] = []
        for name, virtual_host in sorted(self.virtual_hosts(), key=lambda item: (item[0], str(item[1].get("name")))):
            kept = virtual_host
            if f".{namespace}.svc." not in str(virtual_host.get("name")):
                own = [route for route in virtual_host.get("routes") or [] if _routes(route, namespace)]
                kept = {**virtual_host, "routes": own}
            if kept.get("routes"):
                routes.append([name, kept])
        clusters = [item for name, item in sorted(self.clusters.items()) if _concerns(name, namespace)]
        inbound = [item for name, item in sorted(self.listeners.items()) if name == "virtualInbound"]
        text = json.dumps([clusters, inbound, routes], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def _concerns(cluster: str, namespace: str) -> bool:
    return f".{namespace}.svc." in cluster or cluster.startswith("inbound|")


def _routes(route: dict[str, Any], namespace: str) -> bool:
    """Whether a route came from a resource of a namespace, or leads to a service there."""
    source = config_source(route)
    return (source is not None and source[1] == namespace) or f".{namespace}.svc." in json.dumps(
        route.get("route") or {}
    )


def parse_dump(text: str) -> Dump:
    """A proxy's `/config_dump` answer.

    Raises:
        ValueError: it is none.
    """
    data = json.loads(text)
    if not isinstance(data, dict):
        raise ValueError("not an object")  # noqa: TRY004 - of another shape than a config dump
    dump = Dump()
    warming: list[str] = []
    for part in data.get("configs") or []:
        _take_clusters(dump, part)
        warming += [str(entry["cluster"]["name"]) for entry in part.get("dynamic_warming_clusters") or []]
        warming += _take_listeners(dump, part)
        _take_routes(dump, part)
    return Dump(dump.clusters, dump.listeners, dump.routes, dump.errors, tuple(warming))


def _take_clusters(dump: Dump, part: dict[str, Any]) -> None:
    for entry in _entries(part, "ClustersConfigDump", "dynamic_active_clusters", "ClustersConfigDump.DynamicCluster"):
        cluster = entry.get("cluster") or {}
        if "name" in cluster:
            dump.clusters[cluster["name"]] = cluster
            _note_error(dump.errors, cluster["name"], entry)


def _take_listeners(dump: Dump, part: dict[str, Any]) -> list[str]:
    warming = []
    for entry in _entries(part, "ListenersConfigDump", "dynamic_listeners", "ListenersConfigDump.DynamicListener"):
        name = str(entry.get("name"))
        active = (entry.get("active_state") or {}).get("listener")
        if active:
            dump.listeners[name] = active
        if entry.get("warming_state"):
            warming.append(name)
        _note_error(dump.errors, name, entry)
    return warming


def _take_routes(dump: Dump, part: dict[str, Any]) -> None:
    for entry in _entries(part, "RoutesConfigDump", "dynamic_route_configs", "RoutesConfigDump.DynamicRouteConfig"):
        route_config = entry.get("route_config") or {}
        if "name" in route_config:
            dump.routes[route_config["name"]] = route_config
            _note_error(dump.errors, route_config["name"], entry)


def _entries(part: dict[str, Any], whole: str, key: str, single: str) -> list[dict[str, Any]]:
    """Of the form with everything, and of that of `?resource=`."""
    kind = str(part.get(_ANY)).rpartition(".admin.v3.")[2]
    if kind == whole:
        return list(part.get(key) or [])
    return [part] if kind == single else []


def _note_error(errors: dict[str, str], name: str, entry: dict[str, Any]) -> None:
    details = (entry.get("error_state") or {}).get("details")
    if details:
        errors[name] = str(details)


def config_source(item: dict[str, Any]) -> tuple[str, str, str] | None:
    """The Istio resource that a route or cluster came from: kind as in paths, namespace, name."""
    path = ((item.get("metadata") or {}).get("filter_metadata") or {}).get("istio", {}).get("config")
    parts = str(path or "").split("/")
    # /apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews
    if len(parts) == 8 and parts[4] == "namespaces":  # noqa: PLR2004 - the form above
        return parts[6], parts[5], parts[7]
    return None
