"""What docs/benchmarks.md shows at full size, in small: error rates, power and coverage of the methods, with their seeds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from runner.analysis.compare import compare, word
from runner.analysis.signed_rank import hodges_lehmann, holm, p_value, shift_interval
from runner.spec.metrics import Metric

pytest.importorskip("bench", reason="the simulations live in the checkout's bench folder")

from bench import (
    merge_workers,
    statistics_coverage,
    statistics_false_alarms,
    statistics_power,
)
from bench.statistics_model import (
    NOISES,
    Noise,
    estimates,
    holm_rejects,
    p_values,
    shift_intervals,
    words,
)

MESHTRIAL, T, BOOTSTRAP, MANN_WHITNEY, _, ONE_AFTER_THE_OTHER, _ = statistics_false_alarms.METHODS


def at_most(share: float, runs: int, limit: float = 0.05) -> bool:
    """Whether a share of runs is no proof of more than a limit (one-sided exact test at 0.1 %)."""
    return stats.binomtest(round(share * runs), runs, limit, alternative="greater").pvalue > 0.001


def at_least(share: float, runs: int, limit: float = 0.95) -> bool:
    """Whether a share of runs is no proof of less than a limit."""
    return stats.binomtest(round(share * runs), runs, limit, alternative="less").pvalue > 0.001


@pytest.mark.parametrize("blocks", [6, 7, 10, 15])
def test_the_simulated_arithmetic_is_that_of_the_runner(blocks):
    d = np.random.default_rng(blocks).normal(0.04, 0.06, (60, blocks))
    low, high = shift_intervals(d)
    middle, p, said = estimates(d), p_values(d), words(d)
    edge = float(np.log1p(0.1))
    for row, one in enumerate(d):
        interval = shift_interval(one)
        assert interval == pytest.approx((low[row], high[row]))
        assert hodges_lehmann(one) == pytest.approx(middle[row])
        assert p_value(one) == pytest.approx(p[row])
        theirs = next(name for name, rows in said.items() if rows[row])
        ours = word(Metric("p50"), middle[row], interval, (-edge, edge))
        assert theirs == ("better or worse" if ours in {"better", "worse"} else ours)


def test_the_simulated_intervals_of_shares_are_the_runners(blocks_of):
    counts = np.random.default_rng(2).binomial(60, 0.05, (5, 2, 7)).astype(float)
    low, high = statistics_coverage.share_intervals(counts[:, 0], counts[:, 1], 60)
    for row, sides in enumerate(counts):
        trials = []
        for name, side in zip(("b", "a"), sides, strict=True):
            for block, failed in enumerate(side, start=1):
                trials += blocks_of(name, [[10.0] * 60], errors=int(failed))
                trials[-1].block = block
        record = compare(Metric("error_rate"), "b", "a", trials)
        assert (record.low, record.high) == pytest.approx((low[row], high[row]))


def test_the_simulated_steps_are_holms():
    p = np.random.default_rng(1).random((200, 4)) ** 3
    for one, rejected in zip(p, holm_rejects(p), strict=True):
        assert [value <= 0.05 for value in holm(list(one))] == list(rejected)


@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: noise.name)
def test_identical_systems_are_called_different_in_at_most_5_percent(noise):
    runs = 500
    found = statistics_false_alarms.alarms(noise, runs, (MESHTRIAL, T, BOOTSTRAP, MANN_WHITNEY))
    assert at_most(found[MESHTRIAL], runs)
    # what others do: the same requests, the same order of trials
    assert found[MANN_WHITNEY] > 0.2
    assert not at_most(found[BOOTSTRAP], runs)


def test_pairing_needs_the_random_order():
    drift = next(noise for noise in NOISES if noise.name == "drift")
    assert statistics_false_alarms.alarms(drift, 250, (ONE_AFTER_THE_OTHER,))[ONE_AFTER_THE_OTHER] > 0.5


@pytest.mark.parametrize("blocks", [6, 8, 10, 20])
def test_the_level_holds_at_any_number_of_blocks(blocks):
    alarms, claims = statistics_false_alarms.by_blocks(blocks, 4000)
    assert at_most(alarms, 4000)
    assert claims < alarms


@pytest.mark.parametrize("comparisons", [3, 6, 9])
def test_several_comparisons_together_stay_at_5_percent(comparisons):
    found = statistics_false_alarms.family(comparisons, 10, 2000)
    assert at_most(found["Holm"], 2000)
    assert found["each by itself at 5 %"] > 0.06


@pytest.mark.parametrize(("clear", "borderline"), [(0, 3), (2, 1), (5, 1)])
def test_holms_steps_decide_wrongly_in_at_most_5_percent(clear, borderline):
    assert at_most(statistics_false_alarms.steps(clear, borderline, 12, 2000), 2000)


@pytest.mark.parametrize(
    ("own", "shift", "blocks", "least", "most"),
    [
        (0.05, 0.05, 10, 0.71, 0.82),
        (0.05, 0.10, 10, 0.99, 1.0),
        (0.05, 0.20, 6, 0.99, 1.0),
        (0.10, 0.05, 10, 0.22, 0.32),
        (0.10, 0.10, 10, 0.70, 0.82),
        (0.10, 0.10, 20, 0.95, 1.0),
    ],
)
def test_power_is_what_the_guide_says(own, shift, blocks, least, most):
    power, said = statistics_power.row(Noise("normal", own=own), shift, blocks, 1500)
    assert least <= power <= most
    assert sum(said.values()) == pytest.approx(1)
    if shift == 0.20:
        assert said["better or worse"] > 0.99
    if shift == 0.05:
        assert said["better or worse"] < 0.12


def test_the_blocks_that_an_inconclusive_run_names_settle_it():
    for shift in (0.0, 0.05, 0.10):
        left, named, done = statistics_power.settled(Noise("normal", own=0.1), shift, 10, 800)
        assert left > 0.1
        assert 15 <= named <= 30
        assert done > 0.75


@pytest.mark.parametrize("blocks", [6, 10, 20])
def test_the_paired_interval_covers_the_true_change(blocks):
    for noise in NOISES:
        assert at_least(statistics_coverage.paired(noise, blocks, 2000), 2000)


@pytest.mark.parametrize(
    ("ours", "theirs", "varied"),
    [(0.0, 0.005, 0.0), (0.01, 0.01, 0.0), (0.01, 0.03, 0.5), (0.1, 0.2, 0.5), (0.0, 0.5, 0.0)],
)
def test_the_interval_of_two_shares_covers_the_true_difference(ours, theirs, varied):
    assert at_least(statistics_coverage.shares(ours, theirs, 120, 6, 1000, varied), 1000)
    assert at_least(statistics_coverage.shares(ours, theirs, 600, 10, 1000, varied), 1000)


@pytest.mark.parametrize("spread", [0.0, 0.1, 0.2])
def test_one_variants_intervals_cover_although_trials_differ(spread):
    runs = 150
    found = statistics_coverage.one_variant(6, 300, spread, runs)
    assert all(at_least(share, runs) for name, share in found.items() if "alone" not in name), found
    if spread == 0.2:
        # counting requests alone can't know the trials it did not see
        assert not at_least(found["p95, counting alone"], runs)


def test_workers_histograms_merge_without_a_loss():
    sent, recorded, _ = merge_workers.messages(10, 2)
    whole = list(merge_workers.merged(sent))
    assert sum(histogram.count for histogram in recorded.values()) == 10 * 2 * merge_workers.RATE
    assert merge_workers.lost(whole, recorded) == 0
    # the test can fail: a message less is seen
    assert merge_workers.lost(list(merge_workers.merged([sent[0][1:], sent[1]])), recorded) != 0
