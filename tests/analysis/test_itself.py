from __future__ import annotations

import math

import numpy as np
import pytest

from runner.analysis.itself import analyse_itself
from runner.results.document.run import Verdict
from runner.spec.metrics import Metric

NAMES = ("v1", "v1 (A/A)")


@pytest.fixture
def run(trial_of):
    """Blocks of both sides: medians in ms, and errors of 200 requests."""

    def make(first, second, *, errors=(0, 0), requests=200, **more):
        found = []
        for block, pair in enumerate(zip(first, second, strict=True), start=1):
            for name, centre, failed in zip(NAMES, pair, errors, strict=True):
                latencies = list(centre * (1 + 0.02 * np.linspace(-1, 1, requests)))
                found.append(trial_of(name, block, latencies, errors=failed, **more))
        return found

    return make


NOISE = (1.0, 1.02, 0.99, 1.01, 0.98, 1.0)
AGAIN = (1.01, 1.0, 1.0, 0.99, 1.0, 0.98)


def test_it_says_what_it_can_see_and_passes(run):
    found = analyse_itself(NAMES, run([50 * x for x in NOISE], [50 * x for x in AGAIN], errors=(2, 2)))
    assert found.verdict is Verdict.PASS
    assert found.reason == "The variant does not differ from itself (tested: p50), as it should be."
    low, high = (math.expm1(x) for x in (math.log(0.98 / 1.0), math.log(1.0 / 0.98)))
    assert found.resolution["p50"] == pytest.approx((high - low) / 2, rel=0.1)
    # no spread between trials: the counts alone
    assert 0.005 < found.resolution["error_rate"] < 0.02
    assert set(found.resolution) == {"p50", "error_rate", "mean"}
    assert found.headline.startswith("v1 against itself: this set-up can't see differences under 2")
    assert "points of the error rate" in found.headline
    assert found.headline.endswith("; p95, p99 can't be compared at all.")
    assert [record.gating for record in found.comparisons] == [True, False, False, False, False]
    assert [variant.baseline for variant in found.variants] == [True, False]


def test_a_difference_from_itself_fails(run):
    found = analyse_itself(NAMES, run([50 * x for x in NOISE], [55 * x for x in AGAIN]))
    assert found.verdict is Verdict.FAIL
    assert "finds differences where there are none: p50 was" in found.reason
    assert "higher in v1 (A/A) than in v1" in found.reason


@pytest.mark.parametrize(("blocks", "tested"), [(6, 1), (7, 3), (8, 3)])
def test_as_many_metrics_are_tested_as_the_blocks_can_decide(run, blocks, tested):
    levels = [50 * (1 + 0.001 * (-1) ** n * n) for n in range(blocks)]
    found = analyse_itself(NAMES, run(levels, levels[::-1]))
    assert sum(record.gating for record in found.comparisons) == tested
    assert found.verdict is Verdict.PASS


def test_what_the_checks_compare_comes_first(run):
    found = analyse_itself(NAMES, run([50 * x for x in NOISE], [50 * x for x in AGAIN]), [Metric("mean")])
    assert found.reason == "The variant does not differ from itself (tested: mean), as it should be."


def test_too_little_proves_nothing(run, trial_of):
    few = analyse_itself(NAMES, run([50] * 4, [50] * 4))
    assert (few.verdict, few.resolution) == (Verdict.INCONCLUSIVE, {})
    assert few.reason == "4 blocks can't show whether the set-up differs from itself: it takes at least 6."
    nothing = analyse_itself(NAMES, [])
    assert nothing.verdict is Verdict.INCONCLUSIVE
    spoilt = [
        *run([50 * x for x in NOISE], [50 * x for x in AGAIN]),
        trial_of("v1", 7, [50.0] * 200, valid=False),
    ]
    assert "after block 7 ran again" in analyse_itself(NAMES, spoilt).reason
    assert analyse_itself(NAMES, spoilt).verdict is Verdict.INCONCLUSIVE
    broken = analyse_itself(NAMES, run([50] * 6, [50] * 6), error="a proxy died")
    assert (broken.verdict, broken.reason) == (Verdict.ERROR, "a proxy died")


def test_false_alarms_of_an_a_a_run(run):
    """The whole path, with trials that differ: about one run in twenty, whatever the number of metrics."""
    rng, alarms, runs = np.random.default_rng(41), 0, 60
    for _ in range(runs):
        levels = 50 * np.exp(0.05 * rng.standard_normal((2, 7)))
        alarms += analyse_itself(NAMES, run(*levels, requests=100)).verdict is Verdict.FAIL
    assert alarms <= 9  # P(10 or more of 60 at 5 %) is 0.1 %
