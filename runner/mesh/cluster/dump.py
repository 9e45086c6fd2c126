"""What a proxy holds, read from its own `config_dump`: clusters, listeners and routes, and which Istio resource each came from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ANY = "@type"
MANAGER = "envoy.filters.network.http_connection_manager"
"""The filter that turns a connection into requests."""
_ROUTE_KEYS = frozenset({"rds", "route_config", "scoped_routes", "stat_prefix"})
"""What an HTTP connection manager says about where requests go, which is looked at elsewhere."""


@dataclass(frozen=True, slots=True)
class Dump:
    """One proxy's config.

    Attributes:
        clusters: by name.
        listeners: active ones by name.
        routes: route configurations by name.
        errors: resources that the proxy refused, with its words.
        warming: clusters and listeners that are not in use yet.
        extensions: filter configs that are delivered by themselves (Wasm), by name.
    """

    clusters: dict[str, dict[str, Any]] = field(default_factory=dict)
    listeners: dict[str, dict[str, Any]] = field(default_factory=dict)
    routes: dict[str, dict[str, Any]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    warming: tuple[str, ...] = ()
    extensions: dict[str, dict[str, Any]] = field(default_factory=dict)

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
        clusters = [item for name, item in sorted(self.clusters.items()) if _concerns(name, item, namespace)]
        inbound = [item for name, item in sorted(self.listeners.items()) if name == "virtualInbound"]
        text = json.dumps([clusters, inbound, routes, self._handling(), self.extensions], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def _handling(self) -> list[str]:
        """How requests are handled on the way out and in gateways, whatever their route: filters, logs, limits; each way once.

        So a listener for one more port of another team's service makes no difference, and one more filter does.
        """
        found = {
            json.dumps({key: value for key, value in manager.items() if key not in _ROUTE_KEYS}, sort_keys=True)
            for listener in self.listeners.values()
            for chain in chains(listener)
            for manager in managers(chain)
        }
        return sorted(found)


def chains(listener: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All filter chains of a listener."""
    yield from listener.get("filter_chains") or []
    if listener.get("default_filter_chain"):
        yield listener["default_filter_chain"]


def managers(chain: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The HTTP connection managers of a filter chain."""
    for item in chain.get("filters") or []:
        if item.get("name") == MANAGER:
            yield item.get("typed_config") or {}


def _concerns(name: str, cluster: Mapping[str, Any], namespace: str) -> bool:
    """Whether a cluster is a sidecar's own, or of a service of a namespace (a ServiceEntry's too)."""
    if f".{namespace}.svc." in name or name.startswith("inbound|"):
        return True
    metadata = ((cluster.get("metadata") or {}).get("filter_metadata") or {}).get("istio") or {}
    return any(service.get("namespace") == namespace for service in metadata.get("services") or [])


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
        _take_extensions(dump, part)
    return Dump(dump.clusters, dump.listeners, dump.routes, dump.errors, tuple(warming), dump.extensions)


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


def _take_extensions(dump: Dump, part: dict[str, Any]) -> None:
    for entry in _entries(part, "EcdsConfigDump", "ecds_filters", "EcdsConfigDump.EcdsFilterConfig"):
        config = entry.get("ecds_filter") or {}
        if "name" in config:
            dump.extensions[config["name"]] = config
            _note_error(dump.errors, config["name"], entry)


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
