"""The capacity section: what each search found, latency against rate with the knee, the path of the search, and every trial of it.

Drawn here and not in the browser, as sweeps are, so that it prints and shows where scripts are not allowed.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from runner.errors import InputError
from runner.report import words
from runner.report.log_axis import LogAxis
from runner.report.marks import INVALID
from runner.report.sweep_axis import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Tick
from runner.report.table import Cell, Column, Group, Row, Table, Tone, simple
from runner.report.variants import latency_value
from runner.spec.checks import parse_objective
from runner.units import format_duration

if TYPE_CHECKING:
    from runner.report.limits import Limits
    from runner.results.document import CapacityGoal, CapacitySearch, CapacityStep, RunDocument, VariantRecord

WIDE = 760
HIGH = 280
"""Of the latency curve, in pixels; search paths are as large as the figures of a sweep."""
_PATHS = 8
"""Search paths that are drawn; of more, the tables tell."""
_OUTCOMES: dict[str, tuple[str, str, Tone]] = {
    "held": ("✓", "held", "good"),
    "failed": ("✗", "failed", "bad"),
    "spoiled": ("?", "says nothing", "unsure"),
}
_PHASES = {"double": "doubling", "bisect": "bisection", "confirm": "confirmation", "refine": "refinement"}
_ENDINGS = {
    "found": "found",
    "wide": "found, bounds wide",
    "lower_end_fails": "the lower end fails",
    "upper_end_holds": "the upper end holds",
    "spoiled": "not judged",
    "out_of_load": "out of load",
    "stopped": "ended early",
}


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


@dataclass(frozen=True, slots=True)
class Capacity:
    """The whole section."""

    objective: str
    how: str
    found: Table
    curve: Curve | None
    paths: list[Path]
    paths_left: int
    steps: Table
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def capacity(document: RunDocument, limits: Limits) -> Capacity | None:
    """The section of a capacity run; None for any other run."""
    goal = document.capacity
    if goal is None:
        return None
    searches = [(place, v, s) for place, v in enumerate(document.variants) for s in v.capacity_searches]
    shown = sorted(searches, key=lambda item: (item[2].block, item[0]))
    return Capacity(
        objective=goal.objective,
        how=_how(goal),
        found=_found(document),
        curve=_curve(document, goal),
        paths=[_path(place, variant, search, document.blocks) for place, variant, search in shown[:_PATHS]],
        paths_left=max(0, len(shown) - _PATHS),
        steps=_steps(document, limits),
    )


def _how(goal: CapacityGoal) -> str:
    return (
        f"Searched between {words.rate(goal.start)} and {words.rate(goal.to)} until the bounds were {words.share(goal.width)} "
        f"apart or {format_duration(goal.most_load_s)} of load were made. A rate counts as kept when the median of its trials of "
        f"{format_duration(goal.seconds)} keeps the objective."
    )


def _found(document: RunDocument) -> Table:
    columns = [
        Column("Variant"),
        Column("Capacity", number=True),
        Column("Kept at", number=True),
        Column("Not kept at", number=True),
        Column("Throughput", number=True, sub="of what is kept"),
        Column("Knee", number=True),
        Column("Load", number=True),
        Column("Search"),
    ]
    groups = []
    for variant in document.variants:
        rows = [
            Row(
                [
                    Cell(variant.name, sub=f"block {search.block}" if document.blocks > 1 else ""),
                    Cell(words.rate(search.rate)),
                    Cell(words.rate(search.low)),
                    Cell(words.rate(search.high)),
                    Cell(words.rate(search.throughput)),
                    Cell(words.rate(search.knee)),
                    Cell(format_duration(search.load_s), sub=words.plural(len(search.steps), "trial")),
                    Cell(
                        _ENDINGS[search.ending],
                        sub="" if search.ending == "found" else search.sentence.replace("`", ""),
                        tone="" if search.rate is not None else "bad",
                    ),
                ]
            )
            for search in variant.capacity_searches
        ]
        if rows:
            groups.append(Group(rows))
    return Table("What each search found", columns, groups)


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


def _curve(document: RunDocument, goal: CapacityGoal) -> Curve | None:
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


def _path(place: int, variant: VariantRecord, search: CapacitySearch, blocks: int) -> Path:
    rates = [step.rate for step in search.steps]
    up = LogAxis.over(rates, HEIGHT - BOTTOM, TOP)
    room = WIDTH - LEFT - RIGHT - 16
    xs = [round(LEFT + 8 + room * number / max(1, len(rates) - 1), 1) for number in range(len(rates))]
    marks = [
        Mark(
            x,
            up.at(step.rate),
            step.outcome,
            f"trial {number}, {_PHASES[step.phase]}: {words.rate(step.rate)} {_OUTCOMES[step.outcome][1]} ({step.because})",
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


def _steps(document: RunDocument, limits: Limits) -> Table:
    head = [
        Column("Trial"),
        Column("Rate", number=True),
        Column("Outcome"),
        *(Column(title, number=True) for title in ("Requests", "p50", "p99", "Error rate", "Lost", "Lag p99", "CPU")),
        Column("Why"),
    ]
    groups: list[Group] = []
    room = limits.trials
    for variant in document.variants:
        for search in variant.capacity_searches:
            rows = [_step(number, step) for number, step in enumerate(search.steps, 1)][: max(0, room)]
            room -= len(rows)
            title = variant.name + (f", block {search.block}" if document.blocks > 1 else "")
            if rows:
                groups.append(Group(rows, title, f"{format_duration(search.load_s)} of load"))
    total = sum(len(search.steps) for variant in document.variants for search in variant.capacity_searches)
    left = total - sum(len(group.rows) for group in groups)
    note = f"{words.plural(left, 'more trial')} in run.json." if left else ""
    if not groups:
        return simple("Every trial of the searches", head, [])
    return Table("Every trial of the searches", head, groups, note)


def _step(number: int, step: CapacityStep) -> Row:
    symbol, word, tone = _OUTCOMES[step.outcome]
    codes = ", ".join(INVALID[code] for code in step.invalid_because)
    return Row(
        [
            Cell(str(number), sub=_PHASES[step.phase]),
            Cell(words.rate(step.rate), sub=f"{step.load_s:.0f} s of load"),
            Cell(word, tone=tone, symbol=symbol),
            Cell(words.count(step.requests)),
            Cell(words.latency(step.latency_ms.p50)),
            Cell(words.latency(step.latency_ms.p99)),
            Cell(words.share(step.error_rate) if step.requests else words.NONE),
            Cell(words.share(step.loss)),
            Cell(words.latency(step.generator.lag_ms.p99)),
            Cell(f"{step.generator.cpu:.2f}" if step.generator.cpu else words.NONE),
            Cell(step.because, sub=codes),
        ],
        tone="muted" if step.outcome == "spoiled" else "",
    )
