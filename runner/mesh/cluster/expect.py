"""Whether one proxy holds what a change asked for: its routes and clusters, looked at resource by resource."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.errors import InputError
from runner.istio.destination_rule import DestinationRule
from runner.istio.gateway import Gateway
from runner.istio.hosts import MESH_GATEWAY, full_gateway, full_host, hosts_overlap
from runner.istio.kube import Service
from runner.istio.load import typed
from runner.istio.virtual_service import VirtualService
from runner.mesh.cluster.cluster_facts import found_cluster, wanted_cluster
from runner.mesh.cluster.dump import config_source
from runner.mesh.cluster.route_facts import difference, found_route, wanted_routes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runner.istio.resource import Resource, ResourceKey
    from runner.mesh.cluster.dump import Dump
    from runner.mesh.cluster.pods import Pod

_PATHS = {"VirtualService": "virtual-service", "DestinationRule": "destination-rule"}


def kind_of(resource: Resource) -> Any:
    """A resource's spec as its model; None where this program's models do not know a field of it."""
    try:
        return typed(resource)
    except (InputError, KeyError):
        return None


def slice_of(dump: Dump, key: ResourceKey) -> str:
    """A hash of the part of a proxy's config that came from a resource; empty when none did."""
    parts = [json.dumps(item, sort_keys=True) for item in _made_by(dump, key)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16] if parts else ""


def _made_by(dump: Dump, key: ResourceKey) -> Iterator[Any]:
    source = (_PATHS.get(key.kind), key.namespace, key.name)
    if key.kind == "VirtualService":
        for name, virtual_host in sorted(dump.virtual_hosts(), key=lambda item: (item[0], str(item[1].get("name")))):
            for route in virtual_host.get("routes") or []:
                if config_source(route) == source:
                    yield [name, virtual_host.get("name"), route]
    else:
        for _, cluster in sorted(dump.clusters.items()):
            if config_source(cluster) == source:
                yield cluster


@dataclass(frozen=True, slots=True)
class State:
    """A whole wanted state, sorted by what proxies make of it.

    Attributes:
        resources: by key.
        gateways: by `NAMESPACE/NAME`.
        rules: DestinationRules with their full hosts.
        targets: the gateway pods' listening ports by service port.
    """

    resources: dict[ResourceKey, Resource]
    gateways: dict[str, Gateway] = field(default_factory=dict)
    rules: list[tuple[ResourceKey, str]] = field(default_factory=list)
    targets: Mapping[int, set[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, resources: Sequence[Resource], targets: Mapping[int, set[int]]) -> State:
        """Sort the resources of a state."""
        state = cls({item.key: item for item in resources}, targets=targets)
        for item in resources:
            spec = kind_of(item)
            if isinstance(spec, Gateway):
                state.gateways[f"{item.key.namespace}/{item.key.name}"] = spec
            elif isinstance(spec, DestinationRule):
                state.rules.append((item.key, full_host(spec.host, item.key.namespace)))
        return state

    def concerns(self, resource: Resource, pod: Pod) -> bool:
        """Whether a proxy has part in what a resource makes."""
        spec = kind_of(resource)
        if isinstance(spec, VirtualService) and pod.gateway:
            return _served_here(pod, self, resource.key.namespace, spec)
        if isinstance(spec, VirtualService):
            return MESH_GATEWAY in spec.effective_gateways
        return not pod.gateway


def lacking(dump: Dump, pod: Pod, state: State, put: Sequence[Resource], deleted: Sequence[ResourceKey]) -> str | None:
    """What a proxy does not hold yet of a change, in words; None when it holds all of it that concerns it."""
    for key in deleted:
        if key.kind in _PATHS and next(_made_by(dump, key), None) is not None:
            return f"still has what {key} made"
    for resource in put:
        spec = kind_of(resource)
        missing = None
        if isinstance(spec, VirtualService):
            missing = _virtual_service(dump, pod, state, resource, spec)
        elif isinstance(spec, DestinationRule):
            missing = _destination_rule(dump, pod, state, resource, spec)
        elif isinstance(spec, Gateway) and pod.gateway:
            missing = _gateway(dump, pod, state, spec)
        elif isinstance(spec, Service) and not pod.gateway:
            missing = _service(dump, resource, spec)
        if missing:
            return f"{resource.key}: {missing}"
    return None


def _virtual_service(dump: Dump, pod: Pod, state: State, resource: Resource, spec: VirtualService) -> str | None:
    key, namespace = resource.key, resource.key.namespace
    wanted = wanted_routes(spec, namespace)
    source = (_PATHS[key.kind], namespace, key.name)
    hosts = {full_host(host, namespace) for host in spec.hosts}
    in_mesh = MESH_GATEWAY in spec.effective_gateways and not pod.gateway
    found_any = False
    for _, virtual_host in dump.virtual_hosts():
        own = [found_route(route) for route in virtual_host.get("routes") or [] if config_source(route) == source]
        named = in_mesh and hosts & {domain.partition(":")[0] for domain in virtual_host.get("domains") or []}
        if not own and not named:
            continue
        found_any = found_any or bool(own)
        wrong = difference(wanted, own)
        if wrong:
            return f"{virtual_host.get('name')}: {wrong}"
    if not found_any and pod.gateway and _served_here(pod, state, namespace, spec):
        return "no route of it yet"
    return None


def _served_here(pod: Pod, state: State, namespace: str, spec: VirtualService) -> bool:
    for name in spec.effective_gateways:
        gateway = state.gateways.get(full_gateway(name, namespace))
        if gateway is None or not gateway.selector.items() <= pod.labels.items():
            continue
        served = [host.rpartition("/")[2] for server in gateway.servers for host in server.hosts]
        if any(hosts_overlap(full_host(host, namespace), other) for host in spec.hosts for other in served):
            return True
    return False


def _destination_rule(dump: Dump, pod: Pod, state: State, resource: Resource, spec: DestinationRule) -> str | None:
    key = resource.key
    host = full_host(spec.host, key.namespace)
    source = (_PATHS[key.kind], key.namespace, key.name)
    alone = sum(other == host for _, other in state.rules) == 1
    subsets = {subset.name for subset in spec.subsets}
    for name, cluster in dump.clusters.items():
        parts = name.split("|")
        if len(parts) != 4 or parts[0] != "outbound":  # noqa: PLR2004 - outbound|PORT|SUBSET|HOST
            continue
        if parts[2] and parts[2] not in subsets and config_source(cluster) == source:
            return f"still has the subset {parts[2]}"
        if parts[3] != host or parts[2]:
            continue
        for subset in ("", *sorted(subsets)):
            there = dump.clusters.get(f"outbound|{parts[1]}|{subset}|{host}")
            if there is None and pod.gateway:
                continue  # istiod may leave out what no route of a gateway leads to
            if there is None:
                return f"no cluster of the subset {subset} yet"
            if alone and config_source(there) != source:
                return f"outbound|{parts[1]}|{subset}|{host} is not from it yet"
            wrong = wanted_cluster(spec, subset, int(parts[1])).difference(found_cluster(there)) if alone else None
            if wrong:
                return f"{there['name']}: {wrong}"
    return None


def _gateway(dump: Dump, pod: Pod, state: State, spec: Gateway) -> str | None:
    if not spec.selector.items() <= pod.labels.items():
        return None
    listening = {
        listener.get("address", {}).get("socket_address", {}).get("port_value") for listener in dump.listeners.values()
    }
    for server in spec.servers:
        number = server.port.number
        if not listening & {number, *state.targets.get(number, set())}:
            return f"no listener on port {number} yet"
    return None


def _service(dump: Dump, resource: Resource, spec: Service) -> str | None:
    host = full_host(resource.key.name, resource.key.namespace)
    for port in spec.ports:
        if port.protocol == "TCP" and f"outbound|{port.port}||{host}" not in dump.clusters:
            return f"no cluster of port {port.port} yet"
    return None
