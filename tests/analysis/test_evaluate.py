from __future__ import annotations

import re

import numpy as np
import pytest

from runner.analysis.checks import evaluate, gating_comparisons
from runner.spec.checks import parse_check

OVERFLOW = "cluster.outbound|9080|v1|productpage.default.svc.cluster.local;.upstream_rq_pending_overflow"
SERVICES = {"reviews": ["reviews-v1", "reviews-v2"]}


def around(centre, n=120, width=0.02):
    return list(centre * (1 + width * np.linspace(-1, 1, n)))


def check(text, trials, variant="b", baseline=None):
    return evaluate(parse_check(text, variant, baseline, None), trials)


@pytest.fixture
def slow(blocks_of):
    """Six trials of 120 requests about 1 s."""
    return blocks_of("b", [around(1000 * (1 + x)) for x in (0, 0.01, -0.01, 0.02, -0.02, 0)])


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("p50 < 1.3s", "held"),
        ("p50 <= 900ms", "failed"),
        ("p50 < 1s", "inconclusive"),
        ("p50 > 900ms", "held"),
        ("p50 >= 1.3s", "failed"),
        ("p50 >= 1s", "inconclusive"),
        ("p50 == 1s", "held"),
        ("p50 == 1.3s", "failed"),
        ("p95 < 1.3s", "held"),
        ("p95 < 900ms", "failed"),
        ("p99.9 < 1.3s", "inconclusive"),
        ("p99.9 < 900ms", "failed"),
        ("mean < 1.3s", "held"),
        ("mean > 1.3s", "failed"),
        ("max < 1.05s", "held"),
        ("max < 1.03s", "failed"),
        ("p50 < p95", "inconclusive"),
        ("max >= p50", "held"),
        ("p50 > max", "failed"),
        ("p50 == max", "failed"),
        ("p50 == mean", "inconclusive"),
        ("rate == 30/s", "held"),
        ("rate > 40/s", "failed"),
        ("requests == 720", "held"),
        ("requests > 720", "failed"),
        ("requests == status[200]", "held"),
        ("errors == 0", "held"),
        ("dropped == 0", "held"),
        ("error_rate < 1%", "held"),
        ("error_rate < 0.5%", "inconclusive"),
        ("error_rate > 10%", "failed"),
        ("error_rate == 0%", "held"),
        ("error_rate == 50%", "failed"),
        ("status[200] > 95%", "held"),
        ("status[503] > 20%", "failed"),
        ("status[503] == 0", "held"),
        ("capacity > 10/s", "inconclusive"),
        ("p50{page} < 1.3s", "held"),
        ("p50{other} < 1.3s", "inconclusive"),
        ("requests{other} == 0", "inconclusive"),
    ],
)
def test_checks_of_one_variant(slow, text, outcome):
    record = check(text, slow)
    assert record.outcome == outcome, record
    assert record.check == f"b: {text}"
    assert record.reason.endswith(".")


def test_observed_reads_as_a_person_writes_it(slow):
    assert check("p50 < 1.3s", slow).observed.startswith("p50 1 s (0.98")
    assert check("p95 < 1.3s", slow).observed.startswith("p95 1.0")
    assert check("p95 < 1.3s", slow).observed.endswith(" s)")
    assert check("error_rate < 1%", slow).observed == "error_rate 0 % (0 to 0.877 %), 0 of 720"
    assert check("errors == 0", slow).observed == "errors 0"
    assert check("p99.9 < 1.3s", slow).observed.endswith("(at least 1.03 s)")
    assert check("p50 < 1.3s", slow).reason.startswith("With 95 % confidence it is 0.98")
    assert "names seen: page" in check("p50{other} < 1s", slow).reason


def test_trials_that_differ_much_leave_a_check_open(blocks_of):
    trials = blocks_of("b", [around(m) for m in (500, 800, 1000, 1200, 1500, 900)])
    assert check("p50 < 1.3s", trials).outcome == "inconclusive"
    assert check("mean < 1.1s", trials).outcome == "inconclusive"


@pytest.mark.parametrize(
    ("errors", "text", "outcome"),
    [
        (60, "error_rate == 50%", "held"),
        (66, "error_rate == 50%", "held"),
        (75, "error_rate == 50%", "failed"),
        (60, "error_rate > 40%", "held"),
        (60, "error_rate > errors", "inconclusive"),
    ],
)
def test_a_share_equals_what_lies_in_its_binomial_interval(blocks_of, errors, text, outcome):
    trials = blocks_of("b", [around(10)] * 6, errors=errors)
    if text.endswith("errors"):
        from runner.spec.checks import Check  # noqa: PLC0415 - a check that the parser would refuse
        from runner.spec.metrics import Metric, Operator  # noqa: PLC0415 - a check that the parser would refuse

        unreadable = Check(text, "b", None, Metric("error_rate"), Operator.MORE, Metric("requests"))
        assert evaluate(unreadable, trials).outcome == outcome
        return
    assert check(text, trials).outcome == outcome


def test_few_requests_prove_no_equal_share(blocks_of):
    trials = blocks_of("b", [around(10, 10)] * 6, errors=5)
    record = check("error_rate == 50%", trials)
    assert record.outcome == "inconclusive"
    assert "30 of 60" in record.reason


def test_a_small_share_needs_more_requests_to_be_equal(blocks_of):
    few = check("error_rate == 1%", blocks_of("b", [around(10, 10)] * 6))
    assert few.outcome == "inconclusive"
    assert few.reason.startswith("0 of 60 fits 1 %, but 60 are too few to prove it: with 99.9 % confidence")
    assert re.search(r"about \d+ more blocks \(\d+ in all\) would settle it|more blocks would hardly tell", few.reason)
    assert check("error_rate == 1%", blocks_of("b", [around(10, 500)] * 6, errors=5)).outcome == "held"
    assert check("error_rate == 0%", blocks_of("b", [around(10, 10)] * 6)).outcome == "held"


def test_nearly_all_is_not_shown_as_all(blocks_of):
    record = check("status[200] > 90%", blocks_of("b", [around(10, 1000)] * 6, status=["503"] + ["200"] * 999))
    assert record.observed.startswith("status[200] 99.9 % (99.7")
    nearly = check("outcome[stars] > 90%", blocks_of("b", [around(10, 500)] * 6, outcomes={"stars": 499}))
    assert nearly.observed.startswith("outcome[stars] 99.8 %")


def test_outcomes_are_shares_of_all_requests(blocks_of):
    trials = blocks_of("b", [around(10)] * 6, outcomes={"reviews unavailable": 120})
    assert check("outcome[reviews unavailable] > 95%", trials).outcome == "held"
    assert check("outcome[reviews unavailable] == 720", trials).outcome == "held"
    missing = check("outcome[stars] > 1%", trials)
    assert missing.outcome == "failed"
    assert "no response was labelled `stars`" in missing.reason


def test_no_answer_leaves_latency_open_and_decides_errors(blocks_of):
    trials = blocks_of("b", [[]] * 6, unanswered=120)
    record = check("p95 < 1s", trials)
    assert (record.outcome, record.observed) == ("inconclusive", "p95 not measured")
    assert "no request was answered" in record.reason
    assert check("error_rate > 90%", trials).outcome == "held"
    assert check("status[0] == 720", trials).outcome == "held"


def test_nothing_sent_decides_nothing(blocks_of):
    trials = blocks_of("b", [[]] * 6)
    for text in ("p95 < 1s", "error_rate < 1%", "max < 1s", "mean < 1s"):
        assert check(text, trials).outcome == "inconclusive"
    assert check("requests == 0", trials).outcome == "held"


def test_no_valid_trial_and_no_trial(trial_of):
    invalid = [trial_of("b", 1, around(10), valid=False)]
    for text in ("p95 < 1s", "requests > 0", "proxy[client x] == 0", "rate > 1/s"):
        record = check(text, invalid)
        assert record.outcome == "inconclusive"
        assert "none of the 1 trial of b is valid" in record.reason
    invalid[0].invalid_because = ["unreachable"]
    assert "none of the 1 trial of b is valid (unreachable)" in check("rate > 1/s", invalid).reason
    assert "b was not measured" in check("errors == 0", []).reason


def test_a_block_that_stayed_invalid_leaves_its_checks_open(slow, trial_of):
    spoilt = [
        *slow,
        trial_of("b", 7, around(1000), valid=False),
        trial_of("b", 7, around(1000), attempt=2, valid=False),
    ]
    record = check("p50 < 1.3s", spoilt)
    assert record.outcome == "inconclusive"
    assert record.observed.startswith("p50 1 s")
    assert "would say held, but b has no valid trial in block 7" in record.reason
    mended = [*slow, trial_of("b", 7, around(1000), valid=False), trial_of("b", 7, around(1000), attempt=2)]
    assert check("p50 < 1.3s", mended).outcome == "held"


def test_one_trial_decides_and_says_what_it_can_not_show(blocks_of):
    record = check("p50 < 1.3s", blocks_of("b", [around(1000)]))
    assert record.outcome == "held"
    assert "one trial can't show how much trials differ" in record.reason
    assert check("rate > 20/s", blocks_of("b", [around(1000)])).outcome == "held"


@pytest.fixture
def overflowing(blocks_of):
    """Six trials in which 40 of 120 requests met an overflow."""
    stats = {
        "client": {OVERFLOW: 40, "cluster.x;.upstream_rq_total": 80},
        "reviews-v1": {"http.a.rq": 3},
        "reviews-v2": {"http.a.rq": 4},
    }
    codes = ["503"] * 40 + ["200"] * 80
    return blocks_of("b", [around(10)] * 6, status=codes, errors=40, increases=stats, services=SERVICES)


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("status[503] > 20%", "held"),
        ("status[503] == proxy[client upstream_rq_pending_overflow]", "held"),
        (f"status[503] == proxy[client {OVERFLOW}]", "held"),
        ("status[200] == proxy[client upstream_rq_pending_overflow]", "failed"),
        ("proxy[client rq_pending_overflow] > 0", "failed"),
        ("proxy[client upstream_rq_timeout] == 0", "held"),
        ("proxy[client upstream_rq_timeout] > 0", "failed"),
        ("proxy[client /upstream_rq_/] == 720", "held"),
        ("proxy[reviews rq] == 42", "held"),
        ("proxy[reviews-v2 rq] == 24", "held"),
        ("proxy[ratings rq] == 0", "inconclusive"),
    ],
)
def test_proxy_counters(overflowing, text, outcome):
    assert check(text, overflowing).outcome == outcome


def test_a_counter_that_did_not_move_and_a_workload_that_is_not_there_are_told_apart(overflowing):
    assert (
        "no counter `upstream_rq_timeout` of client moved"
        in check("proxy[client upstream_rq_timeout] > 0", overflowing).reason
    )
    unknown = check("proxy[ratings rq] == 0", overflowing)
    assert "known: client, reviews, reviews-v1, reviews-v2" in unknown.reason
    assert (
        check("requests == proxy[client /upstream_rq_/]", overflowing).observed
        == "requests 720; proxy[client /upstream_rq_/] 720"
    )


def test_an_ambiguous_ending_lists_what_it_could_mean(blocks_of):
    counters = {"client": {"cluster.a;.upstream_rq_timeout": 1, "cluster.b;.upstream_rq_timeout": 2}}
    record = check("proxy[client upstream_rq_timeout] > 0", blocks_of("b", [[1.0]], increases=counters))
    assert record.outcome == "inconclusive"
    assert "cluster.a;.upstream_rq_timeout, cluster.b;.upstream_rq_timeout" in record.reason
    # Envoy's own repetition of one counter is no ambiguity
    repeated = {"client": {"cluster.a;.upstream_rq_503": 5, "cluster.a;.external.upstream_rq_503": 5}}
    assert check("proxy[client upstream_rq_503] == 5", blocks_of("b", [[1.0]], increases=repeated)).outcome == "held"
    assert (
        check("proxy[client external.upstream_rq_503] == 5", blocks_of("b", [[1.0]], increases=repeated)).outcome
        == "held"
    )


def test_no_proxy_at_all_gives_the_reason(blocks_of):
    trials = blocks_of("b", [[1.0]], absent={"proxy": "a plain URL has no proxies"})
    assert "a plain URL has no proxies" in check("proxy[client x] == 0", trials).reason
    assert "no proxy's stats were read in block 1" in check("proxy[client x] == 0", blocks_of("b", [[1.0]])).reason


def test_promql(blocks_of):
    there = blocks_of("b", [[1.0]] * 6, promql={"fives": 0.0})
    assert check("promql[fives] == 0", there).outcome == "held"
    assert check("promql[fives] > 0", there).outcome == "failed"
    assert check("promql[fives] < 5%", there).outcome == "held"
    assert check("promql[fives] == errors", there).outcome == "held"
    absent = blocks_of("b", [[1.0]] * 6, promql={"fives": None}, absent={"fives": "the local mesh has no Prometheus"})
    record = check("promql[fives] == 0", absent)
    assert (record.outcome, record.reason) == (
        "inconclusive",
        "There is nothing to decide by: the local mesh has no Prometheus.",
    )
    assert "the query gave nothing in block 1" in check("promql[other] == 0", there).reason
    varied = [t for n in range(6) for t in blocks_of("b", [[1.0]], promql={"x": 10.0 + n})]
    for block, trial in enumerate(varied):
        trial.block = block
    assert check("promql[x] > 5", varied).outcome == "held"
    assert check("promql[x] > 12", varied).outcome == "inconclusive"


@pytest.fixture
def halved(blocks_of):
    """Six blocks: `b` takes about 1 s, `a` about 2 s; no errors; `b` sends the same."""
    counters = {"client": {"x.rq": 7}}
    noise = (0, 0.01, -0.01, 0.02, -0.02, 0)
    return blocks_of("b", [around(1000 * (1 + x)) for x in noise], increases=counters) + blocks_of(
        "a", [around(2000)] * 6, increases=counters
    )


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("p50 <= -40%", "held"),
        ("p50 <= -60%", "failed"),
        ("p50 <= -50%", "inconclusive"),
        ("p50 >= +10%", "failed"),
        ("p50 > -60%", "held"),
        ("p50 < p50", "held"),
        ("p50 > p50", "failed"),
        ("p50 == p50", "failed"),
        ("p50 == -50%", "inconclusive"),
        ("p50 within 5%", "failed"),
        ("p50 within 60%", "held"),
        ("p50 within 50%", "inconclusive"),
        ("p50 within 1.2s", "held"),
        ("p50 within 20ms", "failed"),
        ("p50 < mean", "held"),
        ("p95 <= +10%", "inconclusive"),
        ("mean <= -40%", "held"),
        ("error_rate <= +1%", "held"),
        ("error_rate <= +0.1%", "inconclusive"),
        ("error_rate within 1%", "held"),
        ("requests == requests", "held"),
        ("requests > requests", "failed"),
        ("requests within 5%", "held"),
        ("rate within 5%", "held"),
        ("errors == errors", "held"),
        ("proxy[client rq] == proxy[client rq]", "held"),
        ("requests == proxy[client rq]", "failed"),
        ("status[200] within 1%", "held"),
    ],
)
def test_checks_of_two_variants(halved, text, outcome):
    record = check(text, halved, baseline="a")
    assert record.outcome == outcome, record
    assert record.baseline == "a"
    assert record.reason.endswith(".")


def test_a_comparison_reads_as_a_person_writes_it(halved):
    held = check("p50 <= -40%", halved, baseline="a")
    assert held.observed == "p50 50 % lower (49 to 51 %)"
    assert (
        held.reason == "With 95 % confidence the change is 49 to 51 % lower: all of it is on the right side of -40 %."
    )
    short = check("p95 <= +10%", halved, baseline="a")
    assert "p95 needs 1000 answered requests" in short.reason
    open_ = check("p50 <= -50%", halved, baseline="a")
    assert "reaches to both sides of -50 %; " in open_.reason
    assert check("requests == requests", halved, baseline="a").observed == "b requests 720; a requests 720"


def test_fewer_blocks_than_needed_leave_a_comparison_open(halved):
    few = [trial for trial in halved if trial.block < 6]
    record = check("p50 <= -40%", few, baseline="a")
    assert record.outcome == "inconclusive"
    assert "at least 6 blocks and there were 5" in record.reason
    # counts are exact whatever the number of blocks
    assert check("requests == requests", few, baseline="a").outcome == "held"
    one = [trial for trial in halved if trial.block == 1]
    assert check("p50 within 5%", one, baseline="a").outcome == "inconclusive"
    assert check("requests == requests", [], baseline="a").outcome == "inconclusive"


def test_gating_comparisons_share_the_risk(halved):
    texts = ["p50 <= -40%", "p50 < p50", "mean <= -40%", "requests == requests"]
    checks = [parse_check(text, "b", "a", None) for text in texts]
    known = gating_comparisons(checks, halved)
    # two comparisons: the same one twice counts once, exact counts not at all
    assert len(known) == 2
    outcomes = [evaluate(one, halved, known) for one in checks]
    assert [record.outcome for record in outcomes] == ["inconclusive"] * 3 + ["held"]
    assert "2 comparisons together takes at least 7 blocks" in outcomes[0].reason


def test_an_invalid_trial_of_either_variant_leaves_a_comparison_open(halved, trial_of):
    spoilt = [*halved, trial_of("b", 7, around(1000)), trial_of("a", 7, around(2000), valid=False)]
    record = check("p50 <= -40%", spoilt, baseline="a")
    assert record.outcome == "inconclusive"
    assert "a has no valid trial in block 7" in record.reason
