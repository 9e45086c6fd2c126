"""What real Envoys do with AuthorizationPolicies: productpage's sidecar and the gateway refuse, the client's identity counts."""

from __future__ import annotations

import textwrap
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import pytest

from runner.mesh.local.translate.support import SOURCE_ADDRESS

pytestmark = pytest.mark.timeout(120)

INBOUND = "http.inbound_0.0.0.0_9080;.rbac."
AT_GATEWAY = "http.outbound_0.0.0.0_8080;.rbac."
DENIED = (403, "RBAC: access denied")
GET_ONLY = "rules: [{to: [{operation: {methods: [GET]}}]}]"


def policy(spec: str = "{}", name: str = "p", namespace: str = "default", annotations: str = "{}") -> str:
    return (
        "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
        f"metadata: {{name: {name}, namespace: {namespace}, annotations: {annotations}}}\n"
        f"spec:\n{textwrap.indent(textwrap.dedent(spec).strip(), '  ')}\n"
    )


def rules(text: str, action: str = "ALLOW", name: str = "p") -> str:
    return policy(f"action: {action}\nrules: [{text}]", name)


@pytest.fixture
def page(live):
    """The status of a GET of productpage, from the client or through the gateway."""

    def ask(path: str = "/", source: str = "client", headers: dict[str, str] | None = None) -> int:
        return live.get(path, "productpage", headers, source).status

    return ask


@pytest.fixture
def entrance(manifests):
    """Lets requests for productpage in at the gateway."""
    return manifests.gateway + manifests.virtual_service(
        "[{route: [{destination: {host: productpage}}]}]", '["*"]', "[bookinfo-gateway]"
    )


def send(live, method: str, path: str = "/") -> tuple[int, str]:
    connection = HTTPConnection(live.topology.pod("client").outbound, 9080, timeout=20)
    try:
        connection.request(method, path, headers={"Host": "productpage:9080"})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_a_policy_that_allows_nothing_refuses_everything_and_counts_it(live):
    live.apply(policy())
    before = live.stats("productpage-v1")
    assert [send(live, "GET") for _ in range(3)] == [DENIED] * 3
    after = live.stats("productpage-v1")
    assert after[INBOUND + "denied"] - before[INBOUND + "denied"] == 3
    assert after[INBOUND + "allowed"] == before[INBOUND + "allowed"]
    assert live.backends["productpage-v1"].received == []
    live.apply()
    assert send(live, "GET")[0] == 200
    assert not any(".rbac." in name and value for name, value in live.stats("client").items())


def test_a_connection_that_is_open_already_is_refused_once_the_policy_is_held(live):
    live.apply()
    connection = HTTPConnection(live.topology.pod("client").outbound, 9080, timeout=20)
    for text, status in (("", 200), (policy(), 403), (rules("{}"), 200), (policy(), 403)):
        live.apply(text)
        connection.request("GET", "/", headers={"Host": "productpage:9080"})
        response = connection.getresponse()
        response.read()
        assert response.status == status
    connection.close()


def test_a_request_longer_than_the_drain_is_cut_off_by_a_new_policy(live, soon):
    live.apply()
    backend = live.backends["productpage-v1"]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(live.get, "/wait", "productpage")
        soon(lambda: backend.received)
        live.apply(policy())
        backend.gate.set()
        assert waiting.result().status == 503


def test_methods(live):
    live.apply(policy(GET_ONLY))
    assert send(live, "GET")[0] == 200
    assert send(live, "POST") == DENIED
    live.apply(rules("{to: [{operation: {notMethods: [GET]}}]}"))
    assert send(live, "GET") == DENIED
    assert send(live, "POST")[0] == 501  # the backend's own word: it was let through


def test_paths_are_matched_normalised_and_without_the_query(live, page):
    live.apply(rules('{to: [{operation: {paths: ["/admin", "/api/{*}/secret", "*.bak"]}}]}', "DENY"))
    for refused in ("/admin", "/admin?x=1", "/a/../admin", "/%61dmin", "/api/v1/secret", "/x/y.bak"):
        assert page(refused) == 403, refused
    # Slashes are merged, and more than one segment matched, only when Istio is told so.
    for passed in ("/admin/", "/ADMIN", "//admin", "/api/v1/x/secret", "/", "/x.bak/"):
        assert page(passed) == 200, passed


def test_ports_are_the_containers(live, page):
    live.apply(rules('{to: [{operation: {ports: ["9080"]}}]}'))
    assert page() == 200
    live.apply(rules('{to: [{operation: {ports: ["80"]}}]}'))
    assert page() == 403
    live.apply(rules('{when: [{key: destination.port, notValues: ["80"]}]}'))
    assert page() == 200


def test_hosts_are_matched_with_their_port_whatever_the_case(live, page):
    live.apply(rules('{to: [{operation: {hosts: ["PRODUCTPAGE:*"]}}]}'))
    assert page() == 200
    live.apply(rules("{to: [{operation: {hosts: [productpage]}}]}"))
    assert page() == 403


def test_deny_goes_before_allow(live, page):
    live.apply(rules("{}", name="all") + rules("{to: [{operation: {paths: [/secret]}}]}", "DENY", "secret"))
    before = live.stats("productpage-v1")
    assert page("/open") == 200
    assert page("/secret") == 403
    after = live.stats("productpage-v1")
    grown = {name: after[INBOUND + name] - before[INBOUND + name] for name in ("allowed", "denied")}
    assert grown == {"allowed": 2, "denied": 1}  # what both filters let through is counted by both


def test_policies_of_one_action_add_up(live, page):
    live.apply(policy(name="nothing") + rules("{to: [{operation: {paths: [/a]}}]}", name="a"))
    assert (page("/a"), page("/b")) == (200, 403)


def test_conditions_on_headers(live, page):
    live.apply(rules('{when: [{key: "request.headers[x-token]", values: ["adm*"], notValues: [admin2]}]}'))
    assert page(headers={"x-token": "admin"}) == 200
    assert page(headers={"x-token": "admin2"}) == 403
    assert page() == 403


def test_every_connection_comes_from_this_machine(live, page):
    live.apply(rules(f"{{from: [{{source: {{ipBlocks: [{SOURCE_ADDRESS}]}}}}]}}"))
    assert page() == 200
    live.apply(rules("{from: [{source: {notIpBlocks: [127.0.0.0/8]}}]}"))
    assert page() == 403
    live.apply(rules("{from: [{source: {remoteIpBlocks: [203.0.113.0/24]}}]}"))
    assert page(headers={"X-Forwarded-For": "203.0.113.9"}) == 200
    assert page(headers={"X-Forwarded-For": "198.51.100.1"}) == 403


@pytest.mark.parametrize(
    ("source", "allowed"),
    [
        ("principals: [cluster.local/ns/default/sa/default]", {"client"}),
        ('principals: ["*/ns/istio-system/sa/default"]', {"gateway"}),
        ('principals: ["cluster.local/ns/istio-system/*"]', {"gateway"}),
        ("principals: [cluster.local/ns/default/sa/somebody]", set()),
        ('principals: ["*"]', {"client", "gateway"}),
        ("notPrincipals: [cluster.local/ns/default/sa/default]", {"gateway"}),
        ("namespaces: [default]", {"client"}),
        ("namespaces: [istio-*]", {"gateway"}),
        ("notNamespaces: [istio-system]", {"client"}),
        ("serviceAccounts: [default]", {"client"}),
        ("serviceAccounts: [istio-system/default]", {"gateway"}),
        ("trustDomains: [cluster.local]", {"client", "gateway"}),
        ("trustDomains: [other.domain]", set()),
    ],
)
def test_identities_are_those_of_mutual_tls(live, page, entrance, source, allowed):
    live.apply(entrance + rules(f"{{from: [{{source: {{{source}}}}}]}}"))
    assert {name for name in ("client", "gateway") if page(source=name) == 200} == allowed


def test_without_mutual_tls_nobody_has_an_identity(live, page):
    plain = """
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: DISABLE}}
"""
    live.apply(plain + rules('{from: [{source: {principals: ["*"]}}]}'))
    assert page() == 403
    live.apply(plain + rules('{from: [{source: {notPrincipals: ["*"]}}]}'))
    assert page() == 200


def test_a_policy_for_the_gateway_is_enforced_there(live, page, entrance):
    selector = "selector: {matchLabels: {istio: ingressgateway}}\n"
    rule = 'rules: [{to: [{operation: {paths: [/admin*], ports: ["8080"]}}]}]'
    live.apply(entrance + policy(f"{selector}action: DENY\n{rule}", namespace="istio-system"))
    before = live.stats("gateway")
    assert page("/admin/x", "gateway") == 403
    assert page("/", "gateway") == 200
    assert page("/admin/x") == 200
    after = live.stats("gateway")
    grown = {name: after[AT_GATEWAY + name] - before[AT_GATEWAY + name] for name in ("allowed", "denied")}
    assert grown == {"allowed": 1, "denied": 1}
    assert live.backends["productpage-v1"].received[-1][0] == "/admin/x"


def test_a_dry_run_is_counted_and_refuses_nothing(live, page):
    live.apply(policy("action: DENY\nrules: [{}]", annotations='{istio.io/dry-run: "true"}'))
    before = live.stats("productpage-v1")
    assert page() == 200
    after = live.stats("productpage-v1")
    shadow = INBOUND + "istio_dry_run_deny_.shadow_denied"
    assert after[shadow] - before[shadow] == 1
    assert after[INBOUND + "denied"] == before[INBOUND + "denied"]


def test_an_audit_refuses_nothing(live, page):
    live.apply(rules("{}", "AUDIT"))
    assert page() == 200
