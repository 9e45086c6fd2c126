"""What a check can speak of: metrics, operators and quantities.

A metric belongs to one dimension (latency, share, rate, count, or PromQL's unknown one), which decides the units that
it may be held against.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Unit(StrEnum):
    """What a number in a check counts."""

    MILLISECONDS = "ms"
    SHARE = "share"
    RATE = "rate"
    COUNT = "count"


class Operator(StrEnum):
    """How a check compares."""

    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="
    EQUAL = "=="
    WITHIN = "within"


class Dimension(StrEnum):
    """What kind of thing a metric measures."""

    LATENCY = "latency"
    DURATION = "duration"
    """Of a trial, not of its requests: how long it took to break and to recover."""
    SHARE = "share"
    RATE = "rate"
    COUNT = "count"
    UNKNOWN = "unknown"
    """A PromQL expression may give anything."""


DIMENSIONS = {
    **dict.fromkeys(("p50", "p75", "p90", "p95", "p99", "p99.9", "mean", "max"), Dimension.LATENCY),
    "error_rate": Dimension.SHARE,
    **dict.fromkeys(("rate", "capacity"), Dimension.RATE),
    **dict.fromkeys(("requests", "errors", "dropped", "status", "outcome", "proxy"), Dimension.COUNT),
    "promql": Dimension.UNKNOWN,
    **dict.fromkeys(("time_to_detect", "time_to_recover"), Dimension.DURATION),
}
PHASES = ("before", "during", "after")
"""What `@` may name."""
METRIC_NAMES = list(DIMENSIONS)


@dataclass(frozen=True, slots=True)
class Metric:
    """Something that was measured.

    Attributes:
        name: `p50 p75 p90 p95 p99 p99.9 mean max rate requests errors error_rate dropped status outcome proxy promql
            capacity time_to_detect time_to_recover`.
        argument: what stands in brackets: a status, a label, `WORKLOAD STAT`, a PromQL entry's name.
        request: what stands in braces: one request name only.
        phase: what stands after `@`: one phase only.
    """

    name: str
    argument: str | None = None
    request: str | None = None
    phase: str | None = None

    def __str__(self) -> str:
        text = self.name
        if self.argument is not None:
            text += f"[{self.argument}]"
        if self.request is not None:
            text += f"{{{self.request}}}"
        if self.phase is not None:
            text += f"@{self.phase}"
        return text

    @property
    def dimension(self) -> Dimension:
        """What kind of thing this measures."""
        return DIMENSIONS[self.name]

    @property
    def is_latency(self) -> bool:
        """Whether this is a duration of requests."""
        return self.dimension is Dimension.LATENCY

    @property
    def is_time_to(self) -> bool:
        """Whether this is `time_to_detect` or `time_to_recover`, one number for each trial with phases."""
        return self.dimension is Dimension.DURATION

    @property
    def needs_phases(self) -> bool:
        """Whether there is no such thing without phases."""
        return self.phase is not None or self.is_time_to

    @property
    def quantile(self) -> float | None:
        """The share that a `pNN` metric names (0.95 for p95), None for other metrics."""
        return float(self.name[1:]) / 100 if self.name[0] == "p" and self.name[1:2].isdigit() else None

    @property
    def stat(self) -> tuple[str, str, bool]:
        """Of a `proxy` metric: workload or service, stat without slashes, whether it is a regular expression."""
        workload, _, stat = (self.argument or "").partition(" ")
        is_regex = len(stat) > 1 and stat[0] == stat[-1] == "/"
        return workload, stat[1:-1] if is_regex else stat, is_regex


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its unit: milliseconds, a share from 0 to 1, requests per second, or a plain count.

    `signed` is true for `+10%` and `-40%`, which only comparisons take.
    """

    value: float
    unit: Unit
    signed: bool = False
    text: str = ""
