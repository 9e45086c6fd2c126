from __future__ import annotations

import numpy as np
import pytest

from runner.analysis.analyse import analyse
from runner.analysis.verdict import headline, verdict
from runner.results.document.checks import CheckRecord
from runner.results.document.run import RunDocument, Verdict
from runner.spec.checks import parse_check


def around(centre, n=120, width=0.02):
    return list(centre * (1 + width * np.linspace(-1, 1, n)))


def decided(*outcomes):
    return [
        CheckRecord(check=f"v: check {n}", outcome=o, observed=f"p95 {n} s", reason="So it is.")
        for n, o in enumerate(outcomes)
    ]


@pytest.mark.parametrize(
    ("outcomes", "more", "word"),
    [
        (["held", "held"], {}, Verdict.PASS),
        (["held"], {}, Verdict.PASS),
        ([], {}, Verdict.INCONCLUSIVE),
        (["held", "inconclusive"], {}, Verdict.INCONCLUSIVE),
        (["inconclusive", "failed", "held"], {}, Verdict.FAIL),
        (["failed"], {"aborted": "error_rate > 50% for 5s was crossed"}, Verdict.ABORTED),
        (["failed"], {"aborted": "crossed", "error": "a proxy did not start"}, Verdict.ERROR),
    ],
)
def test_the_verdict_is_the_worst(outcomes, more, word):
    found, reason = verdict(decided(*outcomes), **more)
    assert found is word
    assert reason


def test_a_verdicts_reason_names_the_check_and_what_was_seen():
    assert verdict(decided("held", "failed"))[1] == "1 of 2 checks failed: `v: check 1` (observed: p95 1 s). So it is."
    assert verdict(decided("failed", "failed"))[1].startswith("2 of 2 checks failed, first `v: check 0`")
    assert verdict(decided("inconclusive"))[1].startswith("1 of 1 check could not be decided: `v: check 0`")
    assert "asserted nothing" in verdict([])[1]
    assert verdict(decided("held", "held"))[1] == "All 2 checks held."


@pytest.fixture
def timeout_run(blocks_of):
    noise = (0, 0.01, -0.01, 0.02, -0.02, 0)
    counters = {"productpage-v1": {"cluster.outbound|9080||reviews;.upstream_rq_timeout": 240, "still": 0}}
    return blocks_of(
        "timeout-500ms",
        [around(1020 * (1 + x)) for x in noise],
        outcomes={"reviews unavailable": 120},
        increases=counters,
    ) + blocks_of("slow-ratings", [around(2020)] * 6, outcomes={"stars": 120}, increases={"productpage-v1": {}})


CHECKS = [
    ("p50 >= 2s", "slow-ratings", None),
    ("p95 < 1.3s", "timeout-500ms", None),
    ("error_rate < 1%", "timeout-500ms", None),
    ("outcome[reviews unavailable] > 95%", "timeout-500ms", None),
    ("proxy[productpage-v1 upstream_rq_timeout] > 0", "timeout-500ms", None),
    ("p50 <= -40%", "timeout-500ms", "slow-ratings"),
]


def test_a_whole_run(timeout_run):
    checks = [parse_check(text, variant, baseline, None) for text, variant, baseline in CHECKS]
    found = analyse(["slow-ratings", "timeout-500ms"], timeout_run, checks)
    assert [(record.check, record.outcome) for record in found.checks] == [(str(check), "held") for check in checks]
    assert (found.verdict, found.reason) == (Verdict.PASS, "All 6 checks held.")
    assert found.headline == (
        "timeout-500ms against slow-ratings: median response 50 % lower (49 to 50 %), error rate unchanged at 0 %, "
        "100 % of responses showed `reviews unavailable` (baseline 0 %), "
        "0 % of responses showed `stars` (baseline 100 %)."
    )
    slow, fast = found.variants
    assert (slow.name, slow.baseline, slow.closed_loop, fast.baseline) == ("slow-ratings", True, False, False)
    assert fast.requests == 720
    assert fast.by_name["page"].requests == 720
    assert fast.proxy == {"productpage-v1": {"cluster.outbound|9080||reviews;.upstream_rq_timeout": 1440}}
    assert slow.proxy == {}
    assert set(fast.intervals) == {
        *("p50", "p75", "p90", "p95", "p99", "p99.9", "mean", "rate", "error_rate", "status[200]"),
        "outcome[reviews unavailable]",
    }
    assert fast.intervals["p50"].low < fast.latency_ms.p50 < fast.intervals["p50"].high
    assert fast.intervals["p50"].estimate == fast.latency_ms.p50
    gate, *others = found.comparisons
    assert (gate.metric, gate.gating, gate.outcome, gate.p_adjusted) == ("p50", True, "better", pytest.approx(2**-5))
    assert [record.metric for record in others] == ["p95", "p99", "mean", "error_rate"]
    assert not any(record.gating for record in others)
    assert all(record.p_adjusted is None for record in others)
    # the document takes it as it is
    document = RunDocument(
        experiment="request-timeout",
        mesh={"kind": "local"},
        variants=found.variants,
        comparisons=found.comparisons,
        checks=found.checks,
        verdict=found.verdict,
    )
    assert RunDocument.model_validate_json(document.model_dump_json()) == document


def test_gating_comparisons_get_holms_p_and_milliseconds_stay_out_of_the_document(timeout_run):
    texts = ["p50 <= -40%", "mean <= -40%", "p50 within 2s"]
    checks = [parse_check(text, "timeout-500ms", "slow-ratings", None) for text in texts]
    found = analyse(["slow-ratings", "timeout-500ms"], timeout_run, checks)
    gating = [record for record in found.comparisons if record.gating]
    assert [record.metric for record in gating] == ["p50", "mean"]
    assert [record.p_adjusted for record in gating] == pytest.approx([3 * 2**-5] * 2)
    assert {record.outcome for record in found.checks} == {"inconclusive"}
    assert found.verdict is Verdict.INCONCLUSIVE


def test_nothing_measured_is_no_pass(trial_of):
    checks = [parse_check("p95 < 1s", "a", None, None)]
    for trials in ([], [trial_of("a", 1, [])], [trial_of("a", 1, [10.0], valid=False)]):
        found = analyse(["a", "b"], trials, checks)
        assert found.verdict is Verdict.INCONCLUSIVE
        assert [variant.requests for variant in found.variants] == [0, 0]
        assert found.headline == "b against a: not compared, a has no valid trial with requests."
        assert {record.outcome for record in found.comparisons} == {"inconclusive"}


def test_no_checks_measure_and_assert_nothing(trial_of):
    found = analyse(["a"], [trial_of("a", 1, around(10), open_loop=False)])
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.variants[0].closed_loop
    assert found.comparisons == []
    assert found.headline == "a (closed loop): 30 requests/s, median response 10 ms, p95 10.2 ms, error rate 0 %."


def test_headlines_say_what_was_not_decided(blocks_of):
    trials = blocks_of("b", [around(10)] * 3) + blocks_of("a", [around(20)] * 3)
    found = analyse(["a", "b"], trials)
    assert found.headline == (
        "b against a: median response 10 ms against 20 ms (not decided), error rate unchanged at 0 %."
    )
    assert headline([], []) == "Nothing was measured."
    same = analyse(["a", "b"], blocks_of("b", [around(20)] * 6) + blocks_of("a", [around(20)] * 6))
    assert "median response equivalent (0 %)" in same.headline


def test_invalid_and_repeated_trials_are_not_in_the_figures(trial_of):
    trials = [
        trial_of("a", 1, [10.0] * 5),
        trial_of("a", 1, [20.0] * 7, attempt=2),
        trial_of("a", 2, [30.0] * 9, valid=False),
    ]
    assert analyse(["a"], trials).variants[0].requests == 7


def test_every_quantile_reaches_the_document(trial_of):
    found = analyse(["a"], [trial_of("a", 1, around(10))]).variants[0]
    assert found.latency_ms.p99_9 == pytest.approx(10.2, rel=0.005)
    assert found.model_dump()["latency_ms"]["p99.9"] == found.latency_ms.p99_9


def test_latencies_are_never_compared_across_loops(blocks_of) -> None:
    """One counts from the due moment, the other from the sending: the reason stands where the comparison would be."""
    per_block = [[10.0] * 100 for _ in range(6)]
    trials = [
        *blocks_of("open", per_block),
        *blocks_of("closed", [[20.0] * 100 for _ in range(6)], open_loop=False),
    ]
    found = analyse(["open", "closed"], trials)
    latencies = [record for record in found.comparisons if record.metric != "error_rate"]
    assert {record.metric for record in latencies} == {"p50", "p95", "p99", "mean"}
    for record in latencies:
        assert (record.estimate, record.low, record.outcome) == (None, None, "inconclusive")
        assert "one is an open loop, where latency counts from the moment a request was due" in record.sentence
    (errors,) = [record for record in found.comparisons if record.metric == "error_rate"]
    assert errors.estimate == 0
    assert found.headline == (
        "closed (closed loop) against open: latencies not compared, as one is an open loop and the other a closed one, "
        "error rate unchanged at 0 %."
    )
