from __future__ import annotations

from judged import codes, steady

from runner.analysis.validity import judge
from runner.analysis.validity_types import ValidityInput
from runner.istio.faults import ExpectedFault
from runner.results.document.trial import Invalid

V = {"productpage-v1": "7", "reviews-v2": "7"}


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


def test_what_was_not_drained_is_remarked(window_of):
    window = window_of([10])
    window.drained = False
    window.unmeasured, window.user_errors = 3, {"ValueError at load.py:7": 1}
    remarks = judge(ValidityInput(window)).remarks
    assert "still under way" in remarks[0]
    assert remarks[1].startswith("3 requests outside any arrival or task")
    assert remarks[2] == "the loadfile raised ValueError at load.py:7 (1 time)"
