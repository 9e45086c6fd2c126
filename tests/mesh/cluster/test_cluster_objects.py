"""Objects of an API server as resources, and back."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.istio.load import parse_manifests
from runner.mesh.cluster.kinds import Place
from runner.mesh.cluster.objects import MEMO, includes, outgoing, plain, resource_of, same, stripped, written

VIRTUAL_SERVICE = Place("VirtualService", "networking.istio.io", "v1", "virtualservices", frozenset({"v1", "v1beta1"}))
SERVICE = Place("Service", "", "v1", "services", frozenset({"v1"}))

NAMES = st.from_regex(r"[a-z][a-z0-9.-]{0,20}", fullmatch=True)
TEXTS = st.dictionaries(NAMES, st.text(max_size=20), max_size=3)
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
SERVER_SET = {
    "uid": "7f5c", "resourceVersion": "812", "generation": 3, "creationTimestamp": "2026-11-24T09:00:00Z",
    "managedFields": [{"manager": "kubectl", "operation": "Update"}],
}  # fmt: skip


@st.composite
def bodies(draw):
    metadata = {"name": draw(NAMES), "namespace": "default"}
    maps = {"labels": draw(TEXTS), "annotations": draw(TEXTS)}
    metadata |= {key: value for key, value in maps.items() if value}
    if draw(st.booleans()):
        metadata["finalizers"] = ["example.org/keep"]
    return {
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": metadata,
        "spec": draw(st.dictionaries(NAMES, VALUES, max_size=4)),
    }  # fmt: skip


def _served(body, **more):
    item = copy.deepcopy(body)
    item["metadata"] |= SERVER_SET
    item["status"] = {"observedGeneration": "3"}
    return item | more


@given(bodies())
def test_what_the_server_adds_is_taken_off_again_and_nothing_else(body):
    resource = resource_of(_served(body), VIRTUAL_SERVICE, "test")
    assert resource.body == body
    assert resource.key.name == body["metadata"]["name"]
    assert same(_served(body), body)


@given(bodies(), st.dictionaries(NAMES, VALUES, min_size=1, max_size=3))
def test_what_a_run_wrote_is_read_back_though_the_server_filled_something_in(body, more):
    resource = resource_of(body, VIRTUAL_SERVICE, "test")
    sent = outgoing(resource, memo=True)
    assert json.loads(sent["metadata"]["annotations"][MEMO]) == body
    item = _served(sent)
    item["spec"] = {**{f"zz-{key}": value for key, value in more.items()}, **item["spec"]}
    assert resource_of(item, VIRTUAL_SERVICE, "test").canonical() == resource.canonical()


@given(bodies(), NAMES, VALUES)
def test_what_somebody_changed_since_is_not_taken_for_what_was_written(body, name, value):
    resource = resource_of(body, VIRTUAL_SERVICE, "test")
    item = _served(outgoing(resource, memo=True))
    item["spec"] = {**item["spec"], name: value}
    if body["spec"].get(name, item) == value or name not in body["spec"]:
        return
    assert written(item) is None
    assert MEMO not in resource_of(item, VIRTUAL_SERVICE, "test").body["metadata"].get("annotations", {})


@given(VALUES)
def test_everything_includes_itself(value):
    assert includes(value, value)


def test_lists_are_compared_as_a_whole():
    assert includes({"ports": [{"port": 80, "protocol": "TCP"}]}, {"ports": [{"port": 80}]})
    assert not includes({"ports": [{"port": 80}, {"port": 81}]}, {"ports": [{"port": 80}]})


def test_an_older_version_of_the_api_is_the_same_object():
    body = {
        "apiVersion": "networking.istio.io/v1beta1",
        "kind": "VirtualService",
        "metadata": {"name": "a"},
        "spec": {},
    }
    assert same({**body, "apiVersion": "networking.istio.io/v1"}, body)


def test_a_service_comes_back_as_it_was_written():
    (resource,) = parse_manifests(
        """
apiVersion: v1
kind: Service
metadata: {name: reviews, labels: {app: reviews}}
spec:
  selector: {app: reviews}
  ports: [{name: http, port: 9080}]
""",
        "service.yaml",
    )
    item = _served(outgoing(resource, memo=True))
    item["spec"] |= {"clusterIP": "10.96.1.2", "type": "ClusterIP", "sessionAffinity": "None"}
    item["spec"]["ports"][0] |= {"protocol": "TCP", "targetPort": 9080}
    assert resource_of(item, SERVICE, "test").canonical() == resource.canonical()
    item["spec"]["selector"] = {"app": "other"}
    assert resource_of(item, SERVICE, "test").body["spec"]["clusterIP"] == "10.96.1.2"


def test_nulls_and_empty_maps_say_nothing():
    body = {
        "kind": "VirtualService",
        "metadata": {"name": "a", "annotations": {}},
        "spec": {"http": None, "hosts": ["a"]},
    }
    assert plain(body) == {"kind": "VirtualService", "metadata": {"name": "a"}, "spec": {"hosts": ["a"]}}


def test_a_controllers_own_annotation_is_not_restored():
    item = {"kind": "Deployment", "metadata": {"name": "a", "annotations": {"deployment.kubernetes.io/revision": "4"}}}
    assert stripped(item) == {"kind": "Deployment", "metadata": {"name": "a"}}


@pytest.mark.parametrize("memo", ["no json", "[]", '{"spec": {"hosts": ["b"]}}'])
def test_a_memo_that_is_none_is_passed_over(memo):
    item = {"kind": "VirtualService", "metadata": {"name": "a", "annotations": {MEMO: memo}}, "spec": {"hosts": ["a"]}}
    assert written(item) is None
