"""What the user expected of a variant or of two, and what came of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from runner.results.document import Record


class ComparisonRecord(Record):
    """One metric of one variant against another, paired by block."""

    metric: str
    variant: str
    baseline: str
    request: str | None = None
    estimate: float | None = None
    """Relative change for latency and counts (-0.5 is half), absolute difference for shares."""
    low: float | None = None
    high: float | None = None
    confidence: float = 0.95
    """Of the interval; more where several comparisons gate one run, so that all of them hold together at 95 %."""
    p_value: float | None = None
    p_adjusted: float | None = None
    """After Holm over the gating comparisons of the run; None for those that gate nothing."""
    outcome: Literal["better", "worse", "different", "equivalent", "inconclusive"] = "inconclusive"
    margin: float | None = None
    blocks: int = 0
    blocks_needed: int | None = None
    gating: bool = False
    sentence: str = ""
    differences: list[float] = Field(default_factory=list)
    """Per valid block, in the unit of `estimate`."""


class CheckRecord(Record):
    """What the user expected, and what came of it."""

    check: str
    outcome: Literal["held", "failed", "inconclusive"]
    observed: str
    """The observed value with its interval, as a person reads it."""
    reason: str = ""
    """One sentence for a reader who knows no statistics."""
    variant: str | None = None
    baseline: str | None = None
