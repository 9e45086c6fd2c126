"""Whether variants that a file compares can be compared by their loads: the same kind of loop, the same amount, requests enough.

A latency of an open loop runs from the moment a request was due; one of a closed loop from its sending, and a slow service was asked
less often meanwhile. Their difference says nothing about the service. Amounts that differ, and quantiles for which the load is too
short, are warned of: the run is honest, but its answer will not be what was asked for.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from runner.errors import Problem
from runner.spec.metrics import Metric
from runner.spec.rates import expected
from runner.units import format_duration, format_rate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runner.errors import Position
    from runner.spec.checks import Check
    from runner.spec.load_profile import Arrivals, Load
    from runner.spec.model import Variant

BEYOND_QUANTILE = 50
"""A quantile is compared only where at least this many requests of every trial lie beyond it."""
_SWITCHING = 1.0
"""Seconds of a phase that are lost to the switch."""


def requests_needed(metric: Metric) -> int:
    """The answered requests every trial must have for a quantile to be compared: n (1 - p) >= 50."""
    share = metric.quantile
    return 1 if share is None else math.ceil(round(BEYOND_QUANTILE / (1 - share), 6))


def across_loops(checks: Sequence[Check], variants: Mapping[str, Variant]) -> Iterator[Problem]:
    """Checks that hold a latency of an open loop against one of a closed loop.

    Args:
        checks: all of the file.
        variants: by name; one that could not be read is not in it.
    """
    for check in checks:
        pair = [variants.get(name) for name in (check.variant, check.baseline) if name is not None]
        metrics = [metric for metric in (check.metric, check.operand) if isinstance(metric, Metric)]
        if len(pair) != 2 or None in pair or not any(metric.is_latency for metric in metrics):  # noqa: PLR2004 - a pair
            continue
        loops = {variant.load.arrivals is not None: variant.name for variant in pair if variant}
        if len(loops) == 2:  # noqa: PLR2004 - both kinds
            yield Problem(
                f'"{check.text}": {loops[True]} is an open loop (arrivals: latency counts from the moment a request was due), '
                f"{loops[False]} a closed one (latency counts from its sending, and a slow service is asked less), "
                "so their latencies can't be compared",
                check.position,
                "the same kind of loop for both",
                "Give both variants arrivals, or both users or connections; error_rate and status can be compared as they are",
            )


def other_amounts(
    checks: Sequence[Check], variants: Mapping[str, Variant], places: Mapping[str, Position]
) -> list[str]:
    """A warning when variants that differ in config, or that a check compares, get different arrival rates.

    Args:
        checks: all of the file.
        variants: by name, the baseline first.
        places: of the variants' loads.

    Returns:
        One sentence, or nothing.
    """
    first = next(iter(variants.values()))
    pairs = {(check.variant, check.baseline): True for check in checks if check.baseline and _depends(check)}
    pairs |= {(name, first.name): True for name, variant in variants.items() if _config(variant) != _config(first)}
    other = [
        (one, base)
        for one, base in ((variants[name], variants[baseline]) for name, baseline in pairs if baseline)
        if one.load.arrivals and base.load.arrivals and _profile(one.load) != _profile(base.load)
    ]
    if not other:
        return []
    one, base = other[0]
    more = f" (and {len(other) - 1} more)" if len(other) > 1 else ""
    loads = f"{one.name} gets {_in_words(one.load)} and {base.name} {_in_words(base.load)}{more}"
    return [f"{places[one.name]}: {loads}: what differs between them may come from the load alone"]


def too_few_answers(checks: Sequence[Check], variants: Mapping[str, Variant]) -> list[str]:
    """Warnings of comparisons of quantiles for which the loads can't give answers enough; one for each quantile.

    A load is taken to give one request for each arrival; of users, and of fortio without a rate, nobody knows before how many.

    Args:
        checks: all of the file.
        variants: by name.
    """
    found: dict[str, str] = {}
    for check in checks:
        metric = check.metric
        if check.baseline is None or metric.quantile is None or metric.name in found or not metric.is_latency:
            continue
        needed = requests_needed(metric)
        windows = [_window(variants[name], metric) for name in (check.variant, check.baseline)]
        known = [(number, seconds) for number, seconds in windows if number is not None and number < needed]
        if not known:
            continue
        least, seconds = min(known)
        if seconds and least:
            long, fast = seconds * needed / least, needed / seconds
            advice = f"it takes {format_duration(math.ceil(long))} at this rate, or {format_rate(math.ceil(fast))}"
        else:
            advice = f"it takes {needed} requests"
        length = f" in {format_duration(seconds)}" if seconds else ""
        found[metric.name] = (
            f"{check.position}: comparing {metric.name} takes {needed} answers in every trial, and this load gives about "
            f"{least:.0f}{length}, so it will be inconclusive: {advice}"
        )
    return list(found.values())


def _window(variant: Variant, metric: Metric) -> tuple[float | None, float]:
    """How many requests a trial of a variant makes in what a metric is asked of, None where nobody knows, and how long it lasts."""
    load, phases = variant.load, variant.phases
    seconds = load.duration
    if metric.phase is not None and phases is not None:
        seconds = max(0.0, getattr(phases, metric.phase) - _SWITCHING)
    if load.fortio is not None:
        qps, exact = load.fortio.qps, load.fortio.requests
        return (float(exact), 0.0) if exact else (qps * seconds if qps else None, seconds)
    return (expected(load.arrivals, seconds) if load.arrivals else None), seconds


def _depends(check: Check) -> bool:
    """Whether a check asks of something that more load may change."""
    return check.metric.name not in {"rate", "requests", "capacity", "proxy"}


def _config(variant: Variant) -> tuple[str, str | None, str]:
    phases = variant.phases.model_dump_json() if variant.phases else ""
    return str(variant.apply), variant.url, phases


def _profile(load: Load) -> dict[str, object]:
    return load.arrivals.model_dump(include={"rate", "stages"}) if load.arrivals else {}


def _in_words(load: Load) -> str:
    arrivals: Arrivals | None = load.arrivals
    if arrivals is None or arrivals.rate is not None:
        return format_rate(arrivals.rate if arrivals and arrivals.rate else 0.0)
    return "stages of " + ", ".join(format_rate(stage.rate) for stage in arrivals.stages or ())
