"""Others in the namespace while a run measures: what only they met proves nothing, and pods without a sidecar are told of."""

import contextlib
import threading

import pytest

from tests.cluster.shop import INJECTED, Place, connection, door, eventually, part_of_bookinfo

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

KEPT = {"client", "ratings-v1", "ratings", "reviews-v2", "reviews"}
ABORT = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ratings}
spec:
  hosts: [ratings]
  http:
  - fault: {abort: {percentage: {value: 100}, httpStatus: 500}}
    MATCH
    route: [{destination: {host: ratings}}]
  - route: [{destination: {host: ratings}}]
"""
JASON = "match: [{headers: {end-user: {exact: jason}}}]"
LOAD = """
from locust import FastHttpUser, task

class Visitor(FastHttpUser):
    @task
    def page(self):
        self.client.get("/reviews/0")
"""
EXPERIMENT = """
experiment: bad-day
variants:
  abort: {apply: [abort.yaml]}
load:
  locust: {file: load.py}
  host: NAMESPACE.example
  users: 2
  warmup: 1s
  duration: 4s
blocks: 1
checks:
  abort: ["error_rate < 20%"]
"""
CALL = "curl -s -o /dev/null -H 'end-user: jason' http://ratings:9080/ratings/0; sleep 0.1"


@pytest.fixture(scope="module")
def namespace(kubeconfig, rig, tmp_path_factory):
    """Reviews behind the gateway, the ratings that it asks, and a client that others use."""
    assert rig
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        more = lambda name: door(name, "reviews")  # noqa: E731
        with part_of_bookinfo(kubeconfig, KEPT, more=more, labels=INJECTED) as name:
            yield name


@pytest.fixture
def place(namespace, kubeconfig, tmp_path):
    found = Place(namespace, tmp_path, kubeconfig)
    found.write("load.py", LOAD)
    found.write("bad.yaml", EXPERIMENT)
    return found


@contextlib.contextmanager
def somebody(rig, namespace):
    """Asks ratings as jason, from the client's pod, all the time."""
    over = threading.Event()

    def ask():
        line = f"for i in 1 2 3 4 5 6 7 8 9 10; do {CALL}; done"
        while not over.is_set():
            rig.kubectl("-n", namespace, "exec", "deploy/client", "-c", "client", "--", "/bin/sh", "-c", line)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_fault_that_only_others_met_is_no_proof(rig, place):
    place.write("abort.yaml", ABORT.replace("MATCH", JASON))
    with somebody(rig, place.namespace):
        code, _, err = place.run()
    assert code == 5, err
    (document,) = place.documents()
    trials = document["variants"][0]["trials"]
    assert any(stat.startswith("client ") for trial in trials for stat in trial["attestation"]["faults"])
    assert all(trial["invalid_because"] == ["fault_not_fired"] for trial in trials)
    assert "moved only in client" in trials[-1]["notes"][0]["detail"]
    assert "somebody else's traffic" in trials[-1]["notes"][0]["detail"]


def test_pods_without_a_sidecar_are_warned_of_and_their_callers_fault_is_not_in_force_for_all(place):
    place.write("abort.yaml", ABORT.replace("MATCH", ""))
    code, _, err = place.run()
    assert code == 0, err
    assert "sidecar" not in err
    with connection(place.kubeconfig) as api:
        path = f"/apis/apps/v1/namespaces/{place.namespace}/deployments"
        body = api.get(f"{path}/reviews-v2")
        spec = body["spec"]
        spec["selector"]["matchLabels"]["copy"] = "bare"
        spec["template"]["metadata"]["labels"] |= {"copy": "bare", "sidecar.istio.io/inject": "false"}
        copy = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "reviews-bare"}, "spec": spec}
        api.call("POST", path, None, copy)
        try:
            eventually(lambda: (api.get(f"{path}/reviews-bare").get("status") or {}).get("readyReplicas"), 120)
            code, _, err = place.run()
        finally:
            api.call("DELETE", f"{path}/reviews-bare")
    assert code == 5, err
    assert "reviews has pods with a sidecar and without (reviews-bare-" in " ".join(err.split())
    document = place.documents()[-1]
    assert any("reviews has pods with a sidecar and without" in warning for warning in document["warnings"])
    detail = document["variants"][0]["trials"][-1]["notes"][0]["detail"]
    assert "fired for a part of the traffic only" in detail
    assert "reviews-bare-" in detail
