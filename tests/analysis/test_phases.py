"""Phases in the analysis: which second belongs where, when a fault showed and was gone, and what checks make of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.analysis.analyse import analyse
from runner.analysis.checks import evaluate
from runner.analysis.compare import compare
from runner.analysis.evidence import TrialEvidence
from runner.analysis.itself import analyse_itself
from runner.analysis.phase_validity import PhaseSeen
from runner.analysis.phase_words import phases_headline
from runner.analysis.phases import IN_A_ROW, keeps, time_to_detect, time_to_recover
from runner.analysis.validity import judge
from runner.analysis.validity_types import ValidityInput
from runner.analysis.verdict import metric_of
from runner.istio.faults import ExpectedFault
from runner.results.document.attestation import Attestation, ProxyVersions
from runner.results.document.phases import Switch, Switches
from runner.results.document.trial import Invalid
from runner.results.phases import part_of, spans
from runner.results.window import Second, Window
from runner.spec.checks import parse_check, parse_objective
from runner.spec.metrics import Metric

OBJECTIVE = parse_objective("p95 < 500ms and error_rate < 1%", None, seconds=True)
RATE = 120


def switch(at, took=0.1, read=0.05):
    return Switch(begun=at, requested=at + read, confirmed=at + read + took, ended=at + 2 * read + took)


def switches(on=10.0, off=20.0, took=0.1, **more):
    return Switches(on=switch(on, took), off=None if off is None else switch(off, took), **more)


def window(latencies, failing=(), rate=RATE):
    """One latency (ms) for each second, of `rate` requests; those of the `failing` seconds fail; None: nothing was answered."""
    made = Window(
        [],
        float(len(latencies)),
        open_loop=True,
        scheduled=rate * len(latencies),
        started=1000.0,
        ended=1000.0 + len(latencies),
        generator_cpu=0.1,
    )
    for offset, latency in enumerate(latencies):
        second = Second(offset, due=rate)
        cell = second.cell("page", "503" if offset in failing else "200")
        for number in range(rate if latency is not None else 0):
            cell.response.record(round((latency + number / 100) * 1000))
            second.lag.record(100)
        cell.errors = rate if offset in failing and latency is not None else 0
        made.seconds.append(second)
    return made


def outage(*, slow=2000, ok=30, until=21, seconds=30, wobble=0.0):
    """Slow from second 10 to before `until`."""
    return window([(slow if 10 <= second < until else ok) + wobble for second in range(seconds)])


def trial(block=1, variant="a", made=None, when=None, **more):
    return TrialEvidence(
        block,
        1,
        variant,
        made or outage(wobble=block / 10),
        increases=more.pop("increases", {}),
        switches=when or switches(),
        objective=more.pop("objective", OBJECTIVE),
        **more,
    )


def check(text, trials, baseline=None):
    return evaluate(parse_check(text, "b" if baseline else "a", baseline, None), trials)


# Which seconds


def test_seconds_in_which_a_switch_was_under_way_belong_to_no_phase():
    assert spans(switches(), 30.0) == {"before": range(10), "during": range(11, 20), "after": range(21, 30)}
    assert spans(switches(took=2.5), 30.0) == {"before": range(10), "during": range(13, 20), "after": range(23, 30)}
    assert spans(switches(off=None), 14.2) == {"before": range(10), "during": range(11, 14)}
    assert spans(switches(took=12.0), 30.0)["during"] == range(23, 23)
    exact = Switches(on=Switch(begun=4, requested=4, confirmed=5, ended=5), off=switch(8.0, 0.1))
    assert spans(exact, 12.0) == {"before": range(4), "during": range(5, 8), "after": range(9, 12)}


moments = st.floats(0, 60, allow_nan=False)


@given(st.lists(moments, min_size=8, max_size=8).map(sorted), moments)
def test_no_second_is_in_two_phases_and_none_touches_a_switch(times, length):
    names = ("begun", "requested", "confirmed", "ended")
    on, off = (Switch(**dict(zip(names, times[at : at + 4], strict=True))) for at in (0, 4))
    found = spans(Switches(on=on, off=off), length)
    assert list(found) == ["before", "during", "after"]
    seconds = [second for part in found.values() for second in part]
    assert len(seconds) == len(set(seconds))
    for name, part in found.items():
        for second in part:
            assert name == "during" or second + 1 <= length + 1e-5 or second < on.requested
            for one in (on, off):
                hair = 1e-5
                assert second + 1 <= one.requested + hair or second >= one.confirmed - hair, (name, second)


@given(st.lists(st.integers(1, 900), min_size=3, max_size=20), st.data())
def test_the_parts_of_a_window_hold_its_requests_and_no_others(latencies, data):
    whole = window(latencies, rate=3)
    cut = data.draw(st.integers(0, len(latencies)))
    left, right = part_of(whole, range(cut)), part_of(whole, range(cut, len(latencies) + 5))
    assert left.whole().cells.get("page", {}).keys() | right.whole().cells.get("page", {}).keys() == {"200"}
    counted = [part.whole().cell("page", "200").response for part in (left, right)]
    assert sum(one.count for one in counted) == whole.whole().cell("page", "200").response.count
    assert [second.offset for second in right.seconds] == list(range(len(latencies) - cut))
    assert (left.length + right.length, left.scheduled + right.scheduled) == (whole.length, whole.scheduled)


# Times


def test_detection_is_the_end_of_the_first_broken_second_and_recovery_the_start_of_three_good_ones():
    found = outage()
    assert keeps(OBJECTIVE, found) == [True] * 10 + [False] * 11 + [True] * 9
    assert time_to_detect(OBJECTIVE, found, switches()).seconds == pytest.approx(11 - 10.15)
    assert time_to_recover(OBJECTIVE, found, switches()).seconds == pytest.approx(21 - 20.15)


def test_a_recovery_that_breaks_again_is_none_yet():
    flapping = window([30] * 10 + [2000] * 11 + [30, 30, 700, 30, 30, 700, 30, 30, 30])
    assert time_to_recover(OBJECTIVE, flapping, switches()).seconds == pytest.approx(27 - 20.15)
    late = window([30] * 10 + [2000] * 11 + [30, 30, 700] * 3)
    never = time_to_recover(OBJECTIVE, late, switches())
    assert (never.seconds, never.watched) == (None, pytest.approx(30 - 20.15))
    assert never.text == "never within 9.85 s"


def test_errors_break_an_objective_too_and_a_silent_second_says_nothing():
    failing = window([30] * 30, failing=range(12, 20))
    assert time_to_detect(OBJECTIVE, failing, switches()).seconds == pytest.approx(13 - 10.15)
    silent = window([30] * 10 + [2000] * 11 + [30, None, 30, 30, None, 30, 30, 30, 30])
    assert keeps(OBJECTIVE, silent)[21:26] == [True, None, True, True, None]
    assert time_to_recover(OBJECTIVE, silent, switches()).seconds == pytest.approx(26 - 20.15)


def test_what_was_broken_before_can_not_be_detected():
    broken = window([30] * 8 + [900] + [30] + [2000] * 11 + [30] * 9)
    assert (
        "was not kept in the last 3 seconds before the switch" in time_to_detect(OBJECTIVE, broken, switches()).missing
    )
    assert time_to_recover(OBJECTIVE, broken, switches()).missing
    early = window([900] * 7 + [30] * 3 + [2000] * 11 + [30] * 9)
    assert time_to_detect(OBJECTIVE, early, switches()).seconds is not None


def test_where_nothing_broke_there_is_nothing_to_recover_from():
    calm = outage(slow=40)
    assert time_to_detect(OBJECTIVE, calm, switches()).watched == pytest.approx(9.85 + 0.0, abs=0.2)
    assert "nothing to recover from" in time_to_recover(OBJECTIVE, calm, switches()).missing
    assert time_to_detect((), calm, switches()).missing == "the phases have no objective"
    assert "ended before the last switch" in time_to_detect(OBJECTIVE, calm, switches(off=None)).missing
    assert "ended before the last switch" in time_to_recover(OBJECTIVE, calm, None).missing


@given(
    st.lists(st.sampled_from([30, 2000]), min_size=24, max_size=40),
    st.floats(0.01, 3),
    st.integers(4, 8),
    st.integers(12, 16),
)
def test_times_are_those_of_the_seconds_they_name(latencies, took, on, off):
    made, when = window(latencies, rate=2), switches(float(on), float(off), took)
    kept = keeps(OBJECTIVE, made)
    detected = time_to_detect(OBJECTIVE, made, when)
    recovered = time_to_recover(OBJECTIVE, made, when)
    if detected.seconds is not None:
        second = round(detected.seconds + when.on.confirmed) - 1
        assert kept[second] is False
        assert detected.seconds > 0
        assert False not in kept[int(when.on.confirmed) : second]
    if recovered.seconds is not None:
        assert detected.seconds is not None
        second = round(recovered.seconds + when.off.confirmed)
        assert recovered.seconds > 0
        assert kept[second : second + IN_A_ROW] == [True] * IN_A_ROW
    assert sum(value is not None for value in (recovered.seconds, recovered.watched)) + bool(recovered.missing) == 1


# Checks


def six(make):
    return [make(block) for block in range(1, 7)]


def test_a_phase_is_measured_alone():
    trials = six(trial)
    assert check("p95@before < 100ms", trials).outcome == "held"
    assert check("p50@during >= 2s", trials).outcome == "held"
    assert check("p95@after < 100ms", trials).outcome == "held"
    assert check("p95@after > 1s", trials).outcome == "failed"
    assert check("p95 > 1s", trials).outcome == "held"
    requests = check("requests@during == 6480", trials)
    assert (requests.outcome, requests.observed) == ("held", f"requests@during {6 * 9 * RATE}")
    assert check("rate@during == 120/s", trials).outcome == "held"


def test_counters_of_a_phase_are_those_between_its_edges():
    stat = "http.inbound.fault.delays_injected"
    moved = {"before": {"reviews-v2": {}}, "during": {"reviews-v2": {stat: 7}}, "after": {"reviews-v2": {}}}
    trials = six(
        lambda block: trial(
            block,
            when=switches(increases=moved),
            increases={"reviews-v2": {stat: 8}},
            known={"reviews-v2": frozenset({stat})},
        )
    )
    assert check("proxy[reviews-v2 fault.delays_injected]@during == 42", trials).outcome == "held"
    assert check("proxy[reviews-v2 fault.delays_injected]@after == 0", trials).outcome == "held"
    assert check("proxy[reviews-v2 fault.delays_injected] == 48", trials).outcome == "held"


def test_times_are_checked_over_all_trials():
    trials = six(trial)
    found = check("time_to_recover < 3s", trials)
    assert (found.outcome, found.observed) == ("held", "time_to_recover 850 ms")
    assert check("time_to_recover < 500ms", trials).outcome == "failed"
    mixed = [trial(block, made=outage(until=21 + block % 3)) for block in range(1, 7)]
    spread = check("time_to_recover < 3s", mixed)
    assert spread.outcome == "held"
    assert "1.85 s (" in spread.observed
    assert check("time_to_recover < 1.8s", mixed).outcome == "inconclusive"


def test_never_fails_an_upper_limit_and_only_that():
    trials = [trial(block, made=outage(until=99) if block == 3 else None) for block in range(1, 7)]
    found = check("time_to_recover < 5s", trials)
    assert found.outcome == "failed"
    assert found.observed == "time_to_recover never within 9.85 s in 1 of 6 trials"
    assert "never within 9.85 s in 1 of 6 trials, which is not less than 5 s" in found.reason
    assert check("time_to_recover > 5s", trials).outcome == "held"
    assert check("time_to_recover > 20s", trials).outcome == "inconclusive"
    calm = six(lambda block: trial(block, made=outage(slow=40)))
    assert check("time_to_detect < 5s", calm).outcome == "failed"
    nothing = check("time_to_recover < 5s", calm)
    assert nothing.outcome == "inconclusive"
    assert "nothing to recover from" in nothing.reason


def test_what_a_trial_lacks_is_said():
    plain = [replace(trial(block), switches=None) for block in range(1, 7)]
    assert "it has no phases" in check("p95@during < 1s", plain).reason
    gone = [trial(block, when=switches(off=None)) for block in range(1, 7)]
    assert "has no whole second in the phase `after`" in check("p95@after < 1s", gone).reason


def test_phases_of_two_variants_are_compared_by_block():
    slow = six(trial)
    fast = [replace(trial(block, made=outage(slow=1000, wobble=block / 9)), variant="b") for block in range(1, 7)]
    assert check("p50@during <= -30%", slow + fast, "a").outcome == "held"
    assert check("p50@before <= +10%", slow + fast, "a").outcome == "held"
    assert check("requests@during == requests@during", slow + fast, "a").outcome == "held"
    assert check("error_rate@during <= +1%", slow + fast, "a").outcome == "held"
    record = compare(Metric("p50", phase="during"), "b", "a", slow + fast)
    assert (record.metric, record.outcome) == ("p50@during", "better")
    assert "median response (during)" in record.sentence
    assert metric_of(record) == Metric("p50", phase="during")
    later = [replace(trial(block, made=outage(until=23)), variant="b") for block in range(1, 7)]
    worse = compare(Metric("time_to_recover"), "b", "a", slow + later)
    assert (worse.outcome, round(worse.estimate, 2)) == ("worse", round(2.85 / 0.85 - 1, 2))
    assert check("time_to_recover <= +0%", slow + later, "a").outcome == "failed"


@pytest.mark.parametrize(
    "metric", ["outcome[a@after]", "outcome[a]@after", "p50@after", "error_rate", "status[503]@during"]
)
def test_a_comparison_knows_its_metric_again(metric):
    written = parse_check(f"{metric} <= +1%", "b", "a", None).metric
    trials = six(trial) + [replace(trial(block), variant="b") for block in range(1, 7)]
    assert metric_of(compare(written, "b", "a", trials)) == written


def test_against_itself_looks_at_the_phases_that_checks_ask_for():
    again = [replace(trial(block, made=outage(wobble=block / 9)), variant="a (A/A)") for block in range(1, 7)]
    found = analyse_itself(("a", "a (A/A)"), six(trial) + again, (Metric("p50", phase="during"),))
    assert "p50@during" in found.resolution
    assert "median response (during)" in found.headline


# The document


def test_the_document_has_every_phase_with_its_figures():
    found = analyse(["a"], six(trial), [parse_check("p95@after < 100ms", "a", None, None)])
    phases = found.variants[0].phases
    assert [(part.name, part.requests, part.seconds) for part in phases.parts] == [
        ("before", 60 * RATE, 60),
        ("during", 54 * RATE, 54),
        ("after", 54 * RATE, 54),
    ]
    assert [round(part.latency_ms.p50, -2) for part in phases.parts] == [0, 2000, 0]
    assert phases.parts[1].intervals["error_rate"].high < 0.01
    assert phases.time_to_detect_s.estimate == pytest.approx(0.85)
    assert phases.recovered == (
        "The objective was kept again, three seconds in a row, from 850 ms after the switch off."
    )
    told = phases_headline(found.variants)
    assert told.startswith("a: p95 3")
    assert told.endswith("broken after 850 ms, recovered after 850 ms.")


def test_a_run_without_phases_has_none():
    plain = [replace(trial(block), switches=None, objective=()) for block in range(1, 7)]
    found = analyse(["a"], plain)
    assert found.variants[0].phases is None
    assert phases_headline(found.variants) is None


# Validity

DELAY = ExpectedFault("delay", ())
FIRED = {"productpage-v1": {"http.outbound.fault.delays_injected": 5}}
STILL = {"productpage-v1": {}}


def attested(start="v1", end=None):
    return Attestation(proxies={"p": ProxyVersions(start=start, end=start if end is None else end)})


def seen(**changes):
    phases = {
        "before": PhaseSeen(attested("v1"), STILL),
        "during": PhaseSeen(attested("v2"), FIRED, faults=(DELAY,)),
        "after": PhaseSeen(attested("v1"), STILL),
    }
    return {name: replace(phase, **changes.get(name, {})) for name, phase in phases.items()}


def judged(phases, made=None, faults=()):
    return judge(
        ValidityInput(
            made or outage(),
            increases=FIRED,
            start={"p": "v1"},
            end={"p": "v1"},
            proxies=["p"],
            faults=faults,
            phases=phases,
            switches=switches(),
        )
    )


def test_a_fault_that_was_switched_on_and_off_is_what_was_meant():
    found = judged(seen())
    assert found.codes == []
    assert found.remarks == ["steadiness was not judged: it takes 20 seconds with answers, and there were 10"]


def test_a_fault_must_fire_in_its_own_phase():
    found = judged(seen(during={"increases": STILL}, after={"increases": FIRED}))
    assert found.codes == [Invalid.FAULT_NOT_FIRED]
    assert found.notes[0].detail.endswith("(during)")


def test_a_variants_own_fault_must_fire_outside_of_it():
    assert judged(seen(), faults=(DELAY,)).codes == [Invalid.FAULT_NOT_FIRED]
    assert judged(seen(after={"increases": FIRED}), faults=(DELAY,)).codes == []


def test_a_config_that_changes_within_a_phase_is_lost_and_a_silent_proxy_is_told():
    lost = judged(seen(during={"attestation": attested("v2", "v3")}))
    assert (lost.codes, lost.notes[0].detail) == (
        [Invalid.CONFIG_LOST],
        "the config changed in the phase during: p (v2 became v3)",
    )
    dead = judged(seen(after={"attestation": attested("v1", "")}))
    assert (dead.codes, dead.notes[0].detail) == (
        [Invalid.PROXY_DIED],
        "no answer from p (at the end of after)",
    )


def test_drift_is_judged_before_the_switch_only():
    drifting = window([30 + 3 * second for second in range(10)] + [2000] * 11 + [30] * 9)
    assert judged(seen(), drifting).codes == [Invalid.DRIFT]
