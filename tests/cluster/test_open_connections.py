"""After a change of policy, connections that sidecars had open before meet the new rules too: on real sidecars, with Istio's drain time."""

import pytest

from runner.istio.load import merge, parse_manifests
from runner.mesh.cluster.looks import read_mark
from runner.mesh.cluster.tunnel import run_in
from tests.cluster.shop import held_mesh, part_of_bookinfo

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

KEPT = {"client", "ratings-v1", "ratings"}

DENY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nobody}
spec:
  selector: {matchLabels: {app: ratings}}
  action: DENY
  rules: [{}]
"""


@pytest.fixture(scope="module")
def namespace(kubeconfig):
    with part_of_bookinfo(kubeconfig, KEPT) as name:
        yield name


@pytest.fixture
def mesh(namespace, kubeconfig, tmp_path):
    with held_mesh(kubeconfig, namespace, tmp_path) as found:
        yield found


def _answers(mesh, number, *, at_once=1):
    """How often each status came back from the client's pod."""
    client = next(pod for pod in mesh.inventory.pods if pod.workload == "client")
    ask = "curl -s -o /dev/null -w '%{http_code} ' http://ratings:9080/ratings/0"
    script = f"for i in $(seq {number}); do for j in $(seq {at_once}); do {ask} & done; wait; done"
    text = run_in(mesh.api, mesh.namespace, client.name, client.containers[0], ["sh", "-c", script])
    return {status: text.split().count(status) for status in text.split()}


def _draining(mesh):
    return mesh._fleet.each(read_mark)["ratings-v1"].draining


def test_open_connections_meet_the_new_rules(mesh):
    """Sidecars keep their connections; those of before the change answer once more by the rules of before, were it not waited for."""
    put, snapshot = parse_manifests(DENY, "deny.yaml", namespace=mesh.namespace), mesh.applied()
    mesh.check(merge(snapshot, put))
    assert _answers(mesh, 2, at_once=8) == {"200": 16}
    mesh.give_back(put)
    assert _draining(mesh) > 0
    early = _answers(mesh, 2, at_once=8)
    assert early["403"] == 16 - early.get("200", 0)
    mesh.restore(snapshot)
    assert _answers(mesh, 2, at_once=8).get("200")
    mesh.apply(put)
    assert _answers(mesh, 2, at_once=8) == {"403": 16}
    mesh.restore(snapshot)
    assert _draining(mesh) > 0
    mesh.apply([])
    assert _answers(mesh, 2, at_once=8) == {"200": 16}
