"""Searches compared, checked and put into words: what may be claimed of them, and what may not."""

import math

import pytest

from runner.analysis.capacity_analyse import analyse_searches
from runner.analysis.capacity_sum import knee, together
from runner.analysis.capacity_types import Ending, Found, Goal
from runner.analysis.capacity_words import search_sentence
from runner.analysis.evidence import TrialEvidence
from runner.results.document.capacity import CapacityStep
from runner.results.document.figures import Interval
from runner.results.document.trial import Invalid
from runner.results.window import Window
from runner.spec.checks import parse_check

OBJECTIVE = "p99 < 250ms"
EMPTY = Window([], 0.0, open_loop=True, scheduled=0, started=0.0, ended=0.0, generator_cpu=0.0)


def searches(variant, rates, width=0.05):
    """One search a block; None for one that found nothing."""
    return [
        TrialEvidence(
            block,
            1,
            variant,
            EMPTY,
            absent={} if rate else {"capacity": "it still keeps everything at 500/s"},
            capacity=Interval(estimate=rate, low=rate / (1 + width / 2), high=rate * (1 + width / 2)) if rate else None,
        )
        for block, rate in enumerate(rates, 1)
    ]


def analysed(texts, *of):
    checks = [parse_check(text, variant, baseline, None) for variant, baseline, text in texts]
    names = list(dict.fromkeys(trial.variant for trial in of))
    return analyse_searches(names, of, checks, objective=OBJECTIVE)


def test_one_search_claims_no_more_than_simulations_bear_out():
    found = together([Interval(estimate=400, low=396, high=404)])
    assert (found.estimate, found.low, found.high) == (
        pytest.approx(400),
        pytest.approx(400 / 1.05),
        pytest.approx(420),
    )
    wide = together([Interval(estimate=400, low=300, high=404)])
    assert (wide.low, wide.high) == (300, pytest.approx(420))


def test_six_searches_have_an_exact_interval_of_their_centre():
    rates = [400, 404, 396, 402, 398, 401]
    found = together([Interval(estimate=rate, low=rate * 0.97, high=rate * 1.03) for rate in rates])
    assert found.estimate == pytest.approx(400, rel=0.01)
    assert (found.low, found.high) == (pytest.approx(396 / 1.02), pytest.approx(404 * 1.02))
    five = together([Interval(estimate=rate, low=rate * 0.97, high=rate * 1.03) for rate in rates[:5]])
    assert five.low < found.low
    assert five.high > found.high


@pytest.mark.parametrize(
    ("text", "outcome", "verdict"),
    [
        ("capacity >= 380/s", "held", "pass"),
        ("capacity >= 400/s", "inconclusive", "inconclusive"),
        ("capacity >= 450/s", "failed", "fail"),
        ("capacity < 450/s", "held", "pass"),
    ],
)
def test_a_rate_is_held_against_the_whole_interval(text, outcome, verdict):
    found = analysed([("v1", None, text)], *searches("v1", [400]))
    (check,) = found.checks
    assert check.outcome == outcome
    assert check.observed == "capacity 400/s (381 to 420/s)"
    assert found.verdict == verdict
    assert found.variants[0].capacity == {
        "rate": pytest.approx(400),
        "low": pytest.approx(400 / 1.025),
        "high": pytest.approx(410),
    }


def test_variants_are_compared_by_repeated_searches_paired_by_block():
    drift = [1.0, 1.02, 0.97, 1.05, 0.99, 1.01]
    base = searches("v1", [400 * d for d in drift])
    half = searches("v3", [300 * d for d in drift])
    found = analysed([("v3", "v1", "capacity >= -5%"), ("v3", "v1", "capacity <= -20%")], *base, *half)
    assert [check.outcome for check in found.checks] == ["failed", "held"]
    (record,) = found.comparisons
    assert (record.outcome, record.estimate, record.blocks) == ("worse", pytest.approx(-0.25), 6)
    more = analysed([], *half, *base)
    assert more.comparisons[0].outcome == "better"
    assert found.verdict == "fail"
    assert found.headline == (
        "v1 keeps p99 < 250ms up to 402/s (379 to 430/s); v3 up to 301/s (284 to 323/s), 25 % lower than v1 (25 to 25 %)."
    )


def test_one_search_of_each_decides_no_comparison_and_says_how_many_would():
    found = analysed([("v3", "v1", "capacity >= -5%")], *searches("v1", [400]), *searches("v3", [200]))
    (check,) = found.checks
    assert check.outcome == "inconclusive"
    assert "6 blocks" in check.reason
    assert found.headline.endswith("v3 up to 200/s (195 to 205/s), 50 % lower than v1 in so few searches, not decided.")


def test_a_search_that_found_nothing_keeps_the_run_from_passing():
    found = analysed([("v1", None, "capacity >= 300/s")], *searches("v1", [400]), *searches("v3", [None]))
    assert found.checks[0].outcome == "held"
    assert (found.verdict, found.reason) == (
        "inconclusive",
        "No capacity was found for v3: it still keeps everything at 500/s.",
    )
    nothing = analysed([("v3", None, "capacity >= 300/s")], *searches("v3", [None]))
    assert nothing.checks[0].outcome == "inconclusive"
    assert "it still keeps everything at 500/s" in nothing.checks[0].reason
    assert nothing.headline == "v3: no capacity found."


def test_a_failed_check_outweighs_a_search_that_found_nothing():
    found = analysed([("v1", None, "capacity >= 500/s")], *searches("v1", [400]), *searches("v3", [None]))
    assert found.verdict == "fail"


def test_without_checks_nothing_is_asserted():
    found = analysed([], *searches("v1", [400]))
    assert (found.verdict, found.checks) == ("inconclusive", [])
    assert "no checks on capacity" in found.reason


def test_an_ordinary_run_says_what_measures_a_capacity():
    trial = TrialEvidence(1, 1, "v1", EMPTY)
    found = analysed([("v1", None, "capacity >= 300/s")], trial)
    assert "only `meshtrial capacity` measures a capacity" in found.checks[0].reason


def step(rate, outcome, because="p99 300 ms", codes=()):
    return CapacityStep(
        phase="confirm",
        rate=rate,
        seconds=15,
        load_s=17,
        outcome=outcome,
        because=because,
        invalid_because=list(codes),
    )


GOAL = Goal(20, 500)


@pytest.mark.parametrize(
    ("found", "steps", "said"),
    [
        (
            Found(Ending.FOUND, 400, 390, 409),
            [],
            "It keeps `p99 < 250ms` up to 400/s (bounds 390 to 409/s).",
        ),
        (Found(Ending.WIDE, 400, 350, 420), [], "the bounds are 20 % apart, because the 3 min of load"),
        (
            Found(Ending.LOWER_END_FAILS, high=20),
            [step(20, "failed"), step(20, "held", "p99 200 ms"), step(20, "failed", "p99 310 ms")],
            "even at 20/s, the lower end of the range (p99 310 ms, 2 of 3 trials): lower capacity.from",
        ),
        (
            Found(Ending.UPPER_END_HOLDS, low=500),
            [step(500, "held", "p99 90 ms"), step(500, "held", "p99 95 ms")],
            "still keeps `p99 < 250ms` at 500/s, the upper end of the range (p99 95 ms, 2 of 2 trials): raise capacity.to",
        ),
        (
            Found(Ending.SPOILED, low=300),
            [step(420, "spoiled", "the busiest generator process used 0.95 of a core", [Invalid.GENERATOR_CPU])],
            "at least 300/s, and higher rates could not be judged: the load generator, not the service, was the limit: at 420/s",
        ),
        (
            Found(Ending.SPOILED),
            [step(20, "spoiled", "the config changed", [Invalid.CONFIG_LOST])],
            "Its capacity is not known, and higher rates could not be judged: at 20/s the config changed.",
        ),
        (
            Found(Ending.OUT_OF_LOAD, low=300),
            [],
            "at least 300/s: the 3 min of load that a search may make were used up",
        ),
        (Found(Ending.OUT_OF_LOAD, high=300), [], "is not known and less than 300/s"),
    ],
)
def test_every_ending_is_a_sentence_with_its_evidence(found, steps, said):
    assert said in search_sentence(found, GOAL, OBJECTIVE, steps)


def test_the_knee_is_where_a_request_per_second_costs_least_waiting():
    trials = [(50, 20.0), (100, 21.0), (150, 25.0), (180, 60.0), (180, 62.0), (200, 400.0), (220, None)]
    assert knee(trials) == 150
    assert knee([]) is None
    assert knee([(10, None)]) is None
    assert math.isclose(knee([(10, 5.0)]), 10)
