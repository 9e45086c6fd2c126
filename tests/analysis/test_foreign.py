"""Somebody else's requests are told from the load's, and a quiet mesh raises no alarm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judged import steady

from runner.analysis.checks import evaluate
from runner.analysis.foreign import Flows, whose
from runner.analysis.validity import judge
from runner.analysis.validity_types import ValidityInput
from runner.istio.faults import ExpectedFault
from runner.results.document.evidence import Edge
from runner.results.document.trial import Invalid
from runner.spec.checks import parse_check

RATINGS = "ratings.shop.svc.cluster.local"
SERVICES = {
    "istio-ingressgateway": ["istio-ingressgateway"],
    "productpage": ["productpage-v1"],
    "reviews": ["reviews-v1", "reviews-v2"],
    "ratings": ["ratings-v1"],
    "client": ["client"],
}
GATEWAY = ("istio-ingressgateway",)
ABORTS = "http.outbound_0.0.0.0_9080;.fault.aborts_injected"
ABORT = ExpectedFault("abort", (RATINGS,))


def came(many, status="2xx"):
    return {f"http.inbound_0.0.0.0_9080;.downstream_rq_{kind}": many for kind in ("total", status)}


def called(service, many, subset="", status="2xx"):
    base = f"cluster.outbound|9080|{subset}|{service}.shop.svc.cluster.local;"
    return {f"{base}.upstream_rq_{kind}": many for kind in ("total", status)} | {
        f"{base}.internal.upstream_rq_2xx": many
    }


def kept(increases, silent=("istio-ingressgateway",)):
    """The names of counters that sidecars keep, moved or not; a gateway keeps none, as Istio installs it."""
    names = {*came(1), *called("ratings", 1)}
    return {name: frozenset() if name in silent else frozenset({*names, *moved}) for name, moved in increases.items()}


def pages(many):
    """What the proxies count of so many pages through the gateway, which keeps no such counters itself."""
    return {
        "istio-ingressgateway": {},
        "productpage-v1": came(many) | called("reviews", many, "v1"),
        "reviews-v1": came(many),
        "reviews-v2": {},
        "ratings-v1": {},
        "client": {},
    }


def flows(increases, edges=(), entry=GATEWAY, known=None):
    return Flows(increases, edges, SERVICES, kept(increases) if known is None else known, entry)


def edge(source, destination, requests, *, reporter="source", code="200", flags="-", service=RATINGS):
    return Edge(
        reporter=reporter,
        source=source,
        destination=destination,
        service=service,
        code=code,
        flags=flags,
        requests=requests,
    )


def judged(window_of, increases, many=58, entry=GATEWAY, faults=(ABORT,), edges=(), **more):
    return judge(
        ValidityInput(
            window_of(steady(many)),
            increases=increases,
            faults=faults,
            entry=entry,
            edges=edges,
            services=SERVICES,
            known=kept(increases),
            **more,
        )
    )


@given(st.integers(1, 5000))
def test_a_quiet_mesh_has_no_strangers(many):
    traffic = whose(flows(pages(many)), many)
    assert traffic.strangers == ()
    assert traffic.passed == {"istio-ingressgateway", "productpage-v1", "reviews-v1"}


def test_a_fault_met_in_a_proxy_off_the_loads_way_is_no_proof(window_of):
    increases = pages(58) | {"client": {ABORTS: 37, "http.outbound_0.0.0.0_9080;.downstream_rq_total": 37}}
    found = judged(window_of, increases)
    assert found.codes == [Invalid.FAULT_NOT_FIRED]
    assert found.notes[0].detail == (
        f"the abort fault of {RATINGS} never fired for this load: `fault.aborts_injected` moved only in client (37), "
        "whose proxy no request from istio-ingressgateway passes, so it was met by somebody else's traffic"
    )
    # the very same counters are proof where the load leaves from the client
    assert judged(window_of, {**increases, "productpage-v1": {}}, entry=("client",)).valid
    # and where nothing is known of the entry, all proxies count
    assert judged(window_of, increases, entry=()).valid


@pytest.mark.parametrize("by", ["counters", "metrics"])
def test_a_caller_that_the_load_does_not_get_to_spoils_what_lies_behind(window_of, by):
    increases = pages(200)
    increases["reviews-v2"] = came(40) | {ABORTS: 40}
    edges = []
    if by == "counters":
        increases["client"] = called("reviews", 40, "v2")
    else:
        ends = [("istio-ingressgateway", "productpage-v1", 200), ("productpage-v1", "reviews-v1", 200)]
        edges = [edge(*end) for end in ends]
        edges += [edge("client", "reviews-v2", 40), edge("client", "reviews-v2", 40, reporter="destination")]
    edges += [edge("reviews-v2", "", 40, flags="FI")] if edges else []
    found = judged(window_of, increases, many=200, edges=edges)
    assert found.codes == [Invalid.FAULT_NOT_FIRED]
    assert "client" in found.notes[0].detail
    if by == "counters":
        assert "can't be told" in found.notes[0].detail
        assert "client, which this load does not get to, sent 40 requests to reviews-v1, reviews-v2" in found.remarks[0]
        assert found.foreign.keys() == {"client", "reviews-v1", "reviews-v2"}


def test_far_more_faults_than_others_requests_can_have_set_off_are_proof(window_of):
    increases = pages(200)
    increases["reviews-v1"] |= {ABORTS: 200}
    increases["client"] = called("reviews", 12, "v1")
    increases["reviews-v1"] = came(212) | {ABORTS: 212}
    assert judged(window_of, increases, many=200).valid


def test_more_came_in_than_the_load_sent(window_of):
    """Somebody else uses the same gateway, which keeps no counters."""
    increases = pages(158)
    increases["reviews-v1"] |= {ABORTS: 100}
    found = judged(window_of, increases)
    assert found.codes == [Invalid.FAULT_NOT_FIRED]
    assert "158 requests came to productpage-v1; known callers sent 0 and this load sent 58" in found.notes[0].detail
    assert "not all traffic was this load's" in found.remarks[0]
    told = judged(window_of, increases, faults=())
    assert told.valid
    assert told.foreign.keys() == {"productpage-v1", "reviews-v1"}


def test_the_gateways_own_count_tells_too():
    increases = pages(158) | {"istio-ingressgateway": called("productpage", 158)}
    known = kept(increases, silent=())
    (one,) = whose(flows(increases, known=known), 58).strangers
    assert (one.requests, one.words) == (100, "istio-ingressgateway passed on 158 requests, and this load sent 58")
    ends = [edge("istio-ingressgateway", "productpage-v1", 158), edge("istio-ingressgateway", "elsewhere", 900)]
    (same,) = whose(flows({name: {} for name in increases}, ends, known=dict.fromkeys(increases, ())), 58).strangers
    assert same.words == one.words


def test_callers_without_a_sidecar_are_seen():
    increases = pages(58) | {"istio-ingressgateway": called("productpage", 58)}
    increases["reviews-v1"] = came(98)
    (one,) = whose(flows(increases, known=kept(increases, silent=())), 58).strangers
    assert one.words == "98 requests came to reviews-v1; known callers sent 58"
    metrics = [
        edge("istio-ingressgateway", "productpage-v1", 58),
        edge("productpage-v1", "reviews-v1", 58),
        edge("", "reviews-v1", 40, reporter="destination"),
    ]
    (same,) = whose(flows({name: {} for name in increases}, metrics), 58).strangers
    assert same.words == "40 requests came to reviews-v1 from callers without a sidecar"


@pytest.mark.parametrize(
    ("change", "entry"),
    [
        # retries: each attempt is counted where it is sent
        ({"productpage-v1": came(58) | called("reviews", 158, "v1", "5xx"), "reviews-v1": came(158, "5xx")}, GATEWAY),
        # a gateway without counters that retries what failed, and redirects that the generator follows
        ({"productpage-v1": came(174, "5xx")}, GATEWAY),
        ({"productpage-v1": came(58) | came(58, "3xx") | called("reviews", 58, "v1")}, GATEWAY),
        # mirrored requests
        (
            {
                "productpage-v1": came(58) | called("reviews", 58, "v1") | called("reviews", 58, "v2"),
                "reviews-v2": came(58) | called("ratings", 58),
                "ratings-v1": came(58),
            },
            GATEWAY,
        ),
        # calls to somewhere that nobody knows may have come back
        ({"productpage-v1": came(58) | called("reviews", 58) | {"cluster.PassthroughCluster;.upstream_rq_total": 9},
          "ratings-v1": came(9)}, GATEWAY),
        # load from the client: what it sends is the load
        ({"istio-ingressgateway": {}, "client": called("productpage", 58)}, ("client",)),
    ],
)  # fmt: skip
def test_what_looks_like_more_and_is_the_loads_own(change, entry):
    assert whose(flows(pages(58) | change, entry=entry), 58).strangers == ()


def test_a_proxy_that_keeps_no_counters_makes_no_alarm():
    increases = pages(58) | {"reviews-v2": came(58), "ratings-v1": came(58)}  # reviews-v2 called, uncounted
    known = kept(increases, silent=("istio-ingressgateway", "reviews-v2", "productpage-v1"))
    traffic = whose(flows(increases, known=known), 58)
    assert traffic.strangers == ()
    assert "ratings-v1" in traffic.passed


def test_a_generators_job_and_names_with_a_namespace_are_the_entry():
    increases = {"client": {}, "sleep.legacy": {}, "ratings-v1": {}}
    job = [edge("meshtrial-load-0a1b2c3d", "ratings-v1", 58)]
    assert whose(flows(increases, job, ("client",)), 58).strangers == ()
    legacy = [edge("sleep", "ratings-v1", 58)]
    assert whose(flows(increases, legacy, ("sleep.legacy",)), 58).strangers == ()


def test_a_window_that_was_cut_short_is_not_counted(window_of):
    window = window_of(steady(58))
    window.stopped = True
    found = judge(ValidityInput(window, increases=pages(158), entry=GATEWAY, services=SERVICES, known=kept(pages(158))))
    assert not found.foreign
    assert not judged(window_of, pages(158), faults=(), whole=False).foreign


def test_few_requests_more_are_a_health_check(window_of):
    assert not judged(window_of, pages(68), faults=()).foreign
    assert judged(window_of, pages(69), faults=()).foreign


def test_pods_without_a_sidecar_pass_a_fault_by(window_of):
    increases = pages(58)
    increases["reviews-v1"] |= {ABORTS: 35}
    found = judged(window_of, increases, bare={"reviews-v1": ["reviews-v1-bare-x"], "ratings-v1": ["r"]})
    assert found.codes == [Invalid.FAULT_NOT_FIRED]
    assert found.notes[0].detail == (
        f"the abort fault of {RATINGS} fired for a part of the traffic only: behind the Service of reviews-v1 stand pods "
        "without a sidecar too (reviews-v1-bare-x), whose calls no fault meets"
    )
    assert judged(window_of, increases, bare={"ratings-v1": ["r"]}).valid


def test_a_check_on_counters_that_hold_others_requests_is_inconclusive(trial_of):
    trial = trial_of("v", 1, [10.0] * 50, increases={"reviews-v1": {ABORTS: 5}, "client": {ABORTS: 5}})
    trial.foreign = {"reviews-v1": "somebody else's requests are counted too: client sent 40"}
    found = evaluate(parse_check("proxy[reviews-v1 aborts_injected] > 0", "v", None, None), [trial])
    assert found.outcome == "inconclusive"
    assert "client sent 40 (block 1)" in found.reason
    assert evaluate(parse_check("proxy[client aborts_injected] > 0", "v", None, None), [trial]).outcome == "held"


def test_an_app_that_serves_nothing_has_no_counters_of_what_came_in(window_of):
    increases = pages(58) | {"client": {ABORTS: 37}}
    known = kept(increases) | {"client": frozenset({ABORTS, *called("ratings", 1)})}
    assert "client" not in whose(flows(increases, known=known), 58).passed
    # where nobody keeps them, nothing is known
    nobody = {name: frozenset({ABORTS, *called("ratings", 1)}) for name in increases if name != GATEWAY[0]}
    blank = {name: {ABORTS: 37} if name == "client" else {} for name in increases}
    assert "client" in whose(flows(blank, known=nobody), 58).passed


def test_metrics_that_do_not_know_who_was_called_say_nothing(window_of):
    """As stock Envoy's do of another's workload: the load's own way is not lost at a gateway without counters."""
    increases = pages(100)
    increases["reviews-v1"] |= {ABORTS: 100}
    edges = [
        Edge(
            source="istio-ingressgateway",
            destination="",
            service="productpage",
            code="200",
            flags="",
            requests=100,
            reporter="source",
        ),
        Edge(
            source="",
            destination="productpage-v1",
            service="productpage",
            code="200",
            flags="",
            requests=100,
            reporter="destination",
        ),
        Edge(
            source="",
            destination="reviews-v1",
            service="reviews",
            code="200",
            flags="",
            requests=100,
            reporter="destination",
        ),
    ]
    traffic = whose(Flows(increases, edges, SERVICES, kept(increases), GATEWAY), 100)
    assert {"productpage-v1", "reviews-v1"} <= traffic.passed
    assert "client" not in traffic.passed
