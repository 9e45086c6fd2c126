"""Traps of AuthorizationPolicies: each is named at its place, and what is fine is not."""

from __future__ import annotations

import textwrap

import pytest

from runner.istio.lint import PodLabels, lint
from runner.istio.load import parse_manifests

APP = """\
apiVersion: v1
kind: Service
metadata: {name: details}
spec: {selector: {app: details}, ports: [{port: 80, targetPort: 9080, name: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: mongodb}
spec: {selector: {app: mongodb}, ports: [{port: 27017, name: mongo}]}
"""
GATEWAY = PodLabels({"istio": "ingressgateway"}, "istio-system", ports=(), sidecar=False, service_account="ingress")
PODS = [
    GATEWAY,
    PodLabels({"app": "details", "version": "v1"}, ports=(9080,), service_account="bookinfo-details"),
    PodLabels({"app": "mongodb"}, ports=(27017,), service_account="bookinfo-ratings"),
    PodLabels({"app": "productpage"}, ports=(9080,), service_account="bookinfo-productpage"),
    PodLabels({"app": "sleep"}, "legacy", ports=(), sidecar=False, service_account="sleep"),
]


def found(spec: str, pods: list[PodLabels] = PODS, metadata: str = "name: p") -> list[str]:
    text = f"apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{{metadata}}}\nspec:\n"
    text += textwrap.indent(textwrap.dedent(spec).strip(), "  ") + "\n"
    resources = [*parse_manifests(APP, "app.yaml"), *parse_manifests(text, "p.yaml")]
    return [str(finding) for finding in lint(resources, pods)]


def rule(text: str, app: str = "details", action: str = "ALLOW") -> str:
    return f"selector: {{matchLabels: {{app: {app}}}}}\naction: {action}\nrules:\n- {text}"


FINE = """
selector: {matchLabels: {app: details}}
rules:
- from:
  - source: {principals: [cluster.local/ns/default/sa/bookinfo-productpage, "*/sa/ingress", "*", "cluster.local/ns/de*"]}
  - source: {namespaces: [default, istio-*], notNamespaces: ["*"]}
  - source: {serviceAccounts: [bookinfo-details, istio-system/ingress]}
  to:
  - operation: {methods: [GET, "*"], paths: ["/a*", "*.html", "/{*}/b", "{**}"], ports: ["9080"], hosts: ["*.a"]}
"""


@pytest.mark.parametrize(
    ("spec", "metadata"),
    [
        ("{}", "name: allow-nothing"),
        (FINE, "name: fine"),
        (
            "selector: {matchLabels: {istio: ingressgateway}}\naction: DENY\nrules: [{}]",
            "name: g, namespace: istio-system",
        ),
        ("rules: [{}]", "name: whole-mesh, namespace: istio-system"),
        ("{}", 'name: tried, annotations: {istio.io/dry-run: "true"}'),
    ],
)
def test_what_is_meant_is_not_a_trap(spec: str, metadata: str) -> None:
    assert found(spec, metadata=metadata) == []


@pytest.mark.parametrize(
    ("spec", "metadata", "message"),
    [
        (
            "selector: {matchLabels: {app: detials}}",
            "name: p",
            'p.yaml:5:27: no workload has the labels app=detials, so this policy is for none. Did you mean "details"?',
        ),
        (
            "selector: {matchLabels: {ap: details}}",
            "name: p",
            'p.yaml:5:27: no workload has the labels ap=details, so this policy is for none. Did you mean "app"?',
        ),
        (
            "selector: {matchLabels: {app: istio}}",
            "name: p, namespace: istio-system",
            (
                "p.yaml:5:27: no workload has the labels app=istio, so this policy is for none. "
                "app is one of details, mongodb, productpage, sleep"
            ),
        ),
        (
            "{}",
            "name: p, namespace: defualt",
            (
                "p.yaml:3:32: no workload is in the namespace defualt, so this policy is for none; expected one of default, "
                'istio-system, legacy. Did you mean "default"?'
            ),
        ),
        (
            "{}",
            "name: p, namespace: legacy",
            (
                "p.yaml:3:18: no workload that this policy selects has a sidecar. "
                "Policies are enforced by the proxy of the workload that is asked"
            ),
        ),
        (
            "{}",
            "name: p, annotations: {istio.io/dry-run: maybe}",
            "p.yaml:3:53: istio.io/dry-run: 'maybe' is no truth value, so the policy is enforced; expected \"true\"",
        ),
    ],
)
def test_policies_for_nobody(spec: str, metadata: str, message: str) -> None:
    assert found(spec, metadata=metadata) == [f"warning: {message}"]


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        ("methods: [get]", 'no request has the method "get": methods are written in capitals. Did you mean "GET"?'),
        ("paths: [admin]", 'no request has the path "admin": paths begin with "/". Did you mean "/admin"?'),
        ('paths: ["/a?x=1"]', 'no request has the path "/a?x=1": it is matched without the query. Did you mean "/a"?'),
        (
            'paths: ["/a/*/b"]',
            'the * within "/a/*/b" is no wildcard. Only a * at the start or the end is one; in paths {*} stands for a segment',
        ),
        ('notHosts: ["a.*.com"]', 'the * within "a.*.com" is no wildcard. Only a * at the start or the end is one'),
        (
            'ports: ["80"]',
            (
                'no workload that this selects listens on 80; expected one of "9080". '
                "80 is a Service's port: it leads to 9080, which is what counts here"
            ),
        ),
        ('notPorts: ["81"]', 'no workload that this selects listens on 81; expected one of "9080"'),
        ("methods: [GET], notMethods: [PUT, GET]", "never matches: notMethods excludes all of methods"),
    ],
)
def test_values_that_no_request_has(operation: str, message: str) -> None:
    (only,) = found(rule(f"to: [{{operation: {{{operation}}}}}]"))
    assert only.startswith("warning: p.yaml:8:")
    assert only.endswith(message)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "principals: [cluster.local/ns/default/sa/bookinfo-productpag]",
            (
                'no workload has the identity "cluster.local/ns/default/sa/bookinfo-productpag". '
                'Did you mean "cluster.local/ns/default/sa/bookinfo-productpage"?'
            ),
        ),
        (
            'notPrincipals: ["*/sa/details"]',
            'no workload has the identity "*/sa/details"',
        ),
        (
            "principals: [spiffe://cluster.local/ns/default/sa/bookinfo-details]",
            'principals are written without "spiffe://". Did you mean "cluster.local/ns/default/sa/bookinfo-details"?',
        ),
        (
            "principals: [bookinfo-details]",
            (
                '"bookinfo-details" is no identity; cluster.local/ns/NAMESPACE/sa/SERVICE-ACCOUNT is one. '
                'Did you mean "cluster.local/ns/default/sa/bookinfo-details"?'
            ),
        ),
        ('principals: ["cluster.local/ns/*/sa/a"]', 'the * within "cluster.local/ns/*/sa/a" is no wildcard'),
        (
            "principals: [cluster.local/ns/legacy/sa/sleep]",
            'the workloads with the identity "cluster.local/ns/legacy/sa/sleep" have no sidecar, so nobody sees that identity',
        ),
        ("namespaces: [defaul]", 'no workload is in a namespace "defaul". Did you mean "default"?'),
        (
            "serviceAccounts: [bookinfo-detail]",
            'no workload has the service account "default/bookinfo-detail". Did you mean "default/bookinfo-details"?',
        ),
    ],
)
def test_identities_that_nobody_has(source: str, message: str) -> None:
    (only,) = found(rule(f"from: [{{source: {{{source}}}}}]"))
    assert only.startswith("warning: p.yaml:8:")
    assert message in only


def test_conditions_name_identities_too() -> None:
    (only,) = found(rule("when: [{key: source.namespace, values: [prod]}]"))
    assert only == 'warning: p.yaml:8:45: no workload is in a namespace "prod"'


def test_rules_about_http_on_a_port_without_it() -> None:
    get = 'to: [{operation: {methods: [GET], ports: ["27017"]}}]'
    (allow,) = found(rule(get, "mongodb"))
    assert '"methods" is about HTTP, and port 27017 is mongo: Istio leaves this rule out there' in allow
    assert found(rule("to: [{operation: {methods: [GET]}}]", "mongodb")) == []
    (deny,) = found(rule("to: [{operation: {methods: [GET]}}]", "mongodb", "DENY"))
    assert "Istio leaves the field out there, so this is about all of its traffic" in deny
    (header,) = found(
        rule('to: [{operation: {ports: ["27017"]}}]\n  when: [{key: "request.headers[a]", values: [b]}]', "mongodb")
    )
    assert '"request.headers[a]" is about HTTP' in header


def test_a_cluster_shows_one_namespace_so_what_may_be_elsewhere_is_no_trap() -> None:
    pods = [PodLabels({"app": "details"}, "shop", service_account="details")]
    elsewhere = (
        "from: [{source: {principals: [cluster.local/ns/other/sa/a, x/ns/shop/sa/details], namespaces: [other]}}]"
    )
    assert found(rule(elsewhere), pods, "name: p, namespace: shop") == []
    assert found("{}", pods, "name: p, namespace: other") == []
    assert found("selector: {matchLabels: {istio: gateway}}", pods, "name: p, namespace: istio-system") == []
    here = "from: [{source: {principals: [x/ns/shop/sa/detail]}}]"
    (only,) = found(rule(here), pods, "name: p, namespace: shop")
    assert 'Did you mean "cluster.local/ns/shop/sa/details"?' in only
    unnamed = [PodLabels({"app": "details"}, "shop")]
    assert found(rule(here), unnamed, "name: p, namespace: shop") == []
    assert found("selector: {matchLabels: {app: x}}", [], "name: p, namespace: shop") == []


def test_identities_where_mutual_tls_is_turned_off() -> None:
    off = (
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: d}\nspec: {mtls: {mode: MODE}}\n"
    )
    spec = rule("from: [{source: {namespaces: [default]}}]")
    text = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p}\nspec:\n"
    resources = parse_manifests(text + textwrap.indent(spec, "  "), "p.yaml")

    def said(mode: str) -> list[str]:
        return [str(one) for one in lint([*resources, *parse_manifests(off.replace("MODE", mode), "d.yaml")], PODS)]

    (only,) = said("DISABLE")
    assert only.startswith(
        "warning: p.yaml:8:22: identities come from mutual TLS, which a PeerAuthentication turns off"
    )
    assert said("PERMISSIVE") == []
