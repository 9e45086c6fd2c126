"""What resources and pods offer to routes: services, subsets and gateways, and how many pods each has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.istio.destination_rule import DestinationRule, Subset
from runner.istio.gateway import Gateway
from runner.istio.hosts import full_host, host_matches, service_host
from runner.istio.kube import Deployment, Service
from runner.istio.load import typed
from runner.istio.virtual_service import VirtualService

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.istio.resource import Resource


@dataclass(frozen=True, slots=True)
class PodLabels:
    """Pods that are alike: their labels, where they live, and how many they are."""

    labels: Mapping[str, str]
    namespace: str = "default"
    replicas: int = 1


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
        pods: of the mesh; empty when unknown.
    """

    services: dict[str, tuple[str, Service]] = field(default_factory=dict)
    rules: list[tuple[Resource, str, DestinationRule]] = field(default_factory=list)
    virtual_services: list[tuple[Resource, VirtualService]] = field(default_factory=list)
    gateways: dict[str, Gateway] = field(default_factory=dict)
    pods: tuple[PodLabels, ...] = ()

    @classmethod
    def of(cls, resources: Sequence[Resource], pods: Sequence[PodLabels]) -> Inventory:
        """Sort resources by what they offer.

        Raises:
            InputError: a spec is wrong.
        """
        found = cls(pods=tuple(pods))
        for resource in resources:
            spec = typed(resource)
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
                case _:
                    pass
        return found

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

    def names(self, namespace: str) -> list[str]:
        """What a resource in `namespace` may call the services: short names of its own, and all full names."""
        short = [host.split(".")[0] for host, (home, _) in self.services.items() if home == namespace]
        return [*short, *self.services]
