"""What a run may change on a cluster, told without one; and a server's refusal at its place in the user's file."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.errors import InputError
from runner.istio.load import parse_manifests
from runner.mesh.cluster.errors import status_error
from runner.mesh.cluster.preview import ClusterPreview
from runner.mesh.cluster.refusal import refusal_problems, steps
from runner.mesh.cluster.touched import CONFIG_KINDS, NO_EFFECT, TOUCHED_KINDS, elsewhere, order

ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [a]
  http:
  - route: [{destination: {host: a}}]
    timeout: 1s
"""


def read(text):
    return parse_manifests(text, "f.yaml", namespace="shop", embedded=False)


def policy(namespace):
    return (
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"
        f"metadata: {{name: default, namespace: {namespace}}}\nspec: {{mtls: {{mode: STRICT}}}}\n"
    )


def refused(text):
    with pytest.raises(InputError) as error:
        ClusterPreview("shop").check(read(text))
    return [str(problem) for problem in error.value.problems]


def test_the_runs_namespace_and_the_whole_meshs_config_may_be_changed():
    assert ClusterPreview("shop").check([*read(ROUTE), *read(policy("istio-system"))]) == []
    (other,) = refused(policy("other"))
    assert other.startswith(
        "f.yaml:3:38: PeerAuthentication other/default is in another namespace than this run's, shop; "
        "expected no namespace, shop, or istio-system for Istio's config of the whole mesh"
    )
    service = (
        "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: istio-system}\nspec: {ports: [{port: 80}]}\n"
    )
    assert "in another namespace" in refused(service)[0]


def test_without_a_cluster_it_is_said_whose_fields_were_not_checked():
    logs = (
        "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: logs}\n"
        "spec: {acessLogging: [{disabled: true}]}\n"
    )
    (told,) = ClusterPreview("shop").check([*read(ROUTE), *read(logs)])
    assert told.startswith("f.yaml:1:1: no cluster was asked, so the fields of Telemetry shop/logs were not checked")
    assert "meshtrial doctor" in told


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        ("networking.istio.io/v1beta1", "ProxyConfig"),
        ("networking.istio.io/v1", "WorkloadGroup"),
        ("v1", "Namespace"),
    ],
)
def test_kinds_without_effect_on_proxies_that_run_are_refused(head, kind):
    (problem,) = refused(f"apiVersion: {head}\nkind: {kind}\nmetadata: {{name: a}}\n")
    assert problem.startswith(f"f.yaml:2:7: a run can't try out {kind}: {NO_EFFECT[kind]}")


def test_what_is_referred_to_is_put_first():
    keys = [item.key for item in read(ROUTE + "---\n" + policy("shop") + "---\n" + policy("istio-system"))]
    assert min(keys, key=order).kind == "VirtualService"
    assert set(CONFIG_KINDS) < set(TOUCHED_KINDS)
    assert [elsewhere(key, "shop") for key in keys] == [False, False, True]
    assert not any(elsewhere(key, "istio-system") for key in keys)


def refusal(message, *causes):
    details = {"causes": [{"field": field, "message": words} for field, words in causes]}
    body = {"kind": "Status", "reason": "Invalid", "message": message, "details": details}
    return status_error(422, json.dumps(body).encode(), "POST /x")


def problems(error):
    (resource,) = read(ROUTE)
    return [str(problem) for problem in refusal_problems(resource, error)]


def test_unknown_fields_are_told_at_their_keys():
    error = refusal(
        'VirtualService in version "v1" cannot be handled as a VirtualService: strict decoding error: '
        'unknown field "spec.http[0].timeout", unknown field "spec.nothing", duplicate field "spec.hosts"'
    )
    first, second, third = problems(error)
    assert first.startswith(
        'f.yaml:9:5: the API server refuses VirtualService shop/a: unknown field "spec.http[0].timeout"'
    )
    assert second.startswith('f.yaml:6:3: the API server refuses VirtualService shop/a: unknown field "spec.nothing"')
    assert third.startswith('f.yaml:6:3: the API server refuses VirtualService shop/a: duplicate field "spec.hosts"')


def test_invalid_values_are_told_at_their_places():
    error = refusal("is invalid", ("spec.http[0].timeout", "must be a valid duration"), ("", "of the whole"))
    assert problems(error) == [
        "f.yaml:9:14: the API server refuses VirtualService shop/a: spec.http[0].timeout: must be a valid duration"
    ]


def test_what_names_no_field_is_told_at_the_resource():
    error = refusal('admission webhook "v.istio.io" denied the request: weight -5 < 0')
    assert problems(error) == [
        'f.yaml:2:1: the API server refuses VirtualService shop/a: admission webhook "v.istio.io" denied the request: weight -5 < 0'
    ]


@settings(deadline=None)
@given(st.lists(st.from_regex(r"[a-zA-Z]{1,8}", fullmatch=True) | st.integers(0, 99), min_size=1, max_size=6))
def test_any_way_is_read_as_kubernetes_writes_it(way):
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in way).lstrip(".")
    assert steps(text) == tuple(way)


@settings(deadline=None)
@given(st.text(max_size=40))
def test_any_answer_is_told_with_a_place(text):
    assert all(problem.startswith("f.yaml:") for problem in problems(refusal(text, (text, text))))
