"""Services: the clusters that lead to their pods, the hosts by which they are called, and their own routes.

Clusters are STATIC with their endpoints inside (istiod would send them by EDS), so that none ever waits to be warmed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.mesh.local.translate import names
from runner.mesh.local.translate.destination_rule import (
    connection_pool_settings,
    hash_for_service,
    hash_policies,
    outbound_settings,
    policy_for_port,
    policy_for_subset,
)
from runner.mesh.local.translate.model import Message, XdsResource, any_message, duration, socket_address
from runner.mesh.local.translate.retry import inbound_retry_policy, retry_policy
from runner.mesh.local.translate.tls import SOCKET_MATCH, TLS_MODE, outbound_sockets, policies_of, secured

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.istio.destination_rule import Subset, TrafficPolicy
    from runner.istio.resource import Resource
    from runner.mesh.local.topology import Pod
    from runner.mesh.local.translate.model import ProxyPaths
    from runner.mesh.local.translate.registry import Endpoint, MeshPort, MeshService, Registry

_CLUSTER = "envoy.config.cluster.v3.Cluster"


def outbound_clusters(registry: Registry, pod: Pod, paths: ProxyPaths) -> Iterator[XdsResource]:
    """The clusters of every HTTP port of every service, and of the subsets that DestinationRules define."""
    for service in registry.services.values():
        rule = registry.rule(service.host, pod.namespace)
        for port in service.http_ports:
            make = _OutboundClusters(registry, service, port, paths)
            if rule is None:
                yield make.cluster(None, _metadata(service), (service.resource,))
                continue
            sources = (service.resource, *rule.resources)
            metadata = {**_metadata(service), "config": names.config_path(rule.resources[0])}
            yield make.cluster(policy_for_port(rule.policy, port.number), metadata, sources)
            for subset in rule.subsets:
                policy = policy_for_subset(rule, subset, port.number)
                yield make.cluster(policy, {**metadata, "subset": subset.name}, sources, subset)


@dataclass(frozen=True, slots=True)
class _OutboundClusters:
    """The clusters of one port of a service."""

    registry: Registry
    service: MeshService
    port: MeshPort
    paths: ProxyPaths

    def cluster(
        self,
        policy: TrafficPolicy | None,
        metadata: Message,
        sources: tuple[Resource, ...],
        subset: Subset | None = None,
    ) -> XdsResource:
        place = (self.port.number, subset.name if subset else None, self.service.host)
        settings = outbound_settings(policy, self.port.protocol)
        every = self.service.endpoints(self.port)
        sockets = outbound_sockets(policy, settings, every, self.registry, names.sni(*place), self.paths)
        own = self.service.endpoints(self.port, subset.labels) if subset else every
        endpoints = [self._endpoint(endpoint) for endpoint in own]
        name = names.outbound_cluster(*place)
        policies = policies_of(self.registry, *(endpoint.pod for endpoint in own))
        message = _cluster(name, {**settings, **sockets}, metadata, endpoints)
        return XdsResource(name, message, (*sources, *policies))

    def _endpoint(self, endpoint: Endpoint) -> Message:
        metadata: Message = {names.METADATA: {"workload": endpoint.pod.workload}}
        if secured(self.registry, endpoint):
            metadata[SOCKET_MATCH] = TLS_MODE
        return {
            "endpoint": {"address": socket_address(endpoint.pod.address, endpoint.port)},
            "metadata": {"filter_metadata": metadata},
            "load_balancing_weight": 1,
        }


def inbound_clusters(registry: Registry, pod: Pod) -> Iterator[XdsResource]:
    """The clusters of a sidecar's own application, one for each port that it listens on."""
    for number in pod.ports:
        behind = registry.services_of(pod, number)
        service, port = behind[0] if behind else (None, None)
        rule = registry.rule(service.host, pod.namespace) if service else None
        policy = policy_for_port(rule.policy, port.number) if rule and port else None
        pool = policy.connection_pool if policy else None
        settings = connection_pool_settings(pool, port.protocol if port else "http", inbound=True)
        name = names.inbound_cluster(number)
        endpoint = {"endpoint": {"address": socket_address(pod.app, number)}}
        metadata = _metadata(service) if service else {}
        sources = (*((service.resource,) if service else ()), *(rule.resources if rule and policy else ()))
        yield XdsResource(name, _cluster(name, {**settings, "lb_policy": "ROUND_ROBIN"}, metadata, [endpoint]), sources)


def _cluster(name: str, settings: Message, metadata: Message, endpoints: Sequence[Message]) -> Message:
    return any_message(
        _CLUSTER,
        name=name,
        alt_stat_name=names.stat_name(name),
        type="STATIC",
        load_assignment={
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": list(endpoints), "load_balancing_weight": len(endpoints)}]
            if endpoints
            else [],
        },
        metadata={"filter_metadata": {names.METADATA: metadata}},
        **settings,
    )


def _metadata(service: MeshService) -> Message:
    """Istio's metadata of a service's clusters; `host` and `name` stand apart for log formats, which read no lists."""
    return {
        "services": [{"host": service.host, "name": service.name, "namespace": service.namespace}],
        "host": service.host,
        "name": service.name,
    }


def domains(service: MeshService, namespace: str, port: int | None = None) -> list[str]:
    """The `Host` values by which proxies in `namespace` call a service.

    Args:
        service: the service.
        namespace: the caller's; within its own, the service's bare name will do.
        port: the port that must be named in the `Host`; None where the port is ignored (the listener says it).
    """
    short = f"{service.name}.{service.namespace}"
    hosts = [service.host, f"{service.host}.", short, f"{short}.svc"]
    if service.namespace == namespace:
        hosts.insert(2, service.name)
    return hosts if port is None else [f"{host}:{port}" for host in hosts]


def default_route(registry: Registry, service: MeshService, port: MeshPort, pod: Pod) -> Message:
    """The route of a service that no VirtualService is about."""
    consistent = hash_for_service(registry.rule(service.host, pod.namespace), port.number)
    action: Message = {
        "cluster": names.outbound_cluster(port.number, None, service.host),
        "timeout": "0s",
        "max_grpc_timeout": "0s",
        "retry_policy": retry_policy(None, sticky=False),
    }
    policies = hash_policies([consistent])
    if policies:
        action["hash_policy"] = policies
    return {"name": names.DEFAULT_ROUTE, "match": {"prefix": "/"}, "route": action}


def inbound_route_config(port: int, *, grpc: bool) -> Message:
    """The routes of an inbound listener: everything goes to the application."""
    name = names.inbound_cluster(port)
    action: Message = {
        "cluster": name,
        "timeout": "0s",
        "max_stream_duration": {"max_stream_duration": duration(0), "grpc_timeout_header_max": duration(0)},
    }
    if not grpc:
        action["retry_policy"] = inbound_retry_policy()
    return {
        "name": name,
        "virtual_hosts": [
            {
                "name": names.inbound_virtual_host(port),
                "domains": ["*"],
                "routes": [{"name": names.DEFAULT_ROUTE, "match": {"prefix": "/"}, "route": action}],
            }
        ],
        "validate_clusters": False,
        "request_headers_to_remove": [names.PEER_HEADER],
    }
