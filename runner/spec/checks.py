"""The language of checks and guardrails: `METRIC[{request name}] OP VALUE|METRIC`, and `METRIC OP VALUE [for DURATION]`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from runner.errors import Position


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


@dataclass(frozen=True, slots=True)
class Metric:
    """Something that was measured.

    Attributes:
        name: `p50 p95 p99 p99.9 mean max rate requests errors error_rate dropped status outcome proxy promql capacity`.
        argument: what stands in brackets: a status, a label, `WORKLOAD STAT`, a PromQL entry's name.
        request: what stands in braces: one request name only.
    """

    name: str
    argument: str | None = None
    request: str | None = None

    def __str__(self) -> str:
        text = self.name
        if self.argument is not None:
            text += f"[{self.argument}]"
        if self.request is not None:
            text += f"{{{self.request}}}"
        return text

    @property
    def is_latency(self) -> bool:
        """Whether this is a duration."""
        return self.name in {"p50", "p75", "p90", "p95", "p99", "p99.9", "mean", "max"}

    @property
    def quantile(self) -> float | None:
        """The share that a `pNN` metric names (0.95 for p95), None for other metrics."""
        return float(self.name[1:]) / 100 if self.name[0] == "p" and self.name[1:2].isdigit() else None


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its unit: milliseconds, a share from 0 to 1, requests per second, or a plain count.

    `signed` is true for `+10%` and `-40%`, which only comparisons take.
    """

    value: float
    unit: Unit
    signed: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation of one variant, or of one variant against another (`baseline` given)."""

    text: str
    variant: str
    baseline: str | None
    metric: Metric
    operator: Operator
    operand: Quantity | Metric
    position: Position | None = None

    def __str__(self) -> str:
        who = f"{self.variant} vs {self.baseline}" if self.baseline else self.variant
        return f"{who}: {self.text}"


@dataclass(frozen=True, slots=True)
class Guardrail:
    """A limit watched live; `seconds` is how long it must be crossed without a break."""

    text: str
    metric: Metric
    operator: Operator
    limit: Quantity
    seconds: float
    position: Position | None = None
