"""Evidence beside the proxies' counters on a real cluster: istiod's metrics, CPU and memory, Prometheus, and stats added for a run."""

from __future__ import annotations

import copy
import json
import time
from dataclasses import replace

import pytest
import yaml

from runner.conduct.doctor import demands_of
from runner.conduct.journal import Journal, MeshAddress
from runner.conduct.plan import make_plan
from runner.conduct.progress import Silent
from runner.conduct.recover import recover, reopen
from runner.conduct.stats import added_stats
from runner.errors import MeshError
from runner.istio.load import parse_manifests
from runner.mesh.cluster.doctor_stats import ANNOTATION
from runner.mesh.cluster.mesh import ClusterMesh
from runner.mesh.cluster.objects import stripped
from runner.mesh.cluster.tunnel import run_in
from runner.probes import istio_metrics, istiod_metrics, proxy_stats
from runner.probes.prometheus import PromqlReader
from runner.probes.usage import over_window
from runner.spec.load import load_experiment
from runner.spec.mesh import ClusterTarget
from runner.state import journal_home
from tests.cluster.conftest import OWNED
from tests.cluster.rig import prometheus
from tests.cluster.rig.node import Node
from tests.cluster.shop import Place, eventually, part_of_bookinfo

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

KEPT = {"client", "reviews-v1", "reviews"}
STAT = "upstream_rq_pending_overflow"
ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http: [{route: [{destination: {host: reviews}}], timeout: 7s}]
"""
EXPERIMENT = """
experiment: overflow
variants: {only: {apply: []}}
load: {fortio: {connections: 1, path: /}, from: client, duration: 2s}
checks: {only: ["proxy[client upstream_rq_pending_overflow] == 0"]}
"""
BREAKER = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1, maxRequestsPerConnection: 1}}}
"""
BREAKING = """
experiment: overflow
variants: {breaker: {apply: [breaker.yaml]}}
load:
  fortio: {connections: 4, requests: 60, path: /reviews/0, qps: 0}
  from: client
  host: reviews:9080
blocks: 2
checks:
  breaker:
    - "errors == status[503]"
    - "proxy[client upstream_rq_pending_overflow] > 0"
    - "proxy[client upstream_rq_pending_overflow] == status[503]"
"""


@pytest.fixture(scope="module")
def namespace(kubeconfig):
    """A namespace with a client and a service whose sidecars keep only Istio's few stats."""
    with part_of_bookinfo(kubeconfig, KEPT, change=_plain) as name:
        yield name


def _plain(resource):
    """A Deployment as somebody has it who has never heard of stats."""
    if resource.key.kind != "Deployment":
        return resource
    body = copy.deepcopy(resource.body)
    del body["spec"]["template"]["metadata"]["annotations"]
    return replace(resource, body=body, parsed={})


@pytest.fixture
def mesh(namespace, kubeconfig, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    found = ClusterMesh.open(ClusterTarget(namespace=namespace))
    yield found
    found.close()


def _deployments(mesh):
    """Every Deployment of the namespace, without what the server sets."""
    items = mesh.api.get(mesh.store.places.need("Deployment").path(mesh.namespace))["items"]
    return {item["metadata"]["name"]: json.dumps(stripped(item), sort_keys=True) for item in items}


def _ask(mesh, times):
    """Send requests from the client, through its sidecar."""
    client = next(pod for pod in mesh.inventory.pods if pod.workload == "client")
    script = f"for i in $(seq {times}); do curl -s -o /dev/null http://reviews:9080/reviews/0; done"
    run_in(mesh.api, mesh.namespace, client.name, client.containers[0], ["sh", "-c", script])


def _keeps(mesh):
    """Whether the client's sidecar counts what its circuit breaker refuses; it makes such a counter with the first request."""
    _ask(mesh, 1)
    return f"{mesh.namespace}.svc.cluster.local;.{STAT}: " in mesh.admin("/stats")["client"]


def _plan(tmp_path, namespace):
    path = tmp_path / "overflow.yaml"
    path.write_text(f"mesh: {{cluster: {{namespace: {namespace}}}}}\n{EXPERIMENT}")
    return make_plan(load_experiment(path), 1)


def test_istiod_tells_what_it_pushed(mesh):
    before = {pod: istiod_metrics.parse(text) for pod, text in mesh.telemetry().control_plane().items()}
    assert before
    route = parse_manifests(ROUTE, "route.yaml", namespace=mesh.namespace)
    mesh.apply(route)
    middle = {pod: istiod_metrics.parse(text) for pod, text in mesh.telemetry().control_plane().items()}
    counted = istiod_metrics.between(before, middle)
    assert counted.pushes["rds"] >= 2
    assert counted.rejects == 0
    assert counted.converged >= 2
    assert counted.convergence_ms is not None
    assert 0 < counted.convergence_ms < 60_000
    mesh.apply((), [route[0].key])


def test_usage_of_proxies_and_apps(mesh):
    telemetry = mesh.telemetry()
    before = telemetry.usage()
    started = time.time()
    assert {(one.workload, one.part) for one in before} >= {
        (workload, part) for workload in ("client", "reviews-v1") for part in ("proxy", "app")
    }
    deadline = time.monotonic() + 60
    while True:  # until its source has measured again
        after = telemetry.usage()
        if min(one.at for one in after) > max(one.at for one in before) + 1:
            break
        assert time.monotonic() < deadline, "the source measures too seldom"
        mesh.admin("/stats")
    found, why = over_window(before, after, started, time.time())
    assert why == "" or telemetry.usage_note
    by_part = {(one.workload, one.part): one for one in found}
    proxy = by_part["client", "proxy"]
    assert proxy.memory_mb is not None
    assert 5 < proxy.memory_mb < 2000
    if not telemetry.usage_note:
        assert proxy.cores is not None
        assert 0 <= proxy.cores < 8


def test_without_permissions_only_envoy_tells(mesh, monkeypatch):
    real = mesh.api.get

    def refuse(path, query=None):
        if "metrics.k8s.io" in path or "/proxy/stats/summary" in path:
            return real("/api/v1/nodes/no-such-node/proxy/stats/summary")  # the server's own refusal: 404
        return real(path, query)

    monkeypatch.setattr(mesh.api, "get", refuse)
    telemetry = mesh.telemetry()
    found = telemetry.usage()
    assert {one.part for one in found} == {"proxy"}
    assert all(one.cpu is None and one.memory and one.memory > 1_000_000 for one in found)
    assert "the metrics API" in telemetry.usage_note


def test_stats_are_added_for_a_run_and_taken_back(mesh, tmp_path, own_state):
    before = _deployments(mesh)
    assert not _keeps(mesh)
    with added_stats(mesh, _plan(tmp_path, mesh.namespace), Silent(), wanted=True):
        assert list(journal_home().glob("*"))
        assert _keeps(mesh)
        during = json.loads(_deployments(mesh)["client"])
        written = yaml.safe_load(during["spec"]["template"]["metadata"]["annotations"][ANNOTATION])
        assert "cluster.outbound" in written["proxyStatsMatcher"]["inclusionPrefixes"]
        assert _deployments(mesh)["reviews-v1"] == before["reviews-v1"]  # no check reads its sidecar
        assert mesh.deaths() == []
    assert _deployments(mesh) == before
    assert not list(journal_home().glob("*.jsonl"))
    assert not _keeps(mesh)


def test_nothing_is_added_unasked(mesh, tmp_path):
    before = _deployments(mesh)
    with added_stats(mesh, _plan(tmp_path, mesh.namespace), Silent(), wanted=False):
        assert _deployments(mesh) == before


def test_recover_takes_stats_back(mesh, tmp_path, own_state):
    """What a run that died meanwhile left."""
    before = _deployments(mesh)
    changed, notes = mesh.more_stats(_demands(tmp_path, mesh.namespace))
    assert ([item.key.name for item in changed], notes) == (["client"], [])
    address = MeshAddress("cluster", mesh.describe().identity)
    journal = Journal.begin(journal_home(), address, mesh.applied(), tmp_path)
    journal.intend(changed, ())
    mesh.apply(changed)
    journal.abandon()
    assert _deployments(mesh) != before
    done = recover(journal_home(), reopen)
    assert [key.name for key in done[0].put] == ["client"]
    assert _deployments(mesh) == before


@pytest.fixture
def place(namespace, kubeconfig, tmp_path):
    """A folder with an experiment about a circuit breaker, and the command line there."""
    found = Place(namespace, tmp_path, kubeconfig)
    found.write("breaker.yaml", BREAKER)
    found.write("overflow.yaml", BREAKING)
    return found


def _run(place, *more):
    """Run the experiment; its exit code, its document and what it said."""
    code, out, err = place.command("run", "overflow.yaml", "--mesh", "cluster", "--namespace", place.namespace, *more)
    assert out.strip(), err
    folder = place.folder / out.splitlines()[-1]
    return code, json.loads((folder / "run.json").read_text()), err


def test_a_run_says_which_counters_are_not_kept_and_adds_them_when_asked(mesh, place):
    before = _deployments(mesh)
    code, document, err = _run(place)
    checks = {check["check"].partition(": ")[2]: check for check in document["checks"]}
    assert (code, document["verdict"]) == (5, "inconclusive"), err
    assert checks["errors == status[503]"]["outcome"] == "held"
    blind = checks[f"proxy[client {STAT}] > 0"]
    assert blind["outcome"] == "inconclusive"
    assert "--add-stats" in f"{blind['reason']} {document['warnings']} {err}"
    assert _deployments(mesh) == before

    code, document, err = _run(place, "--add-stats")
    assert (code, document["verdict"]) == (0, "pass"), (document["reason"], err)
    breaker = document["variants"][0]
    counted = {name: by for name, by in breaker["proxy"]["client"].items() if name.endswith(f".{STAT}")}
    assert list(counted.values()) == [breaker["status"]["503"]]
    assert breaker["status"]["503"] > 0
    assert breaker["status"]["503"] + breaker["status"]["200"] == breaker["requests"]
    assert "restarts the pods of client" in err
    assert _deployments(mesh) == before
    assert place.journals() == []
    assert not _keeps(mesh.__class__.open(ClusterTarget(namespace=mesh.namespace)))


def _demands(tmp_path, namespace):
    return demands_of(_plan(tmp_path, namespace))


@pytest.fixture
def with_prometheus(rig, mesh):
    """The same mesh, on a rig that has Prometheus."""
    if not OWNED and "deployment.apps/prometheus" not in rig.kubectl(
        "-n", "istio-system", "get", "deploy", "-o", "name"
    ):
        pytest.skip("the rig was up before this run, so it is somebody's, and has no Prometheus: ... rig prometheus")
    prometheus.install(Node(rig))
    return mesh


def test_promql_counts_what_envoy_counts(with_prometheus):
    mesh = with_prometheus
    sent = 'istio_requests_total{reporter="source",source_workload="client",namespace="' + mesh.namespace + '"}'
    telemetry = mesh.telemetry()
    reader = PromqlReader(
        {
            "sent": f"sum(increase({sent}[$window]))",
            "fives": f'sum(increase({sent[:-1]},response_code=~"5.."}}[$window])) or vector(0)',
            "proxies": "min_over_time(sum(pilot_xds)[$window:1s])",
            "typo": "sum(increase(istio_request_total[$window])) or vector(0)",
        },
        telemetry.prometheus,
        lambda: telemetry.prometheus_name,
        limit=20.0,
    )
    assert reader.wrong() == {}

    _ask(mesh, 3)  # series begin with their first request
    edge = reader.edge()
    assert edge.why == ""
    started = time.time()
    _ask(mesh, 17)
    found = reader.read(edge, started, time.time())
    assert found.values["sent"] == 17
    assert found.values["fives"] == 0
    assert found.values["typo"] is None
    assert "has no series of istio_request_total" in found.absent["typo"]
    assert telemetry.prometheus_name.startswith("istio-system/prometheus-")


def test_who_called_whom(with_prometheus):
    """The proxies' own counts by edge; where they come from a stats access logger, a sender does not know the workload."""
    mesh = with_prometheus
    service = f"reviews.{mesh.namespace}.svc.cluster.local"

    def counted(edges, reporter):
        return sum(edge.requests for edge in edges if edge.reporter == reporter and edge.code == "200")

    def asked():
        _ask(mesh, 1)
        return len(istio_metrics.read(mesh.admin)) >= 2 and istio_metrics.edges({}, istio_metrics.read(mesh.admin))

    eventually(asked, 60)  # the proxies hold what makes them count

    def settled():
        """A reading that the next one repeats: a request is counted a moment after its answer."""
        first, second = istio_metrics.read(mesh.admin), istio_metrics.read(mesh.admin)
        return second if first == second else None

    before, stats = eventually(settled, 20), proxy_stats.read(mesh.admin)
    _ask(mesh, 9)
    found = []

    def all_of_them():
        found[:] = istio_metrics.edges(before, istio_metrics.read(mesh.admin))
        return counted(found, "source") >= 9 and counted(found, "destination") >= 9

    eventually(all_of_them, 20)
    (sent,) = [edge for edge in found if edge.reporter == "source"]
    (taken,) = [edge for edge in found if edge.reporter == "destination"]
    assert (sent.source, sent.service, sent.code, sent.flags, sent.requests) == ("client", service, "200", "-", 9)
    assert sent.duration_ms is None or sent.duration_ms > 0
    assert (taken.destination, taken.code, taken.requests) == ("reviews-v1", "200", 9)
    moved = proxy_stats.read(mesh.admin)
    assert not [name for values in (*stats.values(), *moved.values()) for name in values if "reporter" in name]


def test_a_query_that_prometheus_can_not_parse(with_prometheus):
    wrong = PromqlReader({"q": "sum(increase(a[$window])"}, with_prometheus.telemetry().prometheus).wrong()
    assert "parse error" in wrong["q"]


def test_no_prometheus_at_a_url(namespace, kubeconfig, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    mesh = ClusterMesh.open(ClusterTarget(namespace=namespace, prometheus="http://127.93.9.9:9"))
    try:
        with pytest.raises(MeshError, match=r"Prometheus at http://127.93.9.9:9 does not answer"):
            mesh.telemetry().prometheus("/api/v1/query?query=1")
    finally:
        mesh.close()
