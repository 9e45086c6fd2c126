"""Kubernetes objects as far as a mesh needs them: services, the pods behind them, and their identities.

Kubernetes has hundreds of fields that make no difference to traffic, so unknown keys are ignored here; what would make
one is refused.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from runner.istio.fields import NOT_SUPPORTED, Labels, PortNumber


class KubeModel(BaseModel):
    """Base of parts of Kubernetes objects: keys that are not needed are ignored."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True, alias_generator=to_camel, strict=True)


def _port_or_name(value: Any) -> int | str:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535:  # noqa: PLR2004 - TCP ports
        return value
    raise ValueError(f"{value!r} is neither a port number nor a port's name")


def _service_type(value: str) -> str:
    if value == "ExternalName":
        raise ValueError(f"the type ExternalName is one {NOT_SUPPORTED}")
    return value


NO_HTTP = frozenset({"tcp", "tls", "https", "mongo", "mysql", "redis", "udp", "kubernetes.io/wss"})
"""Protocols of service ports whose requests a proxy does not see."""


class ServicePort(KubeModel):
    """A port of a service and where it leads."""

    port: PortNumber
    name: str | None = None
    target_port: Annotated[int | str | None, BeforeValidator(_port_or_name)] = None
    """A number, a container port's name, or None for the same number as `port`."""
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    app_protocol: str | None = None

    @property
    def protocol_word(self) -> str:
        """What istiod tells the protocol by, in small letters: `appProtocol`, else the name up to the first `-`."""
        name = (self.name or "").lower()
        if name.startswith("grpc-web") and not self.app_protocol:
            return "grpc-web"
        return (self.app_protocol or name.partition("-")[0]).lower()

    @property
    def carries_http(self) -> bool:
        """Whether istiod takes it for HTTP; also when nothing is said, since it then looks at the traffic."""
        return self.protocol_word not in NO_HTTP


class Service(KubeModel):
    """The spec of a Service."""

    ports: list[ServicePort] = Field(min_length=1)
    selector: Labels = Field(default_factory=dict)
    type: Annotated[str, AfterValidator(_service_type)] = "ClusterIP"

    @model_validator(mode="after")
    def _several_ports_have_names(self) -> Service:
        names = [port.name for port in self.ports]
        if len(names) > 1 and None in names:
            raise ValueError("every port of a Service with several ports needs a name")
        if len(set(names)) < len(names):
            raise ValueError("two ports of the Service have the same name")
        return self


class ContainerPort(KubeModel):
    """A port that a container listens on."""

    container_port: PortNumber
    name: str | None = None
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"


class Container(KubeModel):
    """One container of a pod."""

    name: str
    ports: list[ContainerPort] = Field(default_factory=list)


class PodSpec(KubeModel):
    """What runs in a pod."""

    service_account_name: str = "default"
    containers: list[Container] = Field(min_length=1)


INJECT = "sidecar.istio.io/inject"
"""The pod's own word on having a sidecar, "true" or "false"; as a label it counts more than as an annotation."""


class PodMetadata(KubeModel):
    """Labels and annotations that pods get."""

    labels: Labels = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class PodTemplate(KubeModel):
    """What each pod of a Deployment looks like."""

    metadata: PodMetadata = Field(default_factory=PodMetadata)
    spec: PodSpec


class LabelSelector(KubeModel):
    """Which pods a Deployment counts as its own."""

    match_labels: Labels = Field(default_factory=dict)


class Deployment(KubeModel):
    """The spec of a Deployment."""

    replicas: Annotated[int, Field(ge=0)] = 1
    selector: LabelSelector
    template: PodTemplate

    @model_validator(mode="after")
    def _selects_its_own_pods(self) -> Deployment:
        labels = self.template.metadata.labels
        if any(labels.get(name) != value for name, value in self.selector.match_labels.items()):
            raise ValueError("selector.matchLabels does not match the labels of the pod template")
        return self

    @property
    def labels(self) -> dict[str, str]:
        """Labels of its pods."""
        return self.template.metadata.labels

    @property
    def service_account_name(self) -> str:
        """Identity of its pods."""
        return self.template.spec.service_account_name

    @property
    def sidecar(self) -> bool | None:
        """Whether its pods ask to have a sidecar, or to have none; None leaves it to the namespace."""
        metadata = self.template.metadata
        said = metadata.labels.get(INJECT, metadata.annotations.get(INJECT))
        return {"true": True, "false": False}.get(said or "")

    @property
    def container_ports(self) -> list[ContainerPort]:
        """All ports of all its containers."""
        return [port for container in self.template.spec.containers for port in container.ports]


class ServiceAccount(KubeModel):
    """A ServiceAccount has no spec: its name is all that a mesh needs."""


class Namespace(KubeModel):
    """A Namespace has no spec that matters to traffic: its labels decide whether pods get sidecars."""


def injects(labels: dict[str, str]) -> bool:
    """Whether a namespace with these labels gives its pods sidecars (`istio-injection`, or a revision's `istio.io/rev`)."""
    said = labels.get("istio-injection")
    return said == "enabled" or (said is None and "istio.io/rev" in labels)
