"""Whether one proxy holds what a change asked for: its routes, clusters and listeners, looked at resource by resource."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.istio.destination_rule import DestinationRule
from runner.istio.gateway import Gateway
from runner.istio.hosts import MESH_GATEWAY, full_gateway, full_host, hosts_overlap
from runner.istio.kube import Service
from runner.istio.load import known_part
from runner.istio.peer_authentication import PeerAuthentication, effective_mode
from runner.istio.virtual_service import VirtualService
from runner.mesh.cluster.cluster_facts import found_cluster, wanted_cluster
from runner.mesh.cluster.dump import config_source
from runner.mesh.cluster.policies import INBOUND, issuers, port_modes, rule_numbers
from runner.mesh.cluster.reach import selected
from runner.mesh.cluster.route_facts import difference, found_route, wanted_routes
from runner.mesh.cluster.traces import MARKED, PATHS, made_by

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.istio.resource import Resource, ResourceKey
    from runner.mesh.cluster.dump import Dump
    from runner.mesh.cluster.pods import Pod


def kind_of(resource: Resource) -> Any:
    """What this program's models know of a resource's spec; None where that is nothing."""
    return known_part(resource)


@dataclass(frozen=True, slots=True)
class State:
    """A whole wanted state, sorted by what proxies make of it.

    Attributes:
        resources: by key.
        gateways: by `NAMESPACE/NAME`.
        rules: DestinationRules with their full hosts.
        targets: the gateway pods' listening ports by service port.
        peers: PeerAuthentications with their namespaces, the oldest first; None when not all that count are known.
    """

    resources: dict[ResourceKey, Resource]
    gateways: dict[str, Gateway] = field(default_factory=dict)
    rules: list[tuple[ResourceKey, str]] = field(default_factory=list)
    targets: Mapping[int, set[int]] = field(default_factory=dict)
    peers: Sequence[tuple[str, PeerAuthentication]] | None = None

    @classmethod
    def of(
        cls,
        resources: Sequence[Resource],
        targets: Mapping[int, set[int]],
        peers: Sequence[tuple[str, PeerAuthentication]] | None = None,
    ) -> State:
        """Sort the resources of a state."""
        state = cls({item.key: item for item in resources}, targets=targets, peers=peers)
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
        if resource.key.kind == "PeerAuthentication":
            return True  # callers follow it too: whether they send mutual TLS depends on what the other side takes
        return not (resource.key.kind == "DestinationRule" and pod.gateway) and selected(resource, pod)


def lacking(dump: Dump, pod: Pod, state: State, put: Sequence[Resource], deleted: Sequence[ResourceKey]) -> str | None:
    """What a proxy does not hold yet of a change, in words; None when it holds all of it that concerns it."""
    for key in deleted:
        if key.kind in MARKED and next(made_by(dump, key), None) is not None:
            return f"still has what {key} made"
    for resource in put:
        missing = _policy(dump, pod, resource) or _routing(dump, pod, state, resource)
        if missing:
            return f"{resource.key}: {missing}"
    if any(key.kind == "PeerAuthentication" for key in (*deleted, *(item.key for item in put))):
        return _modes(dump, pod, state)
    return None


def _routing(dump: Dump, pod: Pod, state: State, resource: Resource) -> str | None:
    spec = kind_of(resource)
    if isinstance(spec, VirtualService):
        return _virtual_service(dump, pod, state, resource, spec)
    if isinstance(spec, DestinationRule) and selected(resource, pod):
        return _destination_rule(dump, pod, state, resource, spec)
    if isinstance(spec, Gateway) and pod.gateway:
        return _gateway(dump, pod, state, spec)
    if isinstance(spec, Service) and not pod.gateway:
        return _service(dump, resource, spec)
    return None


def _policy(dump: Dump, pod: Pod, resource: Resource) -> str | None:
    look = {"AuthorizationPolicy": _rules, "RequestAuthentication": _issuers}.get(resource.key.kind)
    return look(dump, resource) if look and selected(resource, pod) else None


def _virtual_service(dump: Dump, pod: Pod, state: State, resource: Resource, spec: VirtualService) -> str | None:
    key, namespace = resource.key, resource.key.namespace
    wanted = wanted_routes(spec, namespace)
    source = (PATHS[key.kind], namespace, key.name)
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
    source = (PATHS[key.kind], key.namespace, key.name)
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


def _rules(dump: Dump, resource: Resource) -> str | None:
    """An AuthorizationPolicy without rules is one that matches nothing; istiod gives it a number too."""
    if not _takes_requests(dump):
        return None
    rules = resource.spec.get("rules")
    wanted = set(range(max(1, len(rules) if isinstance(rules, list) else 0)))
    found = rule_numbers(dump, resource.key)
    if found - wanted:
        return f"still has rule {max(found)} of an earlier version"
    missing = wanted - found
    return f"no rule {min(missing)} of it yet" if missing else None


def _issuers(dump: Dump, resource: Resource) -> str | None:
    if not _takes_requests(dump):
        return None
    rules = resource.spec.get("jwtRules")
    wanted = {str(rule.get("issuer")) for rule in rules if isinstance(rule, dict)} if isinstance(rules, list) else set()
    missing = sorted(wanted - issuers(dump))
    return f"does not look at tokens of {missing[0]} yet" if missing else None


def _takes_requests(dump: Dump) -> bool:
    """Whether a proxy has an inbound listener, or is a gateway with one."""
    return INBOUND in dump.listeners or any(name.startswith("0.0.0.0_") for name in dump.listeners)


def _modes(dump: Dump, pod: Pod, state: State) -> str | None:
    """Which of a sidecar's inbound ports does not take what PeerAuthentications, all together, say."""
    if state.peers is None or pod.gateway:
        return None
    for port, found in sorted(port_modes(dump).items()):
        wanted = effective_mode(state.peers, pod.namespace, pod.labels, port)
        if found != wanted:
            return f"port {port} is {found} instead of {wanted}"
    return None
