"""Mutual TLS between real Envoys: the guide's section "Configuring Authentication", call by call."""

from __future__ import annotations

import http.client
import json
import re

import pytest
from peer_authentications import peer_authentication as policy

from runner.errors import InputError
from runner.istio.load import load_manifests, merge, parse_manifests
from runner.mesh.local.appfile import find_app
from runner.mesh.local.mesh import LocalMesh

APP = find_app("httpbin-legacy").parent
INJECTED = 'labels: {app: httpbin, version: v1, sidecar.istio.io/inject: "true"}'
IDENTITY = "spiffe://cluster.local/ns/default/sa"


@pytest.fixture(scope="module")
def mesh():
    """sleep and httpbin, in the mesh and in legacy."""
    found = LocalMesh.start("httpbin-legacy")
    yield found
    found.close()


@pytest.fixture
def applied(mesh):
    """Applies more resources for one test."""
    before = mesh.applied()

    def put(text: str):
        resources = parse_manifests(text, "test.yaml")
        mesh.check([*before, *resources])
        mesh.apply(resources)

    yield put
    mesh.restore(before)


def rule(mode: str) -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: httpbin}}
spec: {{host: httpbin, trafficPolicy: {{tls: {{mode: {mode}}}}}}}
"""


STRICT = policy("{mtls: {mode: STRICT}}", namespace="istio-system")


def ask(mesh: LocalMesh, source: str, host: str = "httpbin.default:8000", **headers: str) -> tuple[int, dict[str, str]]:
    """A GET of /headers from a workload: the status, and what httpbin saw (nothing with other statuses than 200)."""
    entry = mesh.entry(source, host)
    connection = http.client.HTTPConnection(entry.url.removeprefix("http://"), timeout=20)
    try:
        connection.request("GET", "/headers", headers={**entry.headers, **headers})
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    return response.status, json.loads(body)["headers"] if response.status == http.client.OK else {}


def certificate(mesh: LocalMesh, source: str, host: str = "httpbin.default:8000") -> str | None:
    """X-Forwarded-Client-Cert as httpbin saw it."""
    status, seen = ask(mesh, source, host)
    assert status == http.client.OK
    return seen.get("X-Forwarded-Client-Cert")


def stat(mesh: LocalMesh, proxy: str, pattern: str) -> int:
    lines = mesh.admin("/stats")[proxy].splitlines()
    return sum(int(line.rpartition(": ")[2]) for line in lines if re.search(f"{pattern}: ", line))


def test_sidecars_speak_mutual_tls_with_each_other(mesh):
    seen = certificate(mesh, "sleep")
    assert re.fullmatch(f'By={IDENTITY}/httpbin;Hash=[0-9a-f]{{64}};Subject="";URI={IDENTITY}/sleep', seen or "")
    assert stat(mesh, "httpbin", r"^listener\..*\.ssl\.handshake") > 0


def test_the_gateway_has_an_identity_too(mesh):
    entry = mesh.entry("gateway")
    connection = http.client.HTTPConnection(entry.url.removeprefix("http://"), timeout=20)
    connection.request("GET", "/headers", headers={"X-Forwarded-Client-Cert": "By=me;URI=spiffe://forged"})
    seen = json.loads(connection.getresponse().read())["headers"]["X-Forwarded-Client-Cert"]
    connection.close()
    assert seen.endswith("URI=spiffe://cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account")
    assert "forged" not in seen


def test_plain_text_to_and_from_workloads_without_a_sidecar(mesh):
    assert certificate(mesh, "sleep", "httpbin.legacy:8000") is None
    assert certificate(mesh, "sleep.legacy") is None
    assert certificate(mesh, "sleep.legacy", "httpbin:8000") is None


def test_nobody_without_a_certificate_can_claim_one(mesh):
    _, seen = ask(mesh, "sleep.legacy", **{"X-Forwarded-Client-Cert": f"By=x;URI={IDENTITY}/sleep"})
    assert "X-Forwarded-Client-Cert" not in seen


def test_strict_closes_plain_connections_and_counts_them(mesh, applied):
    applied(STRICT)
    refused = stat(mesh, "httpbin", r"^listener\..*\.no_filter_chain_match")
    for _ in range(3):
        with pytest.raises(ConnectionError):
            ask(mesh, "sleep.legacy")
    assert stat(mesh, "httpbin", r"^listener\..*\.no_filter_chain_match") == refused + 3
    assert f"URI={IDENTITY}/sleep" in (certificate(mesh, "sleep") or "")
    assert certificate(mesh, "sleep", "httpbin.legacy:8000") is None
    assert certificate(mesh, "gateway") is not None


def test_what_was_before_is_back_afterwards(mesh):
    before, versions = mesh.applied(), mesh.versions()
    mesh.apply(parse_manifests(STRICT, "strict.yaml"))
    assert mesh.versions()["httpbin"] != versions["httpbin"]
    with pytest.raises(ConnectionError):
        ask(mesh, "sleep.legacy")
    mesh.restore(before)
    assert mesh.versions() == versions
    assert certificate(mesh, "sleep.legacy") is None


def test_disable_takes_and_is_sent_plain_text(mesh, applied):
    applied(policy("{mtls: {mode: DISABLE}}"))
    assert certificate(mesh, "sleep") is None
    assert certificate(mesh, "sleep.legacy") is None


def test_a_workloads_own_policy_and_its_ports_count_more(mesh, applied):
    ports = "{selector: {matchLabels: {app: httpbin}}, mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: PERMISSIVE}}}"
    applied(STRICT + policy(ports))
    assert certificate(mesh, "sleep.legacy") is None
    assert certificate(mesh, "sleep") is not None


def test_a_rule_against_the_policy_fails(mesh, applied):
    text = STRICT + rule("DISABLE")
    assert any(
        "requests will fail with 503" in warning
        for warning in mesh.check([*mesh.applied(), *parse_manifests(text, "f.yaml")])
    )
    applied(text)
    assert ask(mesh, "sleep")[0] == http.client.SERVICE_UNAVAILABLE


def test_a_rule_may_ask_for_what_is_done_anyway(mesh, applied):
    applied(STRICT + rule("ISTIO_MUTUAL"))
    assert certificate(mesh, "sleep") is not None


def test_load_from_a_workload_without_a_sidecar_needs_a_pod_behind_the_host(mesh):
    assert mesh.entry_problems(mesh.applied(), "sleep.legacy", "httpbin.default:8000") == []
    for host, problem in (
        ("nobody.default:8000", 'no Service has the host "nobody.default"'),
        ("httpbin.default:9", "has no HTTP port 9"),
    ):
        ((key, found),) = mesh.entry_problems(mesh.applied(), "sleep.legacy", host)
        assert key == "host"
        assert problem in str(found)
        assert "httpbin.default:8000" in str(found)
    with pytest.raises(InputError, match="no pod is behind nobody:1"):
        mesh.entry("sleep.legacy", "nobody:1")
    ((key, found),) = mesh.entry_problems(mesh.applied(), "slep.legacy", None)
    assert key == "from"
    assert 'Did you mean "sleep.legacy"?' in str(found)


def test_the_apps_own_manifests_change_nothing(mesh):
    own = [resource for name in ("mesh.yaml", "legacy.yaml") for resource in load_manifests(APP / name)]
    state = merge(mesh.applied(), own)
    assert mesh.check(state) == []
    versions = mesh.versions()
    mesh.apply(own)
    assert mesh.versions() == versions


def test_a_pod_that_runs_can_not_be_given_a_sidecar(mesh):
    (deployment,) = [
        resource
        for resource in load_manifests(APP / "legacy.yaml")
        if (resource.key.kind, resource.key.name) == ("Deployment", "httpbin")
    ]
    text = (APP / "legacy.yaml").read_text().replace("labels: {app: httpbin, version: v1}", INJECTED)
    assert INJECTED in text
    changed = [resource for resource in parse_manifests(text, "legacy.yaml") if resource.key == deployment.key]
    with pytest.raises(InputError, match="the Deployment httpbin has other labels"):
        mesh.check([*mesh.applied(), *changed])


def test_only_proxies_are_asked_for_stats(mesh):
    assert sorted(mesh.describe().proxies) == ["httpbin", "istio-ingressgateway", "sleep"]
    assert mesh.workloads() == {
        "istio-ingressgateway": ["istio-ingressgateway"],
        "sleep": ["sleep"],
        "httpbin": ["httpbin"],
    }
    assert sorted(mesh.versions()) == sorted(mesh.describe().proxies)
