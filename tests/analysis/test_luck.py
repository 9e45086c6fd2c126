from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from runner.analysis.intervals import LatencyBand, quantile_interval
from runner.analysis.luck import Luck
from runner.results.histogram import Histogram


def histogram(values) -> Histogram:
    whole = Histogram()
    for value in values:
        whole.record(round(float(value)))
    return whole


def trials(rng, number, spread, requests=400, within=0.2):
    return [
        histogram(50_000 * np.exp(spread * rng.standard_normal() + within * rng.standard_normal(requests)))
        for _ in range(number)
    ]


def test_luck_is_the_factor_by_which_whole_trials_differ():
    base = 50_000 * np.exp(0.2 * stats.norm.ppf((np.arange(400) + 0.5) / 400))
    factors = np.array([0.9, 1.0, 1.1, 1.2, 0.85])
    luck = Luck.of([histogram(base * factor) for factor in factors], 0.5)
    assert luck is not None
    assert luck.spread == pytest.approx(np.std(np.log(factors), ddof=1), rel=0.03)
    assert luck.trials == 5
    # with each trial's luck taken out, one distribution of their common spread is left
    mean = float(luck.values @ luck.weights)
    assert float(np.sqrt((luck.values - mean) ** 2 @ luck.weights)) == pytest.approx(0.2, rel=0.03)


def test_trials_without_a_difference_have_no_luck():
    assert Luck.of([histogram([10, 20, 30])] * 5, 0.5) is None


def test_the_interval_is_the_wider_of_both():
    found = trials(np.random.default_rng(3), 6, 0.2)
    band = LatencyBand.of(found)
    assert band is not None
    luck = Luck.of(found, 0.95)
    assert luck is not None
    low, high = luck.quantile(0.95, 0.95)
    counted, used = band.counted().quantile(0.95), band.quantile(0.95)
    assert used.low == min(low, counted.low)
    assert used.high == max(high, counted.high)
    assert used.estimate == counted.estimate
    assert high > counted.high


def test_few_trials_are_counted_alone():
    found = trials(np.random.default_rng(4), 3, 0.1)
    band = LatencyBand.of(found)
    assert band is not None
    assert not band.trials


def test_two_kinds_of_answers_are_no_luck():
    """Half of the answers after 1 ms, half after 2 s: the median leaps between them, whole trials do not differ."""
    rng = np.random.default_rng(5)
    found = []
    for _ in range(6):
        slow = rng.random(120) < 0.5
        found.append(histogram(np.where(slow, 2_000_000, 1000) * np.exp(0.01 * rng.standard_normal(120))))
    luck = Luck.of(found, 0.9)
    assert luck is not None
    assert luck.spread < 0.02
    ends = quantile_interval(found, 0.9)
    assert 1_900_000 < ends.low < ends.high < 2_150_000


def two_kinds(rng, number, slow_share, spread=0.2, requests=400):
    """Quick answers whose pace differs from trial to trial, and a fault's delay of 2 s on some that does not."""
    found = []
    for _ in range(number):
        quick = 30_000 * np.exp(spread * rng.standard_normal() + 0.2 * rng.standard_normal(requests))
        found.append(histogram(np.where(rng.random(requests) < slow_share, 2_000_000 + quick, quick)))
    return found


def test_a_delay_that_no_luck_makes_longer_is_known_well():
    found = two_kinds(np.random.default_rng(7), 6, 0.4)
    ends = quantile_interval(found, 0.95)
    assert 2_000_000 < ends.low < ends.high < 2_100_000
    quick = quantile_interval(found, 0.3)
    assert quick.high / quick.low > 1.2, "the quick answers keep their luck"


def test_a_few_slow_answers_are_a_tail_and_no_kind():
    found = two_kinds(np.random.default_rng(8), 6, 0.08)
    everything, tail = Luck.of(found, 0.5), Luck.of(found, 0.95)
    assert everything is not None
    assert tail is not None
    assert tail.spread == pytest.approx(everything.spread, rel=0.1)
    assert tail.spread > 0.05


@given(
    st.lists(st.lists(st.integers(0, 10**7), min_size=1, max_size=40), min_size=4, max_size=6),
    st.sampled_from([0.5, 0.95, 0.99]),
)
def test_the_ends_hold_the_estimate_whatever_was_measured(parts, share):
    ends = quantile_interval([histogram(part) for part in parts], share)
    assert ends.low is None or ends.low <= ends.estimate
    assert ends.high is None or ends.high >= ends.estimate


@given(st.integers(-3, 3))
def test_the_unit_does_not_matter(power):
    rng = np.random.default_rng(6)
    rows = [50_000 * np.exp(0.1 * rng.standard_normal() + 0.2 * rng.standard_normal(200)) for _ in range(5)]
    plain, scaled = (Luck.of([histogram(row * factor) for row in rows], 0.95) for factor in (1, 2.0**power))
    assert plain is not None
    assert scaled is not None
    for one, other in zip(plain.quantile(0.95, 0.95), scaled.quantile(0.95, 0.95), strict=True):
        assert other / 2.0**power == pytest.approx(one, rel=0.01)
