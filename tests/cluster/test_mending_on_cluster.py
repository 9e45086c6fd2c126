"""A pod that dies in the middle of a run on a real cluster: load goes on only when its successor listens and every proxy sends to it."""

import contextlib
import time

import pytest

from runner.errors import MeshError
from runner.istio.load import parse_manifests
from runner.mesh.cluster.app_ports import AppPort, why_silent
from runner.mesh.cluster.connect import connect
from runner.mesh.cluster.endpoints import hosts
from runner.mesh.cluster.mesh import ClusterMesh
from runner.mesh.cluster.pods import list_pods
from tests.cluster.shop import INJECTED, KEPT, Place, connection, door, eventually, part_of_bookinfo

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LATE = 8
"""Seconds after which the app listens; Kubernetes calls its pod ready at once, for it has no readinessProbe."""
HEADLESS = """
apiVersion: v1
kind: Service
metadata: {name: headless}
spec: {clusterIP: None, selector: {app: ratings}, ports: [{name: http, port: 9080}]}
"""


def ways_in(namespace):
    """From the gateway, and a Service whose endpoints no proxy is told of."""
    return [*door(namespace), *parse_manifests(HEADLESS, "headless.yaml", namespace=namespace)]


def late(resource):
    """The same Deployment, whose app starts late."""
    if resource.key.name != "ratings-v1":
        return resource
    (container,) = resource.spec["template"]["spec"]["containers"]
    start = "exec /usr/bin/python3 -m runner.mesh.local.apps.bookinfo.ratings"
    container["command"] = ["/bin/sh", "-c", f"sleep {LATE}; {start}"]
    resource.spec["template"]["spec"]["terminationGracePeriodSeconds"] = 0
    return resource


@pytest.fixture(scope="module")
def api(kubeconfig):
    with connection(kubeconfig) as found:
        yield found


@pytest.fixture(scope="module")
def namespace(kubeconfig, rig, tmp_path_factory):
    """A namespace with a service whose app starts late, one client, and a way in."""
    assert rig
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        with part_of_bookinfo(kubeconfig, KEPT, more=ways_in, labels=INJECTED, change=late) as name:
            yield name


@pytest.fixture
def listening(api, namespace):
    """The one pod of ratings, once its app listens."""

    def found():
        pods = [pod for pod in list_pods(api, namespace, {"app": "ratings"}) if pod.ready]
        return pods[0] if len(pods) == 1 and not why_silent(api, AppPort(pods[0], 9080, "http")) else None

    return eventually(found, 120)


@pytest.fixture
def place(listening, namespace, kubeconfig, tmp_path):
    assert listening
    return Place(namespace, tmp_path, kubeconfig)


def killed(api, rig, pod, what):
    """End a pod, or the process of its app alone."""
    if what == "pod":
        path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"
        api.call("DELETE", path, None, {"gracePeriodSeconds": 0})
    else:
        words = ("/bin/sh", "-c", "kill -INT 1")
        rig.kubectl("-n", pod.namespace, "exec", pod.name, "-c", pod.containers[0], "--", *words)


def requests_at(api, pod):
    """How many requests have come to a pod."""
    path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}/log"
    return api.text(path, {"container": "istio-proxy"}).count("GET /ratings/0")


def test_a_port_is_silent_until_its_app_listens(api, listening):
    assert "refused" in why_silent(api, AppPort(listening, 9081, "http"))
    assert "refused" in why_silent(api, AppPort(listening, 9081, "tcp"))
    for protocol in ("http", "http2", "tcp", ""):
        assert why_silent(api, AppPort(listening, 9080, protocol)) == ""
    assert why_silent(api, AppPort(listening, 15090, "tcp")) == ""


@pytest.mark.parametrize("what", ["pod", "container"])
def test_the_block_that_runs_again_meets_no_503(place, api, rig, listening, what):
    before = requests_at(api, listening)
    process = place.start_run("--duration", "6s")
    eventually(lambda: requests_at(api, listening) > before or process.poll() is not None, 120)
    killed(api, rig, listening, what)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    (document,) = place.documents()
    first, second = document["variants"][0]["trials"]
    assert "proxy_died" in first["invalid_because"]
    assert second["valid"], second["notes"]
    assert second["errors"] == 0
    assert second["status"] == {"200": second["requests"]}
    assert out


@pytest.mark.parametrize("what", ["pod", "container"])
def test_a_mended_mesh_sends_to_the_successor_and_to_nobody_else(
    api, rig, listening, namespace, kubeconfig, monkeypatch, what
):
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    mesh = ClusterMesh(connect(None), namespace)
    with contextlib.closing(mesh), mesh.hold("a test"):
        assert mesh.deaths() == []
        killed(api, rig, listening, what)
        eventually(mesh.deaths, 60)
        began = time.monotonic()
        assert mesh.mend()
        assert time.monotonic() - began > LATE / 4
        (pod,) = list_pods(api, namespace, {"app": "ratings"})
        assert (pod.name != listening.name) == (what == "pod")
        assert why_silent(api, AppPort(pod, 9080, "http")) == ""
        name = f"outbound|9080||ratings.{namespace}.svc.cluster.local"
        for proxy, text in mesh.admin("/clusters?format=json").items():
            if name in (held := hosts(text)):
                assert list(held[name]) == [f"{pod.ip}:9080"], proxy
        assert mesh.deaths() == []


def test_what_never_listens_again_is_told_in_one_sentence(api, listening, namespace, kubeconfig, monkeypatch):
    """A second Service names a port at which nobody listens: nothing can be said about it, so the run does not go on."""
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    monkeypatch.setattr("runner.mesh.cluster.opened.MEND_LIMIT", 25.0)
    path = f"/api/v1/namespaces/{namespace}/services"
    spec = {"selector": {"app": "ratings"}, "ports": [{"name": "http", "port": 80, "targetPort": 9999}]}
    api.call("POST", path, None, {"metadata": {"name": "nobody"}, "spec": spec})
    try:
        mesh = ClusterMesh(connect(None), namespace)
        with contextlib.closing(mesh), mesh.hold("a test"):
            killed(api, None, listening, "pod")
            eventually(mesh.deaths, 60)
            with pytest.raises(
                MeshError, match=r"not whole again after 2\d s: port 9999 of ratings-v1-\S+: connection refused"
            ):
                mesh.mend()
    finally:
        api.call("DELETE", f"{path}/nobody")
