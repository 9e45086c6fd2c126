"""A search for the highest arrival rate that keeps an objective: its goal, its steps, what it came to."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from runner.results.document import Record
from runner.results.document.figures import Latency
from runner.results.document.trial import GeneratorRecord, Invalid


class CapacityStep(Record):
    """One trial of a capacity search."""

    phase: Literal["double", "bisect", "confirm", "refine"]
    rate: float
    """Arrivals per second, as asked for."""
    seconds: float
    """That it counts for; the load before it not among them."""
    load_s: float
    """Seconds of load, those before it included; fewer when it was ended early because its failure was certain."""
    outcome: Literal["held", "failed", "spoiled"]
    because: str
    """The objective's tightest condition as it was seen, or why the trial says nothing."""
    invalid_because: list[Invalid] = Field(default_factory=list)
    strain: float | None = None
    """How much of what the objective allows was used: 1 at the limit; None where it can't be told."""
    loss: float = 0.0
    """Share of arrivals that were dropped, failed, or slower than the objective allows."""
    started: str = ""
    requests: int = 0
    error_rate: float = 0.0
    dropped: int = 0
    latency_ms: Latency = Field(default_factory=Latency)
    generator: GeneratorRecord = Field(default_factory=GeneratorRecord)


class CapacitySearch(Record):
    """One search for the highest arrival rate that keeps the objective."""

    block: int
    ending: Literal["found", "wide", "lower_end_fails", "upper_end_holds", "spoiled", "out_of_load", "stopped"]
    sentence: str
    """What it came to, with its numbers."""
    rate: float | None = None
    low: float | None = None
    """The highest rate at which the objective was confirmed to be kept."""
    high: float | None = None
    """The lowest rate at which it was confirmed not to be."""
    throughput: float | None = None
    """MLRsearch's conditional throughput: what of `low` got what the objective promises."""
    knee: float | None = None
    """The rate with the most requests per second for its median response (Kleinrock's power)."""
    load_s: float = 0.0
    steps: list[CapacityStep] = Field(default_factory=list)


class CapacityGoal(Record):
    """What a capacity run searched for."""

    objective: str
    start: float
    to: float
    width: float
    """How far apart the bounds may be, relative to the lower one."""
    seconds: float
    """Of a trial that counts fully."""
    duration_sum: float
    exceed: float
    most_load_s: float
    """Seconds of load that one search may make."""
