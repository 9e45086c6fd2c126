"""`meshtrial capacity` on a real cluster: a pod that is gone in the middle of a search, and load that is made in pods."""

import os

import pytest

from tests.cluster.rig import lifecycle
from tests.cluster.rig.catalogue import RUNNER_IMAGE
from tests.cluster.shop import INJECTED, KEPT, Place, connection, door, eventually, part_of_bookinfo

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

EXPERIMENT = """
experiment: bad-day
mesh: MESH
variants:
  slow: {apply: [slow.yaml]}
load:
  locust: {file: load.pyWORKERS}
  from: SOURCE
  host: HOST
  warmup: 1s
capacity: {objective: "p99 < 2s and error_rate < 1%", from: 10/s, to: 40/s}
blocks: 1
checks:
  slow: ["capacity >= 5/s"]
"""


@pytest.fixture(scope="module")
def api(kubeconfig):
    with connection(kubeconfig) as found:
        yield found


@pytest.fixture(scope="module")
def namespace(kubeconfig, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        with part_of_bookinfo(kubeconfig, KEPT, more=door, labels=INJECTED) as name:
            yield name


@pytest.fixture
def place(namespace, kubeconfig, tmp_path):
    return Place(namespace, tmp_path, kubeconfig)


def searching(place, mesh, source, host, workers=""):
    text = EXPERIMENT.replace("WORKERS", workers).replace("MESH", mesh).replace("SOURCE", source).replace("HOST", host)
    (place.folder / "bad.yaml").write_text(text)
    return place.start("capacity", "bad.yaml", "--quick", "--blocks", "1")


def ended(process):
    out, err = process.communicate(timeout=400)
    assert "Traceback" not in err, err
    return process.returncode, out, err


def found_by(place):
    (document,) = place.documents()
    (variant,) = document["variants"]
    (search,) = variant["capacity_searches"]
    return document, search, variant["trials"][0]


def requests_at(api, pod, namespace):
    query = {"container": "istio-proxy"}
    return api.text(f"/api/v1/namespaces/{namespace}/pods/{pod}/log", query).count("GET /ratings/0")


@pytest.fixture
def ratings(api, namespace):
    """The name of the one pod of ratings."""
    (pod,) = api.get(f"/api/v1/namespaces/{namespace}/pods", {"labelSelector": "app=ratings"})["items"]
    return pod["metadata"]["name"]


def test_a_pod_that_is_gone_costs_one_step_and_the_search_goes_on(place, api, namespace, ratings):
    mesh = f"{{cluster: {{namespace: {namespace}}}}}"
    process = searching(place, mesh, "gateway", f"{namespace}.example")
    eventually(lambda: requests_at(api, ratings, namespace) > 20 or process.poll() is not None, 120)
    path = f"/api/v1/namespaces/{namespace}/pods/{ratings}"
    api.call("DELETE", path, None, {"gracePeriodSeconds": 0})
    code, _, err = ended(process)
    assert code in {0, 5}, err
    assert "mended, the search goes on" in err
    document, search, trial = found_by(place)
    lost = [step for step in search["steps"] if "proxy_died" in step["invalid_because"]]
    assert len(lost) == 1
    assert f"the pod {ratings} of ratings-v1 is gone" in lost[0]["because"]
    assert search["ending"] in {"upper_end_holds", "found", "wide"}, search
    assert all(step["error_rate"] == 0 for step in search["steps"] if step not in lost)
    assert trial["valid"], trial
    assert any(ratings in remark for remark in trial["remarks"])
    assert document["restored"].startswith("the mesh holds what it held before, verified on 3 proxies")


@pytest.mark.parametrize(
    ("source", "workers", "told"), [("client", "", "1 pod"), ("gateway", ", workers: 2", "2 pods")]
)
def test_workers_in_pods_make_the_load_of_a_search(place, namespace, kubeconfig, source, workers, told):
    image = os.environ.get("MESHTRIAL_IMAGE") or RUNNER_IMAGE
    if image == RUNNER_IMAGE and kubeconfig.resolve() != lifecycle.KUBECONFIG:
        pytest.skip("MESHTRIAL_IMAGE does not name an image of this version that the cluster can pull")
    pods = f"{{image: {image}, cpu: 50m, memory: 256Mi}}"
    host = "ratings:9080" if source == "client" else f"{namespace}.example"
    process = searching(place, f"{{cluster: {{namespace: {namespace}, generators: {pods}}}}}", source, host, workers)
    code, _, err = ended(process)
    assert code in {0, 5}, err
    assert f"starting {told} for load from {source}" in err
    document, search, trial = found_by(place)
    assert search["ending"] in {"upper_end_holds", "found", "wide"}, search
    assert trial["valid"], trial
    assert all(step["requests"] > 0 and step["error_rate"] == 0 for step in search["steps"])
    assert document["restored"].startswith("the mesh holds what it held before")
