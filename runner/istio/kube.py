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


class ServicePort(KubeModel):
    """A port of a service and where it leads."""

    port: PortNumber
    name: str | None = None
    target_port: Annotated[int | str | None, BeforeValidator(_port_or_name)] = None
    """A number, a container port's name, or None for the same number as `port`."""
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    app_protocol: str | None = None


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
    def container_ports(self) -> list[ContainerPort]:
        """All ports of all its containers."""
        return [port for container in self.template.spec.containers for port in container.ports]


class ServiceAccount(KubeModel):
    """A ServiceAccount has no spec: its name is all that a mesh needs."""
