"""Gateway: which ports and hosts an ingress gateway serves, with the VirtualServices that are bound to it.

Servers of several Gateways on one port share a listener, as istiod merges them. What nothing matches gets 404.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.istio.hosts import full_gateway, full_host, host_matches
from runner.mesh.local.translate import names
from runner.mesh.local.translate.model import Message, XdsResource
from runner.mesh.local.translate.registry import has_labels
from runner.mesh.local.translate.route_match import is_catch_all
from runner.mesh.local.translate.sidecar import route_config
from runner.mesh.local.translate.virtual_service import RouteContext, http_routes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.istio.gateway import Gateway, Server
    from runner.istio.resource import Resource
    from runner.istio.virtual_service import VirtualService
    from runner.mesh.local.topology import Pod
    from runner.mesh.local.translate.registry import Bound, Registry


@dataclass(frozen=True, slots=True)
class BoundServer:
    """One server of one Gateway."""

    gateway: Bound[Gateway]
    server: Server

    @property
    def gateway_name(self) -> str:
        """`namespace/name`."""
        return f"{self.gateway.namespace}/{self.gateway.resource.key.name}"

    @property
    def https_redirect(self) -> bool:
        """Whether plain requests are sent to HTTPS."""
        return self.server.tls is not None and self.server.tls.https_redirect

    @property
    def all_hosts(self) -> list[str]:
        """Every host it serves, without the namespaces."""
        return [written.rpartition("/")[2].lower() for written in self.server.hosts]

    def hosts_for(self, namespace: str) -> list[str]:
        """The hosts it serves to VirtualServices in `namespace` (`hosts` may say whose)."""
        found = []
        for written in self.server.hosts:
            where, slash, host = written.rpartition("/")
            if not slash or where == "*" or (self.gateway.namespace if where == "." else where) == namespace:
                found.append(host.lower())
        return found


def gateway_servers(registry: Registry, pod: Pod) -> dict[int, list[BoundServer]]:
    """The servers that a gateway pod runs, by the port at which they are served here."""
    found: dict[int, list[BoundServer]] = {}
    for gateway in registry.gateways:
        if not has_labels(pod.labels, gateway.spec.selector):
            continue
        for server in gateway.spec.servers:
            found.setdefault(names.listen_port(server.port.number), []).append(BoundServer(gateway, server))
    return dict(sorted(found.items()))


def gateway_routes(registry: Registry, pod: Pod) -> Iterator[XdsResource]:
    """The RouteConfiguration of every port of a gateway pod."""
    for listen_port, servers in gateway_servers(registry, pod).items():
        hosts, sources = _virtual_hosts(registry, pod, listen_port, servers)
        name = names.gateway_route(listen_port)
        yield XdsResource(name, route_config(name, hosts, pod), tuple(sources))


def _virtual_hosts(
    registry: Registry, pod: Pod, listen_port: int, servers: list[BoundServer]
) -> tuple[list[Message], list[Resource]]:
    found: dict[str, Message] = {}
    sources: list[Resource] = []
    done: set[tuple[str, str, str]] = set()
    for bound in servers:
        _add_source(sources, bound.gateway.resource)
        port = bound.server.port.number
        for host, rule, routes in _bound_routes(registry, pod, listen_port, bound):
            once = (bound.gateway_name, str(rule.resource.key), host)
            if once not in done:  # two servers of one Gateway on this port may both serve the host
                done.add(once)
                _add_source(sources, rule.resource)
                found.setdefault(host, _virtual_host(host, port))["routes"] += routes
        for host in bound.all_hosts if bound.https_redirect else ():
            found.setdefault(host, _virtual_host(host, port))
        if bound.https_redirect:
            for host, virtual_host in found.items():
                if any(host_matches(served, host) for served in bound.all_hosts):
                    virtual_host["require_tls"] = "ALL"
    if not found:
        return [_virtual_host("blackhole", servers[0].server.port.number, domain="*")], sources
    for virtual_host in found.values():
        virtual_host["routes"].sort(key=is_catch_all)
    return sorted(found.values(), key=lambda host: str(host["name"])), sources


def _bound_routes(
    registry: Registry, pod: Pod, listen_port: int, bound: BoundServer
) -> Iterator[tuple[str, Bound[VirtualService], list[Message]]]:
    """The routes of every VirtualService that is bound to a server, for each host that both name."""
    context = RouteContext(registry, pod, bound.server.port.number, listen_port, bound.gateway_name)
    for rule in registry.virtual_services:
        if not _is_bound(rule, bound.gateway_name) or not rule.visible_from(pod.namespace, rule.spec.export_to):
            continue
        hosts = _common_hosts(bound.hosts_for(rule.namespace), rule)
        routes = http_routes(rule, context) if hosts else []
        if routes:
            yield from ((host, rule, routes) for host in hosts)


def _virtual_host(host: str, port: int, *, domain: str | None = None) -> Message:
    return {
        "name": names.virtual_host(host, port),
        "domains": [domain or host],
        "routes": [],
        "include_request_attempt_count": True,
    }


def _is_bound(rule: Bound[VirtualService], gateway: str) -> bool:
    return gateway in {full_gateway(name, rule.namespace) for name in rule.spec.effective_gateways}


def _common_hosts(served: list[str], rule: Bound[VirtualService]) -> list[str]:
    """The hosts that both the server and the VirtualService name; of two that overlap, the narrower."""
    found: list[str] = []
    for written in rule.spec.hosts:
        wanted = full_host(written, rule.namespace).lower()
        for host in served:
            narrower = wanted if host_matches(host, wanted) else host if host_matches(wanted, host) else None
            if narrower and narrower not in found:
                found.append(narrower)
    return found


def _add_source(sources: list[Resource], resource: Resource) -> None:
    if resource not in sources:
        sources.append(resource)
