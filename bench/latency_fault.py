"""Faults of known size in a real Envoy, as each load generator reports them.

Two hundred requests a second by a schedule, through an Envoy whose fault filter delays 30 % of them by 100 ms and answers
10 % with 503 (independently of each other), and through one that delays all by 100 ms. Arithmetic says what a client must
see. In the first, 70 % are answered at once and 30 % after 100 ms, so p50 lies at what the machine takes (a fraction of a
millisecond) and p75 and p95 at 100 ms beyond it; 10 % are 503, up to the binomial spread of that many requests. In the
second every quantile lies at 100 ms. What Envoy's own counters (`aborts_injected`, `delays_injected`) count beside the client
leaves no chance in it: each injected fault must be seen, exactly once. The generators are those of `latency_honesty`; the
errors are what they report less what arithmetic says, in milliseconds.
"""

from __future__ import annotations

import contextlib
import tempfile
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from bench.bare import BareEnvoys, Envoy, fault
from bench.generators import generators
from bench.measure import Result, Sample, Series, Table, figure, series, side_by_side

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bench.generators import Seen

_RATE = 200
_SECONDS = 10
_FIXED_SECONDS = 5
_QUICK_SECONDS = 3
_REPEATS = 5
_DELAY = 0.1
_DELAYED = 30
_ABORTED = 10
_TRUTH_MIXED = {50: 0.0, 75: 100.0, 95: 100.0, 99: 100.0}
"""Milliseconds beyond what the machine takes."""
_TRUTH_FIXED = dict.fromkeys(_TRUTH_MIXED, 100.0)
_SENT, _ABORTS, _DELAYS, _ANSWERS, _SHARE = (
    "sent of all",
    "503s of Envoy's aborts",
    "slow of Envoy's delays",
    "answers of Envoy's requests",
    "share of 503",
)
_COUNTERS = ("http.bare.fault.aborts_injected", "http.bare.fault.delays_injected", "http.bare.downstream_rq_completed")
_OURS = "meshtrial, FastHttpUser"


def _once(
    run: Callable[[str, int, int], Seen], envoy: Envoy, seconds: int, truth: Mapping[int, float], expected: int
) -> Sample:
    before = [envoy.counter(name) for name in _COUNTERS]
    seen = run(f"{envoy.url}/", _RATE, seconds)
    aborts, delays, completed = (envoy.counter(name) - earlier for name, earlier in zip(_COUNTERS, before, strict=True))
    sample = {
        _SENT: seen.requests / expected,
        _DELAYS: seen.slow / delays,
        _ANSWERS: seen.requests / completed,
        _SHARE: seen.aborted / seen.requests,
        "aborted": seen.aborted,
        "requests": seen.requests,
        **{_error(percent): seen.quantiles[percent] - value for percent, value in truth.items()},
    }
    if aborts:
        sample[_ABORTS] = seen.aborted / aborts
    return sample


def _error(percent: int) -> str:
    return f"p{percent} error"


def _cell(samples: Sequence[Sample], quantity: str, unit: str) -> str:
    values = [sample[quantity] for sample in samples]
    sign = "+" if unit == "ms" and median(values) >= 0 else ""
    least, most = figure(min(values), unit), figure(max(values), unit)
    middle = sign + figure(median(values), unit)
    return (
        middle if least == most else f"{middle} ({least.removesuffix(' ' + unit)} to {most.removesuffix(' ' + unit)})"
    )


def _within(samples: Sequence[Sample]) -> str:
    """In how many repeats the exact 99 % interval of the share of 503 holds the truth."""
    from scipy.stats import binomtest  # noqa: PLC0415 - slow to import

    held = 0
    for sample in samples:
        tested = binomtest(int(sample["aborted"]), int(sample["requests"]))
        interval = tested.proportion_ci(confidence_level=0.99, method="exact")
        held += bool(interval.low <= _ABORTED / 100 <= interval.high)
    return f"{held} of {len(samples)}"


def _mixed_table(found: Mapping[str, Sequence[Sample]]) -> Table:
    head = ("", _SENT, "p50 error", "p75 error", "p95 error", _ABORTS, _DELAYS, _SHARE, "10 % in its 99 % interval")
    rows = [
        (
            name,
            _cell(samples, _SENT, "x"),
            *(_cell(samples, _error(percent), "ms") for percent in (50, 75, 95)),
            _cell(samples, _ABORTS, "x"),
            _cell(samples, _DELAYS, "x"),
            _cell(samples, _SHARE, "x"),
            _within(samples),
        )
        for name, samples in found.items()
    ]
    return Table(f"{_DELAYED} % delayed by 100 ms, {_ABORTED} % aborted with 503", head, rows)


def _fixed_table(found: Mapping[str, Sequence[Sample]]) -> Table:
    head = ("", _SENT, "p50 error", "p75 error", "p95 error", "p99 error", _DELAYS)
    rows = [
        (
            name,
            _cell(samples, _SENT, "x"),
            *(_cell(samples, _error(percent), "ms") for percent in (50, 75, 95, 99)),
            _cell(samples, _DELAYS, "x"),
        )
        for name, samples in found.items()
    ]
    return Table("All delayed by 100 ms", head, rows)


def _ours(found: Mapping[str, Sequence[Sample]], what: str) -> list[Series]:
    """What is asked of our own figures: all sent, every fault seen once, and waits no longer than vegeta sees."""
    off = [
        max(abs(sample.get(quantity, 1.0) - 1) for quantity in (_ABORTS, _DELAYS, _ANSWERS)) for sample in found[_OURS]
    ]
    rows = [
        series(found, _OURS, _SENT, "x", f"{what}: {_SENT}").aimed(">= 1"),
        Series(f"{what}: faults and answers that Envoy counted otherwise", "x", tuple(off), "<= 0"),
    ]
    for percent in (50, 75, 95) if "vegeta" in found else ():
        pairs = zip(found[_OURS], found["vegeta"], strict=True)
        more = tuple(mine[_error(percent)] - theirs[_error(percent)] for mine, theirs in pairs)
        rows.append(Series(f"{what}: p{percent} beyond vegeta's", "ms", more, "<= 3"))
    return rows


def measure(*, quick: bool = False) -> Result:
    """Run all of them side by side."""
    mixed_seconds, fixed_seconds, repeats = (
        (_QUICK_SECONDS, _QUICK_SECONDS, 2) if quick else (_SECONDS, _FIXED_SECONDS, _REPEATS)
    )
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="meshtrial-bench-")))
        mixed, fixed = (
            stack.enter_context(BareEnvoys(folder / name, workers=1, filters=[faults])).envoys[0]
            for name, faults in (
                ("mixed", fault(_DELAY, _DELAYED, _ABORTED)),
                ("fixed", fault(_DELAY, 100, 0)),
            )
        )
        runs, notes = stack.enter_context(generators())

        def compare(envoy: Envoy, seconds: int, truth: Mapping[int, float], seed: int) -> dict[str, list[Sample]]:
            arms = {name: partial(_once, run, envoy, seconds, truth, _RATE * seconds) for name, run in runs.items()}
            return side_by_side(arms, repeats, seed, warm=False)

        with_both = compare(mixed, mixed_seconds, _TRUTH_MIXED, 1)
        with_delay = compare(fixed, fixed_seconds, _TRUTH_FIXED, 2)
    rows = [*_ours(with_both, "delay and abort"), *_ours(with_delay, "all delayed")]
    return Result(
        rows,
        [
            f"the rows above are of {_OURS}; {_RATE * mixed_seconds:,} and {_RATE * fixed_seconds:,} requests are due in a repeat",
            "fortio asks once on every connection before it measures, which Envoy counts and fortio does not",
            "plain Locust has 20 users, who ask ten times a second each when they need not wait longer",
            *notes,
        ],
        [_mixed_table(with_both), _fixed_table(with_delay)],
    )
