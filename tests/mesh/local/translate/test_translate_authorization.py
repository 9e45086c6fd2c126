"""AuthorizationPolicies as RBAC filters: what each field becomes, which policies a proxy gets, in which order."""

from __future__ import annotations

import json
import re
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.istio.load import parse_manifests
from runner.mesh.local.translate import check_supported
from runner.mesh.local.translate.authorization_policy import authorization
from runner.mesh.local.translate.authorization_rules import _quoted
from runner.mesh.local.translate.listener import gateway_listeners, sidecar_listeners
from runner.mesh.local.translate.model import ProxyPaths

ANY = {"any": True}


def policy(spec: str = "{}", name: str = "p", namespace: str = "default", annotations: str = "{}") -> str:
    return (
        "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
        f"metadata: {{name: {name}, namespace: {namespace}, annotations: {annotations}}}\n"
        f"spec:\n{textwrap.indent(textwrap.dedent(spec).strip(), '  ')}\n"
    )


@pytest.fixture
def filters(registry, topology):
    """The RBAC filters of a pod, each without its type."""

    def make(*texts: str, pod: str = "productpage-v1"):
        found = authorization(registry("".join(texts)), topology.pod(pod)).filters
        return [{key: value for key, value in item["typed_config"].items() if key != "@type"} for item in found]

    return make


@pytest.fixture
def rule(filters):
    """The one RBAC policy that a rule becomes."""

    def make(text: str, namespace: str = "default"):
        spec = "rules:\n- " + textwrap.indent(textwrap.dedent(text).strip(), "  ").strip()
        (only,) = filters(policy(spec, namespace=namespace))
        return only["rules"]["policies"][f"ns[{namespace}]-policy[p]-rule[0]"]

    return make


def principals(found):
    (item,) = found["principals"]
    return item["and_ids"]["ids"]


def permissions(found):
    (item,) = found["permissions"]
    return item["and_rules"]["rules"]


def one_of(kind, items):
    return {f"or_{kind}": {kind: items}}


def identity(matcher):
    return {"authenticated": {"principal_name": matcher}}


def test_a_policy_without_rules_is_one_that_never_matches(filters):
    (only,) = filters(policy(name="allow-nothing"))
    assert only["rules"] == {
        "action": "ALLOW",
        "policies": {
            "ns[default]-policy[allow-nothing]-rule[0]": {
                "permissions": [{"not_rule": ANY}],
                "principals": [{"not_id": ANY}],
            }
        },
    }


def test_an_empty_rule_matches_everything(rule):
    assert rule("{}") == {
        "permissions": [{"and_rules": {"rules": [ANY]}}],
        "principals": [{"and_ids": {"ids": [ANY]}}],
    }


def test_what_is_asked_for(rule):
    found = rule("""
        to:
        - operation:
            hosts: [a.com, "*.b.com", "c.*", "*"]
            methods: [GET, "P*"]
            notMethods: [PUT]
            paths: [/a, "/b/*", "*.html", "*", "/c/{*}/d/{**}"]
            ports: ["9080"]
            notPorts: ["1"]
        - operation: {paths: [/z]}
        when: [{key: destination.port, values: ["80"]}, {key: destination.ip, notValues: [10.0.0.1]},
               {key: connection.sni, values: ["*.x"]}]
    """)
    first, second = (item["and_rules"]["rules"] for item in found["permissions"])
    host = {"name": ":authority"}
    template = "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig"
    conditions = [
        one_of("rules", [{"destination_port": 80}]),
        {"not_rule": one_of("rules", [{"destination_ip": {"address_prefix": "10.0.0.1", "prefix_len": 32}}])},
        one_of("rules", [{"requested_server_name": {"suffix": ".x"}}]),
    ]
    assert first == [
        one_of(
            "rules",
            [
                {"header": {**host, "string_match": {"exact": "a.com", "ignore_case": True}}},
                {"header": {**host, "string_match": {"suffix": ".b.com", "ignore_case": True}}},
                {"header": {**host, "string_match": {"prefix": "c.", "ignore_case": True}}},
                {"header": {**host, "present_match": True}},
            ],
        ),
        one_of(
            "rules",
            [
                {"header": {"name": ":method", "string_match": {"exact": "GET"}}},
                {"header": {"name": ":method", "string_match": {"prefix": "P"}}},
            ],
        ),
        {"not_rule": one_of("rules", [{"header": {"name": ":method", "string_match": {"exact": "PUT"}}}])},
        one_of(
            "rules",
            [
                {"url_path": {"path": {"exact": "/a"}}},
                {"url_path": {"path": {"prefix": "/b/"}}},
                {"url_path": {"path": {"suffix": ".html"}}},
                {"url_path": {"path": {"safe_regex": {"regex": ".+"}}}},
                {
                    "uri_template": {
                        "name": "uri-template",
                        "typed_config": {"@type": template, "path_template": "/c/*/d/**"},
                    }
                },
            ],
        ),
        one_of("rules", [{"destination_port": 9080}]),
        {"not_rule": one_of("rules", [{"destination_port": 1}])},
        *conditions,
    ]
    assert second == [one_of("rules", [{"url_path": {"path": {"exact": "/z"}}}]), *conditions]


def test_who_asks(rule):
    found = rule("""
        from:
        - source:
            principals: [cluster.local/ns/default/sa/a, "cluster.local/ns/x/*", "*/sa/b.c", "*"]
            notNamespaces: [prod, "te*t"]
            trustDomains: [td, "*", "*.corp"]
            ipBlocks: [10.0.0.0/8, "::1"]
            remoteIpBlocks: [203.0.113.7]
        when:
        - {key: "request.headers[X-Token]", values: [admin, "*"], notValues: ["x*"]}
        - {key: source.namespace, values: [a]}
        - {key: remote.ip, values: ["2001:db8::/32"]}
    """)
    assert principals(found) == [
        one_of(
            "ids",
            [
                identity({"exact": "spiffe://cluster.local/ns/default/sa/a"}),
                identity({"prefix": "spiffe://cluster.local/ns/x/"}),
                identity({"safe_regex": {"regex": r"spiffe://.*/sa/b\.c"}}),
                identity({"safe_regex": {"regex": ".+"}}),
            ],
        ),
        one_of(
            "ids",
            [
                identity({"prefix": "spiffe://td/"}),
                identity({"prefix": "spiffe://"}),
                identity({"safe_regex": {"regex": r"spiffe://[^/]*\.corp/.*"}}),
            ],
        ),
        {
            "not_id": one_of(
                "ids",
                [
                    identity({"safe_regex": {"regex": ".*/ns/prod/.*"}}),
                    identity({"safe_regex": {"regex": ".*/ns/te.*t/.*"}}),
                ],
            )
        },
        one_of("ids", [{"remote_ip": {"address_prefix": "203.0.113.7", "prefix_len": 32}}]),
        one_of(
            "ids",
            [
                {"direct_remote_ip": {"address_prefix": "10.0.0.0", "prefix_len": 8}},
                {"direct_remote_ip": {"address_prefix": "::1", "prefix_len": 128}},
            ],
        ),
        one_of(
            "ids",
            [
                {"header": {"name": "X-Token", "string_match": {"exact": "admin"}}},
                {"header": {"name": "X-Token", "present_match": True}},
            ],
        ),
        {"not_id": one_of("ids", [{"header": {"name": "X-Token", "string_match": {"prefix": "x"}}}])},
        one_of("ids", [identity({"safe_regex": {"regex": ".*/ns/a/.*"}})]),
        one_of("ids", [{"remote_ip": {"address_prefix": "2001:db8::", "prefix_len": 32}}]),
    ]


@pytest.mark.parametrize(
    ("account", "member", "stranger"),
    [
        ("a.b", "spiffe://cluster.local/ns/istio-system/sa/a.b", "spiffe://cluster.local/ns/istio-system/sa/a-b"),
        ("x/a", "spiffe://td/ns/x/sa/a", "spiffe://td/ns/istio-system/sa/a"),
        ("x/a", "spiffe://td/ns/x/k/v/sa/a/more", "spiffe://td/ns/x/sa/ab"),
    ],
)
def test_a_service_account_is_one_of_the_policys_namespace_unless_it_names_another(rule, account, member, stranger):
    found = rule(f"from: [{{source: {{serviceAccounts: [{account}]}}}}]", namespace="istio-system")
    ((only,),) = (item["or_ids"]["ids"] for item in principals(found))
    pattern = only["authenticated"]["principal_name"]["safe_regex"]["regex"]
    assert re.fullmatch(pattern, member)
    assert not re.fullmatch(pattern, stranger)


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=20))
def test_text_in_a_regular_expression_means_itself(text):
    assert re.fullmatch(_quoted(text), text)


def test_sources_and_operations_are_alternatives(rule):
    found = rule("""
        from: [{source: {namespaces: [a]}}, {source: {namespaces: [b], notNamespaces: [c]}}]
        to: [{operation: {methods: [GET]}}, {operation: {ports: ["1"]}}]
    """)
    assert [len(item["and_ids"]["ids"]) for item in found["principals"]] == [1, 2]
    assert len(found["permissions"]) == 2


def test_audit_stands_before_deny_before_allow_and_rules_of_one_action_share_a_filter(filters):
    found = filters(
        policy("rules: [{}, {to: [{operation: {methods: [GET]}}]}]", "allow-b"),
        policy("{}", "allow-a"),
        policy("action: DENY\nrules: [{}]", "deny"),
        policy("action: AUDIT\nrules: [{}]", "audit", "istio-system"),
    )
    assert [item["rules"]["action"] for item in found] == ["LOG", "DENY", "ALLOW"]
    assert list(found[0]["rules"]["policies"]) == ["ns[istio-system]-policy[audit]-rule[0]"]
    assert list(found[2]["rules"]["policies"]) == [
        "ns[default]-policy[allow-b]-rule[0]",
        "ns[default]-policy[allow-b]-rule[1]",
        "ns[default]-policy[allow-a]-rule[0]",
    ]


def test_a_dry_run_is_a_shadow_rule_with_istiods_prefix(filters):
    dry = '{istio.io/dry-run: "true"}'
    deny, allow = filters(
        policy("action: DENY\nrules: [{}]", "d", annotations=dry),
        policy("{}", "a", annotations=dry),
        policy("{}", "b", annotations='{istio.io/dry-run: "false"}'),
    )
    assert "rules" not in deny
    assert list(deny["shadow_rules"]["policies"]) == ["ns[default]-policy[d]-rule[0]"]
    assert deny["shadow_rules_stat_prefix"] == "istio_dry_run_deny_"
    assert list(allow["rules"]["policies"]) == ["ns[default]-policy[b]-rule[0]"]
    assert list(allow["shadow_rules"]["policies"]) == ["ns[default]-policy[a]-rule[0]"]
    assert allow["shadow_rules_stat_prefix"] == "istio_dry_run_allow_"


def test_selectors_and_namespaces_decide_who_gets_a_policy(filters):
    texts = (
        policy("{}", "everybody-here"),
        policy("selector: {matchLabels: {app: reviews, version: v2}}", "reviews-v2"),
        policy("selector: {matchLabels: {istio: ingressgateway}}", "gateway", "istio-system"),
        policy("{}", "elsewhere", "prod"),
        policy("action: DENY\nrules: [{}]", "whole-mesh", "istio-system"),
    )

    def held(pod):
        names = [name for item in filters(*texts, pod=pod) for name in item["rules"]["policies"]]
        return {re.fullmatch(r"ns\[.*\]-policy\[(.*)\]-rule\[0\]", name)[1] for name in names}

    assert held("productpage-v1") == {"everybody-here", "whole-mesh"}
    assert held("reviews-v2") == {"everybody-here", "reviews-v2", "whole-mesh"}
    assert held("gateway") == {"gateway", "whole-mesh"}
    assert filters(pod="productpage-v1") == []


def http_filters(listener):
    """By filter chain, the names of its HTTP filters."""
    return [
        [item["name"].rpartition(".")[2] for item in chain["filters"][-1]["typed_config"]["http_filters"]]
        for chain in listener.config["filter_chains"]
    ]


def test_the_filters_stand_after_the_peers_metadata_at_inbound_listeners_and_first_at_gateways(
    registry, topology, manifests, tmp_path
):
    text = policy("action: DENY\nrules: [{}]", "d", "istio-system") + policy("{}", "a", "istio-system")
    made = registry(manifests.gateway + text)
    inbound, *outbound = sidecar_listeners(made, topology.pod("productpage-v1"), ProxyPaths(tmp_path))
    assert inbound.config["traffic_direction"] == "INBOUND"
    for chain in http_filters(inbound):
        assert chain == ["set_filter_state", "rbac", "rbac", "grpc_stats", "fault", "router"]
    assert [resource.key.name for resource in inbound.sources][-2:] == ["d", "a"]
    assert all("rbac" not in json.dumps(listener.config) for listener in outbound)
    (gateway,) = gateway_listeners(made, topology.pod("gateway"), ProxyPaths(tmp_path))
    assert http_filters(gateway) == [["rbac", "rbac", "grpc_stats", "fault", "router"]]
    assert {resource.key.name for resource in gateway.sources} == {"bookinfo-gateway", "d", "a"}


@pytest.mark.parametrize(
    ("rule_text", "place"),
    [
        ("from: [{source: {ipBlocks: [10.0.0.0/8]}}]", "6:32"),
        ("when: [{key: source.ip, values: ['::1', 192.168.0.1]}]", "6:37"),
        ("from: [{source: {ipBlocks: [10.0.0.0/8, 127.0.0.0/8]}}]", None),
        ("from: [{source: {notIpBlocks: [10.0.0.0/8], remoteIpBlocks: [10.0.0.0/8]}}]", None),
    ],
)
def test_addresses_of_a_cluster_are_warned_of(topology, rule_text, place):
    text = policy(f"rules:\n- {rule_text}").removeprefix("---\n")
    found = check_supported(parse_manifests(text, "p.yaml"), topology)
    message = "every connection in the embedded mesh comes from 127.0.0.1, so this never matches here"
    assert found == ([f"p.yaml:{place}: {message}"] if place else [])
