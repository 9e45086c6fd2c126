"""Limits watched while load runs, from the driver's live seconds and the proxies' counters, so that a harmful run ends early."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.results.histogram import Histogram
from runner.spec.metrics import Metric, Operator, Unit
from runner.units import format_duration, format_share

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runner.results.window import Cell, Second
    from runner.spec.checks import Guardrail


_TESTS: dict[Operator, Callable[[float, float], bool]] = {
    Operator.LESS: lambda value, limit: value < limit,
    Operator.AT_MOST: lambda value, limit: value <= limit,
    Operator.MORE: lambda value, limit: value > limit,
    Operator.AT_LEAST: lambda value, limit: value >= limit,
    Operator.EQUAL: lambda value, limit: value == limit,
}

_READ_EVERY = 1.0
"""Seconds between two readings of the proxies' counters, when a guardrail needs them."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """A guardrail that was crossed, with what was seen."""

    guardrail: Guardrail
    observed: str


@dataclass(slots=True)
class GuardrailWatch:
    """The guardrails of a run, over one window of load at a time.

    A guardrail is crossed when its condition held in every second, without a break, for its `for` time (one second without
    one). A second without requests says nothing: it neither crosses nor clears a limit on latency or shares.

    Attributes:
        guardrails: what to watch.
        counters: reads the proxies' counters now, by workload; called at most once a second, and only when needed.
        workloads: by service, its workloads, so that `proxy[reviews ...]` means all of them.
    """

    guardrails: Sequence[Guardrail]
    counters: Callable[[], Mapping[str, Mapping[str, int]]]
    workloads: Mapping[str, Sequence[str]] = field(default_factory=dict)
    _streaks: dict[int, int] = field(default_factory=dict)
    _before: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    _read_at: float = 0.0
    _now: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def begin(self) -> None:
        """A new window begins: streaks start again, counters count from here."""
        self._streaks.clear()
        if self._needs_counters:
            self._before = self._now = self.counters()
            self._read_at = time.monotonic()

    @property
    def _needs_counters(self) -> bool:
        return any(guardrail.metric.name == "proxy" for guardrail in self.guardrails)

    def see(self, second: Second) -> Crossing | None:
        """Look at one more second of load; the first guardrail that it crosses, if any."""
        if self._needs_counters and time.monotonic() - self._read_at >= _READ_EVERY:
            self._now = self.counters()
            self._read_at = time.monotonic()
        for index, guardrail in enumerate(self.guardrails):
            value = self._value(guardrail.metric, second, guardrail.limit.unit)
            if value is None:
                continue
            if not _TESTS[guardrail.operator](value, guardrail.limit.value):
                self._streaks[index] = 0
                continue
            self._streaks[index] = self._streaks.get(index, 0) + 1
            if self._streaks[index] >= max(1.0, guardrail.seconds):
                return Crossing(guardrail, _shown(guardrail.metric, value, guardrail.limit.unit))
        return None

    def _value(self, metric: Metric, second: Second, unit: Unit) -> float | None:
        if metric.name == "proxy":
            return self._increase(metric.argument or "")
        return measured(metric, second, unit)

    def _increase(self, argument: str) -> float:
        workload, _, stat = argument.partition(" ")
        total = 0
        for name in self.workloads.get(workload, [workload]):
            before = self._before.get(name, {})
            for counter, value in self._now.get(name, {}).items():
                if _names(stat, counter):
                    total += max(0, value - before.get(counter, 0))
        return total


def _names(stat: str, counter: str) -> bool:
    if stat.startswith("/") and stat.endswith("/") and len(stat) > 1:
        return re.search(stat[1:-1], counter) is not None
    return counter == stat or counter.endswith(f".{stat}")


def measured(metric: Metric, second: Second, unit: Unit) -> float | None:
    """The value of a metric in one second of load; None when the second has nothing to say about it.

    Latencies are in milliseconds; `status[..]` and `outcome[..]` are shares when `unit` is a share, else counts.
    """
    names = [metric.request] if metric.request else list(second.cells)
    cells: list[tuple[str, Cell]] = [item for name in names for item in second.cells.get(name, {}).items()]
    requests = sum(cell.requests for _, cell in cells)

    def share(number: int) -> float | None:
        return (number / requests if requests else None) if unit is Unit.SHARE else number

    if metric.is_latency:
        return _latency(metric, [cell.response for _, cell in cells])
    errors = sum(cell.errors for _, cell in cells)
    values: dict[str, float | None] = {
        "requests": requests,
        "rate": requests,
        "errors": errors,
        "error_rate": errors / requests if requests else None,
        "dropped": second.dropped,
        "status": share(sum(cell.requests for status, cell in cells if status == metric.argument)),
        "outcome": share(sum(second.outcomes.get(name, {}).get(metric.argument or "", 0) for name in names)),
    }
    return values.get(metric.name)


def _latency(metric: Metric, parts: Sequence[Histogram]) -> float | None:
    histogram = Histogram.merged(parts)
    if not histogram.count:
        return None
    if metric.quantile is not None:
        value = histogram.quantile(metric.quantile)
    else:
        value = histogram.mean if metric.name == "mean" else float(histogram.greatest)
    return value / 1000 if value is not None else None


def _shown(metric: Metric, value: float, unit: Unit) -> str:
    if metric.is_latency:
        return f"{metric} was {format_duration(value / 1000)}"
    return f"{metric} was {format_share(value) if unit is Unit.SHARE else f'{value:g}'}"
