"""What real Envoys do with translated config."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection

import pytest

pytestmark = pytest.mark.timeout(120)

V1 = "cluster.outbound|9080|v1|reviews.default.svc.cluster.local;"
V2 = "cluster.outbound|9080|v2|reviews.default.svc.cluster.local;"
OUTBOUND = "http.outbound_0.0.0.0_9080;"


def test_services_answer_by_every_spelling_of_their_host(live):
    live.apply()
    short = ["reviews", "reviews.default", "reviews.default.svc"]
    for host in [*short, "reviews.default.svc.cluster.local", "reviews.default.svc.cluster.local."]:
        answer = live.get(host=host)
        assert answer.status == 200
        assert answer.headers["server"] == "envoy"
    assert set(live.stats()) >= {
        "cluster.outbound|9080||reviews.default.svc.cluster.local;.upstream_rq_total",
        f"{OUTBOUND}.downstream_rq_2xx",
    }


def test_unknown_hosts_get_502_with_an_empty_body(live, soon):
    live.apply()
    answer = live.get(host="nowhere.example.com")
    assert (answer.status, answer.text) == (502, "")
    assert soon(lambda: 'destination_service_name="BlackHoleCluster"' in live.metrics("client"))


def test_the_http_proxy_port_takes_absolute_requests(live, topology):
    live.apply()
    for host, status in (("reviews:9080", 200), ("reviews", 502), ("nowhere:80", 502)):
        connection = HTTPConnection(live.topology.pod("client").outbound, 15002, timeout=20)
        connection.request("GET", f"http://{host}/reviews/0")
        response = connection.getresponse()
        body = response.read()
        connection.close()
        assert response.status == status
        assert status != 200 or b'"path": "/reviews/0"' in body


def test_weights_split_requests(live, manifests):
    live.apply(
        manifests.subsets
        + manifests.virtual_service(
            "[{route: [{destination: {host: reviews, subset: v1}, weight: 80},"
            " {destination: {host: reviews, subset: v2}, weight: 20},"
            " {destination: {host: reviews, subset: v3}, weight: 0}]}]"
        )
    )
    seen = [live.get().who for _ in range(400)]
    assert set(seen) == {"reviews-v1", "reviews-v2"}
    # 400 draws of 20 %: mean 80, deviation 8; six of them either way.
    assert 32 <= seen.count("reviews-v2") <= 128


def test_headers_choose_the_subset(live, manifests):
    live.apply(
        manifests.subsets
        + manifests.virtual_service(
            "[{match: [{headers: {end-user: {exact: jason}}}],"
            f" route: [{manifests.to('v2')}]}},"
            " {match: [{withoutHeaders: {x-known: {}}, uri: {prefix: /new}}],"
            f" route: [{manifests.to('v3')}]}},"
            f" {{route: [{manifests.to('v1')}]}}]"
        )
    )
    assert live.get(headers={"end-user": "jason"}).who == "reviews-v2"
    assert live.get(headers={"end-user": "mary"}).who == "reviews-v1"
    assert live.get("/new").who == "reviews-v3"
    assert live.get("/new", headers={"x-known": "1"}).who == "reviews-v1"


def test_aborts_are_counted_under_istiods_names(live, manifests):
    live.apply(
        manifests.subsets
        + manifests.virtual_service(
            "[{fault: {abort: {httpStatus: 555, percentage: {value: 100}}},"
            " match: [{headers: {end-user: {exact: jason}}}],"
            f" route: [{manifests.to('v1')}]}}, {{route: [{manifests.to('v1')}]}}]"
        )
    )
    name = f"{OUTBOUND}.fault.aborts_injected"
    before = live.stats().get(name, 0)
    answer = live.get(headers={"end-user": "jason"})
    assert (answer.status, answer.text) == (555, "fault filter abort")
    assert live.get().status == 200
    assert live.stats()[name] == before + 1


@pytest.mark.parametrize("share", ["percentage: {value: 100}", "percent: 100"])
def test_delays_hold_requests_and_are_counted(live, manifests, share):
    live.apply(
        manifests.subsets
        + manifests.virtual_service(
            f"[{{fault: {{delay: {{fixedDelay: 50ms, {share}}}}}, route: [{manifests.to('v1')}]}}]"
        )
    )
    name = f"{OUTBOUND}.fault.delays_injected"
    before = live.stats().get(name, 0)
    assert live.get().status == 200
    assert live.stats()[name] == before + 1


def test_a_fault_without_a_percentage_never_fires(live, manifests):
    live.apply(
        manifests.subsets
        + manifests.virtual_service(f"[{{fault: {{abort: {{httpStatus: 500}}}}, route: [{manifests.to('v1')}]}}]")
    )
    assert {live.get().status for _ in range(20)} == {200}


def test_timeout_ends_with_504_ut(live, manifests, soon):
    live.apply(manifests.subsets + manifests.virtual_service(f"[{{timeout: 50ms, route: [{manifests.to('v1')}]}}]"))
    before = live.stats()[f"{V1}.upstream_rq_timeout"]
    answer = live.get("/wait")
    assert (answer.status, answer.text) == (504, "upstream request timeout")
    assert live.stats()[f"{V1}.upstream_rq_timeout"] == before + 1
    soon(lambda: re.search(r'response_code="504",response_flags="UT"', live.metrics("client")))


def test_a_503_of_the_upstream_is_not_retried_by_default(live, manifests):
    live.apply(manifests.subsets + manifests.virtual_service(f"[{{route: [{manifests.to('v1')}]}}]"))
    live.backends["reviews-v1"].failures = 1
    assert live.get().status == 503
    assert len(live.backends["reviews-v1"].received) == 1


def test_retries_try_again_as_often_as_asked(live, manifests):
    live.apply(
        manifests.subsets
        + manifests.virtual_service(
            f"[{{retries: {{attempts: 3, retryOn: '503', backoff: 1ms}}, route: [{manifests.to('v1')}]}}]"
        )
    )
    live.backends["reviews-v1"].failures = 2
    assert live.get().status == 200
    tries = live.backends["reviews-v1"].received
    assert [headers["x-envoy-attempt-count"] for _, headers in tries] == ["1", "2", "3"]


def test_per_try_timeout_tries_again(live, manifests):
    live.apply(
        manifests.subsets
        + manifests.virtual_service(
            "[{retries: {attempts: 1, perTryTimeout: 50ms, retryOn: gateway-error, backoff: 1ms},"
            f" route: [{manifests.to('v1')}]}}]"
        )
    )
    assert live.get("/wait").status == 504
    assert len(live.backends["reviews-v1"].received) == 2


@pytest.mark.parametrize(
    "mirror",
    [
        "mirror: {host: reviews, subset: v2}",
        "mirror: {host: reviews, subset: v2}, mirrorPercent: 100",
        "mirrors: [{destination: {host: reviews, subset: v2}, percentage: {value: 100}}]",
    ],
)
def test_mirrors_copy_every_request(live, manifests, soon, mirror):
    live.apply(manifests.subsets + manifests.virtual_service(f"[{{route: [{manifests.to('v1')}], {mirror}}}]"))
    assert {live.get(f"/copy/{number}").who for number in range(20)} == {"reviews-v1"}
    copies = live.backends["reviews-v2"].received
    soon(lambda: len(copies) == 20)
    assert {headers["host"] for _, headers in copies} == {"reviews:9080"}
    assert sorted(path for path, _ in copies) == sorted(f"/copy/{number}" for number in range(20))


def test_a_mirror_percentage_of_zero_copies_nothing(live, manifests):
    live.apply(
        manifests.subsets
        + manifests.virtual_service(
            f"[{{route: [{manifests.to('v1')}],"
            " mirror: {host: reviews, subset: v2}, mirrorPercentage: {value: 0}}]"
        )
    )
    before = live.stats()[f"{V2}.upstream_rq_total"]
    assert {live.get().who for _ in range(10)} == {"reviews-v1"}
    assert live.stats()[f"{V2}.upstream_rq_total"] == before


def test_rewrites_change_path_and_authority(live, manifests):
    live.apply(
        manifests.subsets
        + manifests.virtual_service(
            "[{match: [{uri: {prefix: /old/}}], rewrite: {uri: /new/, authority: other.example.com},"
            f" route: [{manifests.to('v1')}]}},"
            " {match: [{uri: {regex: '/v[0-9]+/.*'}}],"
            " rewrite: {uriRegexRewrite: {match: '^/v([0-9]+)/(.*)$', rewrite: '/\\2/\\1'}},"
            f" route: [{manifests.to('v1')}]}}]"
        )
    )
    answer = live.get("/old/page").json
    assert (answer["path"], answer["headers"]["host"]) == ("/new/page", "other.example.com")
    assert live.get("/v7/page").json["path"] == "/page/7"


def test_headers_are_set_added_and_removed(live, manifests):
    live.apply(
        manifests.subsets
        + manifests.virtual_service(
            "[{headers: {request: {set: {x-set: new}, add: {x-add: more}, remove: [x-gone]},"
            " response: {set: {x-app: hidden}}},"
            " route: [{destination: {host: reviews, subset: v1}, headers: {response: {add: {x-by: v1}}}}]}]"
        )
    )
    answer = live.get(headers={"x-set": "old", "x-add": "one", "x-gone": "yes"})
    seen = answer.json["headers"]
    assert (seen["x-set"], "x-gone" in seen) == ("new", False)
    assert seen["x-add"] in {"one,more", "more"}  # http.server shows the last of two headers
    assert (answer.headers["x-app"], answer.headers["x-by"]) == ("hidden", "v1")


def test_redirects_and_direct_responses_need_no_destination(live, manifests):
    live.apply(
        manifests.virtual_service(
            "[{match: [{uri: {exact: /away}}], redirect: {uri: /there, authority: example.com, redirectCode: 307}},"
            " {match: [{uri: {exact: /secure}}], redirect: {scheme: https, port: 8443}},"
            " {directResponse: {status: 503, body: {string: closed}}}]"
        )
    )
    away = live.get("/away")
    assert (away.status, away.headers["location"]) == (307, "http://example.com/there")
    secure = live.get("/secure")
    assert (secure.status, secure.headers["location"]) == (301, "https://reviews:8443/secure")
    closed = live.get("/else")
    assert (closed.status, closed.text) == (503, "closed")


def test_a_subset_that_nobody_defined_gets_503_nc(live, manifests, soon):
    live.apply(manifests.virtual_service(f"[{{route: [{manifests.to('v9')}]}}]"))
    answer = live.get()
    assert (answer.status, answer.text) == (503, "")
    soon(lambda: 'response_code="503",response_flags="NC"' in live.metrics("client"))


def test_a_subset_without_pods_gets_503_uh(live, manifests, soon):
    live.apply(
        manifests.subsets.replace("version: v3", "version: v0")
        + manifests.virtual_service(f"[{{route: [{manifests.to('v3')}]}}]")
    )
    answer = live.get()
    assert (answer.status, answer.text) == (503, "no healthy upstream")
    soon(lambda: 'response_code="503",response_flags="UH"' in live.metrics("client"))


CIRCUIT_BREAKER = """
  trafficPolicy:
    connectionPool:
      tcp: {maxConnections: 1}
      http: {http1MaxPendingRequests: 1, maxRequestsPerConnection: 1}
    outlierDetection: {consecutive5xxErrors: 1, interval: 1s, baseEjectionTime: 3m, maxEjectionPercent: 100}
"""


def test_circuit_breaker_overflow_is_counted_to_the_request(live, manifests, soon):
    live.apply(manifests.subsets + CIRCUIT_BREAKER + manifests.virtual_service(f"[{{route: [{manifests.to('v1')}]}}]"))
    name = f"{V1}.upstream_rq_pending_overflow"
    before = live.stats()[name]
    with ThreadPoolExecutor(12) as threads:
        asked = [threads.submit(live.get, "/wait") for _ in range(12)]
        # Each of two workers may open one connection, and one request waits: at least nine find no place.
        soon(lambda: sum(future.done() for future in asked) >= 9)
        live.backends["reviews-v1"].gate.set()
        answers = [future.result() for future in asked]
    refused = [answer for answer in answers if answer.status == 503]
    assert {answer.status for answer in answers} == {200, 503}
    assert live.stats()[name] - before == len(refused)
    assert {answer.headers["x-envoy-overloaded"] for answer in refused} == {"true"}
    assert all("overflow" in answer.text for answer in refused)
    assert live.stats()[f"{V1}.outlier_detection.ejections_active"] == 0


GUIDE_BREAKER = f"""
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: productpage}}
spec:
  host: productpage
{CIRCUIT_BREAKER}
  subsets: [{{name: v1, labels: {{version: v1}}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: productpage}}
spec:
  hosts: [productpage]
  http: [{{route: [{{destination: {{host: productpage, subset: v1}}}}]}}]
"""


def test_the_guides_circuit_breaker_refuses_at_the_client_only(live):
    """Three clients in closed loops: every 503 is an overflow at the caller, and nothing is ejected."""
    live.apply(GUIDE_BREAKER)
    cluster = "cluster.outbound|9080|v1|productpage.default.svc.cluster.local;"
    before = live.stats()

    def loop() -> list[tuple[int, str | None]]:
        found = []
        with closing(HTTPConnection(live.topology.pod("client").outbound, 9080, timeout=20)) as connection:
            for _ in range(60):
                connection.request("GET", "/productpage", headers={"Host": "productpage:9080"})
                response = connection.getresponse()
                response.read()
                found.append((response.status, response.getheader("x-envoy-overloaded")))
        return found

    with ThreadPoolExecutor(3) as threads:
        answers = [answer for future in [threads.submit(loop) for _ in range(3)] for answer in future.result()]
    assert set(answers) <= {(200, None), (503, "true")}
    statuses = [status for status, _ in answers]
    after = live.stats()
    name = f"{cluster}.upstream_rq_pending_overflow"
    assert after[name] - before[name] == statuses.count(503)
    assert statuses.count(200) > 0
    assert after[f"{cluster}.outlier_detection.ejections_active"] == 0
    assert live.stats("productpage-v1")["cluster.inbound|9080||;.upstream_rq_pending_overflow"] == 0


def test_outlier_detection_ejects_at_the_first_5xx(live, manifests):
    # Another interval than above, so that the cluster is a new one, with nothing ejected.
    policy = CIRCUIT_BREAKER.replace("interval: 1s", "interval: 2s")
    live.apply(manifests.subsets + policy + manifests.virtual_service(f"[{{route: [{manifests.to('v1')}]}}]"))
    before = live.stats()[f"{V1}.outlier_detection.ejections_enforced_consecutive_5xx"]
    assert live.get("/status/500").status == 500
    answer = live.get()
    assert (answer.status, answer.text) == (503, "no healthy upstream")
    after = live.stats()
    assert after[f"{V1}.outlier_detection.ejections_active"] == 1
    assert after[f"{V1}.outlier_detection.ejections_enforced_consecutive_5xx"] == before + 1


HASH = """
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  trafficPolicy: {loadBalancer: {consistentHash: {%s}}}
"""


@pytest.mark.parametrize(
    "key", ["httpHeaderName: x-user", "httpHeaderName: x-user, maglev: {}", "httpQueryParameterName: user"]
)
@pytest.mark.parametrize("routed", [True, False])
def test_consistent_hash_keeps_users_on_their_host(live, manifests, key, routed):
    rule = HASH % key
    live.apply(rule + manifests.virtual_service("[{route: [{destination: {host: reviews}}]}]") if routed else rule)
    hosts = {}
    for user in range(12):
        seen = {live.get(f"/?user={user}", headers={"x-user": str(user)}).who for _ in range(4)}
        assert len(seen) == 1
        hosts[user] = seen.pop()
    assert len(set(hosts.values())) > 1


def test_consistent_hash_sets_a_session_cookie(live):
    live.apply(HASH % "httpCookie: {name: session, path: /, ttl: 0s}")
    first = live.get()
    cookie = first.headers["set-cookie"]
    assert cookie.startswith('session="')
    value = cookie.partition(";")[0]
    assert {live.get(headers={"cookie": value}).who for _ in range(6)} == {first.who}


def test_round_robin_reaches_all_hosts_alike(live):
    live.apply(HASH.replace("consistentHash: {%s}", "simple: ROUND_ROBIN"))
    connection = HTTPConnection(live.topology.pod("client").outbound, 9080, timeout=20)
    seen = []
    for _ in range(9):  # one connection stays with one worker, which has its own turn
        connection.request("GET", "/", headers={"Host": "reviews"})
        response = connection.getresponse()
        response.read()
        seen.append(response.getheader("x-app"))
    connection.close()
    assert sorted(seen) == sorted(["reviews-v1", "reviews-v2", "reviews-v3"] * 3)


def test_the_gateway_serves_what_is_bound_to_it(live, manifests):
    live.apply(
        manifests.gateway
        + manifests.virtual_service(
            "[{match: [{uri: {exact: /productpage}}],"
            " route: [{destination: {host: productpage, port: {number: 9080}}}]}]",
            hosts="['*']",
            gateways="[bookinfo-gateway]",
        )
    )
    answer = live.get("/productpage", "bookinfo.example.com", source="gateway")
    assert (answer.status, answer.who) == (200, "productpage-v1")
    assert answer.headers["server"] == "istio-envoy"
    seen = answer.json["headers"]
    assert seen["x-forwarded-proto"] == "http"
    assert seen["x-envoy-attempt-count"] == "1"
    missing = live.get("/nothing", "bookinfo.example.com", source="gateway")
    assert (missing.status, missing.text) == (404, "")
    assert "http.outbound_0.0.0.0_8080;.downstream_rq_4xx" in live.stats("gateway")


def test_a_gateway_without_virtual_services_says_404(live, manifests):
    live.apply(manifests.gateway)
    assert live.get("/productpage", source="gateway").status == 404


def test_both_ends_of_a_request_are_counted_with_its_workloads(live, soon):
    live.apply()
    answer = live.get("/who", "productpage")
    assert (answer.who, answer.headers["server"]) == ("productpage-v1", "envoy")
    assert not [name for name in answer.json["headers"] if "peer" in name]
    service = 'destination_service="productpage.default.svc.cluster.local",destination_service_name="productpage"'
    for proxy, reporter in (("client", "source"), ("productpage-v1", "destination")):
        line = (
            f'envoy_istio_requests_total{{reporter="{reporter}",source_workload="client",'
            f'destination_workload="productpage-v1",{service},'
            'request_protocol="http",response_code="200",response_flags="-"} '
        )
        soon(lambda proxy=proxy, line=line: line in live.metrics(proxy))
        text = live.clients[proxy].get("/stats/prometheus?filter=istio_request_duration")
        assert "# TYPE envoy_istio_request_duration_milliseconds histogram" in text


def test_other_stats_keep_their_names_and_prometheus_gets_labels(live):
    live.apply()
    live.get()
    text = live.clients["client"].get("/stats/prometheus?filter=upstream_rq_total")
    host = "outbound|9080||reviews.default.svc.cluster.local"
    assert f'envoy_cluster_upstream_rq_total{{cluster_name="{host}"}}' in text


def test_the_access_log_is_istios_text(live, soon):
    live.apply()
    live.get("/logged?x=1", headers={"user-agent": "tester"})
    log = live.paths("client").access_log
    line = soon(lambda: [text for text in log.read_text().splitlines() if "/logged" in text])[0]
    assert re.fullmatch(
        r'\[[-0-9T:.]+Z\] "GET /logged\?x=1 HTTP/1\.1" 200 - via_upstream - "-" 0 \d+ \d+ \d+ "-" "tester" '
        r'"[-0-9a-f]{36}" '
        r'"reviews:9080" "127\.[\d.]+:9080" outbound\|9080\|\|reviews\.default\.svc\.cluster\.local 127\.[\d.]+:\d+ '
        r"127\.[\d.]+:9080 127\.[\d.]+:\d+ - default",
        line,
    )


def test_config_reaches_requests_while_they_run(live, manifests):
    """Changes come one after another under traffic, and no request is lost."""
    live.apply(manifests.subsets + manifests.virtual_service(f"[{{route: [{manifests.to('v1')}]}}]"))
    ended = threading.Event()
    statuses: list[int] = []

    def drive() -> None:
        while not ended.is_set():
            statuses.append(live.get().status)

    with ThreadPoolExecutor(1) as threads:
        driving = threads.submit(drive)
        for version in ("v2", "v3", "v1", "v2"):
            live.apply(manifests.subsets + manifests.virtual_service(f"[{{route: [{manifests.to(version)}]}}]"))
            assert live.get().who == f"reviews-{version}"
        ended.set()
        driving.result()
    assert set(statuses) == {200}


EVERYTHING = """
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews.default.svc.cluster.local
  trafficPolicy:
    connectionPool:
      tcp:
        maxConnections: 100
        connectTimeout: 30ms
        idleTimeout: 1h
        maxConnectionDuration: 1h
        tcpKeepalive: {probes: 9, time: 7200s, interval: 75s}
      http:
        http1MaxPendingRequests: 1024
        http2MaxRequests: 1024
        maxRequestsPerConnection: 10
        maxRetries: 3
        idleTimeout: 30s
        maxConcurrentStreams: 50
        useClientProtocol: true
    outlierDetection:
      consecutive5xxErrors: 7
      consecutiveGatewayErrors: 5
      splitExternalLocalOriginErrors: true
      consecutiveLocalOriginFailures: 5
      interval: 5m
      baseEjectionTime: 15m
      maxEjectionPercent: 50
      minHealthPercent: 20
    loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 1021}}}
    portLevelSettings:
    - port: {number: 80}
      loadBalancer: {consistentHash: {httpCookie: {name: c, path: /p, ttl: 60s}, ringHash: {minimumRingSize: 2048}}}
  subsets:
  - name: v1
    labels: {version: v1}
    trafficPolicy: {loadBalancer: {simple: LEAST_CONN}}
  - name: v2
    labels: {version: v2}
    trafficPolicy: {connectionPool: {http: {maxConcurrentStreams: 7}}, loadBalancer: {simple: RANDOM}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews, '*.example.com']
  http:
  - name: first
    match:
    - name: strange
      uri: {regex: '/strange/.*'}
      ignoreUriCase: true
      scheme: {exact: http}
      method: {regex: 'GET|POST'}
      authority: {prefix: rev}
      headers: {x-a: {exact: a}, x-b: {prefix: b}, x-c: {regex: 'c+'}, x-d: {}, x-e: {regex: '*'}}
      withoutHeaders: {y-a: {exact: a}, y-b: {}}
      queryParams: {q: {exact: '1'}, r: {regex: 'r+'}, s: {}}
      sourceLabels: {app: client}
      sourceNamespace: default
      port: 9080
    rewrite: {uri: /plain, authority: else.example.com}
    retries:
      attempts: 5
      perTryTimeout: 2s
      retryOn: 'gateway-error,connect-failure,429,503'
      retryRemoteLocalities: true
      backoff: 25ms
    timeout: 10s
    fault:
      delay: {fixedDelay: 1ms, percentage: {value: 0.5}}
      abort: {grpcStatus: UNAVAILABLE, percentage: {value: 0}}
    route:
    - destination: {host: reviews, subset: v1}
      weight: 1
      headers: {request: {set: {host: by-weight.example.com, x-w: one}}, response: {remove: [x-app]}}
    - destination: {host: reviews, subset: v2, port: {number: 9080}}
      weight: 99
      headers: {request: {add: {x-w: two}}}
    mirrors:
    - {destination: {host: reviews, subset: v1}, percentage: {value: 12.5}}
    - {destination: {host: productpage}}
  - match: [{headers: {cookie: {regex: '^(.*?;)?(user=jason)(;.*)?$'}}}]
    redirect: {authority: example.org, derivePort: FROM_REQUEST_PORT, redirectCode: 308}
  - route: [{destination: {host: reviews}}]
"""


def test_real_envoys_take_every_field_that_is_translated(live):
    live.apply(EVERYTHING)
    headers = {"x-a": "a", "x-b": "bee", "x-c": "ccc", "x-d": "any", "x-e": ""}
    answer = live.get("/strange/way?q=1&r=rr&s=", headers=headers)
    assert answer.status == 200
    assert answer.json["path"].startswith("/plain")
    assert live.get("/strange/way?q=2&r=rr&s=", headers=headers).json["path"].startswith("/strange")
    assert live.get("/strange/way?q=1&r=rr&s=", headers={**headers, "y-b": "x"}).json["path"].startswith("/strange")
    moved = live.get(headers={"cookie": "a=b;user=jason"})
    assert (moved.status, moved.headers["location"]) == (308, "http://example.org:9080/")
    live.apply(EVERYTHING.replace("useClientProtocol: true", "h2UpgradePolicy: DO_NOT_UPGRADE"))
    assert live.get().status == 200


def test_http2_between_proxies_when_asked_for(live):
    live.apply(
        """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: productpage}
spec: {host: productpage, trafficPolicy: {connectionPool: {http: {h2UpgradePolicy: UPGRADE, maxConcurrentStreams: 9}}}}
"""
    )
    cluster = "cluster.outbound|9080||productpage.default.svc.cluster.local;"
    assert live.get("/x", "productpage").who == "productpage-v1"
    assert live.stats()[f"{cluster}.upstream_cx_http2_total"] == 1
