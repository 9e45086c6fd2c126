"""The whole run, as `run.json` has it: its verdict, where it took place, and all its parts."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import ConfigDict, Field

from runner.results.document import Record
from runner.results.document.capacity import CapacityGoal
from runner.results.document.checks import CheckRecord, ComparisonRecord
from runner.results.document.evidence import AbsentEvidence
from runner.results.document.variant import VariantRecord


class Verdict(StrEnum):
    """What a run, as a whole, came to; the worst of its parts, in this order."""

    ERROR = "error"
    ABORTED = "aborted"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    PASS = "pass"  # noqa: S105 - a verdict, no password


class GuardrailRecord(Record):
    """The guardrail that stopped the run."""

    rule: str
    variant: str
    block: int
    observed: str


class MeshRecord(Record):
    """Where the run took place."""

    model_config = ConfigDict(populate_by_name=True, extra="allow", serialize_by_alias=True)
    kind: Literal["local", "cluster", "none"]
    envoy: str | None = None
    app: str | None = None
    proxies: list[str] = Field(default_factory=list)
    joined: bool = False
    """Whether the run used a mesh that was already up."""
    url: str | None = None
    """The target of kind none, without a user's name and password."""
    istio: str | None = None
    """The control plane's version, of a cluster."""
    revisions: list[str] = Field(default_factory=list)
    """Istio's revisions that the proxies belong to."""


class RunDocument(Record):
    """The whole run."""

    version: Literal[1] = 1
    experiment: str
    question: str = ""
    description: str = ""
    verdict: Verdict = Verdict.ERROR
    reason: str = ""
    """Why the verdict is what it is, in one sentence."""
    headline: str = ""
    """The answer to the question in one sentence with its numbers."""
    seed: int = 0
    started: str = ""
    ended: str = ""
    quick: bool = False
    aa: bool = False
    """Whether the baseline ran against itself (`--aa`), to see what difference this set-up can see."""
    resolution: dict[str, float] = Field(default_factory=dict)
    """Of an A/A run, by metric: half the width of its 95 % interval (relative; of shares the difference)."""
    open_loop: bool = True
    blocks: int = 0
    """Blocks asked for."""
    warmup_s: float = 0.0
    duration_s: float = 0.0
    capacity: CapacityGoal | None = None
    """Of a capacity run: what was searched for. Each of its trials is a whole search."""
    mesh: MeshRecord
    meshtrial: str = ""
    machine: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    command: str = ""
    """The command that repeats this run."""
    variants: list[VariantRecord] = Field(default_factory=list)
    comparisons: list[ComparisonRecord] = Field(default_factory=list)
    checks: list[CheckRecord] = Field(default_factory=list)
    guardrail: GuardrailRecord | None = None
    absent: list[AbsentEvidence] = Field(default_factory=list)
    restored: str = ""
    """What was verified after the run: that the mesh holds what it held before."""
    warnings: list[str] = Field(default_factory=list)
