from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from runner.analysis.signed_rank import (
    blocks_for,
    hodges_lehmann,
    holm,
    p_value,
    shift_interval,
    signed_rank_distribution,
    walsh_averages,
)
from runner.spec.checks import blocks_needed

# whole numbers whose absolute values, sums and differences are exact
distinct = st.lists(st.integers(-500, 500).filter(bool), min_size=1, max_size=8, unique_by=abs)


def brute_p(differences) -> float:
    """The two-sided signed-rank p from all flips of signs, as the definition has it."""
    d = np.asarray(differences, dtype=float)
    ranks = stats.rankdata(np.abs(d))
    seen = ranks[d > 0].sum()
    sums = [
        ranks[list(flip)].sum() for flip in (np.array(f, dtype=bool) for f in itertools.product([0, 1], repeat=len(d)))
    ]
    below = np.mean([total <= seen for total in sums])
    above = np.mean([total >= seen for total in sums])
    return min(1.0, 2 * min(below, above))


@given(distinct)
def test_p_is_that_of_all_sign_flips(differences):
    assert p_value(differences) == pytest.approx(brute_p(differences))


@given(distinct.filter(lambda d: len(d) >= 6), st.integers(-3000, 3000))
def test_the_interval_holds_exactly_the_shifts_that_the_test_does_not_reject(differences, sixths):
    shift = sixths / 6 + 1 / 7  # on no Walsh average, where the two-sided test changes
    interval = shift_interval(differences)
    assert interval is not None
    low, high = interval
    rejected = brute_p([d - shift for d in differences]) <= 0.05
    assert rejected == (shift < low or shift > high)


@given(distinct)
def test_hodges_lehmann_is_the_median_of_all_pairs(differences):
    pairs = [(a + b) / 2 for a, b in itertools.combinations_with_replacement(differences, 2)]
    assert hodges_lehmann(differences) == pytest.approx(np.median(pairs))
    assert len(walsh_averages(differences)) == len(differences) * (len(differences) + 1) // 2


@given(distinct, st.integers(-100, 100))
def test_estimate_and_interval_move_with_the_data(differences, by):
    moved = [d + by for d in differences]
    assert hodges_lehmann(moved) == pytest.approx(hodges_lehmann(differences) + by)
    interval, shifted = shift_interval(differences), shift_interval(moved)
    assert (interval is None) == (shifted is None)
    if interval and shifted:
        assert shifted == pytest.approx((interval[0] + by, interval[1] + by))


def test_the_distribution_is_that_of_all_subsets_of_ranks():
    sums = [sum(s) for n in range(6) for s in itertools.combinations(range(1, 6), n)]
    expected = [sum(total <= c for total in sums) / 32 for c in range(16)]
    assert signed_rank_distribution(5) == pytest.approx(expected)


def test_six_blocks_are_the_fewest_and_give_the_range():
    d = [0.3, 0.1, 0.2, 0.15, 0.25, 0.12]
    assert shift_interval(d) == (0.1, 0.3)
    assert shift_interval(d[:5]) is None
    assert shift_interval(d, 0.05 / 2) is None


@pytest.mark.parametrize(("tests", "blocks"), [(1, 6), (2, 7), (3, 7), (4, 8), (6, 8), (9, 9)])
def test_blocks_for_several_tests(tests, blocks):
    assert blocks_needed(tests) == blocks
    d = list(np.linspace(1, 2, blocks))
    assert shift_interval(d, 0.05 / tests) is not None
    assert shift_interval(d[1:], 0.05 / tests) is None


def test_ties_and_zeros_take_the_permutation_test():
    assert p_value([0.0] * 6) == 1
    assert p_value([0.1]) == 1
    assert p_value([0.1, 0.1]) == 0.5
    assert p_value([0.1] * 6) == pytest.approx(2 / 64)
    assert p_value([0.0, 0.0, 0.0, 0.0, 0.0, 0.2]) == 1
    # above sixteen blocks a sample of the flips, the same every time
    many = [0.1, 0.1, 0.2, 0.3] * 5
    assert p_value(many) == p_value(many) < 0.001


def test_holm_steps_down():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_never_lowers_and_keeps_the_order(p_values):
    adjusted = holm(p_values)
    assert all(a >= p for a, p in zip(adjusted, p_values, strict=True))
    assert [a for _, a in sorted(zip(p_values, adjusted, strict=True))] == sorted(adjusted)
    if p_values:
        assert min(adjusted) == min(1.0, len(p_values) * min(p_values))


def test_blocks_that_would_tell():
    d = [0.0, 0.1, -0.1, 0.05, -0.05, 0.0]
    assert blocks_for(d, 0.1, 6) == 7  # the formula's 4 were not enough
    assert blocks_for(d, 0.01, 6) == int(np.ceil(7.85 * (np.std(d, ddof=1) / 0.01) ** 2))
    assert blocks_for(d, 0.0, 6) is None
    assert blocks_for([0.1], 0.1, 6) == 6


def test_false_alarms_of_equal_variants_stay_at_their_level():
    """A = A with drift over the run, ten blocks in random order: the interval misses zero in at most 5 % of runs."""
    rng, runs, alarms = np.random.default_rng(20), 600, 0
    for _ in range(runs):
        walk = np.cumsum(0.05 * rng.standard_normal(20)) + 0.03 * rng.standard_normal(20)
        first = rng.random(10) < 0.5
        pairs = walk.reshape(10, 2)
        d = np.where(first, pairs[:, 0] - pairs[:, 1], pairs[:, 1] - pairs[:, 0])
        low, high = shift_interval(d)
        alarms += low > 0 or high < 0
    assert stats.binomtest(alarms, runs, 0.05, alternative="greater").pvalue > 0.001
    assert alarms > 0
