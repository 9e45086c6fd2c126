"""When the fault of a trial with phases showed, and when it was gone: its seconds held one by one against the objective.

Seconds are those of the due moment (closed loop: of the sending), so a slow answer counts in the second in which its user began to
wait. A second breaks the objective when one of its conditions is known and not kept, and keeps it when all of them are known and
kept; one without requests does neither.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import floor
from typing import TYPE_CHECKING

from runner.analysis.decide import exactly
from runner.analysis.shares import count_of, total_of
from runner.analysis.tally import tally_window
from runner.analysis.words import counted, quantity
from runner.results.phases import spans
from runner.spec.metrics import Unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.analysis.tally import Tally
    from runner.results.document.phases import Switches
    from runner.results.window import Window
    from runner.spec.checks import Condition
    from runner.spec.metrics import Metric

IN_A_ROW = 3
"""Seconds that keep the objective one after the other before it counts as kept again (and as kept before the switch)."""


@dataclass(frozen=True, slots=True)
class Moment:
    """How long something took, or why that can't be said.

    Attributes:
        seconds: how long; None when it never happened, or can't be said.
        watched: when it never happened: for how many seconds it was looked for.
        missing: why it can't be said.
    """

    seconds: float | None = None
    watched: float | None = None
    missing: str = ""

    @property
    def text(self) -> str:
        """`0.94 s`, `never within 9 s`, or why it can't be said."""
        if self.seconds is not None:
            return quantity(self.seconds * 1000, Unit.MILLISECONDS)
        return self.missing or f"never within {quantity((self.watched or 0.0) * 1000, Unit.MILLISECONDS)}"


def keeps(objective: Sequence[Condition], window: Window) -> list[bool | None]:
    """For each second of a window, from its start: whether it keeps an objective; None when it does not say."""
    found: list[bool | None] = []
    for second in window.seconds:
        whole, by_name = tally_window(replace(window, seconds=[second], length=1.0))
        found.append(_keeps(objective, whole, by_name))
    return found


def _keeps(objective: Sequence[Condition], whole: Tally, by_name: dict[str, Tally]) -> bool | None:
    known = True
    for condition in objective:
        request = condition.metric.request
        tally = whole if request is None else by_name.get(request)
        value = None if tally is None else _value(condition.metric, tally, as_share=condition.limit.unit is Unit.SHARE)
        if value is None:
            known = False
        elif not exactly(value, condition.operator, condition.limit.value):
            return False
    return True if known else None


def _value(metric: Metric, tally: Tally, *, as_share: bool) -> float | None:
    """A metric in one second, in its check's unit; None when the second has nothing to say about it."""
    if metric.is_latency:
        response = tally.response
        if not response.count:
            return None
        if metric.name == "max":
            return response.greatest / 1000
        value = response.mean if metric.quantile is None else response.quantile(metric.quantile)
        return None if value is None else value / 1000
    count = tally.requests if metric.name == "rate" else count_of(metric, tally)
    if metric.name != "error_rate" and not as_share:
        return float(count)
    total = total_of(metric, tally)
    return count / total if total else None


def time_to_detect(objective: Sequence[Condition], window: Window, switches: Switches | None) -> Moment:
    """From the confirmed switch-on to the end of the first second that breaks the objective.

    That is when somebody who looks at every second could first be told. The second in which the switch was confirmed counts.

    Args:
        objective: what a second keeps.
        window: the whole measured window.
        switches: when the mesh was changed; None when it never was.
    """
    if not objective:
        return Moment(missing="the phases have no objective")
    if switches is None or switches.off is None:
        return Moment(missing="the window ended before the last switch")
    kept = keeps(objective, window)
    reached = spans(switches, window.length)
    last = list(reached["before"])[-IN_A_ROW:]
    if len(last) < IN_A_ROW or not all(kept[second] for second in last):
        return Moment(
            missing=f"the objective was not kept in the last {IN_A_ROW} seconds before the switch, "
            "so what broke it after can't be told from what broke it before"
        )
    confirmed, end = switches.on.confirmed, floor(switches.off.requested)
    for second in range(floor(confirmed), min(end, len(kept))):
        if kept[second] is False:
            return Moment(seconds=second + 1 - confirmed)
    return Moment(watched=max(end - confirmed, 0.0))


def time_to_recover(objective: Sequence[Condition], window: Window, switches: Switches | None) -> Moment:
    """From the confirmed switch-off to the start of the first of three whole seconds in a row that keep the objective.

    Args:
        objective: what a second keeps.
        window: the whole measured window.
        switches: when the mesh was changed; None when it never was.
    """
    detected = time_to_detect(objective, window, switches)
    if detected.missing or switches is None or switches.off is None:
        return detected
    if detected.seconds is None:
        return Moment(missing="the objective was kept all the time, so there was nothing to recover from")
    kept = keeps(objective, window)
    confirmed, end = switches.off.confirmed, floor(window.length)
    for second in range(floor(confirmed) + 1, min(end, len(kept)) - IN_A_ROW + 1):
        if all(kept[second : second + IN_A_ROW]):
            return Moment(seconds=second - confirmed)
    return Moment(watched=max(end - confirmed, 0.0))


def never(moments: Sequence[Moment]) -> str:
    """What to say of trials in which something was looked for in vain; empty when there is none."""
    vain = [moment.watched for moment in moments if moment.watched is not None]
    if not vain:
        return ""
    watched = quantity(max(vain) * 1000, Unit.MILLISECONDS)
    if len(moments) == 1:
        return f"never within {watched}"
    return f"never within {watched} in {len(vain)} of {counted(len(moments), 'trial')}"
