from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.analysis.validity import ValidityInput, judge, mser_cut
from runner.istio.faults import ExpectedFault
from runner.results.document import Invalid
from runner.results.window import Second

V = {"productpage-v1": "7", "reviews-v2": "7"}


def codes(window, **more):
    return judge(ValidityInput(window, **more)).codes


def steady(n=600, level=100.0, seed=3):
    return list(level * np.exp(0.05 * np.random.default_rng(seed).standard_normal(n)))


def test_a_sound_trial_is_valid_without_remarks(window_of):
    found = judge(
        ValidityInput(
            window_of(steady(), seconds=30),
            increases={"reviews-v2": {"http.outbound_0.0.0.0_9080;.fault.delays_injected": 5}},
            start=V,
            end=V,
            proxies=list(V),
            faults={ExpectedFault("delay")},
        )
    )
    assert found.valid
    assert found.remarks == []


def test_short_windows_are_remarked_not_judged(window_of):
    found = judge(ValidityInput(window_of([10] * 20 + [100] * 20, seconds=4)))
    assert found.valid
    assert found.remarks == [
        "drift was not judged: it takes 10 seconds with answers, and there were 4",
        "steadiness was not judged: it takes 20 seconds with answers, and there were 4",
    ]


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


def test_config_lost_and_proxy_died(window_of):
    window = window_of([10])
    found = judge(ValidityInput(window, start=V, end={**V, "reviews-v2": "8"}))
    assert found.codes == [Invalid.CONFIG_LOST]
    assert "reviews-v2 (7 became 8)" in found.notes[0].detail
    gone = judge(ValidityInput(window, start=V, end={"productpage-v1": "7"}))
    assert gone.codes == [Invalid.PROXY_DIED]
    assert "reviews-v2 (at the end)" in gone.notes[0].detail
    never = judge(ValidityInput(window, start=V, end=V, proxies=["ratings-v1"]))
    assert never.codes == [Invalid.PROXY_DIED]
    assert "ratings-v1 (at the start)" in never.notes[0].detail


def test_a_fault_that_never_fired_is_named(window_of):
    moved = {"reviews-v2": {"http.x.fault.delays_injected": 3, "http.x.fault.aborts_injected": 0}}
    assert codes(window_of([10]), increases=moved, faults={ExpectedFault("delay")}) == []
    found = judge(
        ValidityInput(window_of([10]), increases=moved, faults={ExpectedFault("delay"), ExpectedFault("abort")})
    )
    assert found.codes == [Invalid.FAULT_NOT_FIRED]
    assert found.notes[0].detail == "the abort fault never fired: `fault.aborts_injected` of 1 proxy did not move"
    both = judge(ValidityInput(window_of([10]), faults={ExpectedFault("delay"), ExpectedFault("abort")}))
    assert [note.code for note in both.notes] == [Invalid.FAULT_NOT_FIRED] * 2
    assert both.codes == [Invalid.FAULT_NOT_FIRED]


def test_drift(window_of):
    rising = [latency * (1 + 0.3 * i / 600) for i, latency in enumerate(steady())]
    found = judge(ValidityInput(window_of(rising, seconds=30)))
    assert Invalid.DRIFT in found.codes
    assert "drifted by 3" in found.notes[0].detail
    assert codes(window_of(rising, seconds=9)) == []
    assert codes(window_of(rising, seconds=30), rate_varies=True) == []
    gentle = [latency * (1 + 0.05 * i / 600) for i, latency in enumerate(steady())]
    assert codes(window_of(gentle, seconds=30)) == []
    # 30 % of 1 ms is no half millisecond
    assert codes(window_of([latency / 100 for latency in rising], seconds=30)) == []


def test_noise_alone_is_no_drift_and_not_unsteady(window_of):
    found = [codes(window_of(steady(600, seed=seed), seconds=30)) for seed in range(40)]
    assert found == [[]] * 40


def test_not_steady(window_of):
    # the warm-up filled 60 % of the window, without the trend over the rest that drift looks for
    late = steady(360, 150) + steady(240, 100, seed=4)
    found = judge(ValidityInput(window_of(late, seconds=30)))
    assert Invalid.NOT_STEADY in found.codes
    note = next(note for note in found.notes if note.code is Invalid.NOT_STEADY)
    assert "settled only after 18 of 30 seconds" in note.detail
    early = steady(120, 150) + steady(480, 100, seed=4)
    assert Invalid.NOT_STEADY not in codes(window_of(early, seconds=30))
    assert Invalid.NOT_STEADY not in codes(window_of(late, seconds=15))


def test_what_was_not_drained_is_remarked(window_of):
    window = window_of([10])
    window.drained = False
    window.unmeasured, window.user_errors = 3, {"ValueError at load.py:7": 1}
    remarks = judge(ValidityInput(window)).remarks
    assert "still under way" in remarks[0]
    assert remarks[1].startswith("3 requests outside any arrival or task")
    assert remarks[2] == "the loadfile raised ValueError at load.py:7 (1 time)"


def test_seconds_without_answers_are_no_zeros(window_of):
    window = window_of(steady(600), seconds=30)
    window.seconds += [Second(offset) for offset in range(30, 35)]
    assert codes(window) == []


@given(st.lists(st.floats(1, 1000), min_size=6, max_size=30))
def test_the_mser_cut_is_the_best_of_all_cuts(values):
    y = np.array(values)
    cut = mser_cut(y)
    spreads = [np.sum((y[d:] - y[d:].mean()) ** 2) / (len(y) - d) ** 2 for d in range(len(y) - 4)]
    assert cut <= len(y) - 5
    assert spreads[cut] == min(spreads)
