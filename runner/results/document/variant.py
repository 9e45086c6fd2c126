"""One variant over all its valid trials."""

from __future__ import annotations

from pydantic import Field

from runner.results.document.capacity import CapacitySearch
from runner.results.document.evidence import Edge
from runner.results.document.figures import Figures, Interval
from runner.results.document.manifest import ManifestRecord
from runner.results.document.phases import PhasesRecord
from runner.results.document.trial import TrialRecord


class VariantRecord(Figures):
    """One variant over all its valid trials."""

    name: str
    baseline: bool = False
    closed_loop: bool = False
    by_name: dict[str, Figures] = Field(default_factory=dict)
    intervals: dict[str, Interval] = Field(default_factory=dict)
    """By metric (`p50` ... in ms, `error_rate`, `outcome[label]`): 95 %, widened by the spread between trials."""
    proxy: dict[str, dict[str, int]] = Field(default_factory=dict)
    edges: list[Edge] = Field(default_factory=list)
    capacity: dict[str, float] | None = None
    """After `capacity` only: `rate`, the estimate, with `low` and `high`, the bounds of the search or of all searches together."""
    capacity_searches: list[CapacitySearch] = Field(default_factory=list)
    manifests: list[ManifestRecord] = Field(default_factory=list)
    trials: list[TrialRecord] = Field(default_factory=list)
    load: str = ""
    """The load in words: `20/s uniform arrivals from the gateway`."""
    family: str = ""
    """The variant's key in the experiment file, before the matrix: variants of one key are one family."""
    matrix: dict[str, str] = Field(default_factory=dict)
    """The matrix values that made it, by variable, as the experiment file spells them; empty for any other variant."""
    phases: PhasesRecord | None = None
