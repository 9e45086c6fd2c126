"""What a sidecar routes: a RouteConfiguration for each service port, and one for its HTTP proxy port."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.istio.hosts import MESH_GATEWAY, full_gateway, full_host, host_matches
from runner.mesh.local.translate import names
from runner.mesh.local.translate.model import Message, XdsResource, any_message
from runner.mesh.local.translate.service import default_route, domains
from runner.mesh.local.translate.virtual_service import RouteContext, http_routes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from runner.istio.resource import Resource, ResourceKey
    from runner.istio.virtual_service import VirtualService
    from runner.mesh.local.topology import Pod
    from runner.mesh.local.translate.registry import Bound, MeshService, Registry

ROUTE_CONFIG = "envoy.config.route.v3.RouteConfiguration"
_PLAIN_HTTP = 80
_MOST_BODY = 1024 * 1024
"""Bytes of a direct response; istiod raises Envoy's 4 KiB to this."""

_UNKNOWN_HOST_STATUS = 502


def sidecar_routes(registry: Registry, pod: Pod) -> Iterator[XdsResource]:
    """All RouteConfigurations of a sidecar."""
    for port in registry.ports:
        hosts = _virtual_hosts(registry, pod, port, named=False)
        name = names.sidecar_route(port)
        yield XdsResource(name, route_config(name, [*hosts.hosts, _block_all()], pod), tuple(hosts.sources))
    everything = _VirtualHosts()
    for port in sorted({_PLAIN_HTTP, *registry.ports}):
        everything.take(_virtual_hosts(registry, pod, port, named=True))
    config = route_config(names.HTTP_PROXY, [*everything.hosts, _block_all()], pod, ignore_port=False)
    yield XdsResource(names.HTTP_PROXY, config, tuple(everything.sources))


def route_config(name: str, hosts: list[Message], pod: Pod, *, ignore_port: bool = True) -> Message:
    """A RouteConfiguration with istiod's settings; requests on it carry the caller's workload to the next proxy."""
    return any_message(
        ROUTE_CONFIG,
        name=name,
        virtual_hosts=hosts,
        validate_clusters=False,
        ignore_port_in_host_matching=ignore_port,
        max_direct_response_body_size_bytes=_MOST_BODY,
        request_headers_to_add=[
            {
                "header": {"key": names.PEER_HEADER, "value": pod.workload},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
    )


@dataclass(slots=True)
class _VirtualHosts:
    """Virtual hosts so far; a name or domain that is taken already stays with who had it first, as in istiod."""

    hosts: list[Message] = field(default_factory=list)
    sources: list[Resource] = field(default_factory=list)
    _names: set[str] = field(default_factory=set)
    _domains: set[str] = field(default_factory=set)
    _noted: set[ResourceKey] = field(default_factory=set)

    def add(self, name: str, host_domains: list[str], routes: list[Message], sources: tuple[Resource, ...]) -> None:
        free = [domain for domain in host_domains if domain.lower() not in self._domains]
        if name in self._names or not free:
            return
        self._names.add(name)
        self._domains.update(domain.lower() for domain in free)
        self.hosts.append(
            {"name": name, "domains": free, "routes": routes, "include_request_attempt_count": True},
        )
        self._note(sources)

    def take(self, other: _VirtualHosts) -> None:
        for host in other.hosts:
            self.add(host["name"], host["domains"], host["routes"], ())
        self._note(other.sources)

    def _note(self, sources: Iterable[Resource]) -> None:
        for source in sources:
            if source.key not in self._noted:
                self._noted.add(source.key)
                self.sources.append(source)


def _virtual_hosts(registry: Registry, pod: Pod, port: int, *, named: bool) -> _VirtualHosts:
    """The virtual hosts of one port; `named`: the `Host` must name the port, unless it is 80."""
    found = _VirtualHosts()
    services = registry.on_port(port)
    by_host = {service.host.lower(): service for service in services}
    routed: set[str] = set()
    context = RouteContext(registry, pod, port, names.listen_port(port))
    for rule in registry.virtual_services:
        if not rule.visible_from(pod.namespace, rule.spec.export_to) or not _in_mesh(rule):
            continue
        matching, others = _split_hosts(rule, registry, by_host)
        if not matching and port != _PLAIN_HTTP:
            continue
        routes = http_routes(rule, context)
        if not routes:
            continue
        sources = (*_rules_behind(rule, registry, pod), rule.resource)
        for host in others:
            found.add(names.virtual_host(host, port), _hosts([host], port, named=named), routes, sources)
        for service in matching:
            if service.host in routed:
                continue
            routed.add(service.host)
            hosts = _service_domains(service, pod, port, named=named)
            found.add(names.virtual_host(service.host, port), hosts, routes, (service.resource, *sources))
    for service in services:
        number = service.port(port)
        if service.host in routed or number is None:
            continue
        rules = registry.rule(service.host, pod.namespace)
        found.add(
            names.virtual_host(service.host, port),
            _service_domains(service, pod, port, named=named),
            [default_route(registry, service, number, pod)],
            (service.resource, *(rules.resources if rules else ())),
        )
    found.hosts.sort(key=lambda host: str(host["name"]))
    return found


def _in_mesh(rule: Bound[VirtualService]) -> bool:
    return MESH_GATEWAY in {full_gateway(name, rule.namespace) for name in rule.spec.effective_gateways}


def _split_hosts(
    rule: Bound[VirtualService], registry: Registry, services: Mapping[str, MeshService]
) -> tuple[list[MeshService], list[str]]:
    """The services on a port (by host, in small letters) that a VirtualService is about, and its hosts that are no service at all."""
    matching: list[MeshService] = []
    others: list[str] = []
    for written in rule.spec.hosts:
        host = full_host(written, rule.namespace).lower()
        if host.startswith("*"):
            here = [service for service in services.values() if host_matches(host, service.host)]
        else:
            here = [services[host]] if host in services else []
        matching += [
            service for service in here if service not in matching and not _closer(rule, host, service, registry)
        ]
        if not here and not any(host_matches(host, known) for known in registry.services):
            others.append(host)
    return matching, others


def _closer(rule: Bound[VirtualService], host: str, service: MeshService, registry: Registry) -> bool:
    """Whether another VirtualService names a service more closely than this one does by a wildcard."""
    if not host.startswith("*"):
        return False
    for other in registry.virtual_services:
        if other is rule or not _in_mesh(other):
            continue
        for written in other.spec.hosts:
            pattern = full_host(written, other.namespace)
            if host_matches(pattern, service.host) and (not pattern.startswith("*") or len(pattern) > len(host)):
                return True
    return False


def _rules_behind(rule: Bound[VirtualService], registry: Registry, pod: Pod) -> tuple[Resource, ...]:
    """The DestinationRules of a VirtualService's destinations: their consistent hashes are part of its routes."""
    found: list[Resource] = []
    for item in (item for http in rule.spec.http for item in http.route):
        merged = registry.rule(full_host(item.destination.host, rule.namespace), pod.namespace)
        found += [resource for resource in (merged.resources if merged else ()) if resource not in found]
    return tuple(found)


def _hosts(hosts: list[str], port: int, *, named: bool) -> list[str]:
    if not named:
        return hosts
    with_port = [f"{host}:{port}" for host in hosts if not host.startswith("*")]
    return [*hosts, *with_port] if port == _PLAIN_HTTP else with_port


def _service_domains(service: MeshService, pod: Pod, port: int, *, named: bool) -> list[str]:
    return _hosts(domains(service, pod.namespace), port, named=named)


def _block_all() -> Message:
    """Hosts that the mesh doesn't know: 502, as with Istio's outboundTrafficPolicy REGISTRY_ONLY.

    ALLOW_ANY needs the connection's original destination, which only intercepted traffic has.
    """
    route = {
        "name": names.BLOCK_ALL,
        "match": {"prefix": "/"},
        "direct_response": {"status": _UNKNOWN_HOST_STATUS},
        "metadata": {"filter_metadata": {names.METADATA: {"name": names.BLACK_HOLE}}},
    }
    return {
        "name": names.BLOCK_ALL,
        "domains": ["*"],
        "routes": [route],
        "include_request_attempt_count": True,
    }
