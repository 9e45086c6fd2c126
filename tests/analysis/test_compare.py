from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from runner.analysis.compare import compare
from runner.analysis.words import Scale
from runner.spec.comparable import requests_needed
from runner.spec.metrics import Metric

P50, P95, MEAN, ERRORS = Metric("p50"), Metric("p95"), Metric("mean"), Metric("error_rate")


def around(centre, n=120, width=0.02):
    """`n` latencies (ms) evenly around a centre."""
    return list(centre * (1 + width * np.linspace(-1, 1, n)))


@pytest.fixture
def pair(blocks_of):
    """Trials of `b` and of the baseline `a`; one number per block, the medians in ms."""

    def make(b, a, n=120, **load):
        return blocks_of("b", [around(m, n) for m in b], **load) + blocks_of("a", [around(m, n) for m in a], **load)

    return make


NOISE = [0, 0.01, -0.01, 0.02, -0.015, 0.005]


def test_half_the_latency_is_better_with_its_numbers(pair):
    record = compare(P50, "b", "a", pair([1000 * (1 + x) for x in NOISE], [2000] * 6))
    assert record.outcome == "better"
    assert record.estimate == pytest.approx(-0.5, abs=0.005)
    assert record.low == pytest.approx(-0.5075, abs=0.005)
    assert record.high == pytest.approx(-0.49, abs=0.005)
    assert record.p_value == pytest.approx(2**-5)
    assert (record.blocks, record.blocks_needed, record.margin) == (6, None, pytest.approx(0.1))
    assert record.differences == pytest.approx([-0.5 + x / 2 for x in NOISE], abs=0.005)
    assert record.sentence.startswith("The median response was 50 % lower (49 to 51 %) with b than with a: better.")


def test_the_words_in_their_order(pair):
    def outcome(b):
        return compare(P50, "b", "a", pair(b, [1000] * 6)).outcome

    assert outcome([1300 * (1 + x) for x in NOISE]) == "worse"
    # an interval inside the margin is equivalent although it excludes zero
    assert outcome([1050 * (1 + x) for x in NOISE]) == "equivalent"
    # excludes zero, reaches over the margin, estimate below it
    assert outcome([1020, 1060, 1080, 1090, 1100, 1160]) == "different"
    # both sides of zero and of the margin
    assert outcome([850, 900, 1000, 1050, 1150, 1200]) == "inconclusive"


def test_a_difference_below_half_a_millisecond_does_not_matter(pair):
    fast = compare(P50, "b", "a", pair([1.3 * (1 + x) for x in NOISE], [1.0] * 6))
    assert fast.outcome == "equivalent"
    assert fast.margin == pytest.approx(0.5, rel=0.01)
    slower = compare(P50, "b", "a", pair([1.8 * (1 + x) for x in NOISE], [1.0] * 6))
    assert slower.outcome == "worse"
    # half a millisecond less than 0.4 ms is no latency at all: nothing below matters
    assert compare(P50, "b", "a", pair([0.1] * 6, [0.4] * 6)).outcome == "equivalent"


def test_below_six_blocks_there_is_no_verdict_but_the_number_needed(pair):
    record = compare(P50, "b", "a", pair([1000] * 5, [2000] * 5))
    assert record.outcome == "inconclusive"
    assert record.low is record.high is None
    assert record.estimate == pytest.approx(-0.5, abs=0.005)
    assert record.blocks_needed == 6
    assert "at least 6 blocks and there were 5" in record.sentence
    one = compare(P50, "b", "a", pair([1000], [1000]))
    assert (one.outcome, one.blocks_needed, one.p_value) == ("inconclusive", 6, 1)
    assert "was the same with b as with a" in one.sentence
    assert "there was 1" in one.sentence


def test_inconclusive_names_the_blocks_that_would_tell(pair):
    b = [850, 900, 1000, 1050, 1150, 1200]
    record = compare(P50, "b", "a", pair(b, [1000] * 6))
    spread = np.std([math.log(x / 1000) for x in b], ddof=1)
    assert record.blocks_needed == pytest.approx(math.ceil(15.37 * (spread / math.log(1.1)) ** 2), abs=1)
    more = record.blocks_needed - 6
    assert f"about {more} more blocks ({record.blocks_needed} in all) would settle it" in record.sentence


def test_a_quantile_needs_fifty_requests_beyond_it(pair):
    assert [requests_needed(Metric(name)) for name in ("p50", "p75", "p90", "p95", "p99", "p99.9", "mean")] == [
        100,
        200,
        500,
        1000,
        5000,
        50_000,
        1,
    ]
    trials = pair([1000] * 6, [2000] * 6)
    record = compare(P95, "b", "a", trials)
    assert (record.outcome, record.estimate) == ("inconclusive", None)
    assert "p95 needs 1000 answered requests in every trial, and one had 120" in record.sentence
    assert compare(MEAN, "b", "a", trials).outcome == "better"


def test_blocks_pair_by_number_and_only_valid_last_attempts_count(pair, trial_of):
    trials = pair([1000] * 6, [2000] * 6)
    trials += [trial_of("b", 7, around(9000)), trial_of("a", 7, around(2000), valid=False)]
    # block 1 ran again: its first attempt, valid or not, never counts
    trials += [trial_of("b", 1, around(1500), attempt=2), trial_of("a", 1, around(2000), attempt=2)]
    record = compare(P50, "b", "a", trials)
    assert record.blocks == 6
    assert record.differences[0] == pytest.approx(-0.25, abs=0.005)
    assert record.differences[1:] == pytest.approx([-0.5] * 5, abs=0.005)


def test_error_shares_differ_by_points(blocks_of):
    trials = blocks_of("b", [around(10, 200)] * 6, errors=20) + blocks_of("a", [around(10, 200)] * 6, errors=0)
    record = compare(ERRORS, "b", "a", trials)
    assert (record.outcome, record.estimate, record.margin) == ("worse", pytest.approx(0.1), 0.01)
    # all blocks alike: the interval is what the counts allow, not a point
    assert record.low < 0.09
    assert record.high > 0.11
    assert "10 points higher" in record.sentence


def test_no_errors_at_all_is_equivalent_only_with_requests_enough(blocks_of):
    def record(n):
        return compare(ERRORS, "b", "a", blocks_of("b", [around(10, n)] * 6) + blocks_of("a", [around(10, n)] * 6))

    many = record(120)
    assert (many.outcome, many.estimate) == ("equivalent", 0)
    assert many.high == pytest.approx(1 - 0.025 ** (1 / 720))
    assert many.low == -many.high
    few = record(20)
    assert few.outcome == "inconclusive"
    assert few.blocks_needed == math.ceil(6 * (1 - 0.025 ** (1 / 120)) / 0.01)


def test_equal_latencies_in_all_blocks_are_equivalent(pair):
    record = compare(P50, "b", "a", pair([100] * 6, [100] * 6))
    assert (record.outcome, record.low, record.high, record.p_value) == ("equivalent", 0, 0, 1)


def test_what_has_no_better_side_is_only_different(blocks_of):
    trials = blocks_of("b", [around(10, 150)] * 6) + blocks_of("a", [around(10, 100)] * 6)
    record = compare(Metric("requests"), "b", "a", trials)
    assert (record.outcome, record.estimate) == ("different", pytest.approx(0.5))
    labels = blocks_of("b", [around(10)] * 6, outcomes={"stars": 60}) + blocks_of("a", [around(10)] * 6)
    record = compare(Metric("outcome", "stars"), "b", "a", labels)
    assert (record.metric, record.outcome, record.estimate) == ("outcome[stars]", "different", pytest.approx(0.5))


def test_counts_without_a_ratio_can_not_be_compared(blocks_of):
    trials = blocks_of("b", [around(10)] * 6, errors=3) + blocks_of("a", [around(10)] * 6)
    record = compare(Metric("errors"), "b", "a", trials)
    assert (record.outcome, record.estimate) == ("inconclusive", None)
    assert "no relative change" in record.sentence
    none = compare(Metric("errors"), "b", "a", blocks_of("b", [[1.0]] * 6) + blocks_of("a", [[1.0]] * 6))
    assert (none.outcome, none.estimate) == ("equivalent", 0)


def test_nothing_to_compare_says_why(pair, blocks_of):
    assert "no block has a valid trial of both b and a" in compare(P50, "b", "a", []).sentence
    empty = blocks_of("b", [[]] * 6) + blocks_of("a", [around(10)] * 6)
    assert "one had 0" in compare(P50, "b", "a", empty).sentence
    assert "no request was measured" in compare(ERRORS, "b", "a", empty).sentence
    assert (
        "no workload or service"
        in compare(Metric("proxy", "nowhere x"), "b", "a", pair([1] * 6, [1] * 6, increases={"client": {}})).sentence
    )


def test_several_gating_comparisons_need_more_blocks(pair):
    trials = pair([1000 * (1 + x) for x in NOISE], [2000] * 6)
    record = compare(P50, "b", "a", trials, tests=2, gating=True)
    assert (record.outcome, record.blocks_needed, record.low) == ("inconclusive", 7, None)
    assert "for 2 comparisons together takes at least 7 blocks" in record.sentence
    seven = pair([1000 * (1 + x) for x in [*NOISE, 0]], [2000] * 7)
    assert compare(P50, "b", "a", seven, tests=2, gating=True).outcome == "better"


def test_a_difference_in_milliseconds(pair):
    record = compare(P50, "b", "a", pair([110 + x for x in range(6)], [100] * 6), scale=Scale.MILLISECONDS)
    assert record.estimate == pytest.approx(12.5, abs=0.5)
    assert record.low == pytest.approx(10, abs=0.5)
    assert record.margin == pytest.approx(10, abs=0.1)
    assert "ms higher" in record.sentence


def test_false_alarms_of_one_config_compared_with_itself(trial_of):
    """A = A through the whole path, from requests to pairs; noise and drift between trials, ten blocks."""
    rng, runs, alarms, claimed = np.random.default_rng(31), 120, 0, 0
    for _ in range(runs):
        level = np.cumsum(0.03 * rng.standard_normal(20)) + 0.05 * rng.standard_normal(20)
        trials = []
        for block in range(10):
            order = ["a", "b"] if rng.random() < 0.5 else ["b", "a"]
            for place, variant in enumerate(order):
                centre = 50 * math.exp(level[2 * block + place])
                trials.append(trial_of(variant, block, list(centre * np.exp(0.2 * rng.standard_normal(100)))))
        record = compare(P50, "b", "a", trials)
        alarms += record.low > 0 or record.high < 0
        claimed += record.outcome in {"better", "worse"}
    assert stats.binomtest(alarms, runs, 0.05, alternative="greater").pvalue > 0.001
    assert claimed <= alarms
