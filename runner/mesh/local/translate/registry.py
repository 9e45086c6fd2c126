"""What a mesh knows, indexed: services with their endpoints, and the Istio resources that shape them.

Kubernetes would answer with Endpoints; here the topology's pods are matched against each Service's selector. Order in
the list of resources stands for age: where istiod lets the oldest resource win, the first in the list wins.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from runner.istio.authorization_policy import AuthorizationPolicy
from runner.istio.destination_rule import DestinationRule, Subset, TrafficPolicy
from runner.istio.gateway import Gateway
from runner.istio.hosts import full_host, host_matches, service_host
from runner.istio.kube import Service
from runner.istio.load import typed
from runner.istio.peer_authentication import PeerAuthentication
from runner.istio.virtual_service import VirtualService

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runner.istio.kube import ServicePort
    from runner.istio.resource import Resource
    from runner.mesh.local.topology import Pod, Topology

ROOT_NAMESPACE = "istio-system"
"""Istio's root namespace, whose DestinationRules are the last resort."""

Spec = TypeVar("Spec")
Protocol = Literal["http", "http2", "grpc", "tcp"]

_HTTP2 = frozenset({"http2", "h2c", "kubernetes.io/h2c"})
_GRPC = frozenset({"grpc", "grpc-web"})


@dataclass(frozen=True, slots=True)
class Bound(Generic[Spec]):
    """A resource's typed spec together with the manifest that it was read from."""

    spec: Spec
    resource: Resource

    @property
    def namespace(self) -> str:
        """The resource's namespace."""
        return self.resource.key.namespace

    def visible_from(self, namespace: str, export_to: Sequence[str]) -> bool:
        """Whether proxies in `namespace` see it, by its `exportTo`."""
        return list(export_to) != ["."] or self.namespace == namespace


@dataclass(frozen=True, slots=True)
class MeshPort:
    """One port of a service: the number that clients use, its protocol, and the container port behind it."""

    number: int
    protocol: Protocol
    target: int | str

    @property
    def http(self) -> bool:
        """Whether requests on it are routed as HTTP."""
        return self.protocol != "tcp"

    @property
    def request_protocol(self) -> str:
        """Istio's `request_protocol` label: http or grpc."""
        return "grpc" if self.protocol == "grpc" else "http"

    def on(self, pod: Pod) -> int | None:
        """The container port of `pod` that it leads to; None when the pod doesn't listen there.

        A port's name is only known to the app's Deployment; a pod with one single port can have meant no other.
        """
        if isinstance(self.target, int):
            return self.target if self.target in pod.ports else None
        return pod.ports[0] if len(pod.ports) == 1 else None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One pod behind a port of a service."""

    pod: Pod
    port: int


@dataclass(frozen=True, slots=True)
class MeshService:
    """A Kubernetes Service with the pods that it selects."""

    host: str
    ports: tuple[MeshPort, ...]
    pods: tuple[Pod, ...]
    resource: Resource

    @property
    def name(self) -> str:
        """`reviews`."""
        return self.resource.key.name

    @property
    def namespace(self) -> str:
        """The Service's namespace."""
        return self.resource.key.namespace

    @property
    def http_ports(self) -> tuple[MeshPort, ...]:
        """The ports on which requests are routed as HTTP."""
        return tuple(port for port in self.ports if port.http)

    def port(self, number: int) -> MeshPort | None:
        """The port of that number."""
        return next((port for port in self.ports if port.number == number), None)

    def endpoints(self, port: MeshPort, labels: Mapping[str, str] | None = None) -> list[Endpoint]:
        """The pods that answer on `port`, of a subset when `labels` are given."""
        return [
            Endpoint(pod, number)
            for pod in self.pods
            if has_labels(pod.labels, labels or {}) and (number := port.on(pod)) is not None
        ]


@dataclass(frozen=True, slots=True)
class MergedRule:
    """The DestinationRules that hold for one host, merged as istiod does: subsets joined, the first policy kept."""

    policy: TrafficPolicy | None
    subsets: tuple[Subset, ...]
    resources: tuple[Resource, ...]

    def subset(self, name: str | None) -> Subset | None:
        """The subset of that name."""
        return next((subset for subset in self.subsets if subset.name == name), None)


@dataclass(frozen=True, slots=True)
class Registry:
    """Everything that translation asks for."""

    topology: Topology
    services: Mapping[str, MeshService]
    """By full host name."""
    virtual_services: tuple[Bound[VirtualService], ...]
    destination_rules: tuple[Bound[DestinationRule], ...]
    gateways: tuple[Bound[Gateway], ...]
    authorization_policies: tuple[Bound[AuthorizationPolicy], ...] = ()
    peer_authentications: tuple[Bound[PeerAuthentication], ...] = ()
    _merged: dict[tuple[str, str], MergedRule] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def read(cls, topology: Topology, resources: Iterable[Resource]) -> Registry:
        """Index a mesh's whole state.

        Raises:
            InputError: a resource can't be read.
        """
        services: dict[str, MeshService] = {}
        virtual_services: list[Bound[VirtualService]] = []
        destination_rules: list[Bound[DestinationRule]] = []
        gateways: list[Bound[Gateway]] = []
        authorization_policies: list[Bound[AuthorizationPolicy]] = []
        peer_authentications: list[Bound[PeerAuthentication]] = []
        for resource in resources:
            match typed(resource):
                case Service() as spec:
                    service = _service(resource, spec, topology)
                    services[service.host] = service
                case VirtualService() as spec:
                    virtual_services.append(Bound(spec, resource))
                case DestinationRule() as spec:
                    destination_rules.append(Bound(spec, resource))
                case Gateway() as spec:
                    gateways.append(Bound(spec, resource))
                case PeerAuthentication() as spec:
                    peer_authentications.append(Bound(spec, resource))
                case AuthorizationPolicy() as spec:
                    authorization_policies.append(Bound(spec, resource))
                case _:  # Deployments and ServiceAccounts have become the topology's pods
                    continue
        return cls(
            topology,
            services,
            tuple(virtual_services),
            tuple(destination_rules),
            tuple(gateways),
            tuple(authorization_policies),
            tuple(peer_authentications),
        )

    @property
    def ports(self) -> tuple[int, ...]:
        """All HTTP port numbers that any service has."""
        return tuple(sorted({port.number for service in self.services.values() for port in service.http_ports}))

    def on_port(self, number: int) -> list[MeshService]:
        """The services with that HTTP port."""
        return [service for service in self.services.values() if (port := service.port(number)) and port.http]

    def services_of(self, pod: Pod, container_port: int) -> list[tuple[MeshService, MeshPort]]:
        """The services, with their port, that lead to a container port of `pod`."""
        return [
            (service, port)
            for service in self.services.values()
            if pod in service.pods
            for port in service.ports
            if port.on(pod) == container_port
        ]

    def rule(self, host: str, namespace: str) -> MergedRule | None:
        """The DestinationRule that a proxy in `namespace` uses for `host`.

        istiod looks in the proxy's own namespace, then the service's, then the root namespace; in each the most
        specific host wins.
        """
        key = (host, namespace)
        if key not in self._merged:
            service = self.services.get(host)
            places = [namespace] if namespace != ROOT_NAMESPACE else []
            places += [place for place in (service.namespace if service else None, ROOT_NAMESPACE) if place]
            found = next((rules for place in places if (rules := self._rules_in(place, host, namespace))), [])
            self._merged[key] = _merge(found)
        merged = self._merged[key]
        return merged if merged.resources else None

    def _rules_in(self, place: str, host: str, namespace: str) -> list[Bound[DestinationRule]]:
        matching = [
            (full_host(rule.spec.host, place), rule)
            for rule in self.destination_rules
            if rule.namespace == place and rule.visible_from(namespace, rule.spec.export_to)
        ]
        patterns = [pattern for pattern, _ in matching if host_matches(pattern, host)]
        if not patterns:
            return []
        best = max(patterns, key=lambda pattern: (not pattern.startswith("*"), len(pattern)))
        return [rule for pattern, rule in matching if pattern.lower() == best.lower()]


def has_labels(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether `labels` contain all that are wanted."""
    return wanted.items() <= labels.items()


def _merge(rules: Sequence[Bound[DestinationRule]]) -> MergedRule:
    subsets: dict[str, Subset] = {}
    policy: TrafficPolicy | None = None
    for rule in rules:
        policy = policy or rule.spec.traffic_policy
        for subset in rule.spec.subsets:
            subsets.setdefault(subset.name, subset)
    return MergedRule(policy, tuple(subsets.values()), tuple(rule.resource for rule in rules))


def _service(resource: Resource, spec: Service, topology: Topology) -> MeshService:
    namespace = resource.key.namespace
    pods = tuple(
        pod
        for pod in topology.pods
        if spec.selector and pod.namespace == namespace and has_labels(pod.labels, spec.selector)
    )
    ports = tuple(
        MeshPort(port.port, port_protocol(port), port.port if port.target_port is None else port.target_port)
        for port in spec.ports
        if port.protocol == "TCP"
    )
    return MeshService(service_host(resource.key.name, namespace), ports, pods, resource)


def port_protocol(port: ServicePort) -> Protocol:
    """How istiod treats a service port: by `appProtocol`, else by its name up to the first `-`.

    HTTP when neither says anything: istiod then detects the protocol, and HTTP is all that this mesh carries.
    """
    word = port.protocol_word
    if word in _HTTP2:
        return "http2"
    if word in _GRPC:
        return "grpc"
    return "http" if port.carries_http else "tcp"
