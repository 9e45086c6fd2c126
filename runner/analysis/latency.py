"""A latency metric over some trials, requests without an answer among them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from runner.analysis.intervals import blocks_to_bound, mean_interval, quantile_interval
from runner.analysis.measured import Measured, exact_value, from_interval, noting_few_trials
from runner.analysis.words import counted
from runner.results.histogram import Histogram
from runner.spec.metrics import Unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.analysis.tally import Tally
    from runner.spec.metrics import Metric


_ANY_TIME = 2**50
"""Thirty years in µs (a bucket's lower edge): stands for the time of a request without an answer."""


def latency_over(metric: Metric, tallies: Sequence[Tally], confidence: float, *, interval: bool) -> Measured:
    """A latency over some trials, with its interval unless only the value is asked for."""
    histograms = [tally.response for tally in tallies if tally.response.count]
    if not histograms:
        return Measured(Unit.MILLISECONDS, missing="no request was answered")
    if metric.name == "max":
        greatest = exact_value(max(histogram.greatest for histogram in histograms) / 1000, Unit.MILLISECONDS)
        return _unanswered(greatest, metric, tallies, confidence)
    share = metric.quantile
    if not interval:
        whole = Histogram.merged(histograms)
        value = whole.mean if share is None else whole.quantile(share)
        return Measured(Unit.MILLISECONDS, (value or 0.0) / 1000)
    bounds = (
        mean_interval(histograms, confidence) if share is None else quantile_interval(histograms, share, confidence)
    )
    measured = _unanswered(from_interval(bounds, Unit.MILLISECONDS, 1e-3), metric, tallies, confidence)
    if measured.note:
        return noting_few_trials(measured, len(histograms))
    if measured.low is None or measured.high is None:
        answered = sum(histogram.count for histogram in histograms)
        measured = replace(
            measured,
            note=f"{counted(answered, 'answered request')} are too few to bound {metric.name} on both sides",
            settles=blocks_to_bound(share or 0.0, answered, len(tallies)),
        )
    return noting_few_trials(measured, len(histograms))


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
