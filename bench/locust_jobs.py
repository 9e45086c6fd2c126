"""On a cluster: Locust's workers in pods, from nothing to the first request, and the sum of their rates.

Whole runs of an experiment with one variant on a real cluster, with 1, 2 and 4 workers in pods that take the place of a client, each
with a sidecar of its own. Start-up counts from the moment when the run, its plan checked, asks for the pods: the Job, scheduling,
containers, sidecars that are ready, the load file sent, Locust up in every pod, clocks compared, then the variant applied and confirmed;
it ends when the first request is sent. The rate is that of a closed loop of eight users a worker without a pause, against fortio's
server in a pod without a sidecar: what all workers together got answered in three seconds. Beside it stands the arm that has no pods:
the same load by fortio itself, run by exec in the client's own pod, with as many connections as one worker has users.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cluster import namespace, use_cluster
from bench.measure import Result, ratio, series, side_by_side
from runner.conduct.progress import Silent
from runner.conduct.run import RunOptions, run
from runner.istio.load import parse_manifests
from runner.mesh.cluster.connect import connect
from runner.mesh.cluster.mesh import ClusterMesh
from runner.results.store import RunFolder
from runner.spec.load import load_experiment
from runner.spec.mesh import GENERATOR_IMAGE_VARIABLE

if TYPE_CHECKING:
    from bench.measure import Sample
    from runner.conduct.progress import Step

_RIGS_IMAGE = "docker.io/local/meshtrial:1"
_CLIENT_VARIABLE = "MESHTRIAL_BENCH_CLIENT"
"""An image with fortio and a shell, where the cluster is not the rig."""
_USERS = 8
_APP = """
apiVersion: v1
kind: Service
metadata: {{name: target}}
spec: {{selector: {{app: target}}, ports: [{{name: http, port: 8080}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: target}}
spec:
  selector: {{matchLabels: {{app: target}}}}
  template:
    metadata: {{labels: {{app: target, sidecar.istio.io/inject: "false"}}}}
    spec:
      containers:
      - name: target
        image: {client}
        command: [fortio, server, -http-port, "8080"]
        readinessProbe: {{httpGet: {{path: /fortio/, port: 8080}}, periodSeconds: 1}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: client}}
spec:
  selector: {{matchLabels: {{app: client}}}}
  template:
    metadata: {{labels: {{app: client}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {{name: client, image: {client}, command: [sleep, infinity]}}
"""
_LOADFILE = """
from locust import FastHttpUser, constant, task

class Visitor(FastHttpUser):
    wait_time = constant(0)

    @task
    def echo(self):
        self.client.get("/echo")
"""
_EXPERIMENT = """
experiment: locust-jobs
mesh: {{cluster: {{namespace: {namespace}, generators: {{image: {image}, cpu: 50m, memory: 256Mi}}}}}}
variants:
  as-it-is: {{}}
load:
  {generator}
  from: client
  host: target:8080
  warmup: 1s
  duration: 3s
blocks: 1
"""


class _Watcher(Silent):
    """Notes when pods were asked for, and when the first trial began; in seconds since the epoch."""

    def __init__(self) -> None:
        self.asked = self.joined = 0.0

    def message(self, text: str) -> None:
        """Something was said."""
        if text.startswith("starting "):
            self.asked = time.time()

    def step(self, step: Step) -> None:
        """A phase begins."""
        if step.phase == "apply" and not self.joined:
            self.joined = time.time()


def _one(experiment: Path, results: Path) -> Sample:
    watcher = _Watcher()
    began = time.time()
    done = run(load_experiment(experiment), RunOptions(results=results, seed=1), watcher)
    if done.error is not None:
        raise done.error
    (trial, *_) = RunFolder.open(done.folder).trials()
    first = trial.warmup.started if trial.warmup else trial.window.started
    (measured,) = done.document.variants[0].trials
    return {
        "joined": watcher.joined - (watcher.asked or began),
        "first request": first - (watcher.asked or began),
        "rate": measured.rate,
        "whole run": time.time() - began,
    }


def measure(*, quick: bool) -> Result:
    """Run the benchmark."""
    use_cluster()
    image = os.environ.get(GENERATOR_IMAGE_VARIABLE, _RIGS_IMAGE)
    client = os.environ.get(_CLIENT_VARIABLE, "docker.io/local/client:1")
    counts = (1, 2) if quick else (1, 2, 4)
    with tempfile.TemporaryDirectory(prefix="meshtrial-bench-") as name, namespace("bench") as inside:
        folder = Path(name)
        (folder / "load.py").write_text(_LOADFILE, encoding="utf-8")
        generators = {
            _arm(count): f"locust: {{file: load.py, workers: {count}}}\n  users: {_USERS * count}" for count in counts
        }
        generators["fortio by exec"] = f"fortio: {{path: /echo, connections: {_USERS}, qps: 0}}"
        for arm, generator in generators.items():
            text = _EXPERIMENT.format(namespace=inside, image=image, generator=generator)
            (folder / f"{arm}.yaml").write_text(text, encoding="utf-8")
        app = ClusterMesh(connect(None), inside)
        try:
            app.apply(parse_manifests(_APP.format(client=client), "app.yaml", namespace=inside))
        finally:
            app.close()
        arms = {arm: lambda arm=arm: _one(folder / f"{arm}.yaml", folder / "results") for arm in generators}
        found = side_by_side(arms, 2 if quick else 5, warm=not quick)
    rates = {arm: series(found, arm, "rate", "/s", f"{arm}: requests answered") for arm in arms}
    rows = []
    for count in counts:
        arm = _arm(count)
        rows.append(series(found, arm, "first request", "s", f"{arm}: from asking for pods to the first request"))
        rows.append(series(found, arm, "joined", "s", "- of it until all workers had joined"))
        rows.append(series(found, arm, "whole run", "s", "- the whole run, 4 s of load, everything removed"))
    rows += rates.values()
    rows += [ratio(f"{_arm(count)} to 1 worker", rates[_arm(count)], rates[_arm(1)]) for count in counts[1:]]
    cores = os.cpu_count()
    return Result(rows, [f"On the rig all pods, the target and Kubernetes itself share this machine's {cores} cores."])


def _arm(count: int) -> str:
    return f"{count} worker{'s' * (count > 1)}"
