"""Windows and trials as the driver would have left them, made from plain numbers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from runner.analysis.evidence import TrialEvidence
from runner.results.window import Second, Window

sys.path.insert(0, str(Path(__file__).parent))


def _window(
    latencies,
    *,
    seconds=4,
    name="page",
    status="200",
    errors=0,
    unanswered=0,
    exception="ConnectionRefusedError",
    outcomes=None,
    dropped=0,
    lag_ms=0.2,
    late=0,
    late_ms=50.0,
    open_loop=True,
    scheduled=None,
    cpu=0.1,
    service=None,
):
    """`latencies` (ms) dealt out over the seconds in order; `errors` of them failed; `late` arrivals sent late."""
    window = Window(
        [Second(offset) for offset in range(seconds)], float(seconds), open_loop, 0, 0.0, float(seconds), cpu
    )
    statuses = [status] * len(latencies) if isinstance(status, str) else list(status)
    total = len(latencies) + unanswered
    for index, (latency, code) in enumerate(zip(latencies, statuses, strict=True)):
        second = window.seconds[index * seconds // max(total, 1)]
        cell = second.cell(name, code)
        cell.response.record(round(latency * 1000))
        cell.service.record(round((latency if service is None else service) * 1000))
        cell.errors += index < errors
        if open_loop:
            second.due += 1
            second.lag.record(round((late_ms if index < late else lag_ms) * 1000))
    for index in range(len(latencies), total):
        second = window.seconds[index * seconds // total]
        cell = second.cell(name, "0")
        cell.unanswered += 1
        cell.errors += 1
        second.exceptions[exception] = second.exceptions.get(exception, 0) + 1
        second.due += open_loop
    if outcomes:
        window.seconds[0].outcomes[name] = dict(outcomes)
    window.seconds[-1].dropped = dropped
    window.seconds[-1].due += dropped
    window.scheduled = (total + dropped if scheduled is None else scheduled) if open_loop else 0
    return window


@pytest.fixture(scope="session")
def window_of():
    return _window


@pytest.fixture(scope="session")
def trial_of():
    def make(
        variant,
        block,
        latencies,
        *,
        attempt=1,
        valid=True,
        increases=None,
        services=None,
        promql=None,
        absent=None,
        **load,
    ):
        return TrialEvidence(
            block,
            attempt,
            variant,
            _window(latencies, **load),
            increases or {},
            services or {},
            promql or {},
            absent or {},
            valid,
        )

    return make


@pytest.fixture(scope="session")
def blocks_of(trial_of):
    """Trials of one variant, one per element of `per_block` (the latencies of each)."""

    def make(variant, per_block, **load):
        return [trial_of(variant, block, latencies, **load) for block, latencies in enumerate(per_block, start=1)]

    return make
