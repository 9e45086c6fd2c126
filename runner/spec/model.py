"""The experiment file as typed data, after variables and the matrix were expanded.

Durations are seconds, rates requests per second, shares 0 to 1. The design page has the keys and their defaults.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    PrivateAttr,
    WithJsonSchema,
    model_validator,
)

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


def _finite(value: float) -> float:
    if value == float("inf"):
        raise ValueError("is too large")
    return value


def _whole(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r} is not a whole number")  # noqa: TRY004 - pydantic gathers ValueErrors
    if value < 1:
        raise ValueError(f"{value} is less than 1")
    return value


def _text(value: Any) -> Any:
    if isinstance(value, bool | int | float):
        raise ValueError(f'{value!r} is not text; quote it: "{value}"')  # noqa: TRY004 - pydantic gathers ValueErrors
    return value


def _manifest(value: Any) -> Path | dict[str, Any]:
    if isinstance(value, dict):
        return value
    if isinstance(value, str | Path) and str(value):
        return Path(value)
    raise ValueError(f"{value!r} is neither a manifest file nor a resource")


def _http_url(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(r"https?://[^\s/?#]+\S*", value):
        raise ValueError(f"{value!r} is not a URL such as https://shop.example.org/")
    return value


_DURATION_TEXT = {
    "type": "string",
    "pattern": r"^\s*((\d+(\.\d+)?|\.\d+)(ns|us|µs|ms|s|m|h))+\s*$",
    "examples": ["500ms", "2s", "3m"],
}
_RATE_TEXT = {"type": "string", "pattern": r"^\s*(\d+(\.\d+)?|\.\d+)\s*/\s*(s|m|h)\s*$", "examples": ["20/s", "600/m"]}
_MANIFEST_SCHEMA = {"anyOf": [{"type": "string", "minLength": 1}, {"type": "object"}]}

Duration = Annotated[float, BeforeValidator(lambda value: _finite(_duration(value))), WithJsonSchema(_DURATION_TEXT)]
PositiveDuration = Annotated[
    float, BeforeValidator(lambda value: _positive(_finite(_duration(value)))), WithJsonSchema(_DURATION_TEXT)
]
Rate = Annotated[float, BeforeValidator(lambda value: _finite(_rate(value))), WithJsonSchema(_RATE_TEXT)]
PositiveRate = Annotated[
    float, BeforeValidator(lambda value: _positive(_finite(_rate(value)))), WithJsonSchema(_RATE_TEXT)
]
Whole = Annotated[int, BeforeValidator(_whole), WithJsonSchema({"type": "integer", "minimum": 1})]
Text = Annotated[str, BeforeValidator(_text)]
HttpUrl = Annotated[str, BeforeValidator(_http_url), WithJsonSchema({"type": "string", "pattern": "^https?://"})]
ManifestEntry = Annotated[Path | dict[str, Any], PlainValidator(_manifest), WithJsonSchema(_MANIFEST_SCHEMA)]
"""A manifest file, or a resource written where it is used."""


class Stage(SpecModel):
    """A stretch of an arrival profile: the rate goes in a straight line from where it was to `rate`."""

    rate: Rate
    duration: PositiveDuration


class Arrivals(SpecModel):
    """Open loop: requests are due by a schedule, whatever the service does."""

    rate: PositiveRate | None = None
    stages: list[Stage] | None = Field(default=None, min_length=1)
    distribution: Literal["uniform", "poisson"] = "uniform"
    max_in_flight: Whole = 1000

    @model_validator(mode="after")
    def _one_profile(self) -> Arrivals:
        if (self.rate is None) == (self.stages is None):
            raise ValueError("takes exactly one of rate and stages")
        if self.stages is not None and not any(stage.rate for stage in self.stages):
            raise ValueError("every stage has a rate of zero, so nothing would arrive")
        return self


class LocustLoad(SpecModel):
    """An ordinary locustfile, run unmodified in a child process."""

    file: Path
    """Resolved against the experiment file."""
    tags: list[Text] = Field(default_factory=list)
    exclude_tags: list[Text] = Field(default_factory=list)
    users: list[Text] = Field(default_factory=list)
    """User classes to run; all of the file's when empty."""
    args: list[Text] = Field(default_factory=list)
    """More arguments for Locust's own command line."""
    processes: Whole = 1


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
    host: Text | None = None
    headers: dict[str, Text] = Field(default_factory=dict)
    """Rendered: may hold secrets, never written to results; `secret_headers` names those made from the environment."""
    tls: Tls | None = None
    arrivals: Arrivals | None = None
    users: Whole | None = None
    warmup: Duration = 5.0
    duration: PositiveDuration = 30.0
    """With `stages` and no duration of its own: as long as the stages."""
    _secret_headers: frozenset[str] = PrivateAttr(default=frozenset())

    @model_validator(mode="after")
    def _one_driver_one_profile(self) -> Load:
        if (self.locust is None) == (self.fortio is None):
            raise ValueError("takes exactly one of locust and fortio")
        if self.arrivals is not None and self.users is not None:
            raise ValueError("takes exactly one of arrivals (open loop) and users (closed loop)")
        if self.arrivals is None and self.users is None:
            self.arrivals = Arrivals(rate="20/s")
        if self.arrivals and self.arrivals.stages and "duration" not in self.model_fields_set:
            self.duration = sum(stage.duration for stage in self.arrivals.stages)
        return self

    @property
    def secret_headers(self) -> frozenset[str]:
        """Names of the headers whose values come from the environment."""
        return self._secret_headers

    def mark_secret(self, headers: frozenset[str]) -> None:
        """Note the headers whose values must never be written."""
        self._secret_headers = headers


class LocalMesh(SpecModel):
    """The embedded mesh and the app that runs in it: a shipped one by name, or an app file by path."""

    app: Text = "bookinfo"


class ClusterTarget(SpecModel):
    """A Kubernetes cluster with Istio."""

    context: Text | None = None
    namespace: Text = "default"
    app: Text = "bookinfo"
    """What the run puts there when the cluster lacks it."""


class ClusterMesh(SpecModel):
    """`mesh: {cluster: {...}}`."""

    cluster: Annotated[ClusterTarget, BeforeValidator(lambda value: {} if value is None else value)]


class PlainTarget(SpecModel):
    """A URL under load, nothing applied."""

    url: HttpUrl


class NoMesh(SpecModel):
    """`mesh: {none: {url: ...}}`."""

    none: PlainTarget


MeshChoice = LocalMesh | ClusterMesh | NoMesh


class Variant(SpecModel):
    """One config to be compared, with the load it gets."""

    name: str = ""
    apply: list[ManifestEntry] = Field(default_factory=list)
    """Manifest files (resolved against the experiment file) or inline resources."""
    url: HttpUrl | None = None
    load: Load
    """The experiment's load with this variant's overrides merged in."""


class Collect(SpecModel):
    """More evidence to read off the mesh."""

    promql: dict[str, Text] = Field(default_factory=dict)


class Capacity(SpecModel):
    """The objective of a capacity search (carried out by `meshtrial capacity`)."""

    objective: Text
    start: PositiveRate = Field(default=20.0, alias="from")
    to: PositiveRate = 2000.0

    @model_validator(mode="after")
    def _upwards(self) -> Capacity:
        if self.start >= self.to:
            raise ValueError("a search goes upwards: from must be less than to")
        return self


class Experiment(SpecModel):
    """The whole file, expanded: what will be done, nothing left to decide but the order."""

    experiment: str
    question: str = ""
    description: str = ""
    mesh: MeshChoice = Field(default_factory=LocalMesh)
    setup: list[ManifestEntry] = Field(default_factory=list)
    variants: dict[str, Variant]
    blocks: Whole = 6
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
