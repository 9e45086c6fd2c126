from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.load.arrivals import schedule
from runner.load.child.recorder import counted
from runner.results.histogram import Histogram
from runner.spec.load_profile import Arrivals
from runner.spec.rates import expected, opening_rate, peak_rate

rates = st.integers(min_value=1, max_value=400)
lengths = st.floats(min_value=0.2, max_value=20)
seeds = st.integers(min_value=0, max_value=2**31)
distributions = st.sampled_from(["uniform", "poisson"])
stages = st.lists(
    st.tuples(st.integers(min_value=0, max_value=200), st.integers(min_value=1, max_value=5)), min_size=1, max_size=4
).filter(lambda pairs: any(rate for rate, _ in pairs))


def at_rate(rate, distribution="uniform"):
    return Arrivals.model_validate({"rate": f"{rate}/s", "distribution": distribution})


def in_stages(pairs, distribution="uniform"):
    listed = [{"rate": f"{rate}/s", "duration": f"{length}s"} for rate, length in pairs]
    return Arrivals.model_validate({"stages": listed, "distribution": distribution})


@given(rates, lengths, seeds, distributions)
def test_equal_seeds_give_equal_schedules_in_order_and_within_the_window(rate, seconds, seed, distribution):
    due = schedule(at_rate(rate, distribution), seconds, seed)
    assert due == schedule(at_rate(rate, distribution), seconds, seed)
    assert due == sorted(due)
    assert all(0 <= moment < seconds for moment in due)


@given(rates, st.integers(min_value=1, max_value=20), seeds)
def test_a_uniform_schedule_has_exactly_rate_times_seconds_arrivals_evenly_spaced(rate, seconds, seed):
    due = schedule(at_rate(rate), seconds, seed)
    assert len(due) == rate * seconds
    assert all(math.isclose(after - before, 1 / rate, abs_tol=1e-9) for before, after in itertools.pairwise(due))


@given(st.integers(min_value=20, max_value=400), seeds)
def test_another_seed_gives_another_schedule(rate, seed):
    for distribution in ("uniform", "poisson"):
        arrivals = at_rate(rate, distribution)
        assert schedule(arrivals, 5, seed) != schedule(arrivals, 5, seed + 1)


@settings(max_examples=25)
@given(seeds)
def test_a_poisson_schedule_has_about_its_mean_and_exponential_gaps(seed):
    due = schedule(at_rate(100, "poisson"), 50, seed)
    # Five standard deviations, so that one schedule in two million would fail.
    assert abs(len(due) - 5000) < 5 * math.sqrt(5000)
    gaps = [after - before for before, after in itertools.pairwise(due)]
    share_above_mean = sum(gap > 0.01 for gap in gaps) / len(gaps)
    assert abs(share_above_mean - math.exp(-1)) < 5 * math.sqrt(math.exp(-1) * (1 - math.exp(-1)) / len(gaps))


@given(stages, seeds)
def test_uniform_stages_hold_the_area_under_their_ramps(pairs, seed):
    arrivals = in_stages(pairs)
    seconds = sum(length for _, length in pairs)
    area, rate = 0.0, 0.0
    for target, length in pairs:
        area += (rate + target) / 2 * length
        rate = target
    assert math.isclose(expected(arrivals, seconds), area)
    assert abs(len(schedule(arrivals, seconds, seed)) - area) <= 1
    assert peak_rate(arrivals, seconds) == max(0, *(rate for rate, _ in pairs))


@given(stages, st.integers(min_value=1, max_value=25), seeds, distributions)
def test_a_shorter_window_is_the_beginning_of_a_longer_one(pairs, seconds, seed, distribution):
    arrivals = in_stages(pairs, distribution)
    whole = schedule(arrivals, 30, seed)
    part = schedule(arrivals, seconds, seed)
    assert len(part) == sum(moment < seconds - 1e-9 for moment in whole)
    assert all(math.isclose(one, other, abs_tol=1e-6) for one, other in zip(part, whole, strict=False))


def test_a_ramp_grows_denser_and_the_last_rate_is_held():
    due = schedule(in_stages([(100, 4)]), 6, 7)
    by_second = [sum(second <= moment < second + 1 for moment in due) for second in range(6)]
    assert by_second[:4] == sorted(by_second[:4])
    assert by_second[4:] == [100, 100]


@pytest.mark.parametrize(
    ("pairs", "rate"),
    [
        ([(100, 10), (200, 10)], 25),  # the first 5 s of a ramp from 0 to 100/s in 10 s
        ([(100, 1), (100, 20)], 90),  # a step: 50 arrivals in its first second, then 100 a second
        ([(0, 10), (100, 10)], 25),  # nothing for 10 s: the warm-up is what comes after
        ([(20, 1), (20, 10), (200, 1)], 18),  # a spike later on is no warm-up
    ],
)
def test_a_warm_up_has_the_rate_of_the_profiles_beginning(pairs, rate):
    assert opening_rate(in_stages(pairs), 5) == pytest.approx(rate)
    assert opening_rate(at_rate(30), 5) == 30


@given(stages, lengths)
def test_a_warm_up_never_asks_for_more_than_the_profile_does(pairs, seconds):
    arrivals = in_stages(pairs)
    assert 0 < opening_rate(arrivals, seconds) <= peak_rate(arrivals, 100) + 1e-9


@given(st.lists(st.integers(min_value=0, max_value=60_000_000)))
def test_the_recorders_histogram_is_the_one_that_records_one_by_one(values):
    one_by_one = Histogram()
    for value in values:
        one_by_one.record(value)
    assert counted(values) == one_by_one
