"""What `doctor` knows of a cluster: plain facts, each of them either known or with the reason why not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runner.istio.resource import Resource
    from runner.mesh.cluster.permissions import Denied
    from runner.mesh.cluster.pods import Pod


@dataclass(frozen=True, slots=True)
class Unknown:
    """A fact that could not be read."""

    why: str


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The API server.

    Attributes:
        url: where.
        context: the kubeconfig's.
        version: `v1.34.4`.
        skew: how far our clock is behind the server's, at least and at most, in seconds (its Date header has whole seconds).
    """

    url: str
    context: str
    version: str
    skew: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class NamespaceFacts:
    """The experiment's namespace.

    Attributes:
        name: its name.
        labels: its labels.
        terminating: whether it is being deleted.
    """

    name: str
    labels: dict[str, str] = field(default_factory=dict)
    terminating: bool = False


@dataclass(frozen=True, slots=True)
class IstiodFacts:
    """One istiod.

    Attributes:
        name: its pod.
        revision: its `istio.io/rev`.
        ready: whether Kubernetes says so.
        version: Istio's; empty when it does not tell.
    """

    name: str
    revision: str
    ready: bool
    version: str = ""


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """All of Istio's control plane.

    Attributes:
        istiods: in `istio-system`.
        connected: proxies of the namespace that are connected, `POD.NAMESPACE`; None when istiod can't be asked.
        why_not: why it can't.
        tags: revisions and tags that inject, from the webhooks; None when they may not be listed.
    """

    istiods: tuple[IstiodFacts, ...]
    connected: frozenset[str] | None = None
    why_not: str = ""
    tags: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Pattern:
    """One entry of Envoy's list of stats to keep.

    Attributes:
        how: `prefix`, `suffix`, `contains`, `exact` or `safe_regex`.
        text: with what.
    """

    how: str
    text: str


@dataclass(frozen=True, slots=True)
class ProxyFacts:
    """What one sidecar says of itself.

    Attributes:
        pod: its pod.
        version: Istio's; empty when it does not tell.
        kept: the stats that it keeps; None when it keeps all.
        logs: whether it writes an access log of HTTP requests to its container's output.
    """

    pod: Pod
    version: str
    kept: tuple[Pattern, ...] | None
    logs: bool


@dataclass(frozen=True, slots=True)
class ServicePort:
    """A port of a Service.

    Attributes:
        service: its name.
        name: the port's; empty when it has none.
        number: the port.
        protocol: `appProtocol`; empty when it has none.
    """

    service: str
    name: str
    number: int
    protocol: str = ""


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """A Service.

    Attributes:
        name: its name.
        selector: which pods it leads to.
        ports: its ports.
    """

    name: str
    selector: dict[str, str]
    ports: tuple[ServicePort, ...]


@dataclass(frozen=True, slots=True)
class Owner:
    """Something that changes Istio's config or pods by itself: a Flagger Canary, an Argo Rollout.

    Attributes:
        what: `Canary shop/reviews`.
        namespace: where it is.
        targets: names of the services, VirtualServices, DestinationRules and workloads that it drives.
    """

    what: str
    namespace: str
    targets: frozenset[str]


@dataclass(frozen=True, slots=True)
class PrometheusFacts:
    """Prometheus.

    Attributes:
        where: `istio-system/prometheus-7d4f:9090`, or a URL.
        istio_series: how many series of `istio_requests_total` it has.
    """

    where: str
    istio_series: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A resource of an experiment that the API server would not take.

    Attributes:
        resource: the resource.
        said: the server's words.
    """

    resource: Resource
    said: str


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """Everything that was read; see the types of its parts.

    Attributes:
        server: the API server.
        namespace: the experiment's.
        denied: what we may not do.
        kinds: by kind that a run may apply, the newest version that the server has; None when it has none.
        control: Istio's control plane.
        pods: of the namespace.
        proxies: by pod.
        silent: by pod, why its proxy could not be asked.
        services: of the namespace.
        here: VirtualServices, DestinationRules and Gateways of the namespace.
        elsewhere: the same of all other namespaces.
        owners: Canaries and Rollouts.
        prometheus: Prometheus.
        gateways: by experiment, how many ready pods its Gateways select.
        refused: by experiment, the resources that the server would not take (a server-side dry run).
    """

    server: ServerFacts
    namespace: NamespaceFacts | Unknown
    denied: tuple[Denied, ...] | Unknown
    kinds: dict[str, str | None] | Unknown
    control: ControlPlane | Unknown
    pods: tuple[Pod, ...] | Unknown
    proxies: tuple[ProxyFacts, ...] = ()
    silent: dict[str, str] = field(default_factory=dict)
    services: tuple[ServiceFacts, ...] | Unknown = ()
    here: tuple[Resource, ...] | Unknown = ()
    elsewhere: tuple[Resource, ...] | Unknown = ()
    owners: tuple[Owner, ...] | Unknown = ()
    prometheus: PrometheusFacts | Unknown = field(default_factory=lambda: Unknown("not looked for"))
    gateways: dict[str, int | Unknown] = field(default_factory=dict)
    refused: dict[str, tuple[Refusal, ...] | Unknown] = field(default_factory=dict)
