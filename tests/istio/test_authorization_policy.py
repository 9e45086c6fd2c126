"""What AuthorizationPolicies may say, by Istio's schema and validation."""

from __future__ import annotations

import ipaddress
import string
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.errors import InputError
from runner.istio.authorization_policy import AuthorizationPolicy
from runner.istio.load import parse_manifests, typed
from runner.yamlfile.dialect import to_yaml

HEAD = """\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: x}
"""


def load(spec: str) -> AuthorizationPolicy:
    (resource,) = parse_manifests(HEAD + "spec:\n" + textwrap.indent(textwrap.dedent(spec), "  "), "f.yaml")
    policy = typed(resource)
    assert isinstance(policy, AuthorizationPolicy)
    return policy


def refused(spec: str) -> str:
    with pytest.raises(InputError) as error:
        load(spec)
    return str(error.value)


def test_every_field_is_read_in_istios_spelling() -> None:
    policy = load("""
        selector: {matchLabels: {app: details}}
        action: DENY
        rules:
        - from:
          - source:
              principals: [cluster.local/ns/default/sa/bookinfo-productpage]
              notPrincipals: ["*"]
              namespaces: [prod]
              notNamespaces: [test-*]
              ipBlocks: [10.0.0.0/8, "::1"]
              notIpBlocks: [10.1.1.1]
              remoteIpBlocks: [203.0.113.0/24]
              notRemoteIpBlocks: ["2001:db8::/32"]
          - source: {serviceAccounts: [a, ns/b], notServiceAccounts: [c], trustDomains: [cluster.local, "*.corp"], notTrustDomains: ["*"]}
          to:
          - operation:
              hosts: ["*.example.com"]
              notHosts: [a]
              ports: ["9080"]
              notPorts: ["0"]
              methods: [GET]
              notMethods: [PUT]
              paths: ["/a/*", "/b/{*}/c/{**}"]
              notPaths: ["*.html"]
          when:
          - {key: "request.headers[x-token]", values: [admin], notValues: [x]}
          - {key: source.ip, values: [10.1.2.3/16]}
          - {key: destination.port, notValues: ["80"]}
    """)
    assert policy.action == "DENY"
    assert policy.labels == {"app": "details"}
    (rule,) = policy.rules
    first, second = rule.sources
    assert first.principals == ["cluster.local/ns/default/sa/bookinfo-productpage"]
    assert first.not_remote_ip_blocks == ["2001:db8::/32"]
    assert second.service_accounts == ["a", "ns/b"]
    assert second.not_trust_domains == ["*"]
    (operation,) = rule.operations
    assert operation.ports == ["9080"]
    assert operation.paths == ["/a/*", "/b/{*}/c/{**}"]
    assert [condition.key for condition in rule.when] == ["request.headers[x-token]", "source.ip", "destination.port"]


def test_nothing_at_all_is_an_allow_policy_that_allows_nothing() -> None:
    (resource,) = parse_manifests(HEAD, "f.yaml")
    assert typed(resource) == AuthorizationPolicy(action="ALLOW")
    assert load("{}") == AuthorizationPolicy()
    assert len(load("rules: [{}]").rules) == 1


def test_what_the_embedded_mesh_can_not_do_yet_is_told_apart_from_what_nobody_knows() -> None:
    lines = refused("""\
        action: CUSTOM
        provider: {name: oauth}
        targetRefs: [{kind: Gateway, name: x}]
        rules:
        - from: [{source: {requestPrincipals: ["*"]}}]
          when: [{key: "request.auth.claims[iss]", values: [a]}, {key: experimental.envoy.filters.a, values: [b]}]
        - frm: []
    """).splitlines()
    assert len(lines) == 7
    assert all("that the embedded mesh does not support yet" in line for line in lines[:-1])
    assert lines[0].startswith("f.yaml:5:11: spec.action: the action CUSTOM is one of Istio's")
    assert lines[3].startswith('f.yaml:9:22: "requestPrincipals"')
    assert lines[-1] == 'f.yaml:11:5: unknown key "frm"; expected one of from, to, when. Did you mean "from"?'


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("action: Deny\nrules: [{}]", "'Deny' is no action; one of ALLOW, DENY, AUDIT. Did you mean \"DENY\"?"),
        ("action: DENY", "a DENY policy without rules denies nothing"),
        ("rules: [{from: []}]", "an empty list is refused by Istio"),
        ("rules: [{to: [{}]}]", '"operation" is missing'),
        ("rules: [{from: [{source: {}}]}]", "a source names at least one of"),
        ("rules: [{to: [{operation: {}}]}]", "an operation names at least one of"),
        ("rules: [{to: [{operation: {ports: [9080]}}]}]", 'ports.0: 9080 is a number, where Istio wants text: "9080"'),
        ('rules: [{to: [{operation: {ports: ["70000"]}}]}]', "'70000' is not a port"),
        ('rules: [{to: [{operation: {ports: ["http"]}}]}]', "'http' is not a port"),
        ('rules: [{to: [{operation: {methods: [""]}}]}]', "an empty value matches nothing"),
        ('rules: [{to: [{operation: {paths: ["/{**}/a/{*}"]}}]}]', "{**} must be the last of a path's templates"),
        ('rules: [{to: [{operation: {paths: ["/a{*}"]}}]}]', "each a whole segment"),
        ('rules: [{to: [{operation: {paths: ["/{*}/a*"]}}]}]', "a segment can't be 'a*'"),
        ('rules: [{from: [{source: {ipBlocks: ["10.0.0.0/40"]}}]}]', "the length goes from 0 to 32"),
        ('rules: [{from: [{source: {ipBlocks: ["reviews"]}}]}]', "neither an IP address nor a range"),
        ('rules: [{from: [{source: {ipBlocks: ["10.0.0.0/255.0.0.0"]}}]}]', "no range of addresses"),
        ('rules: [{from: [{source: {serviceAccounts: ["a*"]}}]}]', "has a wildcard"),
        ("rules: [{from: [{source: {serviceAccounts: [a/b/c]}}]}]", "no service account"),
        ("rules: [{from: [{source: {serviceAccounts: [a], namespaces: [b]}}]}]", "not both"),
        ("rules: [{from: [{source: {trustDomains: [a/b]}}]}]", "no trust domain"),
        ("rules: [{when: [{key: source.ip}]}]", "at least one of values and notValues"),
        ("rules: [{when: [{key: source.ip, values: [x]}]}]", "neither an IP address"),
        ("rules: [{when: [{key: source.adress, values: [x]}]}]", "is no condition; one of request.headers[NAME]"),
        ("rules: [{when: [{key: source.namespce, values: [x]}]}]", 'Did you mean "source.namespace"?'),
        ('rules: [{when: [{key: "request.header[x]", values: [x]}]}]', 'Did you mean "request.headers"?'),
        ("rules: [{when: [{key: request.headers, values: [x]}]}]", "names no header"),
        ("rules: [{when: [{key: destination.user, values: [x]}]}]", "the policy's selector says it"),
        ('selector: {matchLabels: {app: "re*"}}', "has a wildcard"),
    ],
)
def test_what_istio_refuses_is_refused_with_its_place(spec: str, message: str) -> None:
    text = refused(spec)
    assert message in text
    assert text.startswith("f.yaml:")
    assert len(text.splitlines()) == 1


NAMES = st.text(string.ascii_lowercase + string.digits + "-./*", min_size=1, max_size=12)
BLOCKS = st.one_of(
    st.ip_addresses().map(str),
    st.builds(lambda address, length: f"{address}/{length}", st.ip_addresses(v=4), st.integers(0, 32)),
    st.builds(lambda address, length: f"{address}/{length}", st.ip_addresses(v=6), st.integers(0, 128)),
)
SOURCES = st.fixed_dictionaries(
    {"principals": st.lists(NAMES, min_size=1, max_size=3)},
    optional={"ipBlocks": st.lists(BLOCKS, max_size=3), "notNamespaces": st.lists(NAMES, max_size=2)},
)
OPERATIONS = st.fixed_dictionaries(
    {"ports": st.lists(st.integers(0, 65535).map(str), min_size=1, max_size=3)},
    optional={
        "methods": st.lists(st.sampled_from(["GET", "PUT", "*"]), max_size=2),
        "hosts": st.lists(NAMES, max_size=2),
    },
)
RULES = st.fixed_dictionaries(
    {},
    optional={
        "from": st.lists(SOURCES.map(lambda source: {"source": source}), min_size=1, max_size=2),
        "to": st.lists(OPERATIONS.map(lambda operation: {"operation": operation}), min_size=1, max_size=2),
    },
)


@settings(deadline=None)
@given(st.lists(RULES, max_size=3))
def test_whatever_is_well_formed_is_read_and_kept(rules: list[dict[str, object]]) -> None:
    policy = load(to_yaml({"rules": rules}))
    dumped = policy.model_dump(by_alias=True, exclude_defaults=True).get("rules", [])
    assert dumped == [
        {
            key: [
                {inner: {field: values for field, values in part.items() if values} for inner, part in item.items()}
                for item in items
            ]
            for key, items in rule.items()
        }
        for rule in rules
    ]


@given(st.text(string.digits + ".:/abcdef", max_size=20))
def test_an_address_is_taken_exactly_when_python_takes_it(text: str) -> None:
    try:
        ipaddress.ip_interface(text)
        fine = "/" not in text or text.rpartition("/")[2] == str(int(text.rpartition("/")[2]))
    except ValueError:
        fine = False
    try:
        load(to_yaml({"rules": [{"from": [{"source": {"ipBlocks": [text]}}]}]}))
    except InputError:
        assert not fine
    else:
        assert fine


@pytest.mark.parametrize(
    ("namespace", "pod_namespace", "labels", "concerned"),
    [
        ("default", "default", {"app": "a"}, True),
        ("default", "default", {"app": "b"}, False),
        ("default", "prod", {"app": "a"}, False),
        ("istio-system", "prod", {"app": "a", "more": "x"}, True),
    ],
)
def test_a_policy_is_for_pods_of_its_namespace_or_from_the_root_namespace_for_all(
    namespace: str, pod_namespace: str, labels: dict[str, str], concerned: bool
) -> None:
    assert load("selector: {matchLabels: {app: a}}").concerns(namespace, pod_namespace, labels) is concerned
