"""VirtualServices as Envoy routes, field by field."""

from __future__ import annotations

import pytest
import yaml

from runner.istio.hosts import MESH_GATEWAY
from runner.mesh.local.translate.model import duration
from runner.mesh.local.translate.retry import DEFAULT_RETRY_ON, retry_policy
from runner.mesh.local.translate.virtual_service import RouteContext, http_routes

TO = "{destination: {host: reviews}}"
PREVIOUS_HOSTS = {
    "name": "envoy.retry_host_predicates.previous_hosts",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
    },
}


@pytest.fixture
def routes(registry, manifests, topology):
    def make(http: str, more: str = "", pod: str = "client", gateway: str = MESH_GATEWAY, port: int = 9080):
        made = registry(manifests.virtual_service(http) + more)
        return http_routes(
            made.virtual_services[0], RouteContext(made, topology.pod(pod), port, port + (port < 1024) * 8000, gateway)
        )

    return make


def test_a_plain_route_has_istiods_defaults(routes):
    assert routes(f"[{{route: [{TO}]}}]") == [
        {
            "match": {"prefix": "/"},
            "metadata": {
                "filter_metadata": {
                    "istio": {"config": "/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews"}
                }
            },
            "route": {
                "cluster": "outbound|9080||reviews.default.svc.cluster.local",
                "timeout": "0s",
                "max_grpc_timeout": "0s",
                "retry_policy": {
                    "num_retries": 2,
                    "retry_on": DEFAULT_RETRY_ON,
                    "host_selection_retry_max_attempts": 5,
                    "retry_host_predicate": [PREVIOUS_HOSTS],
                },
            },
        }
    ]


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ("{uri: {exact: /a}}", {"path": "/a"}),
        ("{uri: {prefix: /a}}", {"prefix": "/a"}),
        ("{uri: {regex: '/a.*'}}", {"safe_regex": {"regex": "/a.*"}}),
        ("{uri: {exact: /a}, ignoreUriCase: true}", {"path": "/a", "case_sensitive": False}),
        (
            "{headers: {b: {prefix: x}, a: {exact: y}}, method: {exact: GET}}",
            {
                "prefix": "/",
                "headers": [
                    {"name": "a", "string_match": {"exact": "y"}},
                    {"name": "b", "string_match": {"prefix": "x"}},
                    {"name": ":method", "string_match": {"exact": "GET"}},
                ],
            },
        ),
        ("{headers: {a: {}}}", {"prefix": "/", "headers": [{"name": "a", "present_match": True}]}),
        ("{headers: {a: {regex: '*'}}}", {"prefix": "/", "headers": [{"name": "a", "present_match": True}]}),
        (
            "{withoutHeaders: {a: {exact: x}}}",
            {
                "prefix": "/",
                "headers": [
                    {
                        "name": "a",
                        "string_match": {"exact": "x"},
                        "invert_match": True,
                        "treat_missing_header_as_empty": True,
                    }
                ],
            },
        ),
        (
            "{withoutHeaders: {a: {}}}",
            {"prefix": "/", "headers": [{"name": "a", "present_match": True, "invert_match": True}]},
        ),
        (
            "{queryParams: {q: {exact: '1'}, r: {}}}",
            {
                "prefix": "/",
                "query_parameters": [
                    {"name": "q", "string_match": {"exact": "1"}},
                    {"name": "r", "present_match": True},
                ],
            },
        ),
        (
            "{authority: {exact: h}, scheme: {prefix: htt}}",
            {
                "prefix": "/",
                "headers": [
                    {"name": ":authority", "string_match": {"exact": "h"}},
                    {"name": ":scheme", "string_match": {"prefix": "htt"}},
                ],
            },
        ),
    ],
)
def test_matches(routes, match, expected):
    assert routes(f"[{{match: [{match}], route: [{TO}]}}]")[0]["match"] == {"case_sensitive": True, **expected}


@pytest.mark.parametrize(
    ("match", "pod", "gateway", "port", "kept"),
    [
        ("{sourceLabels: {app: client}}", "client", "mesh", 9080, True),
        ("{sourceLabels: {app: client}}", "reviews-v1", "mesh", 9080, False),
        ("{sourceNamespace: default}", "client", "mesh", 9080, True),
        ("{sourceNamespace: other}", "client", "mesh", 9080, False),
        ("{port: 9080}", "client", "mesh", 9080, True),
        ("{port: 80}", "client", "mesh", 9080, False),
        ("{port: 80}", "gateway", "default/gw", 80, True),
        ("{gateways: [mesh]}", "client", "mesh", 9080, True),
        ("{gateways: [gw]}", "client", "mesh", 9080, False),
        ("{gateways: [gw]}", "gateway", "default/gw", 9080, True),
        ("{gateways: [other/gw]}", "gateway", "default/gw", 9080, False),
        ("{gateways: [gw], sourceLabels: {app: none}}", "gateway", "default/gw", 9080, True),
    ],
)
def test_rules_for_other_proxies_are_left_out(routes, match, pod, gateway, port, kept):
    made = routes(f"[{{match: [{match}], route: [{TO}]}}]", pod=pod, gateway=gateway, port=port)
    assert bool(made) == kept


def test_nothing_after_a_route_that_takes_everything(routes):
    last = f"{{name: b, route: [{TO}]}}"
    http = f"[{{name: a, match: [{{uri: {{exact: /x}}}}, {{uri: {{prefix: /}}}}], route: [{TO}]}}, {last}]"
    assert [route["name"] for route in routes(http)] == ["a", "a"]
    regex = f"[{{name: a, match: [{{uri: {{regex: '.*'}}}}], route: [{TO}]}}, {last}]"
    assert [route["name"] for route in routes(regex)] == ["a"]
    headers = f"[{{name: a, match: [{{uri: {{prefix: /}}, headers: {{x: {{}}}}}}], route: [{TO}]}}, {last}]"
    assert [route["name"] for route in routes(headers)] == ["a", "b"]


def test_names_of_rule_and_match_are_joined(routes):
    http = f"[{{name: rule, match: [{{name: one, uri: {{exact: /1}}}}, {{uri: {{exact: /2}}}}], route: [{TO}]}}]"
    assert [route["name"] for route in routes(http)] == ["rule.one", "rule"]
    assert "name" not in routes(f"[{{route: [{TO}]}}]")[0]


@pytest.mark.parametrize(
    ("destination", "cluster"),
    [
        ("{host: reviews, subset: v1}", "outbound|9080|v1|reviews.default.svc.cluster.local"),
        ("{host: reviews, port: {number: 81}}", "outbound|81||reviews.default.svc.cluster.local"),
        ("{host: reviews.other.svc.cluster.local}", "outbound|7000||reviews.other.svc.cluster.local"),
        ("{host: nobody}", "outbound|7000||nobody.default.svc.cluster.local"),
        ("{host: reviews}", "outbound|9080||reviews.default.svc.cluster.local"),
    ],
)
def test_destinations(routes, destination, cluster):
    """The port: the one that is named, else the service's only one, else the listener's."""
    made = routes(f"[{{route: [{{destination: {destination}}}]}}]", port=7000)
    assert made[0]["route"]["cluster"] == cluster


def test_weights_leave_out_zeros(routes):
    action = routes(
        "[{route: [{destination: {host: reviews, subset: a}, weight: 90},"
        " {destination: {host: reviews, subset: b}, weight: 0},"
        " {destination: {host: reviews, subset: c}, weight: 10, headers: {request: {set: {Host: h, x: y}}}}]}]"
    )[0]["route"]
    assert action["weighted_clusters"] == {
        "clusters": [
            {"name": "outbound|9080|a|reviews.default.svc.cluster.local", "weight": 90},
            {
                "name": "outbound|9080|c|reviews.default.svc.cluster.local",
                "weight": 10,
                "request_headers_to_add": [
                    {"header": {"key": "x", "value": "y"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
                ],
                "host_rewrite_literal": "h",
            },
        ]
    }


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (
            "{delay: {fixedDelay: 7s, percentage: {value: 12.5}}}",
            {"delay": {"fixed_delay": "7s", "percentage": {"numerator": 125_000, "denominator": "MILLION"}}},
        ),
        (
            "{delay: {fixedDelay: 2s, percent: 100}}",
            {"delay": {"fixed_delay": "2s", "percentage": {"numerator": 1_000_000, "denominator": "MILLION"}}},
        ),
        (
            "{abort: {httpStatus: 503}}",
            {"abort": {"http_status": 503, "percentage": {"numerator": 0, "denominator": "MILLION"}}},
        ),
        (
            "{abort: {grpcStatus: UNAVAILABLE, percentage: {value: 0.0001}}}",
            {"abort": {"grpc_status": 14, "percentage": {"numerator": 1, "denominator": "MILLION"}}},
        ),
    ],
)
def test_faults(routes, fault, expected):
    config = routes(f"[{{fault: {fault}, route: [{TO}]}}]")[0]["typed_per_filter_config"]
    assert config == {
        "envoy.filters.http.fault": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
            **expected,
        }
    }


@pytest.mark.parametrize(
    ("retries", "expected"),
    [
        ("{attempts: 0}", None),
        ("{attempts: 3}", {"num_retries": 3}),
        ("{attempts: 1, perTryTimeout: 500ms}", {"num_retries": 1, "per_try_timeout": "0.5s"}),
        (
            "{attempts: 1, retryOn: '5xx, 429,503'}",
            {"num_retries": 1, "retry_on": "5xx,retriable-status-codes", "retriable_status_codes": [429, 503]},
        ),
        ("{attempts: 1, retryOn: reset}", {"num_retries": 1, "retry_on": "reset"}),
        ("{attempts: 1, backoff: 25ms}", {"num_retries": 1, "retry_back_off": {"base_interval": "0.025s"}}),
    ],
)
def test_retries(routes, retries, expected):
    action = routes(f"[{{retries: {retries}, route: [{TO}]}}]")[0]["route"]
    default = retry_policy(None, sticky=False)
    assert action.get("retry_policy") == (None if expected is None else {**default, **expected})


def test_timeout_is_also_grpcs(routes):
    action = routes(f"[{{timeout: 0.5s, route: [{TO}]}}]")[0]["route"]
    assert (action["timeout"], action["max_grpc_timeout"]) == ("0.5s", "0.5s")


@pytest.mark.parametrize(
    ("mirror", "numerators"),
    [
        ("mirror: {host: reviews, subset: v2}", [1_000_000]),
        ("mirror: {host: reviews, subset: v2}, mirrorPercentage: {value: 12.5}", [125_000]),
        ("mirror: {host: reviews, subset: v2}, mirrorPercent: 50", [500_000]),
        ("mirror: {host: reviews, subset: v2}, mirrorPercentage: {value: 0}", []),
        (
            "mirrors: [{destination: {host: reviews}}, {destination: {host: reviews}, percentage: {value: 1}}]",
            [1_000_000, 10_000],
        ),
    ],
)
def test_mirrors(routes, mirror, numerators):
    policies = routes(f"[{{route: [{TO}], {mirror}}}]")[0]["route"].get("request_mirror_policies", [])
    assert [policy["runtime_fraction"]["default_value"]["numerator"] for policy in policies] == numerators
    assert all(policy["disable_shadow_host_suffix_append"] and policy["trace_sampled"] is False for policy in policies)


@pytest.mark.parametrize(
    ("rewrite", "expected"),
    [
        ("{uri: /b}", {"prefix_rewrite": "/b"}),
        ("{authority: h}", {"host_rewrite_literal": "h"}),
        (
            "{uriRegexRewrite: {match: '^/a', rewrite: /b}}",
            {"regex_rewrite": {"pattern": {"regex": "^/a"}, "substitution": "/b"}},
        ),
    ],
)
def test_rewrites(routes, rewrite, expected):
    action = routes(f"[{{rewrite: {rewrite}, route: [{TO}]}}]")[0]["route"]
    assert expected.items() <= action.items()


@pytest.mark.parametrize(
    ("redirect", "expected"),
    [
        ("{uri: /b}", {"path_redirect": "/b", "response_code": "MOVED_PERMANENTLY"}),
        ("{authority: h, redirectCode: 302}", {"host_redirect": "h", "response_code": "FOUND"}),
        ("{scheme: https, port: 443}", {"scheme_redirect": "https", "response_code": "MOVED_PERMANENTLY"}),
        ("{authority: h, port: 81}", {"host_redirect": "h", "port_redirect": 81, "response_code": "MOVED_PERMANENTLY"}),
        (
            "{authority: h, derivePort: FROM_REQUEST_PORT}",
            {"host_redirect": "h", "port_redirect": 8080, "response_code": "MOVED_PERMANENTLY"},
        ),
        (
            "{authority: h, derivePort: FROM_PROTOCOL_DEFAULT}",
            {"host_redirect": "h", "response_code": "MOVED_PERMANENTLY"},
        ),
    ],
)
def test_redirects(routes, redirect, expected):
    assert routes(f"[{{redirect: {redirect}}}]", port=80)[0]["redirect"] == expected


def test_direct_responses(routes):
    assert routes("[{directResponse: {status: 503, body: {string: no}}}]")[0]["direct_response"] == {
        "status": 503,
        "body": {"inline_string": "no"},
    }


def test_header_operations_join_route_and_destination(routes):
    route = routes(
        yaml.safe_dump(
            [
                {
                    "headers": {
                        "request": {
                            "set": {"b": "2", "a": "1", "Host": "h"},
                            "add": {"c": "3"},
                            "remove": ["d", ":path"],
                        },
                        "response": {"remove": ["e"]},
                    },
                    "route": [
                        {"destination": {"host": "reviews"}, "headers": {"request": {"set": {"a": "9", "host": "i"}}}}
                    ],
                }
            ],
            default_flow_style=True,
        ).strip()
    )[0]
    overwrite, append = "OVERWRITE_IF_EXISTS_OR_ADD", "APPEND_IF_EXISTS_OR_ADD"
    assert [
        (option["header"]["key"], option["header"]["value"], option["append_action"])
        for option in route["request_headers_to_add"]
    ] == [("a", "1", overwrite), ("b", "2", overwrite), ("c", "3", append), ("a", "9", overwrite)]
    assert route["request_headers_to_remove"] == ["d"]
    assert route["response_headers_to_remove"] == ["e"]
    assert route["route"]["host_rewrite_literal"] == "h"


RULE = """
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  trafficPolicy:
    loadBalancer: {consistentHash: {httpHeaderName: rule}}
    portLevelSettings: [{port: {number: 81}, loadBalancer: {consistentHash: {httpHeaderName: port}}}]
  subsets:
  - {name: plain, labels: {version: v1}}
  - name: own
    labels: {version: v1}
    trafficPolicy:
      loadBalancer: {consistentHash: {httpHeaderName: subset}}
      portLevelSettings: [{port: {number: 81}, loadBalancer: {consistentHash: {httpHeaderName: subset-port}}}]
"""


@pytest.mark.parametrize(
    ("destination", "header"),
    [
        ("{host: reviews}", "rule"),
        ("{host: reviews, port: {number: 81}}", "port"),
        ("{host: reviews, subset: plain}", "rule"),
        ("{host: reviews, subset: own}", "subset"),
        ("{host: reviews, subset: own, port: {number: 81}}", "subset-port"),
    ],
)
def test_hash_policies_are_the_closest_ones(routes, destination, header):
    action = routes(f"[{{route: [{{destination: {destination}}}]}}]", RULE)[0]["route"]
    assert action["hash_policy"] == [{"header": {"header_name": header}}]
    assert "retry_host_predicate" not in action["retry_policy"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.5, "0.5s"), (180, "180s"), (100, "100s"), (0.001, "0.001s"), (1e-9, "0.000000001s")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text
