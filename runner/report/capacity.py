"""The capacity section: what each search found, latency against rate with the knee, the path of the search, and every trial of it.

Drawn here and not in the browser, as sweeps are, so that it prints and shows where scripts are not allowed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.report import words
from runner.report.capacity_figures import OUTCOMES, PHASES, Curve, Path, curve, path
from runner.report.marks import INVALID
from runner.report.sweep_axis import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH
from runner.report.table import Cell, Column, Group, Row, Table, simple
from runner.units import format_duration

if TYPE_CHECKING:
    from runner.report.limits import Limits
    from runner.results.document.capacity import CapacityGoal, CapacityStep
    from runner.results.document.run import RunDocument

_PATHS = 8
"""Search paths that are drawn; of more, the tables tell."""
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
        curve=curve(document, goal),
        paths=[path(place, variant, search, document.blocks) for place, variant, search in shown[:_PATHS]],
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
    symbol, word, tone = OUTCOMES[step.outcome]
    codes = ", ".join(INVALID[code] for code in step.invalid_because)
    return Row(
        [
            Cell(str(number), sub=PHASES[step.phase]),
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
