"""Comparisons in words: each variant against another, every metric with its estimate, interval and plot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.report import marks, words
from runner.report.forest import Axis, Plot, Tick

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.results.document.checks import ComparisonRecord
    from runner.results.document.run import RunDocument


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One metric.

    Attributes:
        metric: its name, with the request name when it is about one.
        estimate: the change, `-50.1 %`.
        interval: its interval, `-51.3 to -49.0 %`.
        mark: sign and word of the outcome.
        sentence: the same in a sentence.
        plot: where to draw it; None without an estimate.
        described: what a screen reader says in place of the plot.
        blocks: how many blocks it rests on, and how many it would need.
        p_value: as text; adjusted by Holm where it was.
        gating: whether a check rests on it.
    """

    metric: str
    estimate: str
    interval: str
    mark: marks.Mark
    sentence: str
    plot: Plot | None
    described: str
    blocks: str
    p_value: str
    gating: bool


@dataclass(frozen=True, slots=True)
class ComparisonGroup:
    """Metrics that share an axis."""

    title: str
    rows: list[ComparisonRow]
    ticks: list[Tick]


@dataclass(frozen=True, slots=True)
class ComparisonPair:
    """One variant against another."""

    variant: str
    baseline: str
    variant_series: int
    baseline_series: int
    groups: list[ComparisonGroup]


def pairs(document: RunDocument) -> list[ComparisonPair]:
    """All comparisons by pair of variants, in the document's order; metrics that checks rest on come first."""
    places = {variant.name: place for place, variant in enumerate(document.variants)}
    by_pair: dict[tuple[str, str], list[ComparisonRecord]] = {}
    for record in document.comparisons:
        by_pair.setdefault((record.variant, record.baseline), []).append(record)
    return [
        ComparisonPair(variant, baseline, places.get(variant, 0), places.get(baseline, 0), _groups(records))
        for (variant, baseline), records in by_pair.items()
    ]


def _groups(records: Sequence[ComparisonRecord]) -> list[ComparisonGroup]:
    groups = []
    for shares, title in ((False, "Relative change"), (True, "Difference of shares, in percentage points")):
        of_kind = [record for record in records if words.is_share(record.metric) is shares]
        if of_kind:
            axis = Axis(of_kind, shares=shares)
            ordered = sorted(of_kind, key=lambda record: not record.gating)
            groups.append(ComparisonGroup(title, [_row(record, axis) for record in ordered], axis.ticks()))
    return groups


def metric_title(record: ComparisonRecord) -> str:
    """A metric as a check writes it, with its request name."""
    return f"{record.metric}{{{record.request}}}" if record.request else record.metric


def sentence(record: ComparisonRecord) -> str:
    """The comparison in words: the analysis's own sentence, or one made from the numbers."""
    if record.sentence:
        return record.sentence
    if record.estimate is None:
        return f"{metric_title(record)} could not be compared."
    interval = words.change_interval(record.metric, record.low, record.high)
    bounds = f" (95 % interval {interval})" if interval else ""
    change = words.change(record.metric, record.estimate)
    return f"{metric_title(record)} of {record.variant} differs by {change} from {record.baseline}{bounds}."


def _row(record: ComparisonRecord, axis: Axis) -> ComparisonRow:
    mark = marks.COMPARISONS[record.outcome]
    interval = words.change_interval(record.metric, record.low, record.high)
    estimate = words.change(record.metric, record.estimate)
    described = f"{metric_title(record)}: {estimate}" + (f", 95 % interval {interval}" if interval else "")
    blocks = words.plural(record.blocks, "block")
    if record.outcome == "inconclusive" and record.blocks_needed and record.blocks_needed > record.blocks:
        blocks += f", needs {words.count(record.blocks_needed)}"
    return ComparisonRow(
        metric=metric_title(record),
        estimate=estimate,
        interval=interval,
        mark=mark,
        sentence=sentence(record),
        plot=axis.plot(record) if record.estimate is not None else None,
        described=described,
        blocks=blocks,
        p_value=_p_value(record),
        gating=record.gating,
    )


def _p_value(record: ComparisonRecord) -> str:
    if record.p_adjusted is not None:
        return f"p = {words.digits(record.p_adjusted, 2)} after Holm"
    return f"p = {words.digits(record.p_value, 2)}" if record.p_value is not None else ""
