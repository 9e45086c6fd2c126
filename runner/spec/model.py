"""The experiment file as typed data, after variables and the matrix were expanded.

Durations are seconds, rates requests per second, shares 0 to 1. The keys, their defaults and their meaning are on the design page.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from runner.units import parse_duration, parse_rate


class SpecModel(BaseModel):
    """Base of everything a user writes: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


def _duration(value: Any) -> float:
    if isinstance(value, str):
        return parse_duration(value)
    raise ValueError(f"{value!r} needs a unit: a duration such as 500ms, 2s or 3m")


def _rate(value: Any) -> float:
    if isinstance(value, str):
        return parse_rate(value)
    raise ValueError(f"{value!r} needs a unit: a rate such as 20/s or 600/m")


def _positive(value: float) -> float:
    if value <= 0:
        raise ValueError("must be more than zero")
    return value


Duration = Annotated[float, BeforeValidator(_duration)]
PositiveDuration = Annotated[float, BeforeValidator(lambda value: _positive(_duration(value)))]
Rate = Annotated[float, BeforeValidator(_rate)]
PositiveRate = Annotated[float, BeforeValidator(lambda value: _positive(_rate(value)))]


class Stage(SpecModel):
    """A stretch of an arrival profile: the rate goes in a straight line from where it was to `rate`."""

    rate: Rate
    duration: PositiveDuration


class Arrivals(SpecModel):
    """Open loop: requests are due by a schedule, whatever the service does."""

    rate: PositiveRate | None = None
    stages: list[Stage] | None = None
    distribution: Literal["uniform", "poisson"] = "uniform"
    max_in_flight: int = Field(default=1000, ge=1)

    @model_validator(mode="after")
    def _one_profile(self) -> Arrivals:
        if (self.rate is None) == (self.stages is None):
            raise ValueError("arrivals take exactly one of rate and stages")
        return self


class LocustLoad(SpecModel):
    """An ordinary locustfile, run unmodified in a child process."""

    file: Path
    """Resolved against the experiment file."""
    tags: list[str] = Field(default_factory=list)
    exclude_tags: list[str] = Field(default_factory=list)
    users: list[str] = Field(default_factory=list)
    """User classes to run; all of the file's when empty."""
    args: list[str] = Field(default_factory=list)
    """More arguments for Locust's own command line."""
    processes: int = Field(default=1, ge=1)


class FortioLoad(SpecModel):
    """fortio as the driver (comes with the load work; named here so that the file's form is fixed)."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)


class Tls(SpecModel):
    """How to reach an HTTPS target."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    verify: bool = True


class Load(SpecModel):
    """What traffic, from where, how much."""

    locust: LocustLoad | None = None
    fortio: FortioLoad | None = None
    source: str = Field(default="gateway", alias="from")
    host: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    """Rendered: may hold secrets, never written to results; `secret_headers` names those made from the environment."""
    tls: Tls | None = None
    arrivals: Arrivals | None = None
    users: int | None = Field(default=None, ge=1)
    warmup: Duration = 5.0
    duration: PositiveDuration = 30.0

    @model_validator(mode="after")
    def _one_driver_one_profile(self) -> Load:
        if (self.locust is None) == (self.fortio is None):
            raise ValueError("load takes exactly one of locust and fortio")
        if self.arrivals is not None and self.users is not None:
            raise ValueError("load takes exactly one of arrivals (open loop) and users (closed loop)")
        if self.arrivals is None and self.users is None:
            self.arrivals = Arrivals(rate="20/s")  # type: ignore[arg-type]  # the validator reads the unit
        return self


class LocalMesh(SpecModel):
    """The embedded mesh and the app that runs in it: a shipped one by name, or an app file by path."""

    app: str = "bookinfo"


class ClusterTarget(SpecModel):
    """A Kubernetes cluster with Istio."""

    context: str | None = None
    namespace: str = "default"


class ClusterMesh(SpecModel):
    """`mesh: {cluster: {...}}`."""

    cluster: ClusterTarget


class PlainTarget(SpecModel):
    """A URL under load, nothing applied."""

    url: str


class NoMesh(SpecModel):
    """`mesh: {none: {url: ...}}`."""

    none: PlainTarget


MeshChoice = LocalMesh | ClusterMesh | NoMesh


class Variant(SpecModel):
    """One config to be compared, with the load it gets."""

    name: str = ""
    apply: list[Path | dict[str, Any]] = Field(default_factory=list)
    """Manifest files (resolved against the experiment file) or inline resources."""
    url: str | None = None
    load: Load
    """The experiment's load with this variant's overrides merged in."""


class Collect(SpecModel):
    """More evidence to read off the mesh."""

    promql: dict[str, str] = Field(default_factory=dict)


class Capacity(SpecModel):
    """The objective of a capacity search (carried out by `meshtrial capacity`)."""

    objective: str
    start: PositiveRate = Field(default=20.0, alias="from")
    to: PositiveRate = 2000.0


class Experiment(SpecModel):
    """The whole file, expanded: what will be done, nothing left to decide but the order."""

    experiment: str
    question: str = ""
    description: str = ""
    mesh: MeshChoice = Field(default_factory=LocalMesh)
    setup: list[Path | dict[str, Any]] = Field(default_factory=list)
    variants: dict[str, Variant]
    blocks: int = Field(default=6, ge=1)
    quick: bool = False
    collect: Collect = Field(default_factory=Collect)
    stop_if: list[str] = Field(default_factory=list)
    checks: dict[str, list[str]] = Field(default_factory=dict)
    capacity: Capacity | None = None
    env: list[str] = Field(default_factory=list)
    """Environment variables that `{{ env.NAME }}` may read."""

    @property
    def baseline(self) -> str:
        """The name of the first variant."""
        return next(iter(self.variants))
