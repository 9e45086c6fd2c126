"""The shipped manifests on a real cluster: a run as a Job with nothing but the shipped Roles, ended in every way that a Job can end."""

import contextlib
import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest
import yaml
from kubernetes.client import ApiClient, CoreV1Api
from kubernetes.watch import Watch

from runner.mesh.cluster.app import app_resources
from runner.mesh.cluster.connect import connect
from runner.mesh.cluster.lease import NAME as LEASE
from runner.mesh.cluster.mesh import ClusterMesh
from runner.mesh.cluster.objects import stripped
from tests.cluster.rig.catalogue import RUNNER_IMAGE
from tests.cluster.rig.places import HOME
from tests.deploy.manifests import KUSTOMIZE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SHIPPED = "registry.example.com/meshtrial"
RUNNER = "10001"
MARK = "x-job-test"
EXPERIMENT = f"""
experiment: quick
variants:
  broken:
    apply:
    - apiVersion: networking.istio.io/v1
      kind: VirtualService
      metadata: {{name: productpage}}
      spec:
        hosts: [productpage]
        http:
        - headers: {{response: {{set: {{{MARK}: "yes"}}}}}}
          route: [{{destination: {{host: productpage, port: {{number: 9080}}}}}}]
    - apiVersion: networking.istio.io/v1
      kind: VirtualService
      metadata: {{name: reviews}}
      spec:
        hosts: [reviews]
        http:
        - fault: {{abort: {{percentage: {{value: 100}}, httpStatus: 503}}}}
          route: [{{destination: {{host: reviews}}}}]
load:
  locust: {{file: load.py}}
  users: 2
  warmup: 0s
  duration: DURATION
blocks: 1
checks:
  broken: ["CHECK"]
"""
HOLDS = "proxy[productpage-v1 fault.aborts_injected] > 0"
FAILS = "status[200] == 0"


@pytest.fixture(scope="module")
def place(rig):
    """A namespace with Bookinfo and a volume, and the shipped manifests beside it; gone afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(rig.kubeconfig))
        found = Place(rig, f"job-{os.urandom(3).hex()}")
        try:
            found.prepare()
            yield found
        finally:
            found.remove()


class Place:
    """One namespace of the rig, in which the shipped Job runs."""

    def __init__(self, rig, namespace):
        self.rig = rig
        self.namespace = namespace
        self.volume = HOME / f"volume-{namespace}"
        self.api = connect(None)

    def prepare(self):
        labels = {"istio-injection": "enabled"}
        self.api.call("POST", "/api/v1/namespaces", None, {"metadata": {"name": self.namespace, "labels": labels}})
        self.volume.mkdir()
        os.chown(self.volume, int(RUNNER), int(RUNNER))
        volume = {
            "kind": "PersistentVolume", "apiVersion": "v1", "metadata": {"name": self.namespace},
            "spec": {
                "capacity": {"storage": "2Gi"}, "accessModes": ["ReadWriteOnce"],
                "claimRef": {"namespace": self.namespace, "name": "meshtrial"},
                "hostPath": {"path": str(self.volume), "type": "Directory"},
            },
        }  # fmt: skip
        self.api.call("POST", "/api/v1/persistentvolumes", None, volume)
        mesh = ClusterMesh(connect(None), self.namespace)
        mesh.apply(app_resources("bookinfo", self.namespace, {}, {}))
        mesh.close()

    def remove(self):
        with contextlib.suppress(Exception):
            self.kubectl("delete", "namespace", self.namespace, "--timeout=180s")
        for plural in ("roles", "rolebindings"):
            path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/istio-system/{plural}/meshtrial"
            with contextlib.suppress(Exception):
                self.api.call("DELETE", path)
        self.api.call("DELETE", f"/api/v1/persistentvolumes/{self.namespace}")
        self.api.close()
        shutil.rmtree(self.volume)

    def kubectl(self, *arguments):
        return self.rig.kubectl(*arguments)

    def apply(self, folder, *, overlay="example", duration="3s", check=HOLDS, change=lambda text: text):
        """What the guide says: copy the overlay, set its namespace, image and experiment, and apply it."""
        copy = folder / "kustomize"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(KUSTOMIZE, copy)
        role = copy / "istio" / "role.yaml"
        role.write_text(role.read_text().replace("namespace: default", f"namespace: {self.namespace}"))
        mine = copy / "overlays" / overlay
        text = EXPERIMENT.replace("DURATION", duration).replace("CHECK", check)
        (copy / "overlays" / "example" / "checkout.yaml").write_text(text)
        file = mine / "kustomization.yaml"
        tag = RUNNER_IMAGE.rpartition(":")[2]
        said = file.read_text().replace("namespace: bookinfo", f"namespace: {self.namespace}")
        said = said.replace(SHIPPED, RUNNER_IMAGE.rpartition(":")[0]).replace('newTag: "0.1.0"', f'newTag: "{tag}"')
        file.write_text(change(said))
        self.kubectl("apply", "-k", str(copy / "istio"))
        self.kubectl("apply", "-k", str(mine))

    def pods(self, job):
        query = {"labelSelector": f"job-name={job}"}
        return self.api.get(f"/api/v1/namespaces/{self.namespace}/pods", query)["items"]

    def ended(self, job="meshtrial"):
        """How the Job ended: its condition, and the exit code of its only pod."""

        def done():
            status = self.api.get(f"/apis/batch/v1/namespaces/{self.namespace}/jobs/{job}").get("status") or {}
            kinds = {item["type"] for item in status.get("conditions") or [] if item["status"] == "True"}
            return kinds & {"Complete", "Failed"}

        how = eventually(done, 300)
        (pod,) = self.pods(job)
        (state,) = pod["status"]["containerStatuses"]
        return (
            how.pop(),
            state["state"]["terminated"]["exitCode"],
            self.kubectl("-n", self.namespace, "logs", f"job/{job}"),
        )

    def forget(self, job="meshtrial"):
        self.kubectl("-n", self.namespace, "delete", "job", job, "--wait=true", "--timeout=180s")
        eventually(lambda: not self.pods(job), 150)

    def objects(self):
        """Every object of Istio's in the namespace, without what the server sets."""
        found = {}
        for plural in ("virtualservices", "destinationrules", "gateways"):
            items = self.api.get(f"/apis/networking.istio.io/v1/namespaces/{self.namespace}/{plural}")["items"]
            found |= {(plural, item["metadata"]["name"]): json.dumps(stripped(item), sort_keys=True) for item in items}
        return found

    def changed(self):
        """Wait until the variant is applied and load is on its way."""
        eventually(lambda: ("virtualservices", "reviews") in self.objects(), 120)

    def runs(self):
        """The run documents on the volume, oldest first."""
        paths = sorted((self.volume / "results" / "quick").glob("*/run.json"))
        return [(path.parent, json.loads(path.read_text())) for path in paths]

    def journals(self):
        return list((self.volume / "state" / "meshtrial" / "journal").glob("*"))

    def leases(self):
        items = self.api.get(f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases")["items"]
        return [item for item in items if item["metadata"]["name"] == LEASE]


def eventually(ask, seconds):
    deadline = time.monotonic() + seconds
    while not (found := ask()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.2)
    return found


def only_the_roles(text):
    """Of the example's overlay, the ClusterRole for hints is not necessary."""
    assert "- ../../components/cluster-reader\n" in text
    return text.replace("components:\n- ../../components/cluster-reader\n", "")


@pytest.fixture
def before(place):
    """What the namespace holds; it must be the same after the test, and nothing of a run be left."""
    found = place.objects()
    yield found
    assert place.objects() == found
    assert place.journals() == []
    assert place.leases() == []


@pytest.mark.parametrize(
    ("check", "how", "code", "verdict"), [(HOLDS, "Complete", 0, "pass"), (FAILS, "Failed", 1, "fail")]
)
def test_the_shipped_job_runs_with_the_shipped_roles_alone(place, before, tmp_path, check, how, code, verdict):
    number = len(place.runs())
    place.apply(tmp_path, check=check, change=only_the_roles)
    ended, exit_code, log = place.ended()
    place.forget()
    assert (ended, exit_code) == (how, code), log
    assert "warning" not in log, log
    *_, (folder, document) = place.runs()
    assert len(place.runs()) == number + 1
    assert document["verdict"] == verdict
    assert f"{place.namespace} (in-cluster)" in log
    assert (folder / "report.html").stat().st_size > 100_000
    assert "the mesh holds what it held before, verified on 8 proxies" in log
    assert before


def test_the_service_account_may_do_no_more_than_the_roles_say(place, tmp_path):
    place.apply(tmp_path, change=only_the_roles)
    place.forget()
    me = f"--as=system:serviceaccount:{place.namespace}:meshtrial"

    def may(*words):
        with contextlib.suppress(Exception):
            return place.kubectl("auth", "can-i", *words, me).strip() == "yes"
        return False

    assert may("update", "virtualservices.networking.istio.io", "-n", place.namespace)
    assert not may("update", "virtualservices.networking.istio.io", "-n", "istio-system")
    for verb, resource in (
        ("get", "secrets"),
        ("update", "deployments.apps"),
        ("delete", "pods"),
        ("create", "pods"),
        ("get", "configmaps"),
        ("list", "nodes"),
        ("create", "serviceaccounts/token"),
    ):
        assert not may(verb, resource, "-n", place.namespace), (verb, resource)


@contextlib.contextmanager
def exit_codes(place, job="meshtrial"):
    """Exit codes of a Job's containers, also of those whose pod is deleted: read from every version of it that the server had."""
    seen = []
    watch = Watch()
    client = ApiClient(place.api.configuration)
    core = CoreV1Api(client)

    def look():
        query = {"label_selector": f"job-name={job}", "timeout_seconds": 120}
        for event in watch.stream(core.list_namespaced_pod, place.namespace, **query):
            states = [status.state.terminated for status in event["object"].status.container_statuses or []]
            seen.extend(state.exit_code for state in states if state)
            if event["type"] == "DELETED":
                return

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
        thread.join(timeout=130)
    finally:
        watch.stop()
        client.close()


@pytest.mark.parametrize("what", ["pod", "job"])
def test_a_job_that_is_deleted_restores_before_it_goes(place, before, tmp_path, what):
    place.apply(tmp_path, duration="120s")
    place.changed()
    with exit_codes(place) as seen:
        if what == "job":
            place.kubectl("-n", place.namespace, "delete", "job", "meshtrial", "--wait=false")
        else:
            (pod,) = place.pods("meshtrial")
            place.kubectl("-n", place.namespace, "delete", "pod", pod["metadata"]["name"], "--wait=false")
    if what == "pod":
        place.forget()
    assert place.objects() == before
    assert set(seen) == {143}
    *_, (_, document) = place.runs()
    assert document["verdict"] == "aborted"
    assert document["reason"].startswith("stopped by SIGTERM; the mesh holds what it held before")


def process_of(place):
    """The process id of the run in the Job's pod, which is its container's first process."""
    uid = place.pods("meshtrial")[0]["metadata"]["uid"]
    for process in psutil.process_iter(["pid", "cmdline"]):
        words = process.info["cmdline"] or []
        if "run" in words and f"--namespace={place.namespace}" in words:
            group = Path(f"/proc/{process.info['pid']}/cgroup").read_text(encoding="ascii")
            if uid in group or uid.replace("-", "_") in group:
                return process.info["pid"]
    raise AssertionError("no such process")


def kill(place):
    os.kill(process_of(place), signal.SIGKILL)
    eventually(lambda: place.pods("meshtrial")[0]["status"]["phase"] == "Failed", 60)


def with_recover(text):
    return (
        text.replace("value: /experiments/checkout.yaml", "value: --mesh=cluster")
        .replace("path: /spec/template/spec/containers/0/args/1", "path: /spec/template/spec/containers/0/args")
        .replace("value: --mesh=cluster", "value: [recover, --mesh=cluster]")
    )


def test_recover_as_a_job_restores_from_the_volume_what_a_killed_one_left(place, before, tmp_path):
    place.apply(tmp_path, duration="120s")
    place.changed()
    kill(place)
    (pod,) = place.pods("meshtrial")
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 137
    assert place.objects() != before
    assert len(place.journals()) == 1
    # the dead pod is there, and has ended: its Lease keeps nobody waiting
    place.kubectl("-n", place.namespace, "delete", "job", "meshtrial", "--cascade=orphan")
    place.kubectl(
        "-n", place.namespace, "label", "pod", pod["metadata"]["name"], "job-name-", "batch.kubernetes.io/job-name-"
    )
    begun = time.monotonic()
    place.apply(tmp_path, change=with_recover)
    ended, exit_code, log = place.ended()
    assert (ended, exit_code) == ("Complete", 0), log
    assert "removed VirtualService" in log
    assert time.monotonic() - begun < 50, "a Lease lasts for 60 s"
    assert place.objects() == before
    place.forget()
    place.kubectl("-n", place.namespace, "delete", "pod", pod["metadata"]["name"], "--wait=true")


def test_the_next_job_restores_what_one_left_whose_pod_was_deleted_by_force(place, before, tmp_path):
    place.apply(tmp_path, duration="120s")
    place.changed()
    (pod,) = place.pods("meshtrial")
    os.kill(process_of(place), signal.SIGKILL)
    place.kubectl("-n", place.namespace, "delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force")
    assert place.objects() != before
    place.kubectl("-n", place.namespace, "delete", "job", "meshtrial", "--wait=true")
    place.apply(tmp_path, change=only_the_roles)
    ended, exit_code, log = place.ended()
    place.forget()
    assert (ended, exit_code) == ("Complete", 0), log
    assert "restored what a dead run had left" in log
    assert "removed VirtualService" in log


def test_a_pod_deleted_by_force_alone_leaves_nothing_after_the_next_job(place, before, tmp_path):
    """The API server forgets the pod at once; its node ends the container in its own time, restored or not."""
    place.apply(tmp_path, duration="120s")
    place.changed()
    (pod,) = place.pods("meshtrial")
    place.kubectl("-n", place.namespace, "delete", "job", "meshtrial", "--cascade=orphan")
    place.kubectl("-n", place.namespace, "delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force")
    place.apply(tmp_path, change=only_the_roles)
    ended, exit_code, log = place.ended()
    place.forget()
    assert (ended, exit_code) == ("Complete", 0), log


def test_the_nightly_job_runs_by_hand_and_its_results_go_to_the_store(place, before, tmp_path):
    patch = """
- target: {kind: CronJob, name: meshtrial}
  patch: |
    - op: replace
      path: /spec/jobTemplate/spec/template/spec/containers/0/args/1
      value: /experiments/checkout.yaml
    - op: add
      path: /spec/jobTemplate/spec/template/spec/volumes/-
      value: {name: experiments, configMap: {name: meshtrial-experiments}}
    - op: add
      path: /spec/jobTemplate/spec/template/spec/containers/0/volumeMounts/-
      value: {name: experiments, mountPath: /experiments}
"""
    name, tag = RUNNER_IMAGE.rsplit(":", 1)

    def change(text):
        loaded = yaml.safe_load(text)
        loaded["images"] = [{"name": "meshtrial", "newName": name, "newTag": tag}]
        loaded["components"] = ["../../components/push"]
        loaded["configMapGenerator"] = [{"name": "meshtrial-experiments", "files": ["checkout.yaml", "load.py"]}]
        loaded["patches"] += yaml.safe_load(patch)
        nightly = tmp_path / "kustomize" / "overlays" / "nightly"
        for file in ("checkout.yaml", "load.py"):
            shutil.copy(nightly.parent / "example" / file, nightly)
        return yaml.safe_dump(loaded)

    store = "/var/lib/meshtrial/store"
    place.kubectl(
        "-n",
        place.namespace,
        "create",
        "secret",
        "generic",
        "meshtrial-push",
        f"--from-literal=PUSH_URL=file://{store}",
    )
    place.apply(tmp_path, overlay="nightly", check=FAILS, change=change)
    try:
        place.kubectl("-n", place.namespace, "create", "job", "by-hand", "--from=cronjob/meshtrial")
        ended, exit_code, log = place.ended("by-hand")
        place.forget("by-hand")
        assert (ended, exit_code) == ("Failed", 1), log
        assert " files sent" in log
        *_, (folder, document) = place.runs()
        pushed = place.volume / "store" / "quick" / folder.name
        assert json.loads((pushed / "run.json").read_text()) == document
        assert {path.relative_to(pushed) for path in pushed.rglob("*")} == {
            path.relative_to(folder) for path in folder.rglob("*")
        }
        # the shell in front of the run hands SIGTERM on
        place.apply(tmp_path, overlay="nightly", duration="120s", change=change)
        place.kubectl("-n", place.namespace, "create", "job", "by-hand", "--from=cronjob/meshtrial")
        place.changed()
        with exit_codes(place, "by-hand") as seen:
            place.kubectl("-n", place.namespace, "delete", "job", "by-hand", "--wait=false")
        assert set(seen) == {143}
        *_, (folder, _) = place.runs()
        assert (place.volume / "store" / "quick" / folder.name / "run.json").exists()
    finally:
        place.kubectl("-n", place.namespace, "delete", "cronjob", "meshtrial")
