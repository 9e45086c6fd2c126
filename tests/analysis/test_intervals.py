from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from runner.analysis.intervals import (
    LatencyBand,
    clopper_pearson,
    design_effect,
    mean_interval,
    quantile_interval,
    share_interval,
    t_interval,
    unknown_spread_factor,
)
from runner.results.histogram import Histogram

LEAST_COVERAGE = 0.95
WITHIN = 0.2
"""Spread (of logarithms) of requests within a simulated trial."""


def histogram(values) -> Histogram:
    whole = Histogram()
    for value in values:
        whole.record(int(value))
    return whole


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_clopper_pearson_is_the_exact_binomial_interval(case):
    k, n = case
    low, high = clopper_pearson(k, n)
    exact = stats.binomtest(k, n).proportion_ci(method="exact")
    assert (float(low), float(high)) == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_no_errors_in_n_requests_bound_the_share_near_three_in_n():
    # one trial: 97.5 % one-sided, 3.69 / n
    assert share_interval([0], [1000]).high == pytest.approx(0.00368, abs=1e-5)
    assert share_interval([0], [1000]).low == 0
    assert share_interval([1000], [1000]).high == 1
    assert share_interval([], []).estimate is None
    assert share_interval([0, 0], [0, 0]).estimate is None


def test_the_design_effect_is_pearsons_chi_square_over_its_degrees_of_freedom():
    hits, totals = np.array([[10.0], [30.0], [20.0]]), np.array([[100.0], [100.0], [100.0]])
    table = np.hstack([hits, totals - hits])
    expected = stats.chi2_contingency(table, correction=False).statistic / 2
    assert design_effect(hits, totals)[0] == pytest.approx(expected)
    same = np.array([[20.0], [20.0], [20.0]])
    assert design_effect(same, totals)[0] == 1


def test_trials_that_differ_widen_the_interval():
    alike = share_interval([20] * 6, [200] * 6)
    apart = share_interval([0, 40, 5, 35, 10, 30], [200] * 6)
    assert alike.estimate == apart.estimate == 0.1
    assert alike.low is not None
    assert apart.low is not None
    assert apart.high - apart.low > 2 * (alike.high - alike.low)


def test_more_trials_never_count_for_less_than_one():
    factors = [unknown_spread_factor(trials) * trials for trials in range(1, 12)]
    assert min(factors) >= 1 - 1e-12
    assert unknown_spread_factor(6) == pytest.approx((1.959964 / 2.570582) ** 2)


def test_a_quantile_of_one_trial_has_the_order_statistics_of_the_binomial_as_its_ends():
    # 200 distinct values, 1 µs apart and below the width where buckets hold more than one
    whole = histogram(range(1, 101))
    ends = quantile_interval([whole], 0.5)
    # the textbook's ranks for n = 100, q = 0.5: P(Bin < 40) and P(Bin > 60) are both below 2.5 %
    assert (ends.low, ends.estimate, ends.high) == (40, 50, 61)


def test_an_end_that_too_few_requests_bound_is_none():
    # 0.95^n <= 2.5 % first at 72 requests
    assert quantile_interval([histogram(range(1, 72))], 0.95).high is None
    assert quantile_interval([histogram(range(1, 73))], 0.95).high == 72
    assert quantile_interval([histogram([10] * 5)], 0.5).low is None
    assert quantile_interval([histogram([10] * 6)], 0.5).low == 10
    assert quantile_interval([], 0.5).estimate is None
    assert quantile_interval([Histogram()], 0.5).estimate is None
    one = quantile_interval([histogram([7])], 0.99)
    assert (one.low, one.estimate, one.high) == (7, 7, None)


def test_trials_that_differ_below_a_limit_say_nothing_against_it():
    # trials half a percent apart (an injected delay on a noisy machine): the p95 stays bounded
    rng = np.random.default_rng(7)
    trials = [histogram(1_000_000 + 5_000 * block + rng.integers(0, 2_000, 120)) for block in range(6)]
    ends = quantile_interval(trials, 0.95)
    assert ends.high is not None
    assert ends.high < 1_060_000


@given(
    st.lists(st.lists(st.integers(1, 10**7), max_size=30), min_size=1, max_size=5), st.sampled_from([0.5, 0.9, 0.99])
)
def test_a_quantiles_ends_hold_its_estimate(parts, share):
    trials = [histogram(part) for part in parts]
    ends = quantile_interval(trials, share)
    whole = Histogram.merged(trials)
    assert ends.estimate == whole.quantile(share)
    if ends.estimate is not None:
        assert ends.low is None or ends.low <= ends.estimate
        assert ends.high is None or ends.high >= ends.estimate


def test_the_mean_has_a_t_interval_over_trials():
    trials = [histogram([100, 200]), histogram([300, 400]), histogram([200, 300])]
    expected = stats.t.interval(0.95, 2, loc=250, scale=stats.sem([150, 350, 250]))
    ends = mean_interval(trials)
    assert ends.estimate == 250
    assert ends.high == pytest.approx(expected[1])
    assert ends.low == pytest.approx(max(expected[0], 0))
    alone = mean_interval([histogram(range(1, 101))])
    assert alone.estimate == 50.5
    assert alone.high - 50.5 == pytest.approx(stats.t.ppf(0.975, 99) * np.std(range(100), ddof=1) / 10)
    assert mean_interval([histogram([5])]).low is None
    assert mean_interval([]).estimate is None


def test_one_trial_has_no_spread():
    assert (t_interval([3.0]).estimate, t_interval([3.0]).low) == (3.0, None)
    assert t_interval([]).estimate is None
    both = t_interval([1.0, 3.0])
    assert both.high == pytest.approx(2 + 12.7062 * 1, rel=1e-4)


def enough(held: int, runs: int) -> bool:
    """Whether a share of held intervals is no proof of less coverage than 95 % (one-sided exact test at 0.1 %)."""
    return stats.binomtest(held, runs, LEAST_COVERAGE, alternative="less").pvalue > 0.001


@pytest.mark.parametrize(
    ("trials", "requests", "drift", "seed"),
    [(6, 120, 0.0, 11), (6, 120, 0.05, 12), (6, 120, 0.1, 13), (10, 300, 0.05, 14), (4, 200, 0.05, 15)],
)
def test_intervals_cover_the_truth_although_trials_differ(trials, requests, drift, seed):
    """Lognormal responses, every trial shifted by a normal with deviation `drift`; the truth is the mixture's."""
    rng, runs = np.random.default_rng(seed), 300
    spread = np.hypot(WITHIN, drift)
    truth = {share: 50_000 * np.exp(stats.norm.ppf(share) * spread) for share in (0.5, 0.95)}
    mean = 50_000 * np.exp(spread**2 / 2)
    held = dict.fromkeys([*truth, "mean", "share"], 0)
    for _ in range(runs):
        shifts = drift * rng.standard_normal(trials)
        values = 50_000 * np.exp(WITHIN * rng.standard_normal((trials, requests)) + shifts[:, None])
        parts = [histogram(row) for row in values]
        band = LatencyBand.of(parts)
        assert band is not None
        for share, true in truth.items():
            ends = band.quantile(share)
            # a bucket's midpoint is off by up to 0.4 %
            held[share] += (ends.low or 0) * 0.996 <= true and (ends.high is None or ends.high * 1.004 >= true)
        ends = mean_interval(parts)
        held["mean"] += ends.low <= mean <= ends.high
        true = stats.norm.sf(np.log(1.2) / spread)
        slow = share_interval([int(n) for n in (values > 60_000).sum(axis=1)], [requests] * trials)
        held["share"] += slow.low <= true <= slow.high
    assert {name: count for name, count in held.items() if not enough(count, runs)} == {}
