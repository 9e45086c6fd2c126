"""What must not pass although every number is on the right side: found by trying to make Meshtrial pass wrongly."""

from __future__ import annotations

import pytest

from runner.analysis.analyse import analyse
from runner.analysis.checks import evaluate
from runner.analysis.validity import judge
from runner.analysis.validity_types import ValidityInput
from runner.results.document.trial import Invalid
from runner.spec.checks import parse_check


def checks(*texts, variant="a", baseline=None):
    return [parse_check(text, variant, baseline, None) for text in texts]


def test_arrivals_without_a_request_are_a_missed_rate(window_of):
    window = window_of([10] * 10, seconds=2)
    assert judge(ValidityInput(window)).codes == []
    window.seconds[0].due += 90  # tasks that returned, or raised, before they asked for anything
    window.scheduled = 100
    found = judge(ValidityInput(window))
    assert found.codes == [Invalid.RATE_MISSED]
    assert found.notes[0].detail.startswith("100 arrivals made only 10 requests")
    window.stopped = True
    assert judge(ValidityInput(window)).codes == []


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("p95 < 1s", "inconclusive"),
        ("p50 < 1s", "inconclusive"),
        ("mean < 1s", "inconclusive"),
        ("max < 1s", "inconclusive"),
        ("p50 > 1ms", "held"),
        ("max > 1ms", "held"),
        ("p50 < 5ms", "failed"),
    ],
)
def test_a_latency_bound_has_to_hold_for_unanswered_requests_too(blocks_of, text, outcome):
    trials = blocks_of("a", [[10] * 200] * 4, unanswered=200)
    found = evaluate(checks(text)[0], trials)
    assert found.outcome == outcome
    if outcome == "inconclusive":
        assert "800 of 1600 requests got no answer; they may have taken any time" in found.reason


def test_few_unanswered_requests_leave_a_low_quantile_bounded(blocks_of):
    trials = blocks_of("a", [[10] * 500] * 4, unanswered=2)
    assert evaluate(checks("p95 < 1s")[0], trials).outcome == "held"
    assert evaluate(checks("max < 1s")[0], trials).outcome == "inconclusive"


def test_a_comparison_of_what_was_answered_does_not_stand_for_what_was_not(blocks_of):
    base = blocks_of("b", [[10 + block / 100] * 200 for block in range(8)])
    for unanswered, outcome in ((0, "held"), (2, "held"), (50, "inconclusive")):
        ours = blocks_of("a", [[10 + block / 100] * 200 for block in range(8)], unanswered=unanswered)
        found = evaluate(checks("p50 <= +10%", baseline="b")[0], [*ours, *base])
        assert found.outcome == outcome
    assert "50 of 250 requests of a in block 1 got no answer" in found.reason


def test_two_variants_that_are_the_same_compare_nothing(blocks_of):
    ours, base = (blocks_of(name, [[10 + block / 100] * 200 for block in range(8)]) for name in "ab")
    check = checks("p50 within 10%", baseline="b")[0]
    assert evaluate(check, [*ours, *base]).outcome == "held"
    for trial in [*ours, *base]:
        trial.setting = "one config, one load"
    found = evaluate(check, [*ours, *base])
    assert found.outcome == "inconclusive"
    assert "a and b had the same load, and every proxy held the same config: nothing was compared" in found.reason
    for trial in ours:
        trial.setting = "another"
    assert evaluate(check, [*ours, *base]).outcome == "held"
    # a difference that was found stands
    assert evaluate(checks("p50 <= -40%", baseline="b")[0], [*ours, *base]).outcome == "failed"


def test_a_run_does_not_pass_while_a_variant_never_counted(blocks_of):
    base, faulty = blocks_of("a", [[10] * 200] * 4), blocks_of("b", [[10] * 200] * 4, valid=False)
    for trial in faulty:
        trial.invalid_because = ["fault_not_fired"]
    found = analyse(["a", "b"], [*base, *faulty], checks("p95 < 1s"))
    assert (found.verdict, found.reason) == (
        "inconclusive",
        "Every check held, but none of the 4 trials of b is valid (fault_not_fired).",
    )
    assert analyse(["a"], base, checks("p95 < 1s")).verdict == "pass"


def test_quick_failures_do_not_pass_for_quick_answers(blocks_of):
    trials = blocks_of("a", [[10] * 200] * 4, errors=200, status="503")
    found = analyse(["a"], trials, checks("p95 < 1s"))
    assert (found.verdict, found.reason) == (
        "inconclusive",
        (
            "Every check held, but 100 % of the requests of a failed, and no check says that they may: "
            "add one on error_rate, status or outcome."
        ),
    )
    assert analyse(["a"], trials, checks("p95 < 1s", "status[503] > 95%")).verdict == "pass"
