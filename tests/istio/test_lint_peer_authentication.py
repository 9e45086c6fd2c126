"""The traps of mutual TLS."""

from __future__ import annotations

import pytest
from peer_authentications import peer_authentication as policy

from runner.istio.lint import PodLabels, lint
from runner.istio.load import parse_manifests

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: httpbin}
spec: {selector: {app: httpbin}, ports: [{port: 8000, targetPort: 8080, name: http}]}
"""
PODS = (
    PodLabels({"app": "httpbin", "version": "v1"}, ports=(8080,)),
    PodLabels({"app": "sleep"}, ports=()),
    PodLabels({"app": "httpbin"}, namespace="legacy", ports=(8080,), sidecar=False),
)


def rule(policy: str, host: str = "httpbin", subsets: str = "[]") -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: httpbin}}
spec: {{host: {host}, trafficPolicy: {policy}, subsets: {subsets}}}
"""


def warnings(text: str, pods=PODS) -> list[str]:
    found = lint(parse_manifests(SERVICE + text, "f.yaml"), pods)
    assert all(finding.severity == "warning" for finding in found)
    return [str(finding.problem) for finding in found]


STRICT = "{mtls: {mode: STRICT}}"
SELECTING = "{selector: {matchLabels: {app: httpbin}}, mtls: {mode: STRICT}}"


@pytest.mark.parametrize(
    "text",
    [
        policy(STRICT),
        policy(STRICT, namespace="istio-system"),
        policy(STRICT) + policy(STRICT, namespace="istio-system") + policy(SELECTING, "own"),
        policy("{selector: {matchLabels: {app: httpbin}}, portLevelMtls: {8080: {mode: DISABLE}}}"),
        policy(STRICT) + rule("{tls: {mode: ISTIO_MUTUAL}}"),
        rule("{tls: {mode: DISABLE}}"),
    ],
)
def test_good_config_has_no_trap(text: str) -> None:
    assert warnings(text) == []


def test_a_selector_in_the_root_namespace() -> None:
    (found,) = warnings(policy(SELECTING, namespace="istio-system"))
    assert "Istio ignores a PeerAuthentication with a selector in istio-system" in found


@pytest.mark.parametrize(
    ("namespace", "reach"), [("default", "all of the namespace default"), ("istio-system", "the whole mesh")]
)
def test_two_for_the_same_place(namespace: str, reach: str) -> None:
    (found,) = warnings(policy(STRICT, namespace=namespace) + policy(STRICT, "other", namespace))
    assert f"PeerAuthentication {namespace}/default is for {reach} too: Istio takes the older one" in found


def test_two_for_one_workload() -> None:
    (found,) = warnings(
        policy(SELECTING) + policy("{selector: {matchLabels: {version: v1}}, mtls: {mode: DISABLE}}", "other")
    )
    assert "PeerAuthentication default/default is for pods with app=httpbin, version=v1 too" in found


def test_nobody_obeys() -> None:
    (found,) = warnings(policy("{selector: {matchLabels: {app: none}}, mtls: {mode: STRICT}}"))
    assert "no pod of the namespace default has app=none: this policy changes nothing" in found
    (found,) = warnings(policy(SELECTING, namespace="legacy"))
    assert "the pods that it is for have no sidecar: this policy changes nothing" in found
    assert warnings(policy("{selector: {matchLabels: {app: none}}}"), pods=()) == []


def test_the_port_of_the_service_is_not_the_containers() -> None:
    text = policy("{selector: {matchLabels: {app: httpbin}}, portLevelMtls: {8000: {mode: DISABLE}}}")
    (found,) = warnings(text)
    assert "none of its pods listens on port 8000: this entry changes nothing; expected one of 8080" in found
    assert "the container listens on, not the Service's" in found
    assert warnings(text, pods=(PodLabels({"app": "httpbin"}),)) == []


def test_a_rule_that_fights_the_policy() -> None:
    (found,) = warnings(policy(STRICT) + rule("{tls: {mode: DISABLE}}"))
    assert "requests will fail with 503: a pod with app=httpbin, version=v1 takes mutual TLS only (STRICT)" in found
    assert "f.yaml:17:51: " in found
    (found,) = warnings(policy("{mtls: {mode: DISABLE}}") + rule("{tls: {mode: ISTIO_MUTUAL}}"))
    assert "takes plain text only (DISABLE)" in found
    ports = "{portLevelSettings: [{port: {number: 8000}, tls: {mode: DISABLE}}]}"
    (found,) = warnings(policy(STRICT) + rule(ports))
    assert "takes mutual TLS only" in found
    subsets = "[{name: v1, labels: {version: v1}, trafficPolicy: {tls: {mode: DISABLE}}}]"
    (found,) = warnings(policy(STRICT) + rule("{}", subsets=subsets))
    assert "takes mutual TLS only" in found


def test_no_sidecar_takes_no_mutual_tls() -> None:
    legacy = SERVICE.replace("{name: httpbin}", "{name: httpbin, namespace: legacy}")
    text = "\n---" + legacy + rule("{tls: {mode: ISTIO_MUTUAL}}", "httpbin.legacy.svc.cluster.local")
    (found,) = warnings(text)
    assert "a pod with app=httpbin has no sidecar to take mutual TLS" in found
