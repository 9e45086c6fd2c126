from __future__ import annotations

import json
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.results.histogram import Histogram, bucket_of, bucket_width

durations = st.lists(st.integers(0, 10**10), min_size=1, max_size=60)


def of(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


@given(st.integers(0, 10**12))
def test_a_bucket_holds_its_durations_and_is_narrow(microseconds: int) -> None:
    lower = bucket_of(microseconds)
    width = bucket_width(lower)
    assert lower <= microseconds < lower + width
    assert bucket_of(lower) == lower
    assert bucket_of(lower + width - 1) == lower
    assert bucket_of(lower + width) == lower + width
    assert width == 1 or width * 128 <= lower


@given(durations)
def test_count_sum_and_extremes_are_exact(values: list[int]) -> None:
    histogram = of(values)
    assert (histogram.count, histogram.total) == (len(values), sum(values))
    assert (histogram.least, histogram.greatest) == (min(values), max(values))
    assert histogram.mean == sum(values) / len(values)


@given(durations, st.sampled_from([0.0, 0.07, 0.5, 0.55, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0]))
def test_a_quantile_is_the_value_at_its_rank_within_half_a_bucket(values: list[int], share: float) -> None:
    rank = max(1, math.ceil(Fraction(str(share)) * len(values)))
    true = sorted(values)[rank - 1]
    found = of(values).quantile(share)
    assert found is not None
    assert abs(found - true) <= bucket_width(bucket_of(true)) / 2
    assert min(values) <= found <= max(values)


def test_floating_point_does_not_move_a_rank() -> None:
    histogram = of(list(range(1, 101)))
    for hundredth in range(1, 101):
        assert histogram.quantile(hundredth / 100) == hundredth


@given(durations)
def test_quantiles_rise_with_the_share(values: list[int]) -> None:
    histogram = of(values)
    found = [histogram.quantile(step / 20) for step in range(21)]
    assert found == sorted(found, key=lambda value: value or 0.0)


@given(durations, durations)
def test_merging_is_the_same_as_recording_all(first: list[int], second: list[int]) -> None:
    merged = Histogram.merged([of(first), Histogram(), of(second)])
    assert merged == of(first + second)
    assert merged == Histogram.merged([of(second), of(first)])


@given(durations)
def test_merging_leaves_the_parts_alone(values: list[int]) -> None:
    part = of(values)
    Histogram.merged([part, part])
    assert part == of(values)


@given(durations, st.integers(-5, 10**10))
def test_counting_at_or_below_errs_by_less_than_its_bucket(values: list[int], limit: int) -> None:
    histogram = of(values)
    bucket = bucket_of(max(0, limit))
    inside = sum(1 for value in values if bucket_of(value) == bucket)
    assert abs(histogram.count_at_or_below(limit) - sum(1 for value in values if value <= limit)) <= inside
    assert histogram.count_at_or_below(min(values) - 1) == 0
    assert histogram.count_at_or_below(max(values)) == len(values)
    share = histogram.share_at_or_below(limit)
    assert share is not None
    assert 0 <= share <= 1


@given(durations, st.integers(0, 10**10), st.integers(0, 10**6))
def test_counting_at_or_below_never_falls(values: list[int], limit: int, more: int) -> None:
    histogram = of(values)
    assert histogram.count_at_or_below(limit) <= histogram.count_at_or_below(limit + more)


@given(durations)
def test_json_gives_it_back(values: list[int]) -> None:
    histogram = of(values)
    again = Histogram.from_json(json.loads(json.dumps(histogram.to_json())))
    assert again == histogram
    again.record(3)
    assert again != histogram


def test_an_empty_histogram_knows_nothing() -> None:
    empty = Histogram()
    assert empty.quantile(0.5) is None
    assert empty.mean is None
    assert empty.share_at_or_below(10) is None
    assert Histogram.from_json(empty.to_json()) == empty
    assert empty != "a histogram"
    with pytest.raises(TypeError):
        hash(empty)


def test_a_clock_that_stepped_back_counts_as_zero() -> None:
    histogram = of([-5, 7])
    assert (histogram.least, histogram.greatest, histogram.count) == (0, 7, 2)


def test_broken_json_is_refused() -> None:
    with pytest.raises(TypeError, match="list of pairs"):
        Histogram.from_json({"n": 1, "sum": 1, "min": 1, "max": 1, "buckets": "1"})
