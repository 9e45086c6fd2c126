from __future__ import annotations

import numpy as np
import pytest

from runner.analysis.analyse import analyse
from runner.analysis.checks import deciding_comparisons, evaluate, gating_comparisons
from runner.analysis.gating import ComparisonKey, key_of, step_down
from runner.spec.checks import parse_check
from runner.spec.metrics import Metric


def around(centre, n=120, width=0.02):
    return list(centre * (1 + width * np.linspace(-1, 1, n)))


def checks_of(*texts):
    return [parse_check(text, "b", "a", None) for text in texts]


@pytest.fixture
def seven(blocks_of):
    """Seven blocks: p50 halved; the error rate about 2 points up, in six of seven blocks clearly."""
    noise = (0, 0.01, -0.01, 0.02, -0.02, 0, 0.005)
    found = blocks_of("a", [around(2000)] * 7)
    for block, (x, errors) in enumerate(zip(noise, (9, 8, 9, 10, 9, 8, 3), strict=True), start=1):
        found += blocks_of("b", [around(1000 * (1 + x))], errors=errors)
        found[-1].block = block
    return found


def test_a_decided_check_leaves_its_share_of_the_risk_to_the_others(blocks_of):
    """Two comparisons, eight blocks: the second is decided at 5 % but not at 2.5 %."""
    second = [1.01, 1.015, 0.98, 1.03, 1.04, 1.05, 1.06, 1.07]  # the one against it is the third smallest
    trials = blocks_of("a", [around(100)] * 8)
    for block, x in enumerate(second, start=1):
        # the middle of the requests halves, their mean follows `second`
        fast, slow = around(50, 80), (100 * x * 120 - 50 * 80) / 40
        trials += blocks_of("b", [[*fast, *around(slow, 40)]])
        trials[-1].block = block
    checks = checks_of("p50 <= -20%", "mean >= +0%")
    known = gating_comparisons(checks, trials)
    assert [evaluate(check, trials, known).outcome for check in checks] == ["held", "inconclusive"]
    deciding = deciding_comparisons(checks, trials, known)
    decided = [evaluate(check, trials, deciding) for check in checks]
    assert [record.outcome for record in decided] == ["held", "held"]
    assert decided[0].reason.startswith("With 95 % confidence (for 2 comparisons together) the change is")
    assert decided[1].reason.startswith("With 95 % confidence the change is")
    # alone it would be decided in the same way
    assert evaluate(checks[1], trials).outcome == "held"
    # the published interval stays the one that holds together with all others
    found = analyse(["a", "b"], trials, checks)
    mean = next(record for record in found.comparisons if record.metric == "mean")
    assert (mean.gating, mean.confidence, mean.low < 0) == (True, 0.975, True)
    assert [record.outcome for record in found.checks] == ["held", "held"]


def test_nothing_decided_leaves_the_level_as_it_is(seven):
    checks = checks_of("p50 <= -50%", "mean <= -50%")
    known = gating_comparisons(checks, seven)
    assert deciding_comparisons(checks, seven, known) == known


def test_a_comparison_counts_as_decided_only_with_all_its_checks(seven):
    checks = checks_of("p50 <= -40%", "p50 <= -50%", "error_rate >= +0%")
    known = gating_comparisons(checks, seven)
    asked = []

    def decides(check, record):
        asked.append((check.text, round(record.confidence, 3)))
        return check.text == "p50 <= -40%"

    assert step_down(checks, seven, known, decides) == known
    # the p50's second check is open, so no risk is handed on
    assert {level for _, level in asked} == {0.975}


def test_holms_steps_go_on_until_none_more_is_decided(seven):
    checks = checks_of("p50 <= -40%", "mean <= -40%", "error_rate >= +0%")
    levels = []

    def decides(check, record):
        levels.append(round(record.confidence, 4))
        wanted = {"p50": 0.98, "mean": 0.97, "error_rate": 0.96}[check.metric.name]
        return (
            record.confidence < 1 - 0.05 / 3 + 1e-9 if check.metric.name == "p50" else record.confidence < wanted + 0.01
        )

    found = step_down(checks, seven, gating_comparisons(checks, seven), decides)
    by_name = {key.metric.name: record.confidence for key, record in found.items()}
    assert by_name["p50"] == pytest.approx(1 - 0.05 / 3)
    assert by_name["mean"] == pytest.approx(0.975)
    assert by_name["error_rate"] == pytest.approx(0.95)


def test_a_margin_given_by_a_check_is_the_comparisons(blocks_of):
    noise = (0, 0.01, -0.01, 0.02, -0.015, 0.005)
    trials = blocks_of("b", [around(1000 * (1.05 + x)) for x in noise]) + blocks_of("a", [around(1000)] * 6)
    outcomes = {}
    for text in ("p50 within 10%", "p50 within 3%"):
        (check,) = checks_of(text)
        key = key_of(check)
        assert key == ComparisonKey(Metric("p50"), "b", "a")
        record = gating_comparisons([check], trials)[key]
        outcomes[text] = (record.outcome, record.margin, evaluate(check, trials).outcome)
    assert outcomes == {"p50 within 10%": ("equivalent", 0.1, "held"), "p50 within 3%": ("worse", 0.03, "failed")}
