"""The cluster kind of mesh on a real cluster with Istio: apply to confirmed, evidence, entry, restore, and recover after kill -9."""

import contextlib
import http.client
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from runner.conduct.journal import Journal, MeshAddress
from runner.conduct.recover import recover, reopen
from runner.errors import ConfigRejectedError, InputError, MeshError
from runner.istio.load import load_manifests, merge, parse_manifests
from runner.mesh.cluster.app import app_resources
from runner.mesh.cluster.connect import connect
from runner.mesh.cluster.entry import Forwarder
from runner.mesh.cluster.errors import StatusError
from runner.mesh.cluster.looks import read_dump
from runner.mesh.cluster.mesh import ClusterMesh
from runner.mesh.cluster.objects import stripped
from runner.mesh.cluster.tunnel import run_in
from runner.probes import proxy_stats
from runner.spec.mesh import ClusterTarget
from tests.cluster.shop import INJECTED, connection, new_namespace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ISTIO = Path(__file__).parents[2] / "experiments" / "istio"
KEPT = {"client", "reviews-v1", "reviews-v2", "ratings-v1", "reviews", "ratings"}

GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: [NAMESPACE.example]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: door}
spec:
  hosts: [NAMESPACE.example]
  gateways: [door]
  http: [{route: [{destination: {host: reviews, port: {number: 9080}}}]}]
"""

MATCH = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - match: [{headers: {x-try: {exact: "VALUE"}}}]
    route: [{destination: {host: reviews}}]
    retries: {attempts: 0}
  - route: [{destination: {host: reviews}}]
"""


@pytest.fixture(scope="module")
def namespace(kubeconfig):
    """A namespace with some of Bookinfo in it, deployed and removed by the mesh itself."""
    with connection(kubeconfig) as admin:
        name = new_namespace(admin, INJECTED)
        try:
            mesh = ClusterMesh(connect(None), name)
            app = [
                item
                for item in app_resources("bookinfo", name, {}, {})
                if item.key.name in KEPT or item.key.kind == "ServiceAccount"
            ]
            door = parse_manifests(GATEWAY.replace("NAMESPACE", name), "door.yaml", namespace=name)
            assert mesh.apply([*app, *door])
            yield name
            assert mesh.restore([]) is not None
            assert {item.key.name for item in mesh.applied()} <= {"default"}
            mesh.close()
        finally:
            admin.call("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture
def mesh(namespace, kubeconfig, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    found = ClusterMesh.open(ClusterTarget(namespace=namespace))
    yield found
    found.close()


def _raw(mesh):
    """Every object of Istio's in the namespace, without what the server sets."""
    found = {}
    for kind in ("VirtualService", "DestinationRule", "Gateway"):
        items = mesh.api.get(mesh.store.places.need(kind).path(mesh.namespace))["items"]
        found |= {(kind, item["metadata"]["name"]): json.dumps(stripped(item), sort_keys=True) for item in items}
    return found


def _manifests(mesh, *names):
    found = [load_manifests(ISTIO / f"{name}.yaml", namespace=mesh.namespace) for name in names]
    return [item for item in merge([], *found) if item.key.name in KEPT]


def test_it_says_what_it_is(mesh):
    description = mesh.describe()
    assert {"client", "ratings-v1", "reviews-v1", "reviews-v2"} < set(description.proxies)
    assert description.workloads["reviews"] == ["reviews-v1", "reviews-v2"]
    assert description.envoy.count(".") == 2
    assert mesh.missing_app() == []
    assert mesh.deaths() == []
    assert mesh.istiod.there, mesh.istiod.why_not


@pytest.mark.parametrize(
    "names",
    [
        ("destination-rules", "virtual-services-v1"),
        ("destination-rules", "ratings-delay-2s"),
        ("destination-rules", "virtual-services-v1", "ratings-jason-abort"),
        ("destination-rules", "reviews-mirror-v2"),
        ("destination-rules", "reviews-v2", "reviews-timeout-500ms"),
    ],
    ids=lambda names: names[-1],
)
def test_a_variant_is_confirmed_and_given_back_to_the_byte(mesh, names):
    before, versions, snapshot = _raw(mesh), mesh.versions(), mesh.applied()
    put = _manifests(mesh, *names)
    assert mesh.check(merge(snapshot, put)) is not None
    held = mesh.apply(put)
    assert mesh.versions() == held
    assert all(held[name] != versions[name] for name in ("client", "reviews-v1", "reviews-v2"))
    assert mesh.restore(snapshot) == versions
    assert _raw(mesh) == before


def _status(mesh, host):
    entry = mesh.entry("gateway", host)
    parts = urlsplit(entry.url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", "/reviews/0", headers=entry.headers)
        return connection.getresponse().status


def test_what_was_confirmed_is_what_the_next_request_meets(mesh):
    """Ten times over: the first request after an apply already gets the new answer."""
    snapshot, host = mesh.applied(), f"{mesh.namespace}.example"
    door = next(item for item in snapshot if item.key == parse_manifests(GATEWAY, "d", namespace=mesh.namespace)[1].key)
    assert _status(mesh, host) == 200
    for status in range(520, 530):
        body = json.loads(json.dumps(door.body))
        body["spec"]["http"][0]["fault"] = {"abort": {"percentage": {"value": 100}, "httpStatus": status}}
        fault = parse_manifests(json.dumps(body), "fault.yaml", namespace=mesh.namespace)
        mesh.apply(fault)
        assert _status(mesh, host) == status
    mesh.restore(snapshot)
    assert _status(mesh, host) == 200


def test_a_change_that_only_a_match_shows_is_confirmed_too(mesh):
    snapshot = mesh.applied()
    first = parse_manifests(MATCH.replace("VALUE", "one"), "one.yaml", namespace=mesh.namespace)
    second = parse_manifests(MATCH.replace("VALUE", "two"), "two.yaml", namespace=mesh.namespace)
    try:
        one = mesh.apply(first)
        two = mesh.apply(second)
        assert one["client"] != two["client"]
        assert '"exact": "two"' in mesh.admin("/config_dump?resource=dynamic_route_configs")["client"]
    finally:
        mesh.restore(snapshot)


def test_counters_are_read_and_grow_by_what_was_asked(mesh):
    host = f"{mesh.namespace}.example"
    before = proxy_stats.read(mesh.admin)
    for _ in range(3):
        assert _status(mesh, host) == 200
    moved = proxy_stats.increases(before, proxy_stats.read(mesh.admin))
    served = sum(
        grown
        for name in ("reviews-v1", "reviews-v2")
        for stat, grown in moved[name].items()
        if stat.startswith("http.inbound") and stat.endswith(".downstream_rq_2xx")
    )
    assert served == 3


def test_without_port_forward_the_agent_is_asked_by_exec(mesh):
    client = mesh._fleet.clients["client"]
    client.by_exec = True
    try:
        assert json.loads(client.get("/server_info"))["state"] == "LIVE"
        assert read_dump(client).clusters == read_dump(mesh._fleet.clients["client"]).clusters
        with pytest.raises(MeshError, match=r"exec of false in .*: exit 1"):
            run_in(mesh.api, mesh.namespace, client.pod.name, "istio-proxy", ["false"])
        with pytest.raises(MeshError, match="container nothing"):
            run_in(mesh.api, mesh.namespace, client.pod.name, "nothing", ["true"])
    finally:
        client.by_exec = False


def test_load_can_enter_through_a_port_forward(mesh):
    pod = mesh.inventory.gateways[0]
    forwarder = Forwarder(mesh.api, pod, 8080)
    parts = urlsplit(forwarder.url)
    try:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
        with contextlib.closing(connection):
            for _ in range(3):
                connection.request("GET", "/reviews/0", headers={"Host": f"{mesh.namespace}.example"})
                response = connection.getresponse()
                response.read()
                assert response.status == 200
    finally:
        forwarder.close()


def test_a_port_where_nothing_listens_is_told(mesh):
    from runner.mesh.cluster.admin import HttpOverPod  # noqa: PLC0415

    pod = mesh.inventory.gateways[0]
    with pytest.raises(MeshError, match=f"{pod.name}:65000"):
        HttpOverPod(mesh.api, pod.namespace, pod.name, 65000).get("/")


def test_what_istios_webhook_refuses_is_found_by_the_dry_run(mesh):
    text = MATCH.replace("retries: {attempts: 0}", "retries: {attempts: 0}\n    timeout: 1s").replace("VALUE", "x")
    state = parse_manifests(text, "refused.yaml", namespace=mesh.namespace)
    state[0].body["spec"]["http"][0]["route"][0]["weight"] = -5
    with pytest.raises(InputError, match=r"refused.yaml:\d+:1: the API server refuses VirtualService .*weight"):
        mesh.check([*mesh.applied(), *state])
    before = _raw(mesh)
    with pytest.raises(ConfigRejectedError, match=r"the API server refused .*Nothing was changed"):
        mesh.apply(state)
    assert _raw(mesh) == before


def test_a_pod_that_goes_is_told_and_does_not_keep_the_restore_back(mesh):
    snapshot = mesh.applied()
    mesh.apply(_manifests(mesh, "destination-rules"))
    pod = mesh._pods["ratings-v1"]
    mesh.api.call("DELETE", f"/api/v1/namespaces/{mesh.namespace}/pods/{pod.name}", None, {"gracePeriodSeconds": 0})
    mesh.restore(snapshot)
    deaths = mesh.deaths()
    assert f"the pod {pod.name} of ratings-v1 is gone" in deaths
    deadline = time.monotonic() + 240
    while True:  # for the tests that follow
        try:
            ClusterMesh.open(ClusterTarget(namespace=mesh.namespace)).close()
        except MeshError:
            assert time.monotonic() < deadline
            time.sleep(1)
        else:
            break


def test_after_kill_9_recover_leaves_the_objects_as_they_were(mesh, tmp_path):
    before = _raw(mesh)
    put = _manifests(mesh, "destination-rules", "virtual-services-v1", "ratings-delay-2s")
    home = tmp_path / "journal"
    code = f"""
import sys
from pathlib import Path
from runner.conduct.journal import Journal, MeshAddress
from runner.istio.load import load_manifests, merge
from runner.mesh.cluster.mesh import ClusterMesh
from runner.spec.mesh import ClusterTarget
mesh = ClusterMesh.open(ClusterTarget(namespace={mesh.namespace!r}))
layers = [load_manifests(Path({str(ISTIO)!r}) / f"{{name}}.yaml", namespace=mesh.namespace)
          for name in ("destination-rules", "virtual-services-v1", "ratings-delay-2s")]
put = [item for item in merge([], *layers) if item.key.name in {sorted(KEPT)!r}]
with mesh.hold("a run that dies"):
    description = mesh.describe()
    journal = Journal.begin(Path({str(home)!r}), MeshAddress("cluster", description.identity), mesh.applied(), Path("dead"))
    journal.intend(put, ())
    print("begun", flush=True)
    mesh.apply(put)
    print("applied", flush=True)
    sys.stdin.read()
"""
    for word, pause in (("begun", 0.0), ("begun", 0.15), ("applied", 0.0)):
        with subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            while child.stdout.readline().strip() != word:
                assert child.poll() is None
            time.sleep(pause)
            child.send_signal(signal.SIGKILL)
        (done,) = recover(home, reopen)
        assert done.foreign == ()
        assert _raw(mesh) == before
        if word == "applied":
            assert {key.name for key in done.deleted} == {item.key.name for item in put}


def test_a_journal_of_a_namespace_that_is_gone_is_closed(mesh, tmp_path):
    identity = mesh.describe().identity.replace(mesh.namespace, f"{mesh.namespace}-gone")
    Journal.begin(tmp_path, MeshAddress("cluster", identity), [], tmp_path).abandon()
    (done,) = recover(tmp_path, reopen)
    assert done.gone


def test_a_namespace_without_sidecars_is_refused(mesh):
    api = mesh.api
    name = f"{mesh.namespace}-bare"
    api.call("POST", "/api/v1/namespaces", None, {"kind": "Namespace", "metadata": {"name": name}})
    pod = {
        "metadata": {"name": "a"},
        "spec": {"containers": [{"name": "a", "image": "docker.io/curlimages/curl:8.16.0"}]},
    }
    deadline = time.monotonic() + 60
    try:
        while True:
            try:
                api.call("POST", f"/api/v1/namespaces/{name}/pods", None, pod)
                break
            except StatusError:  # the namespace's service account is not there yet
                assert time.monotonic() < deadline
        with pytest.raises(MeshError, match=f"no pod in the namespace {name} has a sidecar.*istio-injection=enabled"):
            ClusterMesh.open(ClusterTarget(namespace=name))
    finally:
        api.call("DELETE", f"/api/v1/namespaces/{name}")
