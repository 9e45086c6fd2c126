"""Two control planes side by side, as in a canary upgrade of Istio: a namespace that its label gives to the new one is run by that one."""

import pytest

from runner.mesh.cluster.connect import connect
from runner.mesh.cluster.mesh import ClusterMesh
from tests.cluster.rig.istio import istioctl
from tests.cluster.rig.places import FILES
from tests.cluster.shop import Place, connection, objects, shop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

REVISION = "canary"


@pytest.fixture(scope="module")
def both(rig):
    """The rig with a second istiod; gone afterwards."""
    istioctl(
        rig,
        *("install", "-y", "-f", str(FILES / "istio-operator.yaml")),
        *("--set", f"revision={REVISION}", "--set", "profile=minimal"),
        *("--set", "values.pilot.resources.requests.cpu=10m"),
    )
    yield rig
    istioctl(rig, "uninstall", "-y", "--revision", REVISION)


@pytest.fixture
def api(both):
    with connection(both.kubeconfig) as found:
        yield found


def test_a_namespace_of_the_canary_is_run_by_the_canary(both, api, tmp_path):
    with shop(both.kubeconfig, tmp_path / "first", {"istio.io/rev": REVISION}) as namespace:
        place = Place(namespace, tmp_path, both.kubeconfig)
        before = objects(api, namespace)
        mesh = ClusterMesh(connect(None), namespace)
        assert {pod.revision for pod in mesh.istiod.pods} == {"default", REVISION}
        assert {pod.revision for pod in mesh.inventory.pods if pod.proxied} == {REVISION}
        assert {pod.revision for pod in mesh.inventory.gateways} == {"default"}
        mesh.close()
        code, out, err = place.doctor("bad.yaml")
        assert code == 0, out + err
        assert f"is labelled istio.io/rev={REVISION}" in out
        assert "two revisions side by side" in out
        code, _, err = place.run()
        assert code == 0, err
        (document,) = place.documents()
        assert document["restored"] == "the mesh holds what it held before, verified on 3 proxies"
        assert objects(api, namespace) == before


def test_a_revision_that_is_not_there_is_told(both, api, tmp_path):
    with shop(both.kubeconfig, tmp_path / "first", {"istio-injection": "enabled"}) as namespace:
        place = Place(namespace, tmp_path, both.kubeconfig)
        item = api.get(f"/api/v1/namespaces/{namespace}")
        del item["metadata"]["labels"]["istio-injection"]
        item["metadata"]["labels"]["istio.io/rev"] = f"{REVISION}x"
        api.call("PUT", f"/api/v1/namespaces/{namespace}", None, item)
        code, out, _ = place.doctor()
        assert code == 3
        assert f"there is no revision or tag {REVISION}x: {REVISION}, default" in out
