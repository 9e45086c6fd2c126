"""What one trial says: its strain against the objective, and whose fault a failure is."""

import math
from dataclasses import replace

import pytest

from runner.analysis.capacity_trial import Hopeless, judge_trial, planned_in, without_lead
from runner.analysis.capacity_types import Outcome
from runner.analysis.evidence import TrialEvidence
from runner.analysis.validity import judge
from runner.analysis.validity_types import ValidityInput
from runner.results.document.trial import Invalid
from runner.results.window import Second
from runner.spec.checks import parse_objective

HORIZON = 45.0


def said(window, objective="p99 < 250ms and error_rate < 0.1%", planned=0, **validity):
    trial = TrialEvidence(1, 1, "v1", window)
    conditions = parse_objective(objective, None)
    return judge_trial(trial, conditions, judge(ValidityInput(window, **validity)), HORIZON, planned)


def test_the_strain_of_a_quantile_is_the_share_of_slow_requests(window_of):
    quick = said(window_of([20.0] * 996 + [300.0] * 4))
    assert (quick.outcome, quick.strain, quick.loss) == (Outcome.HELD, pytest.approx(0.4), pytest.approx(0.004))
    slow = said(window_of([20.0] * 980 + [300.0] * 20))
    assert (slow.outcome, slow.strain) == (Outcome.FAILED, pytest.approx(2.0))
    assert slow.because == "p99 300 ms"


def test_the_tightest_condition_decides_and_is_named(window_of):
    found = said(window_of([20.0] * 1000, errors=5))
    assert (found.outcome, found.strain, found.because) == (Outcome.FAILED, pytest.approx(5.0), "error_rate 0.5 %")
    assert said(window_of([20.0] * 10_000, errors=5)).outcome is Outcome.HELD


@pytest.mark.parametrize(
    ("objective", "outcome"),
    [
        ("error_rate < 1%", Outcome.FAILED),
        ("error_rate <= 1%", Outcome.HELD),
        ("errors == 0", Outcome.FAILED),
        ("errors <= 10", Outcome.HELD),
        ("mean < 30ms", Outcome.HELD),
        ("mean < 20ms", Outcome.FAILED),
        ("max < 21ms", Outcome.HELD),
        ("rate > 200/s", Outcome.HELD),
        ("rate > 300/s", Outcome.FAILED),
        ("status[200] > 98%", Outcome.HELD),
        ("status[200] >= 100%", Outcome.HELD),
        ("status[503] < 1%", Outcome.HELD),
    ],
)
def test_every_kind_of_condition_is_held_against_its_limit(window_of, objective, outcome):
    assert said(window_of([20.0] * 1000, errors=10), objective).outcome is outcome


def test_failing_fast_is_no_capacity_unless_the_objective_allows_errors(window_of):
    window = window_of([5.0] * 1000, status=["503"] * 30 + ["200"] * 970, errors=30)
    assert said(window, "p99 < 250ms").outcome is Outcome.FAILED
    assert said(window, "p99 < 250ms and error_rate < 5%").outcome is Outcome.HELD


def test_requests_without_an_answer_miss_any_latency(window_of):
    assert said(window_of([5.0] * 970, unanswered=30), "p99 < 250ms").strain == pytest.approx(3.0)
    nothing = said(window_of([], unanswered=50))
    assert (nothing.outcome, nothing.strain) == (Outcome.FAILED, math.inf)
    assert "no request was answered" in nothing.because


def test_dropped_arrivals_are_the_services_failure_whatever_is_asked_of_it(window_of):
    found = said(window_of([20.0] * 1000, dropped=5))
    assert (found.outcome, found.strain) == (Outcome.FAILED, math.inf)
    assert "max_in_flight" in found.because
    assert said(window_of([20.0] * 1000, dropped=5), "dropped < 10 and p99 < 250ms").outcome is Outcome.HELD


def test_a_generator_short_of_cpu_is_no_evidence_against_the_service_but_for_it(window_of):
    slow = said(window_of([300.0] * 1000, cpu=0.95))
    assert (slow.outcome, slow.codes) == (Outcome.SPOILED, (Invalid.GENERATOR_CPU,))
    assert "0.95 of a core" in slow.because
    assert said(window_of([20.0] * 1000, cpu=0.95)).outcome is Outcome.HELD


def test_late_sending_spoils_a_trial_only_where_the_service_itself_was_quick(window_of):
    late = {"late": 100, "late_ms": 400.0}
    ours = said(window_of([420.0] * 100 + [20.0] * 900, service=20.0, **late))
    assert (ours.outcome, ours.codes) == (Outcome.SPOILED, (Invalid.LAG,))
    theirs = said(window_of([420.0] * 100 + [20.0] * 900, service=300.0, **late))
    assert theirs.outcome is Outcome.FAILED


def test_a_rate_that_was_not_reached_says_nothing(window_of):
    found = said(window_of([20.0] * 900, scheduled=1000))
    assert (found.outcome, found.codes) == (Outcome.SPOILED, (Invalid.RATE_MISSED,))


def test_a_lost_config_says_nothing(window_of):
    found = said(window_of([20.0] * 1000), start={"a": "1"}, end={"a": "2"}, proxies=["a"])
    assert (found.outcome, found.codes) == (Outcome.SPOILED, (Invalid.CONFIG_LOST,))


def test_falling_behind_fails_before_the_queue_has_grown_to_the_limit(window_of):
    """Each second 10 ms slower: 170 ms after 15 s, but 470 ms after 45 s."""
    growing = [20.0 + 10.0 * (i // 100) + (i % 7) for i in range(1500)]
    found = said(window_of(growing, seconds=15))
    assert found.outcome is Outcome.FAILED
    assert "grew by 10 ms each second" in found.because
    assert said(window_of(growing, seconds=15), "p99 < 2s").outcome is Outcome.HELD
    assert said(window_of(growing, seconds=15), "error_rate < 1%").outcome is Outcome.HELD
    falling = [20.0 + 60.0 * (i // 100) + (i % 7) for i in range(1500)]
    assert said(window_of(falling, seconds=15), "error_rate < 1%").outcome is Outcome.FAILED


def test_the_lead_is_cut_off_to_the_second(window_of):
    window = window_of([500.0] * 200 + [20.0] * 300, seconds=5)
    kept = without_lead(window, 2)
    assert [second.offset for second in kept.seconds] == [0, 1, 2]
    assert (kept.length, kept.scheduled, kept.started) == (3.0, 300, 2.0)
    assert said(kept).outcome is Outcome.HELD


def slow_second(offset, requests, slow, errors=0, dropped=0):
    second = Second(offset)
    cell = second.cell("page", "200")
    for number in range(requests):
        cell.response.record(900_000 if number < slow else 20_000)
    cell.errors = errors
    second.dropped = dropped
    return second


def test_a_trial_ends_early_only_when_its_failure_is_certain():
    objective = parse_objective("p99 < 250ms and error_rate < 0.1%", None)
    watch = Hopeless(objective, planned=1000, lead=1.0)
    assert not watch.see(slow_second(1, 100, 100)), "what ends a second after the lead may belong to the lead"
    assert not watch.see(slow_second(2, 100, 31))
    assert watch.see(slow_second(3, 100, 1)), "32 of 1,000 are more than three times what may be slow"
    assert Hopeless(objective, 10_000, 0.0).see(slow_second(1, 100, 0, errors=40))
    assert Hopeless(objective, 1000, 0.0).see(slow_second(1, 100, 0, dropped=40))
    assert not Hopeless(parse_objective("mean < 250ms", None), 1000, 0.0).see(slow_second(1, 900, 900))


def test_what_was_not_sent_counts_as_good_in_a_trial_that_ended_early(window_of):
    window = replace(window_of([300.0] * 40 + [20.0] * 160, seconds=2), stopped=True)
    planned = planned_in(window, rate=100, seconds=10)
    assert planned == 1000
    found = said(window, planned=planned)
    assert (found.outcome, found.strain, found.loss) == (Outcome.FAILED, pytest.approx(4.0), pytest.approx(0.04))
    assert planned_in(replace(window, stopped=False), 100, 10) == 0
