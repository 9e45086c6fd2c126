"""PeerAuthentication: what is read, what is refused, and whose word counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from peer_authentications import peer_authentication

from runner.errors import InputError
from runner.istio.load import parse_manifests, typed
from runner.istio.peer_authentication import PeerAuthentication, effective_mode

MODES = ("UNSET", "DISABLE", "PERMISSIVE", "STRICT")
LABELS = {"app": "httpbin", "version": "v1"}


def policy(spec: str) -> PeerAuthentication:
    (resource,) = parse_manifests(peer_authentication(spec), "f.yaml")
    found = typed(resource)
    assert isinstance(found, PeerAuthentication)
    return found


def mode(*policies: tuple[str, str], namespace: str = "default", port: int = 8080) -> str:
    """What a pod with `LABELS` takes; policies are namespace and spec, oldest first."""
    return effective_mode([(home, policy(spec)) for home, spec in policies], namespace, LABELS, port)


def test_the_guides_policy_is_read() -> None:
    found = policy("{mtls: {mode: STRICT}}")
    assert found.set_mode == "STRICT"
    assert found.labels == {}


def test_ports_may_be_numbers_or_text() -> None:
    both = policy("{selector: {matchLabels: {app: a}}, portLevelMtls: {8080: {mode: DISABLE}, '9090': {mode: STRICT}}}")
    assert {port: mutual.mode for port, mutual in both.port_level_mtls.items()} == {8080: "DISABLE", 9090: "STRICT"}


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("{mtls: {mode: ON}}", "spec.mtls.mode"),
        ("{mtls: {mod: STRICT}}", 'unknown key "mod"'),
        ("{mode: STRICT}", 'unknown key "mode"'),
        ("{portLevelMtls: {8080: {mode: STRICT}}}", "portLevelMtls needs a selector"),
        ("{selector: {}, portLevelMtls: {8080: {mode: STRICT}}}", "portLevelMtls needs a selector"),
        ("{selector: {matchLabels: {app: a}}, portLevelMtls: {0: {mode: STRICT}}}", "greater than or equal to 1"),
        ("{selector: {matchLabels: {app: a}}, portLevelMtls: {http: {mode: STRICT}}}", "integer"),
        ("{selector: {matchLabels: {app: 'a*'}}}", "wildcard"),
    ],
)
def test_what_istio_refuses(spec: str, problem: str) -> None:
    with pytest.raises(InputError) as error:
        policy(spec)
    assert problem in str(error.value)
    assert "f.yaml:" in str(error.value)


def test_without_a_policy_both_are_taken() -> None:
    assert mode() == "PERMISSIVE"
    assert mode(("default", "{}")) == "PERMISSIVE"
    assert mode(("legacy", "{mtls: {mode: STRICT}}")) == "PERMISSIVE"


def test_the_closest_policy_decides() -> None:
    mesh = ("istio-system", "{mtls: {mode: STRICT}}")
    own = ("default", "{mtls: {mode: PERMISSIVE}}")
    workload = ("default", "{selector: {matchLabels: {app: httpbin}}, mtls: {mode: DISABLE}}")
    assert mode(mesh) == "STRICT"
    assert mode(mesh, own) == "PERMISSIVE"
    assert mode(workload, mesh, own) == "DISABLE"
    assert mode(mesh, own, workload, namespace="legacy") == "STRICT"


def test_what_is_not_set_comes_from_above() -> None:
    mesh = ("istio-system", "{mtls: {mode: STRICT}}")
    assert mode(mesh, ("default", "{mtls: {mode: UNSET}}")) == "STRICT"
    assert mode(mesh, ("default", "{mtls: {}}")) == "STRICT"
    assert mode(mesh, ("default", "{selector: {matchLabels: {app: httpbin}}}")) == "STRICT"


def test_of_equals_the_older_counts() -> None:
    older, younger = "{mtls: {mode: STRICT}}", "{mtls: {mode: DISABLE}}"
    assert mode(("default", older), ("default", younger)) == "STRICT"
    assert mode(("istio-system", younger), ("istio-system", older)) == "DISABLE"
    # An older one that leaves the mode open still hides the younger, as in istiod.
    assert mode(("default", "{}"), ("default", younger)) == "PERMISSIVE"


def test_a_selector_in_the_root_namespace_is_ignored() -> None:
    selecting = "{selector: {matchLabels: {app: httpbin}}, mtls: {mode: STRICT}}"
    assert mode(("istio-system", selecting)) == "PERMISSIVE"
    assert mode(("istio-system", selecting), namespace="istio-system") == "PERMISSIVE"


def test_ports_differ() -> None:
    ports = "{8080: {mode: DISABLE}, 9090: {mode: UNSET}}"
    workload = (
        "default",
        f"{{selector: {{matchLabels: {{app: httpbin}}}}, mtls: {{mode: STRICT}}, portLevelMtls: {ports}}}",
    )
    assert mode(workload, port=8080) == "DISABLE"
    assert mode(workload, port=9090) == "STRICT"
    assert mode(workload, port=7070) == "STRICT"


@given(
    mesh=st.sampled_from(MODES),
    own=st.sampled_from(MODES),
    workload=st.sampled_from(MODES),
    port=st.sampled_from(MODES),
)
def test_the_first_mode_that_is_set_decides(mesh: str, own: str, workload: str, port: str) -> None:
    found = mode(
        ("istio-system", f"{{mtls: {{mode: {mesh}}}}}"),
        ("default", f"{{mtls: {{mode: {own}}}}}"),
        (
            "default",
            f"{{selector: {{matchLabels: {{app: httpbin}}}}, mtls: {{mode: {workload}}}, portLevelMtls: {{8080: {{mode: {port}}}}}}}",
        ),
    )
    assert found == next((name for name in (port, workload, own, mesh) if name != "UNSET"), "PERMISSIVE")
