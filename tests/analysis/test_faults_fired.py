"""A fault counts as fired only where its own service's requests met it."""

from __future__ import annotations

import pytest

from runner.analysis.faults import why_not_fired
from runner.istio.faults import ExpectedFault
from runner.results.document.evidence import Edge

RATINGS, DETAILS = "ratings.default.svc.cluster.local", "details.default.svc.cluster.local"
MOVED = {"productpage-v1": {"http.outbound_0.0.0.0_9080;.fault.delays_injected": 5}}


def edge(service, flags, requests=5):
    return Edge(
        reporter="source", source="a", destination="b", service=service, code="200", flags=flags, requests=requests
    )


def test_another_services_fault_proves_nothing():
    why = why_not_fired(ExpectedFault("delay", (RATINGS,)), MOVED, [edge(DETAILS, "DI"), edge(RATINGS, "-")])
    assert why == f"the delay fault of {RATINGS} never fired: only requests to {DETAILS} met a delay"


@pytest.mark.parametrize(
    ("hosts", "edges"),
    [
        ((RATINGS,), [edge(RATINGS, "DI")]),
        ((RATINGS,), [edge(RATINGS, "DI,FI")]),
        ((DETAILS, RATINGS), [edge(RATINGS, "DI")]),
        ((), [edge(DETAILS, "DI")]),  # a fault whose route leads to no service
        ((RATINGS,), []),  # no metrics: the counter alone decides
        ((RATINGS,), [edge(RATINGS, "-"), edge(DETAILS, "UH")]),
        ((RATINGS,), [edge("", "DI")]),  # a proxy that can't name the service
    ],
)
def test_what_counts_as_fired(hosts, edges):
    assert why_not_fired(ExpectedFault("delay", hosts), MOVED, edges) is None


def test_the_kind_matters():
    fault = ExpectedFault("abort", (RATINGS,))
    assert why_not_fired(fault, MOVED, [edge(RATINGS, "FI")]) == (
        f"the abort fault of {RATINGS} never fired: `fault.aborts_injected` of 1 proxy did not move"
    )
    moved = {"a": {"http.x.fault.aborts_injected": 1}}
    assert why_not_fired(fault, moved, [edge(DETAILS, "FI"), edge(RATINGS, "DI")]) == (
        f"the abort fault of {RATINGS} never fired: only requests to {DETAILS} met an abort"
    )
    assert why_not_fired(fault, moved, [edge(RATINGS, "FI", 0), edge(DETAILS, "FI")]) is not None
