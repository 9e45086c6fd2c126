"""What was counted and timed, of a trial, a variant or one request name, and how well it is known."""

from __future__ import annotations

from pydantic import Field

from runner.results.document import Record


class Latency(Record):
    """Quantiles, mean and greatest of answered requests, in milliseconds; None where no request was answered."""

    p50: float | None = None
    p75: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    p99_9: float | None = Field(default=None, alias="p99.9")
    mean: float | None = None
    max: float | None = None


class Figures(Record):
    """What was counted and timed: of a trial, of a variant, or of one request name in it."""

    requests: int = 0
    errors: int = 0
    error_rate: float = 0.0
    dropped: int = 0
    status: dict[str, int] = Field(default_factory=dict)
    exceptions: dict[str, int] = Field(default_factory=dict)
    outcomes: dict[str, int] = Field(default_factory=dict)
    rate: float = 0.0
    """Requests per second of measured time."""
    latency_ms: Latency = Field(default_factory=Latency)
    """Response time from the due moment under `arrivals`; service time in a closed loop."""
    service_ms: Latency = Field(default_factory=Latency)
    """From the sending to the last byte."""


class Interval(Record):
    """An estimate with its 95 % interval, in the unit of its metric; ends are None where the data can't bound it."""

    estimate: float | None = None
    low: float | None = None
    high: float | None = None
