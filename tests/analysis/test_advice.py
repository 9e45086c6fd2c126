from __future__ import annotations

import numpy as np
import pytest

from runner.analysis.advice import blocks_to_clear, blocks_to_tell_apart, more_blocks
from runner.analysis.intervals import blocks_to_bound, quantile_interval
from runner.analysis.measure import measure
from runner.analysis.measured import Measured
from runner.results.histogram import Histogram
from runner.spec.metrics import Metric, Unit


def test_more_blocks_read_as_a_person_says_it():
    assert more_blocks(6, 9) == "about 3 more blocks (9 in all) would settle it"
    assert more_blocks(6, 7) == "about 1 more block (7 in all) would settle it"
    assert more_blocks(6, 6) == "about 1 more block (7 in all) would settle it"
    assert more_blocks(6, None) == more_blocks(6, 121) == "more blocks would hardly tell"
    assert more_blocks(0, 6, "would do") == "about 6 more blocks (6 in all) would do"


def test_an_interval_narrows_with_the_root_of_the_blocks():
    measured = Measured(Unit.MILLISECONDS, 100.0, 90.0, 112.0, trials=6)
    assert blocks_to_clear(measured, 110.0) == int(np.ceil(6 * (2.8 / 1.96) ** 2 * 1.2**2))
    assert blocks_to_clear(measured, 95.0) == int(np.ceil(6 * (2.8 / 1.96) ** 2 * 2**2))
    assert blocks_to_clear(measured, 100.0) is None
    assert blocks_to_clear(Measured(Unit.MILLISECONDS, 100.0, 90.0, None, trials=6), 110.0) is None


@pytest.mark.parametrize(("errors", "limit"), [(0, 0.005), (4, 0.01), (30, 0.03), (30, 0.06)])
def test_a_share_is_cleared_by_the_blocks_that_are_named(blocks_of, errors, limit):
    """The same share in so many blocks, and luck of 0.84 deviations against it, is told from the limit."""
    latencies = [10.0] * 120

    def interval(blocks, failed):
        trials = blocks_of("v", [latencies] * blocks)
        for trial in trials[:failed]:
            next(iter(trial.window.seconds[0].cells["page"].values())).errors += 1
        return measure(Metric("error_rate"), trials)

    six = interval(6, min(errors, 6))
    if six.value is not None and six.value < limit < (six.high or 0):
        needed = blocks_to_clear(six, limit)
        assert needed is not None
        assert needed > 6
        many = interval(needed, round((six.value or 0) * 120 * needed))
        assert many.high < limit


def test_two_estimates_are_told_apart_when_their_reaches_fit_between_them():
    one, other = (Measured(Unit.MILLISECONDS, x, x - 10, x + 10, trials=6) for x in (100.0, 115.0))
    assert blocks_to_tell_apart(one, other) == blocks_to_tell_apart(other, one)
    assert blocks_to_tell_apart(one, other) == int(np.ceil(6 * (2.8 / 1.96) ** 2 * (20 / 15) ** 2))
    assert blocks_to_tell_apart(one, one) is None


def test_the_blocks_named_bound_a_quantile():
    """p99.9 of trials of 600: bounded with the number of blocks that is named, and not with one fewer."""

    def bounded(blocks):
        histogram = Histogram()
        for value in range(1, 601):
            histogram.record(value)
        return quantile_interval([histogram] * blocks, 0.999).high is not None

    needed = blocks_to_bound(0.999, 3600, 6)
    assert needed is not None
    assert not bounded(6)
    assert bounded(needed)
    assert not bounded(needed - 1)
    assert blocks_to_bound(0.999, 0, 6) is None
    assert blocks_to_bound(0.9999, 10, 2) is None
