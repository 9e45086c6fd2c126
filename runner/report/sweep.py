"""A matrix variable's values as one curve: each metric against the value, with its interval, drawn as SVG and as a table.

Drawn here and not in the browser, so that it prints, and shows where scripts are not allowed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.report import words
from runner.report.sweep_axis import HEIGHT, LEFT, WIDTH, AmountAxis, Tick, ValueAxis
from runner.report.table import Cell, Column, Group, Row, Table
from runner.report.variants import latency_value
from runner.results.document.figures import Interval

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.results.document.run import RunDocument
    from runner.results.document.variant import VariantRecord

_LEAST_VALUES = 2
_MOST_OUTCOMES = 4
_SECOND_MS = 1000.0


@dataclass(frozen=True, slots=True)
class Metric:
    """One thing that is drawn against the value.

    Attributes:
        title: its name.
        of: its estimate and interval for a variant, in ms, or as a share from 0 to 1, or per second.
        share: whether it is a share.
        rate: whether it is a rate.
    """

    title: str
    of: Callable[[VariantRecord], Interval]
    share: bool = False
    rate: bool = False

    def text(self, value: float | None) -> str:
        """A value as the page writes it."""
        return words.share(value) if self.share else words.rate(value) if self.rate else words.latency(value)

    def range(self, interval: Interval) -> str:
        """An interval as the page writes it."""
        if self.share:
            return words.share_interval(interval)
        if self.rate:
            ends = interval.low, interval.high
            return "" if None in ends else f"{words.rate(ends[0])} to {words.rate(ends[1])}"
        return words.latency_interval(interval)


@dataclass(frozen=True, slots=True)
class Point:
    """One variant's value of one metric, in pixels; `low` and `high` are the interval's ends."""

    x: float
    y: float
    low: float | None
    high: float | None
    said: str


@dataclass(frozen=True, slots=True)
class Line:
    """One curve of one metric; `stretches` are its points as SVG wants them, broken where there is none."""

    series: int
    points: list[Point]
    stretches: list[str]


@dataclass(frozen=True, slots=True)
class Reference:
    """The baseline, when the variable does not make it: a level line."""

    y: float
    said: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One metric, drawn."""

    title: str
    said: str
    lines: list[Line]
    reference: Reference | None
    values: list[Tick]
    amounts: list[Tick]


@dataclass(frozen=True, slots=True)
class Curve:
    """Variants that differ in the variable alone.

    Attributes:
        title: their family, and their other matrix values.
        series: the place of its mark.
        variants: by value.
    """

    title: str
    series: int
    variants: dict[str, VariantRecord] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sweep:
    """Everything about one variable.

    Attributes:
        variable: its name.
        curves: with their marks, for the legend.
        reference: the baseline's name, when it is drawn as a level line.
        panels: one for each metric.
        table: the same in numbers.
        closed_loop: whether latencies are service times of a closed loop.
    """

    variable: str
    curves: list[Curve]
    reference: str
    panels: list[Panel]
    table: Table
    closed_loop: bool
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT


def sweeps(document: RunDocument) -> list[Sweep]:
    """One sweep for each set of variants that the same matrix variables made, and in which one has two values or more."""
    groups: dict[frozenset[str], list[VariantRecord]] = {}
    for variant in document.variants:
        if variant.matrix:
            groups.setdefault(frozenset(variant.matrix), []).append(variant)
    found = [_sweep(document, variants) for variants in groups.values()]
    return [sweep for sweep in found if sweep is not None]


def _sweep(document: RunDocument, variants: Sequence[VariantRecord]) -> Sweep | None:
    values = {
        variable: list(dict.fromkeys(variant.matrix[variable] for variant in variants))
        for variable in variants[0].matrix
    }
    variable = max(values, key=lambda name: len(values[name]))
    if len(values[variable]) < _LEAST_VALUES:
        return None
    curves = _curves(variants, variable)
    baseline = document.variants[0]
    reference = baseline if baseline not in variants else None
    axis = ValueAxis(values[variable])
    shown = [*variants, reference] if reference else list(variants)
    metrics = _metrics(shown)
    return Sweep(
        variable=variable,
        curves=curves,
        reference=reference.name if reference else "",
        panels=[_panel(metric, variable, curves, reference, axis) for metric in metrics],
        table=_table(metrics, variable, curves, reference, axis),
        closed_loop=any(variant.closed_loop for variant in shown),
    )


def _curves(variants: Sequence[VariantRecord], variable: str) -> list[Curve]:
    """Variants by what else they differ in; a curve's mark is not the baseline's."""
    found: dict[tuple[str, ...], Curve] = {}
    for variant in variants:
        others = [f"{name}={value}" for name, value in variant.matrix.items() if name != variable]
        key = (variant.family, *others)
        if key not in found:
            title = ", ".join(part for part in (variant.family, *others) if part)
            found[key] = Curve(title or variable, len(found) + 1)
        found[key].variants[variant.matrix[variable]] = variant
    return list(found.values())


def _metrics(variants: Sequence[VariantRecord]) -> list[Metric]:
    """Latency, errors, and what responses showed, the labels that vary most first."""

    def latency(name: str) -> Callable[[VariantRecord], Interval]:
        def of(variant: VariantRecord) -> Interval:
            return variant.intervals.get(name) or Interval(estimate=latency_value(variant.latency_ms, name))

        return of

    def outcome(label: str) -> Callable[[VariantRecord], Interval]:
        def of(variant: VariantRecord) -> Interval:
            share = variant.outcomes.get(label, 0) / variant.requests if variant.requests else None
            return variant.intervals.get(f"outcome[{label}]") or Interval(estimate=share)

        return of

    def errors(variant: VariantRecord) -> Interval:
        rate = variant.error_rate if variant.requests else None
        return variant.intervals.get("error_rate") or Interval(estimate=rate)

    def capacity(variant: VariantRecord) -> Interval:
        found = variant.capacity or {}
        return Interval(estimate=found.get("rate"), low=found.get("low"), high=found.get("high"))

    def spread(label: str) -> float:
        shares = [share for variant in variants if (share := outcome(label)(variant).estimate) is not None]
        return max(shares, default=0.0) - min(shares, default=0.0)

    labels = sorted(
        {label for variant in variants for label in variant.outcomes}, key=lambda label: (-spread(label), label)
    )
    metrics = [Metric("p50", latency("p50")), Metric("p95", latency("p95")), Metric("Error rate", errors, share=True)]
    metrics += [Metric(label, outcome(label), share=True) for label in labels[:_MOST_OUTCOMES]]
    if any(variant.capacity for variant in variants):
        metrics.append(Metric("Capacity", capacity, rate=True))
    return metrics


def _panel(
    metric: Metric, variable: str, curves: Sequence[Curve], reference: VariantRecord | None, axis: ValueAxis
) -> Panel:
    measured = [metric.of(variant) for curve in curves for variant in curve.variants.values()]
    level = metric.of(reference) if reference else Interval()
    amounts = [end for interval in measured for end in (interval.estimate, interval.high) if end is not None]
    up = AmountAxis(
        max([*amounts, *([level.estimate] if level.estimate is not None else [])], default=0.0),
        most=1.0 if metric.share else float("inf"),
    )
    lines = [_line(metric, variable, curve, axis, up) for curve in curves]
    said = "; ".join(point.said for line in lines for point in line.points)
    return Panel(
        title=metric.title,
        said=f"{metric.title} by {variable}: {said or 'nothing was measured'}",
        lines=lines,
        reference=Reference(up.y(level.estimate), f"baseline: {metric.text(level.estimate)}")
        if level.estimate is not None
        else None,
        values=axis.ticks(),
        amounts=up.ticks(_amount_text(metric, up.top)),
    )


def _line(metric: Metric, variable: str, curve: Curve, axis: ValueAxis, up: AmountAxis) -> Line:
    points: list[Point] = []
    stretches: list[list[str]] = [[]]
    for value in axis.values:
        variant = curve.variants.get(value)
        if variant is None:
            continue
        interval = metric.of(variant)
        if interval.estimate is None:
            stretches.append([])
            continue
        x, y = axis.x(value), up.y(interval.estimate)
        spread = metric.range(interval)
        said = f"{variable} {value}: {metric.text(interval.estimate)}" + (f" ({spread})" if spread else "")
        low = None if interval.low is None else up.y(interval.low)
        points.append(Point(x, y, low, None if interval.high is None else up.y(interval.high), said))
        stretches[-1].append(f"{x},{y}")
    return Line(curve.series, points, [" ".join(stretch) for stretch in stretches if len(stretch) > 1])


def _amount_text(metric: Metric, top: float) -> Callable[[float], str]:
    """Tick labels in one unit, without digits that say nothing."""
    if metric.share:
        return lambda value: f"{value * 100:.4g} %"
    if metric.rate:
        return lambda value: f"{value:.4g}/s"
    if top >= _SECOND_MS:
        return lambda value: f"{value / _SECOND_MS:.4g} s"
    return lambda value: f"{value:.4g} ms"


def _table(
    metrics: Sequence[Metric],
    variable: str,
    curves: Sequence[Curve],
    reference: VariantRecord | None,
    axis: ValueAxis,
) -> Table:
    def row(title: str, sub: str, variant: VariantRecord) -> Row:
        cells = []
        for metric in metrics:
            interval = metric.of(variant)
            cells.append(Cell(metric.text(interval.estimate), sub=metric.range(interval)))
        return Row([Cell(title, sub=sub), Cell(words.count(variant.requests)), *cells])

    groups = [Group([row(reference.name, "baseline", reference)])] if reference else []
    for curve in curves:
        rows = [
            row(value, curve.variants[value].name, curve.variants[value])
            for value in axis.values
            if value in curve.variants
        ]
        groups.append(Group(rows, curve.title if len(curves) > 1 else ""))
    head = [
        Column(variable),
        Column("Requests", number=True),
        *(Column(metric.title, number=True) for metric in metrics),
    ]
    return Table(f"By {variable}", head, groups)
