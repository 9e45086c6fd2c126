from __future__ import annotations

import pytest
from judged import codes, steady

from runner.analysis.validity import judge
from runner.analysis.validity_types import ValidityInput
from runner.results.document.trial import Invalid


def test_no_traffic_and_no_answer(window_of):
    assert codes(window_of([])) == [Invalid.NO_TRAFFIC]
    found = judge(ValidityInput(window_of([], unanswered=5)))
    assert found.codes == [Invalid.UNREACHABLE]
    assert found.notes[0].detail == "none of 5 requests got a response: ConnectionRefusedError (5)"
    assert codes(window_of([10], unanswered=5)) == []
    assert codes(window_of([], open_loop=False)) == [Invalid.NO_TRAFFIC]


def test_a_missed_rate(window_of):
    found = judge(ValidityInput(window_of(steady(98), scheduled=100)))
    assert found.codes == [Invalid.RATE_MISSED]
    assert "98 of 100 scheduled arrivals were sent (98.0 %; 99% are needed)" in found.notes[0].detail
    assert codes(window_of(steady(99), scheduled=100)) == []
    # a closed loop has no schedule; a window cut short from outside is no fault of the generator
    assert codes(window_of(steady(50), scheduled=100, open_loop=False)) == []
    cut = window_of(steady(50), scheduled=100)
    cut.stopped = True
    assert codes(cut) == []
    assert "cut short" in judge(ValidityInput(cut)).remarks[0]


def test_one_dropped_arrival_is_enough(window_of):
    assert codes(window_of(steady(600), seconds=30, dropped=1)) == [Invalid.DROPPED]
    assert codes(window_of(steady(10), seconds=4, dropped=90)) == [Invalid.RATE_MISSED, Invalid.DROPPED]


@pytest.mark.parametrize(("late", "invalid"), [(0, False), (2, False), (3, False), (4, True), (60, True)])
def test_lag_is_decided_by_a_test_so_that_two_of_120_are_no_verdict(window_of, late, invalid):
    assert (codes(window_of(steady(120), late=late, late_ms=50)) == [Invalid.LAG]) is invalid


def test_lag_is_measured_against_the_response(window_of):
    # 5 % of a second is 50 ms
    assert codes(window_of(steady(120, 1000), late=120, late_ms=40)) == []
    assert codes(window_of(steady(120, 1000), late=120, late_ms=60)) == [Invalid.LAG]
    assert codes(window_of(steady(120, 10), late=120, late_ms=4)) == []
    assert codes(window_of(steady(120, 10), late=120, late_ms=6)) == [Invalid.LAG]


def test_generator_cpu(window_of):
    assert codes(window_of(steady(), seconds=30, cpu=0.8)) == []
    assert codes(window_of(steady(), seconds=30, cpu=0.81)) == [Invalid.GENERATOR_CPU]
