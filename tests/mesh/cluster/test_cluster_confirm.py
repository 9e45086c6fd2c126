"""Waiting for a change to arrive, at real Envoys: those of an embedded mesh, which serve the same admin interface."""

import threading
from pathlib import Path

import pytest

from runner.errors import MeshError
from runner.istio.load import load_manifests, parse_manifests
from runner.mesh.cluster import confirm as confirm_module
from runner.mesh.cluster.confirm import Change, Confirmer
from runner.mesh.cluster.errors import StatusError
from runner.mesh.cluster.expect import State
from runner.mesh.cluster.istiod import Istiod
from runner.mesh.local.admin import AdminError
from runner.mesh.local.mesh import LocalMesh
from tests.mesh.cluster.sample_cluster import as_on_a_cluster

ISTIO = Path(__file__).parents[3] / "experiments" / "istio"


class _Client:
    """An embedded proxy's admin interface, asked as a cluster's is."""

    def __init__(self, client, pod):
        self._client, self.pod = client, pod

    def get(self, path):
        try:
            return self._client.get(path)
        except AdminError as error:
            if "answered 404" in str(error):
                raise StatusError(404, "", str(error), path) from None
            raise MeshError(str(error)) from None


class _Fleet:
    def __init__(self, mesh):
        self.silent = {}
        self.clients = {
            pod.name: _Client(mesh._fleet.clients[pod.name], as_on_a_cluster(pod))
            for pod in mesh.instance.topology.pods
        }

    def each(self, ask, names=None):
        return {name: ask(self.clients[name]) for name in names or self.clients}


@pytest.fixture(scope="module")
def mesh():
    mesh = LocalMesh.start("bookinfo")
    yield mesh
    mesh.close()


@pytest.fixture
def confirmer(mesh):
    found = Confirmer(_Fleet(mesh), Istiod(None, why_not="it is not asked here"), "default", set, limit=20.0)
    base = mesh.applied()
    yield found
    mesh.restore(base)


def _change(mesh, put):
    state = {item.key: item for item in (*mesh.applied(), *put)}
    return Change(State.of(list(state.values()), {}), put, [])


def test_a_change_is_confirmed_once_the_last_proxy_has_it(mesh, confirmer):
    put = [
        item for name in ("destination-rules", "ratings-delay-2s") for item in load_manifests(ISTIO / f"{name}.yaml")
    ]
    before = confirmer.before()
    old = confirmer.versions()
    change = _change(mesh, put)
    applying = threading.Thread(target=mesh.apply, args=(put,))
    applying.start()
    try:
        versions = confirmer.wait(change, before)
    finally:
        applying.join()
    assert set(versions) == set(confirmer.fleet.clients)
    assert all(versions[name] != old[name] for name in versions)
    assert confirmer.look() == versions
    gone = [item.key for item in put]
    before = confirmer.before()
    mesh.apply([], gone)
    assert confirmer.wait(Change(State.of(mesh.applied(), {}), [], gone), before) == old


def test_a_change_that_does_not_arrive_is_told_with_what_is_missing(mesh, confirmer):
    put = load_manifests(ISTIO / "destination-rules.yaml")
    before = confirmer.before()
    confirmer.limit = 0.2
    with pytest.raises(
        MeshError,
        match=r"did not arrive within 0 s: client: DestinationRule default/.* is not from it yet; .*; and 5 more",
    ):
        confirmer.wait(_change(mesh, put), before)


def test_a_change_that_leaves_no_trace_is_not_taken_for_proven(mesh, confirmer):
    put = load_manifests(ISTIO / "destination-rules.yaml")
    mesh.apply(put)
    before = confirmer.before()
    confirmer.limit = 0.2
    rule = parse_manifests(
        """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}, {name: v3, labels: {version: v3}}]
""",
        "rule.yaml",
    )
    with pytest.raises(
        MeshError, match=r"DestinationRule default/reviews changed, and this proxy's config did not \(it is not asked"
    ):
        confirmer.wait(_change(mesh, rule), before)
    mesh.apply(rule)
    assert confirmer.wait(_change(mesh, rule), before)


def test_a_deletion_that_was_forgotten_is_made_again(mesh, confirmer, monkeypatch):
    monkeypatch.setattr(confirm_module, "LOST_AFTER", 0.1)
    put = load_manifests(ISTIO / "destination-rules.yaml")
    old = confirmer.look()
    mesh.apply(put)
    asked = []

    def again(keys):
        asked.append(keys)
        mesh.apply([], keys)

    confirmer.watch.looks.clear()
    confirmer.again = again
    gone = [item.key for item in put]
    change = Change(State.of([item for item in mesh.applied() if item.key not in gone], {}), [], gone)
    assert confirmer.wait(change, confirmer.before()) == old
    assert asked == [gone]


NOBODYS = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: nobodys}
spec:
  hosts: [nothing.example]
  http: [{route: [{destination: {host: ratings}}], timeout: 1s}]
"""


def test_what_a_run_is_to_try_and_no_proxy_holds_is_told_as_that(mesh):
    confirmer = Confirmer(_Fleet(mesh), Istiod(None, why_not="it is not asked here"), "default", set, limit=0.5)
    (put,) = parse_manifests(NOBODYS, "a.yaml")
    change = _change(mesh, [put])
    with pytest.raises(MeshError, match="the change did not arrive within"):
        confirmer.wait(change, confirmer.before())
    confirmer.planned.add((put.key, put.canonical()))
    with pytest.raises(
        MeshError, match="no proxy holds VirtualService default/nobodys; does a Sidecar resource or exportTo"
    ):
        confirmer.wait(change, confirmer.before())
