from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.probes.istio_metrics import PATH, EdgeKey, EdgeReading, edges, parse, read

if TYPE_CHECKING:
    from conftest import RealEnvoy

STOCK = """\
# TYPE envoy_istio_requests_total counter
envoy_istio_requests_total{reporter="source",source_workload="client",destination_workload="",destination_service="",destination_service_name="",request_protocol="http",response_code="502",response_flags="-"} 1
envoy_istio_requests_total{reporter="source",source_workload="client",destination_workload="reviews-v1",destination_service="reviews.default.svc.cluster.local",destination_service_name="reviews",request_protocol="http",response_code="200",response_flags="-"} 3
# TYPE envoy_istio_request_duration_milliseconds histogram
envoy_istio_request_duration_milliseconds_bucket{reporter="source",source_workload="client",destination_workload="reviews-v1",destination_service="reviews.default.svc.cluster.local",destination_service_name="reviews",request_protocol="http",response_code="200",response_flags="-",le="0.5"} 3
envoy_istio_request_duration_milliseconds_sum{reporter="source",source_workload="client",destination_workload="reviews-v1",destination_service="reviews.default.svc.cluster.local",destination_service_name="reviews",request_protocol="http",response_code="200",response_flags="-"} 4.5
envoy_istio_request_duration_milliseconds_count{reporter="source",source_workload="client",destination_workload="reviews-v1",destination_service="reviews.default.svc.cluster.local",destination_service_name="reviews",request_protocol="http",response_code="200",response_flags="-"} 3
"""  # noqa: E501 - as a real Envoy prints it

ISTIO = """\
istio_requests_total{reporter="destination",source_workload="unknown",source_principal="a",destination_workload="reviews-v1",destination_service="reviews.default.svc.cluster.local",response_code="200",response_flags="-"} 2
istio_requests_total{reporter="destination",source_workload="unknown",source_principal="b",destination_workload="reviews-v1",destination_service="reviews.default.svc.cluster.local",response_code="200",response_flags="-"} 5 1700000000000
istio_request_bytes_sum{reporter="destination"} 5
"""  # noqa: E501 - as Istio's own build prints it

OK = EdgeKey("source", "client", "reviews-v1", "reviews.default.svc.cluster.local", "200", "-")
REFUSED = EdgeKey("source", "client", "", "", "502", "-")


def test_stock_envoys_and_istios_spelling_are_both_read() -> None:
    assert parse(STOCK) == {REFUSED: EdgeReading(requests=1), OK: EdgeReading(3, 3, 4.5)}
    assert parse(ISTIO) == {
        EdgeKey("destination", "", "reviews-v1", "reviews.default.svc.cluster.local", "200", "-"): EdgeReading(7)
    }
    assert parse("") == {}


@pytest.mark.parametrize(
    "name",
    [
        "istiocustom.istio_requests_total.reporter.source.source_workload.client",  # Istio's own build
        "istiocustom.istio_request_duration_milliseconds.reporter.source",
        "istio_requests_total.reporter.source.source_workload.client",  # the embedded mesh
        "istio.request_duration_milliseconds.reporter.source",  # a stats access logger with a scope
        "istio.requests_total.reporter.source",
    ],
)
def test_every_name_of_the_stats_passes_the_filter(name: str) -> None:
    (wanted,) = parse_qs(urlsplit(PATH).query)["filter"]
    assert re.search(wanted, name)
    assert not re.search(wanted, "cluster.outbound|9080||reviews.default.svc.cluster.local;.upstream_rq_total")


def test_escaped_label_values_come_back() -> None:
    (key,) = parse(r'istio_requests_total{reporter="source",source_workload="a\"b\\c,d=\"e\"",response_code="200"} 1')
    assert key.source == 'a"b\\c,d="e"'


def test_only_what_the_window_added_is_an_edge() -> None:
    before = {"client": {OK: EdgeReading(10, 10, 100.0), REFUSED: EdgeReading(4, 4, 4.0)}}
    after = {
        "client": {OK: EdgeReading(14, 14, 140.0), REFUSED: EdgeReading(4, 4, 4.0)},
        "other": {OK: EdgeReading(1, 1, 5.0)},
    }
    (edge,) = edges(before, after)
    assert (edge.source, edge.destination, edge.code, edge.requests, edge.duration_ms) == (
        *("client", "reviews-v1", "200", 5, 9.0),
    )


def test_a_histogram_that_lags_gives_no_duration() -> None:
    (edge,) = edges({}, {"client": {OK: EdgeReading(14, 13, 140.0)}})
    assert (edge.requests, edge.duration_ms) == (14, None)


def test_a_proxy_started_anew_counts_from_zero() -> None:
    (edge,) = edges({"client": {OK: EdgeReading(50, 50, 500.0)}}, {"client": {OK: EdgeReading(3, 3, 6.0)}})
    assert (edge.requests, edge.duration_ms) == (3, 2.0)


def test_reading_waits_for_histograms_a_bounded_number_of_times() -> None:
    asked = []
    settled = "\n".join(text for text in STOCK.splitlines() if "502" not in text)

    def late(path: str) -> dict[str, str]:
        asked.append(path)
        return {"client": settled.replace("_count{", "_late{") if len(asked) < 3 else settled}

    assert read(late, tries=2)["client"][OK].timed == 0
    assert asked == [PATH, PATH]
    assert read(late, tries=9)["client"][OK].timed == 3
    assert len(asked) == 3


label = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=8)


@given(label, label, st.integers(0, 10**15))
def test_any_label_value_comes_back(source: str, flags: str, number: int) -> None:
    def quoted(value: str) -> str:
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    text = f'istio_requests_total{{source_workload="{quoted(source)}",response_flags="{quoted(flags)}"}} {number}\n'
    assert parse(text) == {EdgeKey("", "" if source == "unknown" else source, "", "", "", flags): EdgeReading(number)}


@given(st.text('abc{}="\\, \n0123456789_.-', max_size=100))
def test_no_text_breaks_the_parser(tail: str) -> None:
    for key in parse("istio_requests_total{" + tail):
        assert key.reporter == ""


def test_a_real_proxys_edges(real_envoy: RealEnvoy, eventually) -> None:
    before = read(real_envoy.admin)
    for _ in range(4):
        assert real_envoy.get("/reviews/0") == 200
    assert real_envoy.get("/reviews/0", x_envoy_fault_abort_request="500") == 500
    # the logger runs a moment after the client has its answer
    found = eventually(
        lambda: (seen := edges(before, read(real_envoy.admin))) and sum(e.requests for e in seen) == 5 and seen
    )
    assert [(e.source, e.destination, e.service, e.code, e.flags, e.requests) for e in found] == [
        ("client", "reviews-v1", "reviews.default.svc.cluster.local", "200", "-", 4),
        ("client", "", "reviews.default.svc.cluster.local", "500", "FI", 1),
    ]
    timed = eventually(
        lambda: (seen := edges(before, read(real_envoy.admin))) and seen[0].duration_ms is not None and seen
    )
    assert 0 <= timed[0].duration_ms < 20_000
