"""`proxy[WORKLOAD STAT]`: a counter that never moved is zero, one that does not exist proves nothing."""

import pytest

from runner.analysis.checks import evaluate
from runner.analysis.evidence import TrialEvidence
from runner.results.window import Second, Window
from runner.spec.checks import parse_check

OVERFLOW = "cluster.outbound|9080||reviews.default.svc.cluster.local;.upstream_rq_pending_overflow"
TIMEOUT = "cluster.outbound|9080||reviews.default.svc.cluster.local;.upstream_rq_timeout"


def trial(increases, known):
    second = Second(0)
    second.cell("page", "200").response.record(1000)
    window = Window([second], 1.0, open_loop=True, scheduled=1, started=0.0, ended=1.0, generator_cpu=0.1)
    return TrialEvidence(1, 1, "v", window, increases={"client": increases}, known={"client": frozenset(known)})


@pytest.mark.parametrize(
    ("stat", "outcome", "words"),
    [
        ("upstream_rq_timeout", "held", ""),
        (TIMEOUT, "held", ""),
        ("/rq_time/", "held", ""),
        (
            "upstream_rq_timout",
            "inconclusive",
            "has no counter `upstream_rq_timout`; did you mean `upstream_rq_timeout`?",
        ),
        ("/rq_timout/", "inconclusive", "has no counter"),
        ("upstream_rq_503", "held", ""),
        ("upstream_rq_5xx", "held", ""),
    ],
)
def test_zero_is_believed_only_of_a_counter_that_exists(stat, outcome, words):
    found = evaluate(parse_check(f"proxy[client {stat}] == 0", "v", None, None), [trial({}, {OVERFLOW, TIMEOUT})])
    assert found.outcome == outcome
    assert words in found.reason


def test_without_the_names_a_zero_is_a_zero():
    found = evaluate(parse_check("proxy[client anything] == 0", "v", None, None), [trial({}, set())])
    assert found.outcome == "held"


def test_a_counter_that_moved_needs_no_list_of_names():
    check = parse_check("proxy[client upstream_rq_pending_overflow] == 3", "v", None, None)
    assert evaluate(check, [trial({OVERFLOW: 3}, {OVERFLOW})]).outcome == "held"


@pytest.mark.parametrize(
    ("stat", "words"),
    [
        ("upstrem_rq_503", "has no counter `upstrem_rq_503`"),
        (
            "cluster.outbound|9080||nosuch.default.svc.cluster.local;.upstream_rq_503",
            "has no counter `cluster.outbound",
        ),
        ("istio_requests_total", "Istio's standard metrics are shown as requests between workloads"),
    ],
)
def test_a_counter_that_can_not_exist_is_not_zero(stat, words):
    found = evaluate(parse_check(f"proxy[client {stat}] == 0", "v", None, None), [trial({}, {OVERFLOW, TIMEOUT})])
    assert found.outcome == "inconclusive"
    assert words in found.reason
