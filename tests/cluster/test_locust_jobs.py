"""Locust inside a real cluster: workers as pods that a run makes, counts that the sidecars confirm, and nothing left whatever ends it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runner.mesh.cluster.job import GENERATOR
from runner.results.store import RunFolder
from tests.cluster.rig import lifecycle
from tests.cluster.rig.catalogue import RUNNER_IMAGE
from tests.cluster.shop import DOOR, connection, part_of_bookinfo

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

KEPT = {"client", "reviews-v1", "ratings-v1", "reviews", "ratings"}
TIMEOUT = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http: [{route: [{destination: {host: reviews}}], timeout: 300ms, retries: {attempts: 0}}]
"""
DELAY = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - match: [{headers: {x-slow: {exact: "1"}}}]
    fault: {abort: {percentage: {value: 100}, httpStatus: 418}}
    route: [{destination: {host: reviews}}]
  - route: [{destination: {host: reviews}}]
"""
LOADFILE = """
import os
from pathlib import Path

from helper import label
from locust import FastHttpUser, task
from runner.load.feed import Feed

rows = Feed.csv(Path(__file__).with_name("rows.csv"))


class Visitor(FastHttpUser):
    @task
    def page(self):
        row = rows.next()
        with self.client.get(
            f"/reviews/{row['id']}", name="/reviews/:id", headers={"x-slow": row["slow"]}, catch_response=True
        ) as response:
            response.request_meta["context"]["outcome"] = label(os.environ["TOKEN"])
            if response.status_code in {200, 418}:
                response.success()
"""
EXPERIMENT = """
experiment: jobs
env: [TOKEN]
mesh: {{cluster: {{namespace: {namespace}, generators: {{image: {image}, cpu: 50m, memory: 256Mi, wait: {wait}}}}}}}
variants:
  aborted: {{apply: [delay.yaml]}}
  timed: {{apply: [timeout.yaml]}}
load:
  locust: {{file: load/visitor.py{workers}}}
  from: {source}
  host: {host}
  arrivals: {{rate: 30/s}}
  warmup: 1s
  duration: {duration}
blocks: 1
checks:
  aborted: ["requests > 0"]
"""


@pytest.fixture(scope="module")
def image(kubeconfig):
    """The image of generators: the rig's own, elsewhere what MESHTRIAL_IMAGE names."""
    named = os.environ.get("MESHTRIAL_IMAGE")
    if named:
        return named
    if kubeconfig.resolve() != lifecycle.KUBECONFIG:
        pytest.skip("MESHTRIAL_IMAGE does not name an image of this version that the cluster can pull")
    return RUNNER_IMAGE


@pytest.fixture(scope="module")
def namespace(kubeconfig):
    """A namespace with a client and reviews in it."""
    with part_of_bookinfo(kubeconfig, KEPT) as name:
        yield name


@pytest.fixture
def api(kubeconfig):
    with connection(kubeconfig) as found:
        yield found


@pytest.fixture
def runs(tmp_path, namespace, image, kubeconfig):
    """Start `meshtrial run` of an experiment in that namespace, as a process."""
    folder = tmp_path / "exp"
    (folder / "load").mkdir(parents=True)
    (folder / "load" / "visitor.py").write_text(LOADFILE)
    (folder / "load" / "helper.py").write_text("def label(token):\n    return f'token of {len(token)}'\n")
    (folder / "load" / "rows.csv").write_text("id,slow\n0,0\n1,1\n2,0\n")
    (folder / "delay.yaml").write_text(DELAY)
    (folder / "timeout.yaml").write_text(TIMEOUT)
    environ = {**os.environ, "KUBECONFIG": str(kubeconfig), "XDG_STATE_HOME": str(tmp_path / "state"), "TOKEN": SECRET}
    started = []

    def start(
        *, source="client", host="reviews:9080", workers="", duration="4s", wait="180s", image=image, command="run"
    ):
        text = EXPERIMENT.format(
            namespace=namespace, image=image, source=source, host=host, workers=workers, duration=duration, wait=wait
        )
        (folder / "jobs.yaml").write_text(text)
        arguments = ["run", "--results", str(tmp_path / "results"), str(folder / "jobs.yaml")]
        process = subprocess.Popen(
            [sys.executable, "-m", "runner.cli.main", *(arguments if command == "run" else [command])],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=120)
        process.kill()
        process.communicate()


SECRET = "hunter2-not-for-the-cluster"  # noqa: S105 - it only plays one


def pods_of(api, namespace):
    query = {"labelSelector": GENERATOR}
    return api.get(f"/api/v1/namespaces/{namespace}/pods", query)["items"]


def left(api, namespace):
    """Every Job, pod, ConfigMap, Secret and Service of a run, by kind and name."""
    found = {("pod", pod["metadata"]["name"]) for pod in pods_of(api, namespace)}
    jobs = api.get(f"/apis/batch/v1/namespaces/{namespace}/jobs")["items"]
    found |= {("job", job["metadata"]["name"]) for job in jobs}
    for kind in ("configmaps", "secrets", "services"):
        items = api.get(f"/api/v1/namespaces/{namespace}/{kind}")["items"]
        found |= {(kind, one["metadata"]["name"]) for one in items if "meshtrial-load" in json.dumps(one["metadata"])}
    return found


def wait_for(what, process, seconds=120.0):
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


def measuring(api, namespace, process):
    """The pods, once workers are aboard and requests come out of one's sidecar."""

    def under_load():
        for pod in pods_of(api, namespace):
            with contextlib.suppress(Exception):
                if "GET /reviews" in api.text(
                    f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}/log", {"container": "istio-proxy"}
                ):
                    return pods_of(api, namespace)
        return None

    return wait_for(under_load, process)


def finished(process):
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def grown(trial, proxies, ending):
    """By how much the counters with that ending grew in some proxies, summed."""
    found = [
        value - trial.stats_before[proxy].get(name, 0)
        for proxy in proxies
        for name, value in trial.stats_after[proxy].items()
        if name.endswith(ending)
    ]
    assert found
    return sum(found)


@pytest.mark.parametrize(("workers", "number"), [("", 1), (", workers: 2", 2)])
def test_what_workers_in_pods_count_is_what_their_sidecars_count(runs, api, namespace, workers, number):
    code, out, err = finished(runs(workers=workers))
    assert code in {0, 5}, err
    assert f"starting {number} pod{'s' * (number > 1)} for load from client" in err
    folder = Path(out.strip().splitlines()[-1])
    document = json.loads((folder / "run.json").read_text())
    trials = {one["variant"]: one for variant in document["variants"] for one in variant["trials"]}
    assert trials["aborted"]["status"] == {"200": 80, "418": 40}
    assert trials["timed"]["status"] == {"200": 120}
    assert trials["timed"]["outcomes"] == {f"token of {len(SECRET)}": 120}
    assert trials["timed"]["remarks"][0].startswith(f"workers from elsewhere: {number}; their clocks differed")
    clients = {name for name in document["mesh"]["proxies"] if name.startswith("client")}
    assert len(clients) == number + 1
    for variant, answered, aborts in (("aborted", 80, 40), ("timed", 120, 0)):
        trial = RunFolder.open(folder).trial(trials[variant]["file"])
        assert grown(trial, clients, f"reviews.{namespace}.svc.cluster.local;.upstream_rq_200") == answered
        assert grown(trial, clients, ".fault.aborts_injected") == aborts
        assert grown(trial, {"reviews-v1"}, "inbound|9080||;.upstream_rq_200") == answered
    assert left(api, namespace) == set()
    assert SECRET not in "".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())


def test_the_load_enters_at_the_gateway_from_outside_the_mesh(runs, api, namespace, tmp_path):
    door = DOOR.replace("NAMESPACE", "reviews").replace("ratings", "reviews")
    (tmp_path / "exp" / "timeout.yaml").write_text(TIMEOUT + "---\n" + door)
    (tmp_path / "exp" / "delay.yaml").write_text(DELAY + "---\n" + door)
    process = runs(source="gateway", host="reviews.example", workers=", workers: 2")
    pods = wait_for(lambda: pods_of(api, namespace), process)
    assert all(container["name"] == "generator" for pod in pods for container in pod["spec"]["containers"])
    code, out, err = finished(process)
    assert code in {0, 5}, err
    assert "port-forward" not in err
    document = json.loads((Path(out.strip().splitlines()[-1]) / "run.json").read_text())
    assert {variant["name"]: variant["trials"][0]["requests"] for variant in document["variants"]} == {
        "aborted": 120,
        "timed": 120,
    }
    assert left(api, namespace) == set()


def test_a_worker_pod_that_is_killed_ends_the_run_and_nothing_is_left(runs, api, namespace):
    process = runs(workers=", workers: 2", duration="60s")
    pod = measuring(api, namespace, process)[0]["metadata"]["name"]
    api.call("DELETE", f"/api/v1/namespaces/{namespace}/pods/{pod}", None, {"gracePeriodSeconds": 0})
    code, out, err = finished(process)
    assert code == 3
    assert f"({pod}) died: exit code" in err
    assert f"the pod {pod}" in err
    document = json.loads((Path(out.strip().splitlines()[-1]) / "run.json").read_text())
    assert document["verdict"] == "error"
    assert not [trial for variant in document["variants"] for trial in variant["trials"] if trial["valid"]]
    assert left(api, namespace) == set()


def test_a_run_that_is_killed_leaves_pods_that_do_nothing_and_recover_removes_them(runs, api, namespace, tmp_path):
    process = runs(workers=", workers: 2", duration="60s")
    pods = measuring(api, namespace, process)
    assert SECRET not in json.dumps(pods)
    process.kill()
    process.communicate()
    kinds = {kind for kind, _ in left(api, namespace)}
    assert kinds == {"job", "pod"}
    code, out, err = finished(runs(command="recover"))
    assert code == 0, err
    assert "the load generators of a run: removed Job" in out + err
    assert left(api, namespace) == set()
    assert list((tmp_path / "state" / "meshtrial" / "journal").glob("*.jsonl")) == []


def test_sigint_while_pods_are_awaited_leaves_nothing(runs, api, namespace):
    process = runs(image="docker.io/local/nothing-of-that-name:1")
    wait_for(lambda: pods_of(api, namespace), process)
    process.send_signal(signal.SIGINT)
    assert finished(process)[0] == 130
    assert left(api, namespace) == set()


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"image": "docker.io/local/nothing-of-that-name:1"}, ("can't run: ", "Pull", "mesh.cluster.generators.image")),
        ({"image": "docker.io/local/apps:1"}, ("it ended at once (Error, exit code 1)", "No module named")),
    ],
)
def test_an_image_that_will_not_do_is_told_in_one_sentence(runs, api, namespace, rig, keys, told):
    assert rig is not None
    code, _, err = finished(runs(**keys))
    assert code == 3
    last = err.strip().splitlines()[-1]
    assert all(words in last for words in told), err
    assert left(api, namespace) == set()


def test_a_pod_that_no_node_takes_is_told(runs, api, namespace, tmp_path):
    process = runs(wait="5s, node_selector: {no-such: node}")
    code, _, err = finished(process)
    assert code == 3
    assert "no node takes it: " in err
    assert left(api, namespace) == set()
