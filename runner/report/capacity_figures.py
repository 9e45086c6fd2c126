"""The figures of a capacity run: latency against rate with the knee, and the path of each search, ready to be drawn as SVG."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from runner.errors import InputError
from runner.report import words
from runner.report.log_axis import LogAxis
from runner.report.sweep_axis import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Tick
from runner.report.variants import latency_value
from runner.spec.checks import parse_objective

if TYPE_CHECKING:
    from runner.report.table import Tone
    from runner.results.document.capacity import CapacityGoal, CapacitySearch, CapacityStep
    from runner.results.document.run import RunDocument
    from runner.results.document.variant import VariantRecord

WIDE = 760
HIGH = 280
"""Of the latency curve, in pixels; search paths are as large as the figures of a sweep."""
OUTCOMES: dict[str, tuple[str, str, Tone]] = {
    "held": ("✓", "held", "good"),
    "failed": ("✗", "failed", "bad"),
    "spoiled": ("?", "says nothing", "unsure"),
}
PHASES = {"double": "doubling", "bisect": "bisection", "confirm": "confirmation", "refine": "refinement"}


@dataclass(frozen=True, slots=True)
class Mark:
    """One trial in a figure: its place in pixels, its outcome (a style class), and what it says."""

    x: float
    y: float
    outcome: str
    said: str


@dataclass(frozen=True, slots=True)
class Band:
    """From the lower to the upper bound of a search, in pixels along one axis, with the estimate between them."""

    start: float
    end: float
    estimate: float
    said: str


@dataclass(frozen=True, slots=True)
class Line:
    """One variant in the latency curve."""

    series: int
    name: str
    points: str
    marks: list[Mark]
    band: Band | None
    knee: tuple[float, str] | None


@dataclass(frozen=True, slots=True)
class Curve:
    """Latency against rate, all variants in one figure."""

    title: str
    said: str
    lines: list[Line]
    limit: tuple[float, str] | None
    across: list[Tick]
    up: list[Tick]
    width: int = WIDE
    height: int = HIGH
    left: int = LEFT
    right: int = WIDE - RIGHT
    top: int = TOP
    bottom: int = HIGH - BOTTOM


@dataclass(frozen=True, slots=True)
class Path:
    """The rates that one search tried, in order."""

    title: str
    series: int
    said: str
    points: str
    marks: list[Mark]
    band: Band | None
    across: list[Tick]
    up: list[Tick]


def _metric(goal: CapacityGoal) -> tuple[str, float | None]:
    """The latency figure to draw, and the objective's limit on it (ms): its first one, else p99 without a limit."""
    try:
        conditions = parse_objective(goal.objective, None)
    except InputError:
        return "p99", None
    known = {"p50", "p75", "p90", "p95", "p99", "p99.9", "mean", "max"}
    return next(
        ((c.metric.name, c.limit.value) for c in conditions if c.metric.name in known and c.metric.request is None),
        ("p99", None),
    )


def curve(document: RunDocument, goal: CapacityGoal) -> Curve | None:
    """Latency against rate; None when nothing was answered."""
    metric, limit = _metric(goal)
    measured = {
        variant.name: [
            (step, value)
            for search in variant.capacity_searches
            for step in search.steps
            if (value := latency_value(step.latency_ms, metric)) is not None
        ]
        for variant in document.variants
    }
    all_values = [value for points in measured.values() for _, value in points]
    if not all_values:
        return None
    across = LogAxis.over([step.rate for points in measured.values() for step, _ in points], LEFT, WIDE - RIGHT)
    up = LogAxis.over([*all_values, *([limit] if limit else [])], HIGH - BOTTOM, TOP)
    lines = [
        _line(place, variant, metric, measured[variant.name], across, up)
        for place, variant in enumerate(document.variants)
        if measured[variant.name]
    ]
    return Curve(
        title=f"{metric} against the arrival rate",
        said="; ".join(f"{line.name}: {', '.join(mark.said for mark in line.marks)}" for line in lines),
        lines=lines,
        limit=(up.at(limit), f"the objective's limit, {words.latency(limit)}") if limit else None,
        across=across.ticks(lambda value: f"{value:.3g}/s"),
        up=up.ticks(words.latency),
    )


def _line(
    place: int,
    variant: VariantRecord,
    metric: str,
    points: list[tuple[CapacityStep, float]],
    across: LogAxis,
    up: LogAxis,
) -> Line:
    marks = [
        Mark(
            across.at(step.rate), up.at(value), step.outcome, f"{words.rate(step.rate)} {metric} {words.latency(value)}"
        )
        for step, value in sorted(points, key=lambda point: point[0].rate)
    ]
    by_rate: dict[float, list[float]] = {}
    for step, value in points:
        if step.outcome != "spoiled":
            by_rate.setdefault(step.rate, []).append(value)
    through = " ".join(f"{across.at(rate)},{up.at(median(values))}" for rate, values in sorted(by_rate.items()))
    knees = [search.knee for search in variant.capacity_searches if search.knee is not None]
    knee = median(knees) if knees else None
    return Line(
        series=place,
        name=variant.name,
        points=through,
        marks=marks,
        band=_band(variant.capacity, variant.name, across),
        knee=(across.at(knee), f"knee of {variant.name}: {words.rate(knee)}") if knee else None,
    )


def _band(found: dict[str, float] | None, name: str, axis: LogAxis) -> Band | None:
    if not found:
        return None
    low, high, rate = found["low"], found["high"], found["rate"]
    start, end = sorted((axis.at(low), axis.at(high)))
    return Band(
        start, end, axis.at(rate), f"{name}: {words.rate(rate)}, between {words.rate(low)} and {words.rate(high)}"
    )


def path(place: int, variant: VariantRecord, search: CapacitySearch, blocks: int) -> Path:
    """The rates that a search tried.

    Args:
        place: the variant's, for its mark.
        variant: whose search it is.
        search: the search.
        blocks: of the run; with more than one the title says which.
    """
    rates = [step.rate for step in search.steps]
    up = LogAxis.over(rates, HEIGHT - BOTTOM, TOP)
    room = WIDTH - LEFT - RIGHT - 16
    xs = [round(LEFT + 8 + room * number / max(1, len(rates) - 1), 1) for number in range(len(rates))]
    marks = [
        Mark(
            x,
            up.at(step.rate),
            step.outcome,
            f"trial {number}, {PHASES[step.phase]}: {words.rate(step.rate)} {OUTCOMES[step.outcome][1]} ({step.because})",
        )
        for number, (x, step) in enumerate(zip(xs, search.steps, strict=True), 1)
    ]
    found = (
        {"rate": search.rate, "low": search.low, "high": search.high}
        if search.rate is not None and search.low is not None and search.high is not None
        else None
    )
    every = max(1, len(xs) // 8)
    return Path(
        title=f"Search for {variant.name}" + (f", block {search.block}" if blocks > 1 else ""),
        series=place,
        said="; ".join(mark.said for mark in marks),
        points=" ".join(f"{mark.x},{mark.y}" for mark in marks),
        marks=marks,
        band=_band(found, variant.name, up),
        across=[Tick(x, str(number)) for number, x in enumerate(xs, 1) if (number - 1) % every == 0],
        up=up.ticks(lambda value: f"{value:.3g}/s"),
    )
