from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.probes.access_log import parse_line, read, sample

if TYPE_CHECKING:
    from conftest import RealEnvoy

OVERFLOW = (
    '[2026-11-24T05:00:00.123Z] "GET /productpage?u=normal HTTP/1.1" 503 UO '
    'upstream_reset_before_response_started{overflow} - "-" 0 81 0 - "-" '
    '"python-requests/2.32" "5f8a-1" "productpage:9080" "-" '
    "outbound|9080|v1|productpage.default.svc.cluster.local - 127.0.0.1:9080 127.0.0.1:50000 - default"
)


def line(status: int = 200, flags: str = "-", path: str = "/", agent: str = "curl/8", failure: str = "-") -> str:
    return (
        f'[2026-11-24T05:00:00.123Z] "GET {path} HTTP/1.1" {status} {flags} via_upstream - '
        f'"{failure}" 0 295 12 11 "10.1.2.3" "{agent}" '
        '"id" "reviews:9080" "127.0.0.2:9080" outbound|9080||reviews.default.svc.cluster.local '
        "127.0.0.1:40000 127.0.0.1:9080 127.0.0.1:50000 outbound_.9080_._.reviews default"
    )


def test_an_overflow_is_taken_apart() -> None:
    entry = parse_line(OVERFLOW + "\n", "client")
    assert entry is not None
    assert (entry.proxy, entry.time, entry.method, entry.path) == (
        *("client", "2026-11-24T05:00:00.123Z", "GET", "/productpage?u=normal"),
    )
    assert (entry.status, entry.flags, entry.details) == (503, "UO", "upstream_reset_before_response_started{overflow}")
    assert (entry.authority, entry.upstream_host, entry.duration_ms) == ("productpage:9080", "-", 0)
    assert entry.upstream_cluster == "outbound|9080|v1|productpage.default.svc.cluster.local"
    assert entry.line == OVERFLOW


@pytest.mark.parametrize(
    "odd",
    [
        line(agent='Mozilla "quoted" 5.0'),
        line(agent='a" "b" "c'),
        line(failure="TLS error: 268435581:SSL routines: CERTIFICATE_VERIFY_FAILED"),
        line(path='/a"b'),
        line(flags="URX,UF"),
        line(agent=""),
    ],
)
def test_what_a_client_sends_cannot_shift_the_fields(odd: str) -> None:
    entry = parse_line(odd, "client")
    assert entry is not None
    assert (entry.status, entry.authority, entry.upstream_host) == (200, "reviews:9080", "127.0.0.2:9080")
    assert entry.duration_ms == 12


@pytest.mark.parametrize("odd", ["", "{}", '{"json": "log"}', OVERFLOW[:-60], OVERFLOW[5:], "[x] " + OVERFLOW])
def test_other_lines_are_counted_and_kept_out(odd: str) -> None:
    log = read({"client": [odd, OVERFLOW]})
    assert [entry.line for entry in log.entries["client"]] == [OVERFLOW]
    assert log.unreadable == (1 if odd else 0)


@given(st.text(max_size=120))
def test_no_line_breaks_the_parser(text: str) -> None:
    assert parse_line(text, "client") is None


def test_a_request_that_never_ended_has_no_duration() -> None:
    entry = parse_line(line().replace(" 12 11 ", " - - "), "client")
    assert entry is not None
    assert entry.duration_ms == 0


def test_a_sample_shows_flagged_lines_of_every_proxy_first() -> None:
    lines = {
        "busy": [line(path=f"/b{n}") for n in range(50)]
        + [line(503, "UO", "/flagged-b1"), line(503, "UO", "/flagged-b2")],
        "calm": [line(path="/c0"), line(500, path="/failed"), line(200, "DI", "/flagged-c1"), "junk"],
    }
    paths = [entry.path for entry in sample(lines, 7)]
    assert paths[:3] == ["/flagged-b1", "/flagged-c1", "/flagged-b2"]
    assert paths[3:] == ["/failed", "/b0", "/c0", "/b1"]
    assert len(sample(lines, 1000)) == 55
    assert sample(lines, 0) == []
    assert sample({}, 5) == []


def test_what_a_real_proxy_writes_is_read(real_envoy: RealEnvoy, eventually) -> None:
    marker = "/reviews/marker"
    assert real_envoy.get(marker, user_agent='odd "agent"') == 200
    assert real_envoy.get(marker, x_envoy_fault_abort_request="503") == 503

    def logged() -> list[str] | None:
        lines = [text for text in real_envoy.log.read_text().splitlines() if marker in text]
        return lines if len(lines) == 2 else None

    entries = sample({"client": eventually(logged)}, 10)
    assert [(entry.status, entry.flags, entry.path) for entry in entries] == [(503, "FI", marker), (200, "-", marker)]
    assert entries[0].details == "fault_filter_abort"
    assert entries[1].upstream_cluster == "outbound|9080|v1|reviews.default.svc.cluster.local"
    assert entries[1].upstream_host.startswith("127.0.0.1:")
