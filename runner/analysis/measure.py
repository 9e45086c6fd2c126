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
    note: str = ""

    @property
    def text(self) -> str:
        """The value with its interval: `1.04 s (0.98 to 1.09 s)`, `124`."""
        if self.value is None:
            return "not measured"
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
    if metric.name == "proxy":
        return _counter(metric, trials)
    if metric.name == "promql":
        return replace(_promql(metric, trials, confidence), trials=len(trials))
    return replace(_loaded(metric, trials, confidence, as_share=as_share, interval=interval), trials=len(trials))


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
    if metric.is_latency:
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
        return _exact(max(histogram.greatest for histogram in histograms) / 1000, Unit.MILLISECONDS)
    share = metric.quantile
    if not interval:
        whole = Histogram.merged(histograms)
        value = whole.mean if share is None else whole.quantile(share)
        return Measured(Unit.MILLISECONDS, (value or 0.0) / 1000)
    bounds = (
        mean_interval(histograms, confidence) if share is None else quantile_interval(histograms, share, confidence)
    )
    measured = _from(bounds, Unit.MILLISECONDS, 1e-3)
    if measured.low is None or measured.high is None:
        answered = sum(histogram.count for histogram in histograms)
        measured = replace(
            measured,
            note=f"{counted(answered, 'answered request')} are too few to bound {metric.name} on both sides",
            settles=blocks_to_bound(share or 0.0, answered, len(tallies)),
        )
    return _few_trials(measured, len(histograms))


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
