from __future__ import annotations

import pytest

from runner.report import edges, proxies
from runner.report.limits import Limits
from runner.results.document.evidence import AccessLogEntry
from runner.results.document.run import MeshRecord, RunDocument
from runner.results.document.variant import VariantRecord
from runner.results.trial import TrialFile
from runner.results.window import Window

CLUSTER = "cluster.outbound|9080|v1|reviews.default.svc.cluster.local;."


@pytest.mark.parametrize(
    ("stat", "title"),
    [
        ("http.outbound_0.0.0.0_9080;.fault.aborts_injected", "Faults injected"),
        (CLUSTER + "upstream_rq_timeout", "Timeouts"),
        (CLUSTER + "upstream_rq_per_try_timeout", "Timeouts"),
        (CLUSTER + "upstream_rq_retry", "Retries"),
        (CLUSTER + "upstream_rq_retry_limit_exceeded", "Retries"),
        (CLUSTER + "upstream_rq_retry_overflow", "Overflow"),
        (CLUSTER + "upstream_rq_pending_overflow", "Overflow"),
        (CLUSTER + "upstream_cx_overflow", "Overflow"),
        (CLUSTER + "outlier_detection.ejections_enforced_total", "Ejections"),
        (CLUSTER + "upstream_rq_503", "5xx answers"),
        ("http.outbound_0.0.0.0_9080;.downstream_rq_5xx", "5xx answers"),
        (CLUSTER + "upstream_rq_total", "Where requests went"),
        (CLUSTER + "upstream_cx_connect_fail", "Broken connections"),
        (CLUSTER + "external.upstream_rq_503", None),
        (CLUSTER + "upstream_rq_200", None),
        ("listener.127.0.0.1_80.downstream_cx_total", None),
    ],
)
def test_counters_are_sorted_by_what_readers_look_for(stat, title):
    found = proxies.interest_of(stat)
    assert (found.title if found else None) == title


def document(**by_variant):
    return RunDocument(
        experiment="e",
        mesh=MeshRecord(kind="local"),
        variants=[VariantRecord(name=name, proxy=proxy) for name, proxy in by_variant.items()],
    )


def test_telling_counters_differ_most_first_and_the_rest_is_named():
    stats = {f"cluster.c{number};.upstream_rq_timeout": number + 1 for number in range(20)}
    table = proxies.telling(document(a={}, b={"p": stats}))
    (group,) = table.groups
    assert len(group.rows) == 14
    assert [cell.text for cell in group.rows[0].cells] == ["upstream_rq_timeout", "0", "20"]
    assert group.rows[0].cells[0].sub == "p: cluster.c19;."
    assert "6 more counters in the whole list" in group.note


def test_the_whole_list_holds_every_counter_that_moved_in_any_variant():
    table = proxies.whole(document(a={"p": {CLUSTER + "x": 1, "still": 0}}, b={"q": {"listener.l.y": 2}}), Limits())
    assert [(group.title, group.rows[0].cells[0].text) for group in table.groups] == [
        (f"p {CLUSTER}", "x"),
        ("q listener.l.", "y"),
    ]
    assert [cell.text for cell in table.groups[0].rows[0].cells[1:]] == ["1", "0"]
    cut = proxies.whole(document(a={"p": {f"c.{number}": 1 for number in range(9)}}), Limits(counters=4))
    assert sum(len(group.rows) for group in cut.groups) == 4
    assert cut.note.startswith("5 more counters")


def test_flags_are_explained(run):
    assert edges.explain("UO") == "a circuit breaker refused the request (upstream overflow)"
    assert edges.explain("-") == ""
    assert edges.explain("DI,FI").count(";") == 1
    assert "XX" in edges.explain("XX")
    table = edges.edges(run.document, Limits())
    row = next(row for row in table.groups[0].rows if row.cells[4].text == "UT")
    assert [cell.text for cell in row.cells] == ["productpage-v1", "reviews-v2", "sender", "504", "UT", "0", "1,200"]
    assert row.cells[6].sub == "mean 501 ms"


def entry(number, status=200, flags="-"):
    return AccessLogEntry(
        proxy="p",
        time=f"2026-11-24T06:00:{number:02d}Z",
        method="GET",
        path=f"/{number}",
        authority="a",
        status=status,
        flags=flags,
        details="-",
        duration_ms=1,
        upstream_cluster="c",
        upstream_host="h",
        line="",
    )


def test_every_kind_of_answer_is_in_the_sample_before_any_comes_twice():
    log = [entry(number) for number in range(30)] + [entry(40, 503, "UO"), entry(41, 500)]
    window = Window([], 0, open_loop=True, scheduled=0, started=0, ended=0, generator_cpu=0)
    file = TrialFile("v", 1, 1, window, access_log=log)
    found = edges.sample([file], 4)
    assert [one.path for one in found] == ["/0", "/1", "/40", "/41"]
    assert [one.path for one in edges.sample([file], 1)] == ["/40"]
    assert edges.sample([], 3) == []
