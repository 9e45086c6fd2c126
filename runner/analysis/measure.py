"""One metric of one variant: its value over some trials, its interval, or why it can't be had."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from runner.analysis.capacity_sum import together
from runner.analysis.counters import read_counter
from runner.analysis.intervals import CONFIDENCE, effective_size, share_interval, t_interval
from runner.analysis.latency import latency_over
from runner.analysis.measured import Measured, exact_value, from_interval, noting_few_trials
from runner.analysis.phases import never, time_to_detect, time_to_recover
from runner.analysis.shares import count_of, is_share, total_of
from runner.analysis.words import counted, listing
from runner.spec.metrics import Unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.analysis.evidence import TrialEvidence
    from runner.analysis.tally import Tally
    from runner.spec.metrics import Metric


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
    return noting_few_trials(means, len(trials))


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
        return latency_over(metric, tallies, confidence, interval=interval)
    return _requests(metric, tallies, confidence, as_share=as_share)


def _capacity(trials: Sequence[TrialEvidence]) -> Measured:
    found = [trial.capacity for trial in trials if trial.capacity is not None]
    if len(found) < len(trials):
        nothing = next(trial for trial in trials if trial.capacity is None)
        return Measured(
            Unit.RATE, missing=nothing.absent.get("capacity", "only `meshtrial capacity` measures a capacity")
        )
    return from_interval(together(found), Unit.RATE)


def _counter(metric: Metric, trials: Sequence[TrialEvidence]) -> Measured:
    reading = read_counter(metric, trials)
    if reading.value is None:
        return Measured(Unit.COUNT, missing=reading.missing)
    return exact_value(float(reading.value), Unit.COUNT, reading.note)


def _requests(metric: Metric, tallies: Sequence[Tally], confidence: float, *, as_share: bool) -> Measured:
    """A rate, a share or a count of requests."""
    if metric.name == "rate":
        means = _means([tally.requests / tally.length for tally in tallies if tally.length], Unit.RATE, confidence)
        return noting_few_trials(means, len(tallies))
    if is_share(metric, as_share=as_share):
        return _share(metric, tallies, confidence)
    return exact_value(float(sum(count_of(metric, tally) for tally in tallies)), Unit.COUNT, _never(metric, tallies))


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


def _share(metric: Metric, tallies: Sequence[Tally], confidence: float) -> Measured:
    successes = [count_of(metric, tally) for tally in tallies]
    totals = [total_of(metric, tally) for tally in tallies]
    if not sum(totals):
        missing = "no arrival was scheduled" if metric.name == "dropped" else "no request was measured"
        return Measured(Unit.SHARE, missing=missing)
    measured = replace(
        from_interval(share_interval(successes, totals, confidence), Unit.SHARE),
        successes=sum(successes),
        total=sum(totals),
        size=effective_size(successes, totals, confidence),
        note=_never(metric, tallies),
    )
    return noting_few_trials(measured, sum(1 for total in totals if total))


def _means(values: Sequence[float], unit: Unit, confidence: float) -> Measured:
    """The mean over trials; what is the same in every trial, or known from one alone, is taken as it is."""
    if not values:
        return Measured(unit, missing="no time was measured")
    if len(set(values)) == 1:
        return exact_value(values[0], unit)
    return from_interval(t_interval(values, confidence), unit)


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
