"""Who lives where in an embedded mesh: every pod's three loopback addresses, and the ports that are the same for all.

istiod's interception mode NONE is the model: a sidecar has an inbound listener at the pod's address, outbound listeners at an address of
its own (both would otherwise want the same port), and forwards to the app at a third.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from runner.istio.resource import DEFAULT_NAMESPACE

ADMIN_PORT = 15000
"""Envoy's admin interface, at the pod's outbound address (the port that istio-proxy uses)."""

HTTP_PROXY_PORT = 15002
"""The sidecar's plain HTTP proxy, at the pod's outbound address, for any program that honours HTTP_PROXY."""

TRUST_DOMAIN = "cluster.local"
"""Istio's default trust domain."""

LOW_PORT_OFFSET = 8000
"""Gateway ports below 1024 are served this much above (80 at 8080), because no root is needed there."""


@dataclass(frozen=True, slots=True)
class Pod:
    """One instance of a workload: an Envoy, unless it is in the mesh without a sidecar, and an app process, unless it only sends.

    Attributes:
        name: `reviews-v1`, or `reviews-v1-0` where the workload has several replicas; outside the namespace `default`
            with that, `sleep.legacy`.
        workload: the Deployment's name.
        role: `sidecar`, `gateway` for the ingress gateway, or `plain` for a workload without a sidecar.
        labels: the pod template's labels (subsets and selectors match on them).
        service_account: Kubernetes service account, the identity in mutual TLS.
        address: inbound listeners; what other proxies connect to.
        outbound: outbound listeners, HTTP proxy port and admin; unused without a sidecar.
        app: where the app's process listens; without a sidecar that is `address`.
        ports: the container ports the app listens on; empty for a client without an app.
    """

    name: str
    workload: str
    role: Literal["sidecar", "gateway", "plain"]
    address: str
    outbound: str
    app: str
    namespace: str = "default"
    labels: dict[str, str] = field(default_factory=dict)
    service_account: str = "default"
    ports: tuple[int, ...] = ()

    @property
    def proxied(self) -> bool:
        """Whether an Envoy stands before it."""
        return self.role != "plain"

    @property
    def called(self) -> str:
        """The workload's name among those of all namespaces: `reviews-v1`, `sleep.legacy`."""
        return self.workload if self.role == "gateway" else workload_name(self.workload, self.namespace)

    @property
    def identity(self) -> str:
        """Its SPIFFE identity, the URI of its certificate."""
        return f"spiffe://{TRUST_DOMAIN}/ns/{self.namespace}/sa/{self.service_account}"


def workload_name(deployment: str, namespace: str) -> str:
    """How a workload is called: by its Deployment alone in the namespace `default`, else as Kubernetes' DNS names a Service."""
    return deployment if namespace == DEFAULT_NAMESPACE else f"{deployment}.{namespace}"


@dataclass(frozen=True, slots=True)
class Topology:
    """All pods of one embedded mesh."""

    app: str
    pods: tuple[Pod, ...]

    @property
    def proxied(self) -> tuple[Pod, ...]:
        """The pods with an Envoy."""
        return tuple(pod for pod in self.pods if pod.proxied)

    def pod(self, name: str) -> Pod:
        """The pod of that name.

        Raises:
            KeyError: there is none.
        """
        for pod in self.pods:
            if pod.name == name:
                return pod
        raise KeyError(name)
