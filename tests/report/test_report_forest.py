from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.report.forest import WIDTH, Axis
from runner.results.document.checks import ComparisonRecord

CHANGES = st.floats(min_value=-0.99, max_value=50, allow_nan=False)


def record(estimate=None, low=None, high=None, margin=0.1, differences=(), metric="p50"):
    return ComparisonRecord(
        metric=metric,
        variant="b",
        baseline="a",
        estimate=estimate,
        low=low,
        high=high,
        margin=margin,
        differences=list(differences),
    )


@given(st.lists(st.tuples(CHANGES, CHANGES, CHANGES), min_size=1, max_size=5), st.booleans())
def test_everything_lies_within_the_plot_and_in_order(rows, shares):
    records = [record(*sorted((a, b, c))[1:2], min(a, b, c), max(a, b, c), differences=[a, b]) for a, b, c in rows]
    axis = Axis(records, shares=shares)
    for each in records:
        plot = axis.plot(each)
        assert 0 <= plot.low <= plot.estimate <= plot.high <= WIDTH
        assert 0 <= plot.band[0] <= plot.zero <= plot.band[1] <= WIDTH
        assert all(0 <= x <= WIDTH for x in plot.blocks)
    ticks = axis.ticks()
    assert any(tick.text in {"0", "0 %"} for tick in ticks)
    assert all(right.x - left.x >= 40 for left, right in itertools.pairwise(ticks))


def test_half_and_double_are_equally_far_from_zero():
    axis = Axis([record(1.0, -0.5, 1.0)], shares=False)
    assert axis.x(1.0) - axis.x(0) == pytest.approx(axis.x(0) - axis.x(-0.5), abs=0.2)


def test_ends_without_a_bound_are_open_and_at_the_edge():
    plot = Axis([record(0.2)], shares=False).plot(record(0.2))
    assert plot.low_open
    assert plot.high_open
    assert (plot.low, plot.high) == (6, WIDTH - 6)


def test_without_an_estimate_there_is_nothing_to_draw():
    plot = Axis([record()], shares=False).plot(record())
    assert plot.estimate is None
    assert plot.low is None
    assert not plot.long


def test_shares_get_ticks_for_their_size():
    ticks = Axis([record(0.001, 0.0, 0.002, margin=0.01, metric="error_rate")], shares=True).ticks()
    assert len(ticks) >= 3
