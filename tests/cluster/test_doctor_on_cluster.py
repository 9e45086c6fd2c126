"""The doctor on a whole cluster with Istio, in a namespace of its own with one client that has a sidecar and one pod that has none."""

import json
import secrets
import shlex
from contextlib import contextmanager
from dataclasses import replace

import pytest
import yaml
from kubernetes.client import ApiClient

from runner.mesh.cluster.connect import connect
from runner.mesh.cluster.doctor import examine
from runner.mesh.cluster.doctor_facts import Unknown
from runner.mesh.cluster.doctor_read import read_cluster
from runner.mesh.finding import Demands, StatDemand, Status
from runner.spec.load_profile import GATEWAY
from tests.deploy.manifests import KUSTOMIZE

SPACE = f"doctor-clinic-{secrets.token_hex(3)}"
CLIENT = """
apiVersion: v1
kind: Service
metadata: {name: client}
spec: {selector: {app: client}, ports: [{name: http, port: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: client}
spec:
  selector: {matchLabels: {app: client}}
  template:
    metadata: {labels: {app: client}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: client, image: docker.io/curlimages/curl:8.16.0, imagePullPolicy: IfNotPresent, command: [sleep, "3600"]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: bare}
spec:
  selector: {matchLabels: {app: bare}}
  template:
    metadata: {labels: {app: bare, sidecar.istio.io/inject: "false"}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: client, image: docker.io/curlimages/curl:8.16.0, imagePullPolicy: IfNotPresent, command: [sleep, "3600"]}
"""


@pytest.fixture(scope="module")
def clinic(kubeconfig, tmp_path_factory):
    """The namespace, as a function that runs kubectl on the cluster."""
    patch = pytest.MonkeyPatch()
    patch.setenv("KUBECONFIG", str(kubeconfig))
    patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    api = connect(None)
    metadata = {"name": SPACE, "labels": {"istio-injection": "enabled"}}
    api.call("POST", "/api/v1/namespaces", None, {"metadata": metadata})
    try:
        for item in yaml.safe_load_all(CLIENT):
            root = "/api/v1" if item["kind"] == "Service" else "/apis/apps/v1"
            api.call("POST", f"{root}/namespaces/{SPACE}/{item['kind'].lower()}s", None, item)
        until_ready(api, 2)
        yield api
    finally:
        api.call("DELETE", f"/api/v1/namespaces/{SPACE}")
        api.close()
        patch.undo()


def until_ready(api, number):
    """Watch the Deployments until that many are available: the API server tells, nobody sleeps."""
    from kubernetes.client import AppsV1Api  # noqa: PLC0415 - here alone
    from kubernetes.watch import Watch  # noqa: PLC0415 - the same

    available = set()
    apps = AppsV1Api(ApiClient(api.configuration))
    for event in Watch().stream(apps.list_namespaced_deployment, SPACE, timeout_seconds=120):
        if (event["object"].status.available_replicas or 0) > 0:
            available.add(event["object"].metadata.name)
        if len(available) == number:
            return
    raise AssertionError(f"only {available} became available")


@contextmanager
def labelled(api, **labels):
    """The namespace with other labels for a moment (None removes one)."""
    path = f"/api/v1/namespaces/{SPACE}"
    before = api.get(path)["metadata"]["labels"]
    put_labels(api, path, {**before, **labels})
    try:
        yield
    finally:
        put_labels(api, path, before)


def put_labels(api, path, labels):
    item = api.get(path)
    item["metadata"]["labels"] = {key: value for key, value in labels.items() if value is not None}
    api.call("PUT", path, None, item)


def only(findings, check):
    found = [item for item in findings if item.check == check]
    assert len(found) == 1, findings
    return found[0]


def test_istio_its_sidecars_and_what_they_say_of_themselves(clinic):
    facts = read_cluster(clinic, SPACE, [])
    assert not isinstance(facts.control, Unknown)
    assert facts.control.why_not == ""
    assert [istiod.ready for istiod in facts.control.istiods] == [True]
    version = facts.control.istiods[0].version
    assert version.count(".") == 2
    assert [proxy.pod.workload for proxy in facts.proxies] == ["client"]
    assert facts.proxies[0].version.partition("-")[0] == version
    assert facts.proxies[0].kept, "pilot-agent always gives Envoy a list of stats to keep"
    assert facts.silent == {}
    assert facts.control.connected == {pod.proxy_id for pod in facts.pods if pod.proxied}


def test_a_cluster_that_is_well_has_nothing_in_the_way(clinic):
    found = examine(None, SPACE)
    assert not [item for item in found if item.status is Status.PROBLEM]
    assert only(found, "injection").status is Status.OK
    assert only(found, "sidecars").status is Status.OK


def test_a_client_without_annotation_keeps_neither_circuit_breaker_nor_fault_counters(clinic):
    demand = StatDemand("proxy[client upstream_rq_pending_overflow] > 0", "client", "upstream_rq_pending_overflow")
    demands = Demands("breaker", stats=(demand,), sources=frozenset({"client"}), faults=("fault.aborts_injected",))
    found = examine(None, SPACE, [demands])
    assert only(found, "proxy stats").status is Status.PROBLEM
    assert only(found, "fault stats").status is Status.PROBLEM
    kept = replace(demand, stat="cluster_manager.cds.update_success")
    found = examine(None, SPACE, [replace(demands, stats=(kept,), faults=())])
    assert only(found, "proxy stats").status is Status.OK


def test_the_patch_that_it_advises_is_what_the_server_takes_and_the_sidecar_obeys(clinic):
    demand = StatDemand("proxy[client upstream_rq_pending_overflow] > 0", "client", "upstream_rq_pending_overflow")
    demands = Demands("breaker", stats=(demand,))
    fix = only(examine(None, SPACE, [demands]), "proxy stats").fix
    patch = json.loads(shlex.split(fix)[-1])
    path = f"/apis/apps/v1/namespaces/{SPACE}/deployments/client"
    item = clinic.get(path)
    item["spec"]["template"]["metadata"]["annotations"] = patch["spec"]["template"]["metadata"]["annotations"]
    item["spec"]["strategy"] = {"type": "Recreate"}
    generation = clinic.call("PUT", path, None, item)["metadata"]["generation"]
    until_rolled_out(clinic, generation)
    assert only(examine(None, SPACE, [demands]), "proxy stats").status is Status.OK


def until_rolled_out(api, generation):
    from kubernetes.client import AppsV1Api  # noqa: PLC0415 - here alone
    from kubernetes.watch import Watch  # noqa: PLC0415 - the same

    apps = AppsV1Api(ApiClient(api.configuration))
    for event in Watch().stream(apps.list_namespaced_deployment, SPACE, timeout_seconds=120):
        item = event["object"]
        done = (item.status.observed_generation or 0) >= generation and (item.status.updated_replicas or 0) == 1
        if item.metadata.name == "client" and done and (item.status.available_replicas or 0) == 1:
            return
    raise AssertionError("the client did not come back")


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"istio-injection": "disabled"}, "istio-injection=disabled"),
        ({"istio-injection": None, "istio.io/rev": "no-such-revision"}, "no revision or tag no-such-revision"),
    ],
)
def test_labels_that_stop_injection(clinic, labels, words):
    with labelled(clinic, **labels):
        item = only(examine(None, SPACE), "injection")
    assert item.status is Status.PROBLEM
    assert words in item.found


def test_ambient_is_refused(clinic):
    with labelled(clinic, **{"istio-injection": None, "istio.io/dataplane-mode": "ambient"}):
        item = only(examine(None, SPACE), "namespace")
    assert item.status is Status.PROBLEM
    assert "ambient mode" in item.found


def test_the_gateways_pods_are_found_where_they_are(clinic):
    item = only(examine(None, SPACE, [Demands("in", sources=frozenset({GATEWAY}))]), "gateway")
    assert item.status is Status.OK


def test_a_source_without_a_sidecar(clinic):
    item = only(examine(None, SPACE, [Demands("in", sources=frozenset({"bare"}))]), "client")
    assert item.status is Status.PROBLEM
    assert "bare has no sidecar" in item.found


@pytest.fixture
def as_service_account(clinic, kubeconfig, monkeypatch, tmp_path):
    """Be the shipped ServiceAccount with nothing but the shipped Roles of some folders."""
    made = []

    def post(namespace, group, plural, item):
        root = (
            f"/apis/{group}/namespaces/{namespace}/{plural}"
            if "/" in group
            else f"/api/v1/namespaces/{namespace}/{plural}"
        )
        clinic.call("POST", root, None, item)
        made.append(f"{root}/{item['metadata']['name']}")

    def become(*folders):
        post(SPACE, "v1", "serviceaccounts", {"metadata": {"name": "meshtrial"}})
        for folder in folders:
            for item in yaml.safe_load_all((KUSTOMIZE / folder / "role.yaml").read_text()):
                for subject in item.get("subjects", []):
                    subject["namespace"] = SPACE
                item["metadata"]["name"] = item.get("roleRef", {}).get("name", item["metadata"]["name"]) + SPACE[-7:]
                if "roleRef" in item:
                    item["roleRef"]["name"] = item["metadata"]["name"]
                namespace = "istio-system" if folder == "istio" else SPACE
                post(namespace, "rbac.authorization.k8s.io/v1", f"{item['kind'].lower()}s", item)
        path = f"/api/v1/namespaces/{SPACE}/serviceaccounts/meshtrial/token"
        token = clinic.call("POST", path, None, {"spec": {"expirationSeconds": 600}})["status"]["token"]
        config = yaml.safe_load(kubeconfig.read_text())
        config["users"] = [{"name": item["name"], "user": {"token": token}} for item in config["users"]]
        mine = tmp_path / "kubeconfig"
        mine.write_text(yaml.safe_dump(config))
        mine.chmod(0o600)
        monkeypatch.setenv("KUBECONFIG", str(mine))

    yield become
    for path in made:
        clinic.call("DELETE", path)


def test_the_shipped_roles_let_the_service_account_see_what_it_needs(as_service_account):
    as_service_account("base", "istio")
    found = examine(None, SPACE, [Demands("in", sources=frozenset({GATEWAY}))])
    assert not [item for item in found if item.status is Status.PROBLEM]
    assert only(found, "Istio").status is Status.OK
    assert only(found, "sidecars").status is Status.OK
    assert only(found, "gateway").status is Status.OK


def test_without_the_role_in_istio_system_proxies_are_seen_and_istiod_is_not(as_service_account):
    as_service_account("base")
    found = examine(None, SPACE)
    assert not [item for item in found if item.status is Status.PROBLEM]
    assert only(found, "Istio").status is Status.SKIPPED
    assert "deploy/kustomize/istio" in only(found, "Istio").fix
    assert only(found, "sidecars").status is Status.OK
