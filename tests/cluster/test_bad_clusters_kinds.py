"""A cluster whose Istio lacks a kind, or is too old for a field: told by the run's own check and by the doctor, nothing changed."""

import contextlib
import copy

import pytest

from runner.errors import InputError, MeshError
from runner.istio.load import parse_manifests
from runner.mesh.cluster.check import Checker
from runner.mesh.cluster.doctor import examine
from runner.mesh.cluster.errors import StatusError
from runner.mesh.cluster.inventory import refuse_unusable
from runner.mesh.cluster.kinds import Places
from runner.mesh.cluster.store import Store
from runner.mesh.finding import Demands, Status
from tests.cluster.shop import connection, eventually, new_namespace, store_of

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

STATE = """
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec: {selector: {app: reviews}, ports: [{name: http, port: 9080}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - route: [{destination: {host: reviews, subset: v1}}]
    mirrors: [{destination: {host: reviews, subset: v1}}]
"""


@pytest.fixture
def api(apiserver):
    with connection(apiserver.kubeconfig) as found:
        yield found


@pytest.fixture
def namespace(api):
    return new_namespace(api)


@pytest.fixture
def state(namespace):
    return parse_manifests(STATE, "state.yaml", namespace=namespace)


def only(findings, check):
    (found,) = [item for item in findings if item.check == check]
    return found


@contextlib.contextmanager
def without(api, plural):
    """The cluster without a kind for a moment."""
    path = f"{DEFINITIONS}/{plural}.networking.istio.io"
    definition = api.get(path)
    kind = definition["spec"]["names"]["kind"]
    api.call("DELETE", path)
    eventually(lambda: Places(api).find(kind) is None, 60)
    try:
        yield kind
    finally:
        body = {name: definition[name] for name in ("apiVersion", "kind", "spec")}
        body["metadata"] = {
            "name": definition["metadata"]["name"],
            "annotations": definition["metadata"]["annotations"],
        }
        eventually(lambda: tried(api, "POST", DEFINITIONS, body), 60)
        eventually(lambda: Places(api).find(kind) is not None, 60)
        eventually(lambda: tried(api, "GET", f"/apis/networking.istio.io/v1/{plural}"), 60)


def tried(api, method, path, body=None):
    try:
        api.call(method, path, None, body)
    except StatusError:
        return False
    return True


def test_a_kind_that_is_missing_is_named_before_anything_is_touched(api, namespace, state):
    with without(api, "destinationrules") as kind:
        store = store_of(api, namespace)
        with pytest.raises(MeshError, match=f"does not know the kind {kind}: it has no CustomResourceDefinition"):
            Checker(store, []).check(state)
        assert store.read() == []
        found = only(examine(None, namespace), "Istio's CRDs")
        assert found.status is Status.PROBLEM
        assert f"does not know {kind}" in found.found


def test_a_cluster_without_istio_is_told(api, namespace):
    with without(api, "virtualservices"):
        store = Store(api, Places(api), namespace)
        with pytest.raises(
            MeshError, match=r"does not know the kind VirtualService: Istio is not installed\. `istioctl"
        ):
            refuse_unusable(api, store, namespace)


@contextlib.contextmanager
def older(api, plural, field):
    """The cluster with a kind's definition from before a field of an HTTP route."""
    path = f"{DEFINITIONS}/{plural}.networking.istio.io"
    now = api.get(path)
    old = copy.deepcopy(now["spec"])
    for version in old["versions"]:
        spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
        del spec["properties"]["http"]["items"]["properties"][field]

    def define(spec):
        body = api.get(path)
        body["spec"] = spec
        return tried(api, "PUT", path, body)

    eventually(lambda: define(old), 30)
    try:
        yield
    finally:
        eventually(lambda: define(now["spec"]), 30)


def refusal(store, state):
    try:
        Checker(store, []).check(state)
    except InputError as error:
        return str(error)
    return ""


def test_an_istio_that_is_too_old_for_a_field_is_told_where_the_field_stands(api, namespace, state):
    store = store_of(api, namespace)
    with older(api, "virtualservices", "mirrors"):
        told = eventually(
            lambda: refusal(store, state), 60
        )  # the API server takes a changed definition up in its own time
        line = STATE.splitlines().index("    mirrors: [{destination: {host: reviews, subset: v1}}]") + 1
        assert told.startswith(
            f"state.yaml:{line}:5: the API server refuses VirtualService {namespace}/reviews: unknown field"
        )
        assert "mirrors" in told
        assert "This cluster's Istio does not know it: leave the field out, or upgrade Istio" in told
        assert store.read() == []
        found = [item for item in examine(None, namespace, [Demands("demo", tuple(state))]) if item.check == "dry run"]
        assert any(item.status is Status.PROBLEM and "too old" in item.fix for item in found)
    eventually(lambda: not refusal(store, state), 60)
