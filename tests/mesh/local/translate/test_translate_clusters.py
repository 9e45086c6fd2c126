"""Services and DestinationRules as Envoy clusters."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.mesh.local.translate import ProxyPaths
from runner.mesh.local.translate.destination_rule import UNLIMITED
from runner.mesh.local.translate.service import domains, inbound_clusters, outbound_clusters

HOST = "reviews.default.svc.cluster.local"
PATHS = ProxyPaths(Path("/mesh/client"))


@pytest.fixture
def clusters(registry, topology):
    def make(text: str = "", pod: str = "client"):
        made = registry(text)
        found = [*outbound_clusters(made, topology.pod(pod), PATHS), *inbound_clusters(made, topology.pod(pod))]
        return {cluster.name: cluster for cluster in found}

    return make


def rule(policy: str = "", subsets: str = "[]", *, host: str = "reviews", name: str = "reviews", more: str = "") -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}{more}}}
spec:
  host: '{host}'
  trafficPolicy: {policy or "{}"}
  subsets: {subsets}
"""


def thresholds(cluster):
    return cluster.config["circuit_breakers"]["thresholds"][0]


def addresses(cluster):
    groups = cluster.config["load_assignment"]["endpoints"]
    return [
        endpoint["endpoint"]["address"]["socket_address"]["address"]
        for group in groups
        for endpoint in group["lb_endpoints"]
    ]


def test_a_service_has_istiods_defaults(clusters):
    cluster = clusters()[f"outbound|9080||{HOST}"]
    config = cluster.config
    assert config["alt_stat_name"] == f"outbound|9080||{HOST};"
    assert (config["type"], config["connect_timeout"], config["lb_policy"]) == ("STATIC", "10s", "LEAST_REQUEST")
    assert thresholds(cluster) == {
        "max_connections": UNLIMITED,
        "max_pending_requests": UNLIMITED,
        "max_requests": UNLIMITED,
        "max_retries": UNLIMITED,
        "track_remaining": True,
    }
    assert "outlier_detection" not in config
    assert "common_lb_config" not in config
    assert "typed_extension_protocol_options" not in config
    assert addresses(cluster) == ["127.0.9.12", "127.0.9.13", "127.0.9.14"]
    assert config["metadata"]["filter_metadata"]["istio"] == {
        "services": [{"host": HOST, "name": "reviews", "namespace": "default"}],
        "host": HOST,
        "name": "reviews",
    }
    assert [source.key.kind for source in cluster.sources] == ["Service"]


def test_subsets_select_pods_by_labels(clusters, manifests):
    made = clusters(manifests.subsets)
    assert addresses(made[f"outbound|9080|v2|{HOST}"]) == ["127.0.9.13"]
    metadata = made[f"outbound|9080|v2|{HOST}"].config["metadata"]["filter_metadata"]["istio"]
    assert metadata["subset"] == "v2"
    assert metadata["config"] == "/apis/networking.istio.io/v1/namespaces/default/destination-rule/reviews"
    endpoint = made[f"outbound|9080|v2|{HOST}"].config["load_assignment"]["endpoints"][0]["lb_endpoints"][0]
    assert endpoint["metadata"]["filter_metadata"]["istio"]["workload"] == "reviews-v2"
    assert [source.key.kind for source in made[f"outbound|9080|v2|{HOST}"].sources] == ["Service", "DestinationRule"]


def test_a_subset_without_pods_is_a_cluster_without_endpoints(clusters):
    made = clusters(rule(subsets="[{name: none, labels: {version: v9}}]"))
    assert made[f"outbound|9080|none|{HOST}"].config["load_assignment"]["endpoints"] == []


BREAKER = (
    "{connectionPool: {tcp: {maxConnections: 1, connectTimeout: 30ms},"
    " http: {http1MaxPendingRequests: 2, http2MaxRequests: 3, maxRequestsPerConnection: 4, maxRetries: 5}}}"
)
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def test_connection_pool(clusters):
    cluster = clusters(rule(BREAKER))[f"outbound|9080||{HOST}"]
    assert thresholds(cluster) == {
        "max_connections": 1,
        "max_pending_requests": 2,
        "max_requests": 3,
        "max_retries": 5,
        "track_remaining": True,
    }
    assert cluster.config["connect_timeout"] == "0.03s"
    assert cluster.config["typed_extension_protocol_options"][OPTIONS] == {
        "@type": f"type.googleapis.com/{OPTIONS}",
        "common_http_protocol_options": {"max_requests_per_connection": 4},
        "explicit_http_config": {"http_protocol_options": {}},
    }


def test_zero_means_istiods_default(clusters):
    policy = (
        "{connectionPool: {tcp: {maxConnections: 0},"
        " http: {http1MaxPendingRequests: 0, maxRequestsPerConnection: 0, maxRetries: 0}}}"
    )
    cluster = clusters(rule(policy))[f"outbound|9080||{HOST}"]
    assert thresholds(cluster)["max_connections"] == UNLIMITED
    assert thresholds(cluster)["max_retries"] == UNLIMITED
    assert "typed_extension_protocol_options" not in cluster.config


@pytest.mark.parametrize(
    ("http", "protocol"),
    [
        ("{idleTimeout: 5s}", {"http_protocol_options": {}}),
        (
            "{h2UpgradePolicy: UPGRADE, maxConcurrentStreams: 7}",
            {"http2_protocol_options": {"max_concurrent_streams": 7}},
        ),
    ],
)
def test_upstream_protocol(clusters, http, protocol):
    cluster = clusters(rule(f"{{connectionPool: {{http: {http}}}}}"))[f"outbound|9080||{HOST}"]
    assert cluster.config["typed_extension_protocol_options"][OPTIONS]["explicit_http_config"] == protocol


@pytest.mark.parametrize(
    ("outlier", "expected", "panic"),
    [
        ("{}", {}, 0),
        (
            "{consecutive5xxErrors: 1, interval: 1s, baseEjectionTime: 3m, maxEjectionPercent: 100}",
            {
                "consecutive_5xx": 1,
                "enforcing_consecutive_5xx": 100,
                "interval": "1s",
                "base_ejection_time": "180s",
                "max_ejection_percent": 100,
            },
            0,
        ),
        (
            "{consecutive5xxErrors: 0, consecutiveGatewayErrors: 3, minHealthPercent: 40}",
            {
                "consecutive_5xx": 0,
                "enforcing_consecutive_5xx": 0,
                "consecutive_gateway_failure": 3,
                "enforcing_consecutive_gateway_failure": 100,
            },
            40,
        ),
        (
            "{splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 4}",
            {
                "split_external_local_origin_errors": True,
                "enforcing_local_origin_success_rate": 0,
                "consecutive_local_origin_failure": 4,
                "enforcing_consecutive_local_origin_failure": 100,
            },
            0,
        ),
    ],
)
def test_outlier_detection(clusters, outlier, expected, panic):
    config = clusters(rule(f"{{outlierDetection: {outlier}}}"))[f"outbound|9080||{HOST}"].config
    assert config["outlier_detection"] == {"enforcing_success_rate": 0, **expected}
    assert config["common_lb_config"] == {"healthy_panic_threshold": {"value": panic}}


@pytest.mark.parametrize(
    ("balancer", "expected"),
    [
        ("{simple: ROUND_ROBIN}", {"lb_policy": "ROUND_ROBIN"}),
        ("{simple: RANDOM}", {"lb_policy": "RANDOM"}),
        ("{simple: LEAST_CONN}", {"lb_policy": "LEAST_REQUEST"}),
        ("{simple: UNSPECIFIED}", {"lb_policy": "LEAST_REQUEST"}),
        (
            "{consistentHash: {httpHeaderName: x}}",
            {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": 1024}},
        ),
        (
            "{consistentHash: {httpHeaderName: x, minimumRingSize: 9}}",
            {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": 9}},
        ),
        ("{consistentHash: {httpHeaderName: x, ringHash: {}}}", {"lb_policy": "RING_HASH"}),
        (
            "{consistentHash: {httpHeaderName: x, ringHash: {minimumRingSize: 7}}}",
            {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": 7}},
        ),
        (
            "{consistentHash: {useSourceIp: true, maglev: {tableSize: 1021}}}",
            {"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": 1021}},
        ),
    ],
)
def test_load_balancers(clusters, balancer, expected):
    config = clusters(rule(f"{{loadBalancer: {balancer}}}"))[f"outbound|9080||{HOST}"].config
    assert {
        name: value for name, value in config.items() if name.startswith(("lb_policy", "ring", "maglev"))
    } == expected


LEVELS = rule(
    "{connectionPool: {tcp: {maxConnections: 10}}, loadBalancer: {simple: RANDOM},"
    " portLevelSettings: [{port: {number: 81}, loadBalancer: {simple: ROUND_ROBIN}}]}",
    "[{name: plain, labels: {version: v1}},"
    " {name: own, labels: {version: v1}, trafficPolicy: {connectionPool: {tcp: {maxConnections: 20}}}},"
    " {name: special, labels: {version: v1}, trafficPolicy: {connectionPool: {tcp: {maxConnections: 30}},"
    " portLevelSettings: [{port: {number: 9080}, connectionPool: {tcp: {maxConnections: 40}}}]}}]",
)
TWO_PORTS = """
---
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec:
  selector: {app: reviews}
  ports: [{port: 9080, name: http}, {port: 81, name: http-other, targetPort: 9080}]
"""


@pytest.mark.parametrize(
    ("port", "subset", "connections", "balancer"),
    [
        (9080, "", 10, "RANDOM"),
        (81, "", UNLIMITED, "ROUND_ROBIN"),
        (9080, "plain", 10, "RANDOM"),
        (81, "plain", UNLIMITED, "ROUND_ROBIN"),
        (9080, "own", 20, "RANDOM"),
        (81, "own", 20, "ROUND_ROBIN"),
        (9080, "special", 40, "LEAST_REQUEST"),
        (81, "special", 30, "ROUND_ROBIN"),
    ],
)
def test_policies_of_ports_and_subsets(clusters, port, subset, connections, balancer):
    """A port's policy replaces the whole rule's; a subset's replaces part by part, its port-level one all of it."""
    cluster = clusters(TWO_PORTS + LEVELS)[f"outbound|{port}|{subset}|{HOST}"]
    assert (thresholds(cluster)["max_connections"], cluster.config["lb_policy"]) == (connections, balancer)


def test_inbound_clusters_take_the_connection_pool_only(clusters):
    policy = (
        "{connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1, h2UpgradePolicy: UPGRADE}},"
        " outlierDetection: {}, loadBalancer: {simple: RANDOM}}"
    )
    cluster = clusters(rule(policy), "reviews-v1")["inbound|9080||"]
    assert thresholds(cluster)["max_connections"] == 1
    assert thresholds(cluster)["max_pending_requests"] == UNLIMITED
    assert "typed_extension_protocol_options" not in cluster.config
    assert "outlier_detection" not in cluster.config
    assert cluster.config["lb_policy"] == "ROUND_ROBIN"
    assert addresses(cluster) == ["127.0.9.152"]
    assert cluster.config["alt_stat_name"] == "inbound|9080||;"


def test_rules_for_one_host_are_merged(clusters):
    first = rule("{loadBalancer: {simple: RANDOM}}", "[{name: a, labels: {version: v1}}]")
    second = rule(
        "{loadBalancer: {simple: ROUND_ROBIN}}",
        "[{name: a, labels: {version: v2}}, {name: b, labels: {version: v2}}]",
        host=HOST,
        name="more",
    )
    made = clusters(first + second)
    assert made[f"outbound|9080||{HOST}"].config["lb_policy"] == "RANDOM"
    assert addresses(made[f"outbound|9080|a|{HOST}"]) == ["127.0.9.12"]
    assert addresses(made[f"outbound|9080|b|{HOST}"]) == ["127.0.9.13"]


def test_the_most_specific_host_wins(clusters):
    made = clusters(
        rule("{loadBalancer: {simple: RANDOM}}", host="*.local", name="wide")
        + rule("{loadBalancer: {simple: ROUND_ROBIN}}", host="*.default.svc.cluster.local", name="closer")
        + rule("{loadBalancer: {consistentHash: {useSourceIp: true}}}", host="productpage", name="exact")
    )
    assert made[f"outbound|9080||{HOST}"].config["lb_policy"] == "ROUND_ROBIN"
    assert made["outbound|9080||productpage.default.svc.cluster.local"].config["lb_policy"] == "RING_HASH"


def test_rules_of_other_namespaces(clusters):
    foreign = rule("{loadBalancer: {simple: RANDOM}}", host=HOST, name="foreign", more=", namespace: other")
    assert clusters(foreign)[f"outbound|9080||{HOST}"].config["lb_policy"] == "LEAST_REQUEST"
    root = rule("{loadBalancer: {simple: RANDOM}}", host=HOST, name="root", more=", namespace: istio-system")
    assert clusters(root)[f"outbound|9080||{HOST}"].config["lb_policy"] == "RANDOM"


@pytest.mark.parametrize(
    ("port", "protocol"),
    [
        ("{port: 9080}", "http"),
        ("{port: 9080, name: web}", "http"),
        ("{port: 9080, name: http-web}", "http"),
        ("{port: 9080, name: grpc-api}", "grpc"),
        ("{port: 9080, name: http2}", "http2"),
        ("{port: 9080, name: tcp-db}", "tcp"),
        ("{port: 9080, name: http, appProtocol: kubernetes.io/h2c}", "http2"),
        ("{port: 9080, name: web, appProtocol: tcp}", "tcp"),
    ],
)
def test_port_protocols(registry, port, protocol):
    made = registry(TWO_PORTS.replace("{port: 9080, name: http}, {port: 81, name: http-other, targetPort: 9080}", port))
    assert [item.protocol for item in made.services[HOST].ports] == [protocol]


def test_grpc_and_http2_ports_speak_http2(clusters):
    made = clusters(TWO_PORTS.replace("name: http}", "name: grpc}"), "reviews-v1")
    for name in (f"outbound|9080||{HOST}", "inbound|9080||"):
        options = made[name].config["typed_extension_protocol_options"][OPTIONS]
        assert options["explicit_http_config"] == {"http2_protocol_options": {}}


def test_pods_that_do_not_listen_are_no_endpoints(clusters):
    made = clusters(TWO_PORTS.replace("targetPort: 9080", "targetPort: 5000"))
    assert addresses(made[f"outbound|81||{HOST}"]) == []
    named = clusters(TWO_PORTS.replace("targetPort: 9080", "targetPort: web"))
    assert len(addresses(named[f"outbound|81||{HOST}"])) == 3


def test_hosts_of_a_service(registry):
    service = registry().services[HOST]
    assert domains(service, "default") == [HOST, f"{HOST}.", "reviews", "reviews.default", "reviews.default.svc"]
    assert domains(service, "other", 80) == [
        f"{HOST}:80",
        f"{HOST}.:80",
        "reviews.default:80",
        "reviews.default.svc:80",
    ]
