from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from runner.probes.proxy_stats import (
    busy,
    by_workload,
    fault_counters,
    increases,
    interest,
    is_quiet,
    parse_stats,
    read,
)

if TYPE_CHECKING:
    from conftest import RealEnvoy

CLUSTER = "cluster.outbound|9080|v1|reviews.default.svc.cluster.local;"
ABORTS = "http.outbound_0.0.0.0_9080;.fault.aborts_injected"
DELAYS = "http.outbound_0.0.0.0_9080;.fault.delays_injected"

TEXT = """\
cluster.outbound|9080|v1|productpage.default.svc.cluster.local;.upstream_rq_pending_overflow: 32
cluster.outbound|80||[::1]: odd;.upstream_rq_total: 7
cluster.x.upstream_cx_connect_ms: P0(nan,0) P25(nan,1.025) P50(nan,1.05)
cluster.x.upstream_cx_length_ms: No recorded values
control_plane.identifier: "istiod: 3"
cluster.x.gauge: -1

not a stat
"""


def test_only_whole_numbers_are_stats_and_names_keep_their_colons() -> None:
    assert parse_stats(TEXT) == {
        "cluster.outbound|9080|v1|productpage.default.svc.cluster.local;.upstream_rq_pending_overflow": 32,
        "cluster.outbound|80||[::1]: odd;.upstream_rq_total": 7,
        "cluster.x.gauge": -1,
    }
    assert parse_stats("") == {}


@given(
    st.dictionaries(st.text("ab|;:. _-", min_size=1, max_size=12).map(str.strip).filter(bool), st.integers(0, 2**63))
)
def test_what_envoy_would_print_is_read_back(stats: dict[str, int]) -> None:
    assert parse_stats("".join(f"{name}: {value}\n" for name, value in stats.items())) == stats


@given(st.text(max_size=80))
def test_no_text_breaks_the_parser(text: str) -> None:
    assert all(isinstance(value, int) for value in parse_stats(text).values())


def test_faults_are_named_by_workload_and_not_counted_twice() -> None:
    moved = {
        "reviews-v2": {ABORTS: 4, DELAYS: 2, "http.outbound_0.0.0.0_9080;.fault.jason.aborts_injected": 4, "x": 1},
        "client": {"cluster.a|b;.fault.aborts_injected": 1},
    }
    assert fault_counters(moved) == {f"reviews-v2 {ABORTS}": 4, f"reviews-v2 {DELAYS}": 2}


def test_what_an_experiment_is_about_comes_first() -> None:
    names = [
        ABORTS,
        f"{CLUSTER}.upstream_rq_pending_overflow",
        f"{CLUSTER}.upstream_rq_timeout",
        f"{CLUSTER}.upstream_rq_retry_success",
        f"{CLUSTER}.outlier_detection.ejections_enforced_total",
        f"{CLUSTER}.upstream_rq_503",
        f"{CLUSTER}.upstream_cx_connect_fail",
        f"{CLUSTER}.upstream_rq_404",
        f"{CLUSTER}.upstream_rq_200",
        "http.inbound_0.0.0.0_9080;.downstream_rq_2xx",
        f"{CLUSTER}.upstream_cx_rx_bytes_total",
        "http.outbound_0.0.0.0_9080;.downstream_cx_total",
        "server.dynamic_unknown_fields",
    ]
    ranks = [interest(name) for name in names]
    assert ranks == sorted(set(ranks))
    assert interest(f"{CLUSTER}.upstream_rq_retry_overflow") == interest(f"{CLUSTER}.upstream_cx_overflow") == 1
    assert interest("http.outbound_0.0.0.0_9080;.downstream_rq_5xx") == interest(f"{CLUSTER}.upstream_rq_5xx")


def test_a_real_proxys_counters_move_by_what_was_sent(real_envoy: RealEnvoy) -> None:
    before = read(real_envoy.admin)
    for _ in range(5):
        assert real_envoy.get("/reviews/0") == 200
    for _ in range(2):
        assert real_envoy.get("/reviews/0", x_envoy_fault_abort_request="503") == 503
    moved = increases(before, read(real_envoy.admin))["client"]
    assert moved[f"{CLUSTER}.upstream_rq_total"] == 5
    assert moved[f"{CLUSTER}.upstream_rq_200"] == 5
    assert moved["http.outbound_0.0.0.0_9080;.downstream_rq_5xx"] == 2
    assert fault_counters(by_workload({"client": moved}, str)) == {f"client {ABORTS}": 2}
    assert not [name for name in moved if name.startswith(("http.admin.", "listener.admin.", "istio_"))]


def test_counters_that_stayed_at_zero_are_there(real_envoy: RealEnvoy) -> None:
    assert read(real_envoy.admin)["client"][f"{CLUSTER}.upstream_rq_pending_overflow"] == 0


def test_a_request_under_way_is_seen_until_it_ends(real_envoy: RealEnvoy, eventually) -> None:
    eventually(lambda: is_quiet(real_envoy.admin))
    held = threading.Thread(target=lambda: real_envoy.get("/held", x_envoy_fault_delay_request="1500"))
    held.start()
    active = eventually(lambda: busy(real_envoy.admin))
    assert set(active["client"]) <= {
        "http.outbound_0.0.0.0_9080;.downstream_rq_active",
        "http.outbound_0.0.0.0_9080;.fault.active_faults",
    }
    held.join()
    eventually(lambda: is_quiet(real_envoy.admin))


def test_the_control_planes_own_requests_do_not_disturb() -> None:
    text = "cluster.xds-grpc.upstream_rq_active: 1\nhttp.admin.downstream_rq_active: 1\n"
    assert is_quiet(lambda _: {"client": text})
    assert not is_quiet(lambda _: {"client": text + f"{CLUSTER}.upstream_rq_active: 1\n"})


def test_all_counters_are_asked_for_unused_ones_too() -> None:
    asked = []
    assert read(lambda path: asked.append(path) or {}) == {}
    assert asked == ["/stats?type=Counters"]
