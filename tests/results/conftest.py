"""A trial and a run document to store and read back, with something in every field that is looked at."""

from __future__ import annotations

import pytest

from runner.results.document.evidence import AccessLogEntry, Edge
from runner.results.document.figures import Latency
from runner.results.document.run import MeshRecord, RunDocument, Verdict
from runner.results.document.trial import Invalid, TrialRecord
from runner.results.document.variant import VariantRecord
from runner.results.trial import TrialFile
from runner.results.window import Second, Window

OVERFLOW = "cluster.outbound|9080|v1|productpage.default.svc.cluster.local;.upstream_rq_pending_overflow"


def a_window(seconds: int = 2) -> Window:
    record = []
    for offset in range(seconds):
        second = Second(offset=offset, due=4, dropped=1, in_flight=2)
        for microseconds in (1000, 2000, 4000):
            second.cell("productpage", "200").response.record(microseconds)
            second.cell("productpage", "200").service.record(microseconds)
            second.lag.record(100)
        refused = second.cell("productpage (jason)", "0")
        refused.unanswered += 1
        refused.errors += 1
        second.exceptions["ConnectionRefusedError"] = 1
        second.outcomes["productpage"] = {"red stars": 3}
        record.append(second)
    return Window(record, float(seconds), open_loop=True, scheduled=8, started=1.5, ended=4.0, generator_cpu=0.25)


def a_trial(variant: str = "baseline", block: int = 1, attempt: int = 1) -> TrialFile:
    return TrialFile(
        variant,
        block,
        attempt,
        a_window(),
        warmup=a_window(1),
        stats_before={"client": {OVERFLOW: 5, "cluster.x.upstream_rq_total": 7}},
        stats_after={"client": {OVERFLOW: 9, "cluster.x.upstream_rq_total": 7, "cluster.new.upstream_rq_total": 2}},
        edges=[
            Edge(reporter="source", source="client", destination="", service="s", code="503", flags="UO", requests=4)
        ],
        access_log=[
            AccessLogEntry(
                proxy="client",
                time="2026-11-24T05:00:00.000Z",
                method="GET",
                path="/productpage?token=hunter2-hunter2",
                authority="productpage:9080",
                status=503,
                flags="UO",
                details="overflow",
                duration_ms=0,
                upstream_cluster="c",
                upstream_host="-",
                line="the whole line with hunter2-hunter2",
            )
        ],
        promql={"reviews_5xx": None, "all": 2.5},
    )


@pytest.fixture
def trial() -> TrialFile:
    return a_trial()


@pytest.fixture
def document() -> RunDocument:
    figures = {"requests": 8, "errors": 2, "error_rate": 0.25, "rate": 4.0, "latency_ms": Latency(p50=2.0, p99_9=4.0)}
    variants = [
        VariantRecord(
            name=name,
            baseline=name == "baseline",
            outcomes={"red stars": 6},
            trials=[
                TrialRecord(
                    block=block,
                    variant=name,
                    started=f"2026-11-24T05:0{block}:{order:02d}Z",
                    ended=f"2026-11-24T05:0{block}:{order + 5:02d}Z",
                    status={"200": 6, "0": 2} if name == "baseline" else {"503": 8},
                    valid=block == 1,
                    invalid_because=[] if block == 1 else [Invalid.LAG, Invalid.DRIFT],
                    outcomes={"red stars": 6},
                    **figures,
                )
                for block in (1, 2)
            ],
        )
        for order, name in ((10, "baseline"), (0, "tripping"))
    ]
    return RunDocument(
        experiment="circuit-breaker",
        verdict=Verdict.PASS,
        reason="all 3 checks held",
        started="2026-11-24T05:00:00Z",
        ended="2026-11-24T05:09:00Z",
        mesh=MeshRecord(kind="local", envoy="1.40.0"),
        variants=variants,
    )
