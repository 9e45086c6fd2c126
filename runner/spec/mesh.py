"""Where an experiment takes place: the embedded mesh, a cluster with Istio, or a plain URL."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from runner.spec.fields import HttpUrl, PositiveDuration, SpecModel, Text


class LocalMesh(SpecModel):
    """The embedded mesh and the app that runs in it: a shipped one by name, or an app file by path."""

    app: Text = "bookinfo"


class Toleration(SpecModel):
    """As in a pod's `tolerations`."""

    key: Text | None = None
    operator: Literal["Exists", "Equal"] = "Equal"
    value: Text | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


GENERATOR_IMAGE_VARIABLE = "MESHTRIAL_IMAGE"
"""Environment variable with the image of load generators in pods, where an experiment names none."""
GENERATOR_CPU_VARIABLE = "MESHTRIAL_GENERATOR_CPU"
"""Environment variable with the CPU request of each of these pods, where an experiment names none."""


class GeneratorPods(SpecModel):
    """The pods that Locust's workers run in on a cluster: one for each."""

    image: Text | None = None
    """What deploy/Dockerfile builds; $MESHTRIAL_IMAGE when left out, else the image of the pod that this command runs in."""
    cpu: Text | None = None
    """Request for each; $MESHTRIAL_GENERATOR_CPU, else one core, when left out. There is no limit, since a throttled generator
    sends late."""
    memory: Text = "512Mi"
    """Request and limit for each."""
    node_selector: dict[str, Text] = Field(default_factory=dict)
    tolerations: list[Toleration] = Field(default_factory=list)
    wait: PositiveDuration = 180.0
    """How long pods may take to be ready: images have to be pulled, nodes may have to come."""


class ClusterTarget(SpecModel):
    """A Kubernetes cluster with Istio."""

    context: Text | None = None
    namespace: Text = "default"
    app: Text = "bookinfo"
    """What the run puts there when the cluster lacks it."""
    images: dict[str, Text] = Field(default_factory=dict)
    """Other images for that app, by Deployment, where the cluster can't pull Istio's."""
    prometheus: HttpUrl | None = None
    """Where `collect.promql` is asked; `$MESHTRIAL_PROMETHEUS`, else the one found in the cluster, when it is left out."""
    generators: GeneratorPods = Field(default_factory=GeneratorPods)


class ClusterMesh(SpecModel):
    """`mesh: {cluster: {...}}`."""

    cluster: Annotated[ClusterTarget, BeforeValidator(lambda value: {} if value is None else value)]


class PlainTarget(SpecModel):
    """A URL under load, nothing applied."""

    url: HttpUrl
    prometheus: HttpUrl | None = None
    """Where `collect.promql` is asked; `$MESHTRIAL_PROMETHEUS` when it is left out."""


class NoMesh(SpecModel):
    """`mesh: {none: {url: ...}}`."""

    none: PlainTarget


MeshChoice = LocalMesh | ClusterMesh | NoMesh
