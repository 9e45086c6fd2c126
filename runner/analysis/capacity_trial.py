"""What one trial of a capacity search says: whether the objective held, how near to its limit it was, and whose fault a failure is.

A latency condition such as `p99 < 250ms` is a share like any other: at most 1 % of requests may take longer. Counted so,
trials add up, and MLRsearch's loss ratio is this share.

- An arrival that was dropped because `max_in_flight` requests were under way is the service's failure, whatever the objective.
- Where the objective says nothing about errors, a failed request misses its latency: failing fast is no capacity.
- A service that falls behind is not keeping up, although the queue may not yet have grown to the objective's limit: growth of
  the median response is carried on to the search's `duration_sum`.
- A trial whose generator was short of CPU, or late, is no evidence against the service; one that held in spite of it is
  evidence for it, because its response times count from the due moments.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from scipy import stats

from runner.analysis.capacity_fit import CAP
from runner.analysis.capacity_types import Outcome
from runner.analysis.decide import exactly
from runner.analysis.measure import measure
from runner.analysis.steadiness import second_medians
from runner.analysis.tally import tally_window
from runner.analysis.words import number, quantity
from runner.results.document.trial import Invalid
from runner.results.window import Cell, Second, Window
from runner.spec.metrics import Operator, Unit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runner.analysis.evidence import TrialEvidence
    from runner.analysis.validity_types import Validity
    from runner.spec.checks import Condition
    from runner.spec.metrics import Metric

BEHIND = 0.05
"""Growth of the median response, in seconds per second, from which a service is falling behind without any latency limit: it
serves 5 % fewer requests than arrive, the width of a search."""
_SECONDS_FOR_GROWTH = 4
_ABOUT_ERRORS = frozenset({"errors", "error_rate", "status"})
_UPWARDS = frozenset({Operator.MORE, Operator.AT_LEAST})
_GENERATOR = (Invalid.GENERATOR_CPU, Invalid.NO_TRAFFIC)
_MESH = (Invalid.CONFIG_LOST, Invalid.PROXY_DIED)


@dataclass(frozen=True, slots=True)
class Judged:
    """One trial's finding.

    Attributes:
        outcome: what it says about its rate.
        strain: how much of what the objective allows was used, see `capacity_types.Trial`.
        loss: the share of arrivals that were dropped, failed, or slower than the objective allows a request.
        because: the tightest condition, or why the trial says nothing, in a sentence part.
        codes: of the validity rules, when it says nothing.
    """

    outcome: Outcome
    strain: float
    loss: float
    because: str
    codes: tuple[Invalid, ...] = ()


def judge_trial(
    trial: TrialEvidence, objective: Sequence[Condition], validity: Validity, horizon: float, planned: int = 0
) -> Judged:
    """Judge one trial.

    Args:
        trial: the measured window without its lead.
        objective: all of its conditions must hold.
        validity: the common rules' finding about the same window.
        horizon: seconds for which the service must keep up.
        planned: arrivals that the whole trial would have had, when it was ended early; what was not sent counts as good.
    """
    loss = _loss(trial, objective, planned)
    notes = {note.code: note.detail for note in validity.notes}
    lost = [code for code in _MESH if code in notes]
    if lost:
        return Judged(Outcome.SPOILED, math.inf, loss, notes[lost[0]], tuple(lost))
    strain, because = _strain(trial, objective, horizon, planned)
    missed = Invalid.RATE_MISSED in notes and Invalid.DROPPED not in notes
    if strain <= 1:
        if missed:
            return Judged(Outcome.SPOILED, strain, loss, notes[Invalid.RATE_MISSED], (Invalid.RATE_MISSED,))
        return Judged(Outcome.HELD, strain, loss, because)
    short = [code for code in _GENERATOR if code in notes]
    if not short and missed:
        short = [Invalid.RATE_MISSED]
    if not short and Invalid.LAG in notes and _strain(_service(trial), objective, horizon, planned)[0] <= 1:
        short = [Invalid.LAG]
    if short:
        return Judged(Outcome.SPOILED, strain, loss, notes[short[0]], tuple(short))
    return Judged(Outcome.FAILED, strain, loss, because)


def _strain(trial: TrialEvidence, objective: Sequence[Condition], horizon: float, planned: int) -> tuple[float, str]:
    """The tightest condition's strain, and what was seen of it."""
    found = [_condition(condition, trial, objective, planned) for condition in objective]
    dropped = trial.tally().dropped
    if dropped and not any(condition.metric.name == "dropped" for condition in objective):
        share = dropped / max(planned, trial.tally().due, 1)
        found.append((math.inf, f"{quantity(share, Unit.SHARE)} of arrivals found max_in_flight requests under way"))
    found.append(_growth(trial.window, objective, horizon))
    return max(found, key=lambda item: item[0])


def _condition(
    condition: Condition, trial: TrialEvidence, objective: Sequence[Condition], planned: int
) -> tuple[float, str]:
    """One condition's strain and what was seen."""
    metric, limit = condition.metric, condition.limit
    as_share = limit.unit is Unit.SHARE
    measured = measure(metric, [trial], as_share=as_share, interval=False)
    if measured.value is None:
        return math.inf, f"{metric}: {measured.missing}"
    seen = f"{metric} {quantity(measured.value, measured.unit)}"
    if metric.quantile is not None and condition.operator not in _UPWARDS:
        allowed = (1 - metric.quantile) * max(planned, _total(trial, metric))
        missed = misses(trial.window.seconds, metric, limit.value, failed=not _says_about_errors(objective))
        return (missed / allowed if allowed else math.inf), seen
    value, bound = measured.value, limit.value
    if as_share and planned and condition.operator not in _UPWARDS:
        value *= _total(trial, metric) / max(planned, 1)
    if condition.operator is Operator.EQUAL:
        return (0.0 if exactly(value, condition.operator, bound) else math.inf), seen
    if condition.operator in _UPWARDS:
        value, bound = (1 - value, 1 - bound) if as_share else (bound, value)
    strain = value / bound if bound > 0 else 0.0 if value <= bound else math.inf
    held = exactly(measured.value, condition.operator, limit.value)
    # at the limit itself the operator decides: `< 1%` fails at 1 %
    return (strain if held == (strain <= 1) else math.nextafter(1.0, 2.0) if not held else 1.0), seen


def _says_about_errors(objective: Iterable[Condition]) -> bool:
    return any(condition.metric.name in _ABOUT_ERRORS for condition in objective)


def _total(trial: TrialEvidence, metric: Metric) -> int:
    tally = trial.tally(metric.request)
    return tally.due if metric.name == "dropped" else tally.requests


def misses(seconds: Iterable[Second], metric: Metric, limit: float, *, failed: bool) -> int:
    """Requests that took longer than a latency condition allows.

    Args:
        seconds: of a window.
        metric: the condition's, for its request name.
        limit: milliseconds.
        failed: whether a failed request misses too, however fast it was.
    """
    total = 0.0
    for second in seconds:
        names = [metric.request] if metric.request is not None else list(second.cells)
        for cell in (cell for name in names for cell in second.cells.get(name, {}).values()):
            over = cell.response.count - cell.response.count_at_or_below(limit * 1000)
            total += min(cell.requests, over + (max(cell.errors, cell.unanswered) if failed else 0))
    return round(total)


def _growth(window: Window, objective: Sequence[Condition], horizon: float) -> tuple[float, str]:
    """The strain of the median response if it went on growing as it did (Theil-Sen slope, when it is above zero at 95 %)."""
    offsets, medians = second_medians(window)
    if len(medians) < _SECONDS_FOR_GROWTH:
        return 0.0, ""
    slope, _, low, _ = stats.theilslopes(medians, offsets, alpha=0.95)
    if not low > 0:
        return 0.0, ""
    middle = float(sorted(medians)[len(medians) // 2])
    later = middle + float(slope) * (horizon - window.length / 2)
    limit = _latency_limit(objective)
    strain = later / limit if limit else float(slope) / 1000 / BEHIND
    return strain, (
        f"the median response grew by {number(float(slope))} ms each second: "
        f"{quantity(later, Unit.MILLISECONDS)} after {number(horizon)} s"
    )


def _latency_limit(objective: Iterable[Condition]) -> float | None:
    """The tightest upper limit on latency, in ms."""
    limits = [c.limit.value for c in objective if c.metric.is_latency and c.operator not in _UPWARDS]
    return min(limits) if limits else None


def _loss(trial: TrialEvidence, objective: Sequence[Condition], planned: int) -> float:
    tally = trial.tally()
    limit = _latency_limit(objective)
    lost = tally.dropped
    for second in trial.window.seconds:
        for by_status in second.cells.values():
            for cell in by_status.values():
                over = 0.0 if limit is None else cell.response.count - cell.response.count_at_or_below(limit * 1000)
                lost += round(min(cell.requests, over + max(cell.errors, cell.unanswered)))
    total = max(planned, tally.requests + tally.dropped)
    return min(1.0, lost / total) if total else 1.0


def _service(trial: TrialEvidence) -> TrialEvidence:
    """The same trial as if every request had been sent when it was due: service times, nothing dropped."""
    seconds = []
    for second in trial.window.seconds:
        cells = {
            name: {
                status: Cell(cell.service, cell.service, cell.errors, cell.unanswered)
                for status, cell in by_status.items()
            }
            for name, by_status in second.cells.items()
        }
        seconds.append(replace(second, cells=cells, dropped=0))
    return replace(trial, window=replace(trial.window, seconds=seconds))


def without_lead(window: Window, lead: float) -> Window:
    """A window without its first whole seconds, which brought the service to its state."""
    cut = round(lead)
    seconds = [replace(second, offset=second.offset - cut) for second in window.seconds if second.offset >= cut]
    return replace(
        window,
        seconds=seconds,
        length=max(0.0, window.length - cut),
        scheduled=sum(second.due for second in seconds),
        started=window.started + cut,
    )


@dataclass(slots=True)
class Hopeless:
    """Watches a trial's live seconds and says when its failure is certain by so much that going on would teach nothing.

    That is when its strain, counted against all the arrivals it was to have, is beyond what the fit tells apart.

    Attributes:
        objective: what must hold.
        planned: arrivals in the judged part of the trial.
        lead: seconds before that part; requests that end within a second after it may belong to it and are not counted.
    """

    objective: Sequence[Condition]
    planned: int
    lead: float
    _seen: list[Second] = field(default_factory=list)

    def see(self, second: Second) -> bool:
        """Look at one more second; whether the trial may end."""
        if second.offset < self.lead + 1:
            return False
        self._seen.append(second)
        failed = not _says_about_errors(self.objective)
        dropped = sum(part.dropped for part in self._seen)
        if dropped > (CAP / 100) * self.planned and not any(c.metric.name == "dropped" for c in self.objective):
            return True
        for condition in self.objective:
            metric = condition.metric
            if condition.operator in _UPWARDS or metric.request is not None:
                continue
            if metric.quantile is not None:
                allowed = (1 - metric.quantile) * self.planned
                missed = misses(self._seen, metric, condition.limit.value, failed=failed)
            elif metric.name == "error_rate":
                allowed = condition.limit.value * self.planned
                missed = sum(cell.errors for part in self._seen for by in part.cells.values() for cell in by.values())
            else:
                continue
            if missed > CAP * allowed + 1:
                return True
        return False


def planned_in(window: Window, rate: float, seconds: float) -> int:
    """Arrivals that the judged part of a trial was to have: as scheduled, or more when the trial was ended early."""
    return max(round(rate * seconds), tally_window(window)[0].due) if window.stopped else 0
