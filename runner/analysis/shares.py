"""Requests counted for a metric, and of how many they are a share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runner.analysis.tally import Tally
    from runner.spec.metrics import Metric


SHARES = {"errors", "dropped", "status", "outcome"}
"""Counts that a percentage in a check turns into shares."""


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
