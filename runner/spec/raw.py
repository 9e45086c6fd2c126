"""The experiment file as users write it, before expansion: its keys, and what the JSON Schema is made from.

`Experiment` in `runner.spec.model` is what it becomes.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from runner.spec.fields import HttpUrl, ManifestEntry, SpecModel, Text, Whole
from runner.spec.load_profile import Load
from runner.spec.mesh import ClusterMesh, LocalMesh, NoMesh
from runner.spec.model import Capacity, Collect
from runner.spec.phases import Phases

_LONGEST_NAME = 100
Scalar = str | int | float | bool


def _folder_name(value: Any) -> Any:
    if isinstance(value, str) and (len(value) > _LONGEST_NAME or not re.fullmatch(r"[^\W_][\w .+-]*", value)):
        raise ValueError(
            f"{value!r} names a folder, so it takes letters, digits, spaces and . + - _, at most {_LONGEST_NAME}"
        )
    return value


FolderName = Annotated[Text, BeforeValidator(_folder_name)]


class Settings(SpecModel):
    """The top-level keys that belong to the experiment as a whole."""

    experiment: FolderName | None = Field(default=None, description="The experiment's name; default: the file's name.")
    question: Text = Field(default="", description="What this experiment asks of the mesh, in one sentence.")
    description: Text = Field(default="", description="More about it, for the report.")
    setup: list[ManifestEntry] = Field(
        default_factory=list, description="Manifests applied in every variant, before its own: files or resources."
    )
    blocks: Whole = Field(
        default=6, description="How often every variant runs, in random order. Six decide one comparison."
    )
    collect: Collect = Field(default_factory=Collect, description="More evidence to read off the mesh.")
    stop_if: list[Text] = Field(
        default_factory=list,
        description='Guardrails watched live: "error_rate > 50% for 5s" stops the load and restores the mesh.',
    )
    capacity: Capacity | None = Field(default=None, description="The search that meshtrial capacity carries out.")
    env: list[Text] = Field(
        default_factory=list,
        description="Environment variables that {{ env.NAME }} may read; their values are never written to results.",
    )


class VariantSettings(SpecModel):
    """A variant's own keys, besides `load` and `vars`."""

    apply: list[ManifestEntry] = Field(
        default_factory=list, description="Manifests of this variant: files or resources."
    )
    url: HttpUrl | None = Field(default=None, description="Where this variant's load goes, of a mesh of kind none.")


class VariantFile(VariantSettings):
    """One config to be compared. The first variant is the baseline."""

    load: Load | None = Field(default=None, description="What differs from the experiment's load.")
    phases: Phases | None = Field(default=None, description="Phases of this variant instead of the experiment's.")
    vars: dict[str, Any] = Field(default_factory=dict, description="Variables of this variant, over the experiment's.")


class ExperimentFile(Settings):
    """One experiment: variants of a mesh's config under one load, and what is expected of them."""

    mesh: LocalMesh | ClusterMesh | NoMesh = Field(
        default_factory=LocalMesh,
        description="Where config lands: {app: bookinfo}, {cluster: {context, namespace}} or {none: {url}}.",
    )
    vars: dict[str, Any] = Field(
        default_factory=dict, description="Variables for {{ name }}; --set name=value overrides them."
    )
    matrix: dict[str, Annotated[list[Scalar], Field(min_length=1)]] = Field(
        default_factory=dict,
        description="Variables with several values: a variant that uses them is expanded, one per combination.",
    )
    variants: dict[str, VariantFile | None] = Field(
        min_length=1, description="The configs to compare. The first is the baseline."
    )
    load: Load = Field(description="What traffic, from where, how much.")
    phases: Phases | None = Field(
        default=None,
        description="A change of the mesh that is switched on and off while load runs: what was before, during and after it.",
    )
    checks: dict[str, list[Text]] = Field(
        default_factory=dict,
        description='By "VARIANT" or "VARIANT vs BASELINE": METRIC[{request name}] OP VALUE|METRIC.',
    )
