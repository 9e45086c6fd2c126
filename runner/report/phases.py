"""Phases: what was before, during and after a change that was switched on under load, over time and as figures.

Drawn here and not in the browser, so that it prints, and shows where scripts are not allowed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.report import words
from runner.report.chart_data import key
from runner.report.log_axis import LogAxis
from runner.report.table import Cell, Column, Group, Row, Table
from runner.report.trials import in_run_order
from runner.report.variants import latency_value
from runner.results.document.figures import Interval
from runner.results.histogram import Histogram
from runner.spec.metrics import PHASES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from runner.report.limits import Limits
    from runner.report.sweep_axis import Tick
    from runner.results.document.phases import PhaseRecord, PhasesRecord, TrialPhases
    from runner.results.document.run import RunDocument
    from runner.results.document.variant import VariantRecord
    from runner.results.trial import TrialFile

WIDTH, HEIGHT = 620, 200
LEFT, RIGHT, TOP, BOTTOM = 58, 612, 8, 172
_QUANTILES = ("p50", "p95", "p99")
_MOST_POINTS = 600
_LABELS = 8


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch of time in pixels."""

    start: float
    end: float
    said: str

    @property
    def width(self) -> float:
        """At least a pixel."""
        return max(1.0, round(self.end - self.start, 1))


@dataclass(frozen=True, slots=True)
class Course:
    """One variant over time, all of its valid trials together.

    Attributes:
        name: the variant's.
        series: its place.
        median: the median response of each second, as SVG wants points, broken where nothing was answered.
        tail: the same of its p95.
        during: when the change was on.
        up: labels of the y axis.
        across: labels of the x axis.
        said: what a screen reader says.
    """

    name: str
    series: int
    median: list[str]
    tail: list[str]
    during: Band | None
    up: list[Tick]
    across: list[tuple[float, str]]
    said: str


@dataclass(frozen=True, slots=True)
class Told:
    """One variant in sentences."""

    name: str
    series: int
    sentences: list[str]


@dataclass(frozen=True, slots=True)
class PhasesView:
    """The section.

    Attributes:
        how: what was switched, and when.
        objective: what a good second keeps; empty without one.
        courses: one drawing for each variant.
        told: one for each variant.
        figures: before, during and after, side by side.
        trials: each trial's switches and times.
    """

    how: list[str]
    objective: str
    courses: list[Course]
    told: list[Told]
    figures: Table
    trials: Table
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = RIGHT
    top: int = TOP
    bottom: int = BOTTOM


def phases(document: RunDocument, trials: Sequence[TrialFile], limits: Limits) -> PhasesView | None:
    """The section; None where no variant has phases."""
    phased = [(place, variant, variant.phases) for place, variant in enumerate(document.variants) if variant.phases]
    if not phased:
        return None
    return PhasesView(
        how=_how([(variant, record) for _, variant, record in phased]),
        objective=" / ".join(dict.fromkeys(record.objective for _, _, record in phased if record.objective)),
        courses=[course for one in phased[: max(2, limits.names // 5)] if (course := _course(*one, trials))],
        told=[
            Told(variant.name, place, [text for text in (record.detected, record.recovered) if text])
            for place, variant, record in phased
            if record.detected or record.recovered
        ],
        figures=_figures([(variant, record) for _, variant, record in phased]),
        trials=_trials(document, limits),
    )


def _how(phased: Sequence[tuple[VariantRecord, PhasesRecord]]) -> list[str]:
    """What was switched and when; told once where it is the same for all."""
    texts: dict[str, list[str]] = {}
    for variant, record in phased:
        names = words.listing([manifest.name for manifest in record.manifests])
        text = (
            f"{record.before_s:g} s before, {record.during_s:g} s with {names} switched on, {record.after_s:g} s after."
        )
        texts.setdefault(text, []).append(variant.name)
    return list(texts) if len(texts) == 1 else [f"{words.listing(names)}: {text}" for text, names in texts.items()]


def _course(place: int, variant: VariantRecord, record: PhasesRecord, trials: Sequence[TrialFile]) -> Course | None:
    """One variant's seconds, those of all its valid trials put together."""
    counting = {(variant.name, t.block, t.attempt) for t in variant.trials if t.valid and not t.superseded}
    mine = [trial for trial in trials if key(trial) in counting and trial.window.seconds]
    length = max((len(trial.window.seconds) for trial in mine), default=0)
    if not length:
        return None
    step = max(1, -(-length // _MOST_POINTS))
    whole = [Histogram() for _ in range(0, length, step)]
    for trial in mine:
        for second in trial.window.seconds:
            for by_status in second.cells.values():
                for cell in by_status.values():
                    whole[second.offset // step].add(cell.response)
    medians = [(_ms(one, 0.5)) for one in whole]
    tails = [(_ms(one, 0.95)) for one in whole]
    axis = LogAxis.over([value for value in (*medians, *tails) if value], BOTTOM, TOP)

    def x(second: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * min(max(second / length, 0.0), 1.0), 1)

    places = [x((index + 0.5) * step) for index in range(len(whole))]
    every = max(1, round(length / _LABELS))
    return Course(
        name=variant.name,
        series=place,
        median=list(_stretches(places, medians, axis)),
        tail=list(_stretches(places, tails, axis)),
        during=_during([t.phases for t in variant.trials if t.phases and t.valid and not t.superseded], x),
        up=axis.ticks(words.latency),
        across=[(x(second), f"{second} s") for second in range(0, length + 1, every)],
        said="; ".join(
            f"{part.name}: median {words.latency(part.latency_ms.p50)}, p95 {words.latency(part.latency_ms.p95)}"
            for part in record.parts
        ),
    )


def _ms(histogram: Histogram, share: float) -> float | None:
    value = histogram.quantile(share)
    return None if value is None else value / 1000


def _stretches(places: Sequence[float], values: Sequence[float | None], axis: LogAxis) -> Iterator[str]:
    points: list[str] = []
    for place, value in zip(places, values, strict=True):
        if value is not None:
            points.append(f"{place},{axis.at(value)}")
        elif points:
            yield " ".join(points)
            points = []
    if points:
        yield " ".join(points)


def _during(found: Sequence[TrialPhases], x: Callable[[float], float]) -> Band | None:
    """From the first confirmed switch on to the last request to switch off, on average over trials."""
    whole = [(one.on.confirmed, one.off.requested) for one in found if one.off]
    if not whole:
        return None
    start, end = (sum(ends) / len(whole) for ends in zip(*whole, strict=True))
    return Band(x(start), x(end), f"switched on from {start:.1f} s to {end:.1f} s")


def _figures(phased: Sequence[tuple[VariantRecord, PhasesRecord]]) -> Table:
    groups = [Group(_rows(record), variant.name) for variant, record in phased]
    head = [Column("Figure"), *(Column(name, number=True) for name in PHASES)]
    note = (
        "A request belongs to the second in which it was due (closed loop: sent); seconds in which a switch was under way belong to "
        "no phase."
    )
    return Table("Before, during and after", head, groups, note)


def _rows(record: PhasesRecord) -> list[Row]:
    by_name: dict[str, PhaseRecord] = {part.name: part for part in record.parts}

    def row(title: str, cell: Callable[[PhaseRecord], Cell]) -> Row:
        cells = [cell(part) if (part := by_name.get(name)) else Cell(words.NONE) for name in PHASES]
        return Row([Cell(title), *cells])

    def latency(metric: str) -> Callable[[PhaseRecord], Cell]:
        return lambda part: Cell(
            words.latency(latency_value(part.latency_ms, metric)),
            sub=words.latency_interval(part.intervals.get(metric, Interval())),
        )

    def share(metric: str, count: Callable[[PhaseRecord], int], *, bad: bool) -> Callable[[PhaseRecord], Cell]:
        return lambda part: Cell(
            words.share(count(part) / part.requests if part.requests else None),
            sub=words.share_interval(part.intervals.get(metric, Interval())),
            tone="bad" if bad and count(part) else "",
        )

    rows = [
        row("Requests", lambda part: Cell(words.count(part.requests), sub=words.plural(part.seconds, "second"))),
        row("Error rate", share("error_rate", lambda part: part.errors, bad=True)),
        *(row(metric, latency(metric)) for metric in _QUANTILES),
    ]
    labels = sorted({label for part in record.parts for label in part.outcomes})
    rows += [row(label, share(f"outcome[{label}]", _count_of("outcomes", label), bad=False)) for label in labels]
    statuses = sorted({status for part in record.parts for status in part.status})
    if len(statuses) > 1:
        rows += [row(f"status {one}", share(f"status[{one}]", _count_of("status", one), bad=False)) for one in statuses]
    return rows


def _count_of(kind: str, name: str) -> Callable[[PhaseRecord], int]:
    return lambda part: int(getattr(part, kind).get(name, 0))


def _trials(document: RunDocument, limits: Limits) -> Table:
    head = [
        Column("Trial"),
        Column("Variant"),
        Column("Counts"),
        *(Column(title, number=True) for title in ("Switched on", "Switched off", "Time to detect", "Time to recover")),
    ]
    phased = [(trial, trial.phases) for _, trial in in_run_order(document) if trial.phases]
    rows = [
        Row(
            [
                Cell(f"block {trial.block}" + (f", attempt {trial.attempt}" if trial.attempt > 1 else "")),
                Cell(trial.variant),
                Cell("yes" if trial.valid and not trial.superseded else "no"),
                Cell(f"{found.on.confirmed:.2f} s", sub=_took(found.on.confirmed - found.on.requested)),
                Cell(f"{found.off.confirmed:.2f} s", sub=_took(found.off.confirmed - found.off.requested))
                if found.off
                else Cell("never"),
                Cell(found.detected or words.NONE),
                Cell(found.recovered or words.NONE),
            ],
            tone="" if trial.valid and not trial.superseded else "muted",
        )
        for trial, found in phased[: limits.trials]
    ]
    left = len(phased) - len(rows)
    note = f"{words.plural(left, 'more trial')} in run.json." if left > 0 else ""
    caption = "When every proxy had confirmed each switch, from the window's start, and what followed"
    return Table(caption, head, [Group(rows)], note)


def _took(seconds: float) -> str:
    return f"after {words.latency(seconds * 1000)}"
