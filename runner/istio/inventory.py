"""What resources and pods offer to routes: services, subsets and gateways, and how many pods each has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.istio.authorization_policy import AuthorizationPolicy
from runner.istio.destination_rule import DestinationRule, Subset
from runner.istio.gateway import Gateway
from runner.istio.hosts import full_host, host_matches, service_host
from runner.istio.kube import Deployment, Service
from runner.istio.load import known_part, says_more, typed
from runner.istio.peer_authentication import PeerAuthentication
from runner.istio.virtual_service import VirtualService

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from runner.istio.kube import ServicePort
    from runner.istio.resource import Resource


@dataclass(frozen=True, slots=True)
class PodLabels:
    """Pods that are alike: their labels, where they live, and how many they are.

    `ports` are those that their containers listen on, None when unknown; so is an empty `service_account`.
    """

    labels: Mapping[str, str]
    namespace: str = "default"
    replicas: int = 1
    ports: tuple[int, ...] | None = None
    sidecar: bool = True
    service_account: str = ""


def pods_of_deployments(resources: Sequence[Resource]) -> list[PodLabels]:
    """The pods that the Deployments among `resources` ask for.

    Raises:
        InputError: a Deployment's spec is wrong.
    """
    pods = []
    for resource in resources:
        spec = typed(resource)
        if isinstance(spec, Deployment):
            pods.append(PodLabels(spec.labels, resource.key.namespace, spec.replicas))
    return pods


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything that a resource may refer to.

    Attributes:
        services: by full host name: the namespace, and the Service.
        rules: DestinationRules with the full host they are for, in the order of the resources.
        virtual_services: in the order of the resources.
        gateways: by `NAMESPACE/NAME`.
        authorization_policies: in the order of the resources.
        peer_authentications: in the order of the resources, which stands for their age.
        external: hosts that are there though their ports are not known (ServiceEntry, ExternalName), wildcards as they are.
        unread_gateways: Gateways with what the models do not know, as `NAMESPACE/NAME`.
        unread_rules: hosts of such DestinationRules: what subsets they have is not known.
        pods: of the mesh; empty when unknown.
        whole: the namespaces of which all pods are known, where others may have some too; None where pods tell by themselves.
    """

    services: dict[str, tuple[str, Service]] = field(default_factory=dict)
    rules: list[tuple[Resource, str, DestinationRule]] = field(default_factory=list)
    virtual_services: list[tuple[Resource, VirtualService]] = field(default_factory=list)
    gateways: dict[str, Gateway] = field(default_factory=dict)
    authorization_policies: list[tuple[Resource, AuthorizationPolicy]] = field(default_factory=list)
    peer_authentications: list[tuple[Resource, PeerAuthentication]] = field(default_factory=list)
    external: set[str] = field(default_factory=set)
    unread_gateways: set[str] = field(default_factory=set)
    unread_rules: set[str] = field(default_factory=set)
    pods: tuple[PodLabels, ...] = ()
    whole: frozenset[str] | None = None

    @classmethod
    def of(
        cls, resources: Sequence[Resource], pods: Sequence[PodLabels], whole: Collection[str] | None = None
    ) -> Inventory:
        """Sort resources by what they offer; of those with fields that the models do not know, as far as that goes.

        Raises:
            InputError: a spec is wrong, or of a kind that nothing is known of.
        """
        found = cls(pods=tuple(pods), whole=None if whole is None else frozenset(whole))
        for resource in resources:
            spec = known_part(resource)
            if spec is None:
                found._note_unread(resource)
                continue
            namespace, name = resource.key.namespace, resource.key.name
            match spec:
                case Service():
                    found.services[service_host(name, namespace)] = (namespace, spec)
                case DestinationRule():
                    found.rules.append((resource, full_host(spec.host, namespace), spec))
                case VirtualService():
                    found.virtual_services.append((resource, spec))
                case Gateway():
                    found.gateways[f"{namespace}/{name}"] = spec
                case AuthorizationPolicy():
                    found.authorization_policies.append((resource, spec))
                case PeerAuthentication():
                    found.peer_authentications.append((resource, spec))
                case _:
                    pass
        return found

    def _note_unread(self, resource: Resource) -> None:
        """What others may refer to in a resource that the models can't read.

        Raises:
            InputError: it is wrong, or nothing is known of it.
        """
        if not says_more(resource):
            typed(resource)
        namespace, name, spec = resource.key.namespace, resource.key.name, resource.spec
        match resource.key.kind:
            case "ServiceEntry":
                hosts = spec.get("hosts")
                self.external.update(map(str, hosts if isinstance(hosts, list) else ()))
            case "Service":
                self.external.add(service_host(name, namespace))
            case "Gateway":
                self.unread_gateways.add(f"{namespace}/{name}")
            case "DestinationRule":
                self.unread_rules.add(full_host(str(spec.get("host")), namespace))
            case "AuthorizationPolicy" | "PeerAuthentication":  # nothing refers to it
                pass
            case _:
                typed(resource)

    def is_external(self, host: str) -> bool:
        """Whether a host is there although no Service that can be looked at stands for it."""
        return any(host_matches(pattern, host) for pattern in self.external)

    def subsets(self, host: str) -> dict[str, Subset]:
        """Subsets of a full host name, by name; of two with one name istiod takes the first."""
        found: dict[str, Subset] = {}
        for _, pattern, rule in self.rules:
            if host_matches(pattern, host):
                for subset in rule.subsets:
                    found.setdefault(subset.name, subset)
        return found

    def pod_count(self, host: str, labels: Mapping[str, str] | None = None) -> int:
        """How many pods are behind a service, and have `labels` (of a subset) as well."""
        if host not in self.services:
            return 0
        namespace, service = self.services[host]
        if not service.selector:
            return 0
        wanted = {**service.selector, **(labels or {})}.items()
        contradiction = any(service.selector.get(name, value) != value for name, value in (labels or {}).items())
        return sum(
            pod.replicas
            for pod in self.pods
            if not contradiction and pod.namespace == namespace and wanted <= dict(pod.labels).items()
        )

    def ports_of(self, pod: PodLabels) -> list[ServicePort]:
        """The ports of all Services that lead to a pod."""
        return [
            port
            for namespace, service in self.services.values()
            if namespace == pod.namespace and service.selector and service.selector.items() <= pod.labels.items()
            for port in service.ports
        ]

    def names(self, namespace: str) -> list[str]:
        """What a resource in `namespace` may call the services: short names of its own, and all full names."""
        short = [host.split(".")[0] for host, (home, _) in self.services.items() if home == namespace]
        return [*short, *self.services]
