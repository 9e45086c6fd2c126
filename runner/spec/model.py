"""The experiment file as typed data, after variables and the matrix were expanded.

Durations are seconds, rates requests per second, shares 0 to 1. The design page has the keys and their defaults.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from runner.spec.fields import HttpUrl, ManifestEntry, PositiveRate, SpecModel, Text, Whole
from runner.spec.load_profile import Load
from runner.spec.mesh import LocalMesh, MeshChoice
from runner.spec.phases import Phases


class Variant(SpecModel):
    """One config to be compared, with the load it gets."""

    name: str = ""
    apply: list[ManifestEntry] = Field(default_factory=list)
    """Manifest files (resolved against the experiment file) or inline resources."""
    url: HttpUrl | None = None
    load: Load
    """The experiment's load with this variant's overrides merged in."""
    phases: Phases | None = None
    """The experiment's phases, or this variant's own; `load.duration` is their sum then."""
    family: str = ""
    """Its key as written, before the matrix: variants of one key are one family."""
    matrix: dict[str, str] = Field(default_factory=dict)
    """The matrix values that made it, by variable, as YAML spells them."""


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
