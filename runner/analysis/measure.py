"""One metric of one variant: its value over some trials, its interval, or why it can't be had."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from runner.analysis.capacity_sum import together
from runner.analysis.counters import read_counter
from runner.analysis.intervals import (
    CONFIDENCE,
    TRIALS_FOR_COVERAGE,
    blocks_to_bound,
    effective_size,
    mean_interval,
    quantile_interval,
    share_interval,
    t_interval,
)
from runner.analysis.phases import never, time_to_detect, time_to_recover
from runner.analysis.words import counted, listing, quantity, spread
from runner.results.histogram import Histogram
from runner.spec.checks import Unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.analysis.evidence import TrialEvidence
    from runner.analysis.tally import Tally
    from runner.results.document import Interval
    from runner.spec.checks import Metric

SHARES = {"errors", "dropped", "status", "outcome"}
"""Counts that a percentage in a check turns into shares."""


_ANY_TIME = 2**50
"""Thirty years in µs (a bucket's lower edge): stands for the time of a request without an answer."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric as it was measured.

    Attributes:
        unit: of the values.
        value: the estimate, None when there is none.
        low: lower end of the interval; for an exact value the value.
        high: upper end of the interval.
        exact: a count, compared as it is.
        successes: for a share, how many (of `total`).
        total: for a share, of how many.
        size: for a share, how many independent requests the total is worth.
        trials: over how many trials.
        settles: for a quantile that the requests do not bound on both sides, the blocks with which they would.
        missing: why there is no value.
        never: in words, where something that takes a time did not happen; it took `low` at least then, and there is no value.
        note: what a reader should know beside the value.
    """

    unit: Unit
    value: float | None = None
    low: float | None = None
    high: float | None = None
    exact: bool = False
    successes: int = 0
    total: int = 0
    size: float = 0.0
    trials: int = 0
    settles: int | None = None
    missing: str = ""
    never: str = ""
    note: str = ""

    @property
    def text(self) -> str:
        """The value with its interval: `1.04 s (0.98 to 1.09 s)`, `124`."""
        if self.value is None:
            return self.never or "not measured"
        shown = quantity(self.value, self.unit)
        if self.exact:
            return shown
        return f"{shown} ({spread(self.low, self.high, self.unit, self.value)})"


def _exact(value: float, unit: Unit, note: str = "") -> Measured:
    return Measured(unit, value, value, value, exact=True, note=note)


def _from(interval: Interval, unit: Unit, scale: float = 1.0) -> Measured:
    estimate, low, high = (
        None if end is None else end * scale for end in (interval.estimate, interval.low, interval.high)
    )
    return Measured(unit, estimate, low, high)


def count_of(metric: Metric, tally: Tally) -> int:
    """How many requests of a tally a counting metric means (`error_rate` counts errors)."""
    argument = metric.argument or ""
    return {
        "requests": tally.requests,
        "errors": tally.errors,
        "error_rate": tally.errors,
        "dropped": tally.dropped,
        "status": tally.status.get(argument, 0),
        "outcome": tally.outcomes.get(argument, 0),
    }[metric.name]


def total_of(metric: Metric, tally: Tally) -> int:
    """Of how many a share of `count_of` is: the measured requests; for `dropped` the arrivals that were due."""
    return tally.due if metric.name == "dropped" else tally.requests


def is_share(metric: Metric, *, as_share: bool = False) -> bool:
    """Whether a metric is a share of requests, by its nature or because it is compared with a percentage."""
    return metric.name == "error_rate" or (as_share and metric.name in SHARES)


def measure(
    metric: Metric,
    trials: Sequence[TrialEvidence],
    *,
    as_share: bool = False,
    confidence: float = CONFIDENCE,
    interval: bool = True,
) -> Measured:
    """A metric over all of some trials.

    Args:
        metric: what to measure.
        trials: those that count, of one variant.
        as_share: counts of requests as shares of all requests (of that request name).
        confidence: of the interval.
        interval: False for the value alone.

    Returns:
        The value. Counters and counts are summed over the trials; `rate` and `promql` are means over them.
    """
    if not trials:
        return Measured(_unit(metric, as_share=as_share), missing="no valid trial")
    if metric.is_time_to:
        return replace(_time_to(metric, trials, confidence), trials=len(trials))
    if metric.phase is not None:
        parts = [part for trial in trials if (part := trial.of(metric)) is not None and part.window.seconds]
        if len(parts) < len(trials):
            return Measured(_unit(metric, as_share=as_share), missing=_no_phase(metric.phase, trials, len(parts)))
        metric, trials = replace(metric, phase=None), parts
    if metric.name == "proxy":
        return _counter(metric, trials)
    if metric.name == "promql":
        return replace(_promql(metric, trials, confidence), trials=len(trials))
    return replace(_loaded(metric, trials, confidence, as_share=as_share, interval=interval), trials=len(trials))


def _no_phase(phase: str, trials: Sequence[TrialEvidence], reached: int) -> str:
    if all(trial.switches is None for trial in trials):
        return "it has no phases"
    return f"{len(trials) - reached} of {counted(len(trials), 'trial')} has no whole second in the phase `{phase}`"


def _time_to(metric: Metric, trials: Sequence[TrialEvidence], confidence: float) -> Measured:
    """One time of each trial: their mean, or that in some of them there was none."""
    look = time_to_detect if metric.name == "time_to_detect" else time_to_recover
    moments = [look(trial.objective, trial.window, trial.switches) for trial in trials]
    for trial, moment in zip(trials, moments, strict=True):
        if moment.missing:
            where = f" (block {trial.block})" if len(trials) > 1 else ""
            return Measured(Unit.MILLISECONDS, missing=f"{moment.missing}{where}")
    in_vain = never(moments)
    if in_vain:
        least = min(moment.watched for moment in moments if moment.watched is not None)
        return Measured(Unit.MILLISECONDS, low=least * 1000, missing=in_vain, never=in_vain)
    means = _means([(moment.seconds or 0.0) * 1000 for moment in moments], Unit.MILLISECONDS, confidence)
    if means.low is not None:
        means = replace(means, low=max(means.low, 0.0))
    return _few_trials(means, len(trials))


def _loaded(
    metric: Metric, trials: Sequence[TrialEvidence], confidence: float, *, as_share: bool, interval: bool
) -> Measured:
    """What the load generator saw."""
    if metric.name == "capacity":
        return _capacity(trials)
    tallies = [trial.tally(metric.request) for trial in trials]
    if metric.request is not None and not any(tally.requests for tally in tallies):
        seen = sorted({name for trial in trials for name in trial.names})
        missing = f"no request was named `{metric.request}`; names seen: {listing(seen, 12) or 'none'}"
        return Measured(_unit(metric, as_share=as_share), missing=missing)
    if metric.is_latency:
        return _latency(metric, tallies, confidence, interval=interval)
    return _requests(metric, tallies, confidence, as_share=as_share)


def _capacity(trials: Sequence[TrialEvidence]) -> Measured:
    found = [trial.capacity for trial in trials if trial.capacity is not None]
    if len(found) < len(trials):
        nothing = next(trial for trial in trials if trial.capacity is None)
        return Measured(
            Unit.RATE, missing=nothing.absent.get("capacity", "only `meshtrial capacity` measures a capacity")
        )
    return _from(together(found), Unit.RATE)


def _counter(metric: Metric, trials: Sequence[TrialEvidence]) -> Measured:
    reading = read_counter(metric, trials)
    if reading.value is None:
        return Measured(Unit.COUNT, missing=reading.missing)
    return _exact(float(reading.value), Unit.COUNT, reading.note)


def _requests(metric: Metric, tallies: Sequence[Tally], confidence: float, *, as_share: bool) -> Measured:
    """A rate, a share or a count of requests."""
    if metric.name == "rate":
        means = _means([tally.requests / tally.length for tally in tallies if tally.length], Unit.RATE, confidence)
        return _few_trials(means, len(tallies))
    if is_share(metric, as_share=as_share):
        return _share(metric, tallies, confidence)
    return _exact(float(sum(count_of(metric, tally) for tally in tallies)), Unit.COUNT, _never(metric, tallies))


def _unit(metric: Metric, *, as_share: bool) -> Unit:
    if metric.is_latency or metric.is_time_to:
        return Unit.MILLISECONDS
    if is_share(metric, as_share=as_share):
        return Unit.SHARE
    return Unit.RATE if metric.name in {"rate", "capacity"} else Unit.COUNT


def _never(metric: Metric, tallies: Sequence[Tally]) -> str:
    if metric.name == "outcome" and not any(count_of(metric, tally) for tally in tallies):
        return f"no response was labelled `{metric.argument}`"
    return ""


def _few_trials(measured: Measured, trials: int) -> Measured:
    """Say so where the spread between trials is hardly known."""
    if measured.value is None or measured.exact or trials >= TRIALS_FOR_COVERAGE:
        return measured
    known = "one trial can't show" if trials == 1 else f"{trials} trials hardly show"
    note = f"{known} how much trials differ"
    return replace(measured, note=f"{measured.note}; {note}" if measured.note else note)


def _latency(metric: Metric, tallies: Sequence[Tally], confidence: float, *, interval: bool) -> Measured:
    histograms = [tally.response for tally in tallies if tally.response.count]
    if not histograms:
        return Measured(Unit.MILLISECONDS, missing="no request was answered")
    if metric.name == "max":
        greatest = _exact(max(histogram.greatest for histogram in histograms) / 1000, Unit.MILLISECONDS)
        return _unanswered(greatest, metric, tallies, confidence)
    share = metric.quantile
    if not interval:
        whole = Histogram.merged(histograms)
        value = whole.mean if share is None else whole.quantile(share)
        return Measured(Unit.MILLISECONDS, (value or 0.0) / 1000)
    bounds = (
        mean_interval(histograms, confidence) if share is None else quantile_interval(histograms, share, confidence)
    )
    measured = _unanswered(_from(bounds, Unit.MILLISECONDS, 1e-3), metric, tallies, confidence)
    if measured.note:
        return _few_trials(measured, len(histograms))
    if measured.low is None or measured.high is None:
        answered = sum(histogram.count for histogram in histograms)
        measured = replace(
            measured,
            note=f"{counted(answered, 'answered request')} are too few to bound {metric.name} on both sides",
            settles=blocks_to_bound(share or 0.0, answered, len(tallies)),
        )
    return _few_trials(measured, len(histograms))


def _unanswered(measured: Measured, metric: Metric, tallies: Sequence[Tally], confidence: float) -> Measured:
    """The same with an upper end that holds for all requests: one without an answer may have taken any time.

    The estimate and the lower end are of the answered ones.
    """
    lost = sum(tally.unanswered for tally in tallies)
    if not lost:
        return measured
    high = None
    if metric.quantile is not None:
        counted_in = [_slowest_unanswered(tally) for tally in tallies if tally.requests]
        bound = quantile_interval(counted_in, metric.quantile, confidence).high
        high = None if bound is None or bound >= _ANY_TIME else bound / 1000
        if high is not None and measured.high is not None and high <= measured.high:
            return measured
    total = sum(tally.requests for tally in tallies)
    note = f"{lost} of {counted(total, 'request')} got no answer; they may have taken any time"
    return replace(measured, high=high, exact=False, note=note)


def _slowest_unanswered(tally: Tally) -> Histogram:
    whole = Histogram.merged([tally.response])
    for _ in range(tally.unanswered):
        whole.record(_ANY_TIME)
    return whole


def _share(metric: Metric, tallies: Sequence[Tally], confidence: float) -> Measured:
    successes = [count_of(metric, tally) for tally in tallies]
    totals = [total_of(metric, tally) for tally in tallies]
    if not sum(totals):
        missing = "no arrival was scheduled" if metric.name == "dropped" else "no request was measured"
        return Measured(Unit.SHARE, missing=missing)
    measured = replace(
        _from(share_interval(successes, totals, confidence), Unit.SHARE),
        successes=sum(successes),
        total=sum(totals),
        size=effective_size(successes, totals, confidence),
        note=_never(metric, tallies),
    )
    return _few_trials(measured, sum(1 for total in totals if total))


def _means(values: Sequence[float], unit: Unit, confidence: float) -> Measured:
    """The mean over trials; what is the same in every trial, or known from one alone, is taken as it is."""
    if not values:
        return Measured(unit, missing="no time was measured")
    if len(set(values)) == 1:
        return _exact(values[0], unit)
    return _from(t_interval(values, confidence), unit)


def _promql(metric: Metric, trials: Sequence[TrialEvidence], confidence: float) -> Measured:
    name = metric.argument or ""
    values: list[float] = []
    for trial in trials:
        value = trial.promql.get(name)
        if value is None:
            reason = (
                trial.absent.get(name)
                or trial.absent.get(f"promql[{name}]")
                or f"the query gave nothing in block {trial.block}"
            )
            return Measured(Unit.COUNT, missing=reason)
        values.append(value)
    return _means(values, Unit.COUNT, confidence)
