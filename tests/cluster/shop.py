"""A namespace of a cluster with one service behind the gateway, an experiment about it, and the command line, as tests need them."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from runner.istio.load import parse_manifests
from runner.mesh.cluster.app import app_resources
from runner.mesh.cluster.connect import connect
from runner.mesh.cluster.errors import StatusError
from runner.mesh.cluster.kinds import Places
from runner.mesh.cluster.lease import NAME as LEASE
from runner.mesh.cluster.mesh import ClusterMesh
from runner.mesh.cluster.objects import stripped
from runner.mesh.cluster.store import Store
from runner.spec.mesh import ClusterTarget

KEPT = {"client", "ratings-v1", "ratings"}
INJECTED = {"istio-injection": "enabled"}
ROUTING = ("virtualservices", "destinationrules", "gateways")

DOOR = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: [NAMESPACE.example]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: door, labels: {team: "books"}, annotations: {note: "kept ✓"}}
spec:
  hosts: [NAMESPACE.example]
  gateways: [door]
  http: [{route: [{destination: {host: ratings, port: {number: 9080}}}], timeout: 9s}]
"""
LOAD = """
from locust import FastHttpUser, task

class Visitor(FastHttpUser):
    @task
    def page(self):
        self.client.get("/ratings/0")
"""
SLOW = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ratings}
spec: {host: ratings, subsets: [{name: v1, labels: {version: v1}}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: spare}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: [spare.NAMESPACE.example]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: door, labels: {mine: "yes"}}
spec:
  hosts: [NAMESPACE.example]
  gateways: [door]
  http:
  - timeout: 3s
    route: [{destination: {host: ratings, subset: v1, port: {number: 9080}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ratings}
spec:
  hosts: [ratings]
  http: [{route: [{destination: {host: ratings, subset: v1}}], retries: {attempts: 0}}]
"""
EXPERIMENT = """
experiment: bad-day
variants:
  slow: {apply: [slow.yaml]}
load:
  locust: {file: load.py}
  host: NAMESPACE.example
  users: 2
  warmup: 1s
  duration: 3s
blocks: 1
checks:
  slow: ["status[503] == 0"]
"""


@dataclass
class Place:
    """A namespace, an experiment about it in a folder, and the command line there."""

    namespace: str
    folder: Path
    kubeconfig: Path
    environment: dict = field(default_factory=dict)

    def __post_init__(self):
        self.write("slow.yaml", SLOW)
        self.write("load.py", LOAD)
        self.write("bad.yaml", EXPERIMENT)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "KUBECONFIG": str(self.kubeconfig),
            "XDG_STATE_HOME": str(self.folder / "state"),
            **{name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ},
        }

    def write(self, name, text):
        (self.folder / name).write_text(text.replace("NAMESPACE", self.namespace))

    def start(self, *arguments):
        return subprocess.Popen(
            [sys.executable, "-m", "runner.cli.main", *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def command(self, *arguments):
        process = self.start(*arguments)
        out, err = process.communicate(timeout=300)
        assert "Traceback" not in err, err
        assert "defect" not in err, err
        return process.returncode, out, err

    def run(self, *more, namespace=None):
        return self.command("run", "bad.yaml", "--mesh", "cluster", "--namespace", namespace or self.namespace, *more)

    def start_run(self, *more):
        return self.start("run", "bad.yaml", "--mesh", "cluster", "--namespace", self.namespace, *more)

    def refused(self, code, words, *more, namespace=None):
        """The run ends with an exit code and one sentence."""
        ended, _, err = self.run(*more, namespace=namespace)
        told = [line for line in err.splitlines() if line.startswith("meshtrial: ")]
        assert ended == code, err
        assert len(told) == 1, err
        assert re.search(words, told[0]), told[0]
        return told[0]

    def doctor(self, *more, namespace=None):
        return self.command("doctor", "--mesh", "cluster", "--namespace", namespace or self.namespace, *more)

    def journals(self):
        return list((self.folder / "state" / "meshtrial" / "journal").glob("*"))

    def documents(self):
        return [json.loads(path.read_text()) for path in sorted(self.folder.glob("results/*/*/run.json"))]


@contextlib.contextmanager
def connection(kubeconfig):
    """A connection as of somebody whose KUBECONFIG this is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(kubeconfig))
        api = connect(None)
        try:
            yield api
        finally:
            api.close()


@contextlib.contextmanager
def held_mesh(kubeconfig, namespace, state):
    """A namespace as a mesh that this process holds, its state in a folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(kubeconfig))
        patch.setenv("XDG_STATE_HOME", str(state))
        mesh = ClusterMesh.open(ClusterTarget(namespace=namespace))
        try:
            with mesh.hold("a test"):
                yield mesh
        finally:
            mesh.close()


@contextlib.contextmanager
def left_as_found(api, place):
    """A place whose objects are the door alone, now and afterwards, and which nothing of a run is left in."""
    before = objects(api, place.namespace)
    assert set(before) == {("gateways", "door"), ("virtualservices", "door")}
    yield place
    assert objects(api, place.namespace) == before
    assert place.journals() == []
    assert leases(api, place.namespace) == []


def new_namespace(api, labels=None):
    """An empty namespace, by its name."""
    name = f"mt-{os.urandom(4).hex()}"
    body = {"kind": "Namespace", "metadata": {"name": name, "labels": labels or {}}}
    api.call("POST", "/api/v1/namespaces", None, body)
    return name


def door(namespace, service="ratings"):
    """A way to a service from the gateway."""
    text = DOOR.replace("NAMESPACE", namespace).replace("ratings", service)
    return parse_manifests(text, "door.yaml", namespace=namespace)


@contextlib.contextmanager
def part_of_bookinfo(kubeconfig, kept, *, more=lambda _name: [], labels=INJECTED, change=lambda item: item):
    """A namespace with some of Bookinfo in it, deployed by the mesh itself; it goes as a whole.

    Args:
        kubeconfig: whose cluster.
        kept: names of its resources.
        more: further resources, for the namespace's name.
        labels: the namespace's.
        change: of each resource of Bookinfo, what is deployed.
    """
    with connection(kubeconfig) as admin:
        name = new_namespace(admin, labels)
        try:
            mesh = ClusterMesh(connect(None), name)
            found = app_resources("bookinfo", name, {}, {})
            app = [change(item) for item in found if item.key.name in kept or item.key.kind == "ServiceAccount"]
            assert mesh.apply([*app, *more(name)])
            mesh.close()
            yield name
        finally:
            admin.call("DELETE", f"/api/v1/namespaces/{name}")


@contextlib.contextmanager
def shop(kubeconfig, state, labels):
    """A namespace with these labels, and one service, one client and a way in from the gateway in it; gone afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(state))
        with part_of_bookinfo(kubeconfig, KEPT, more=door, labels=labels) as name:
            yield name


def store_of(api, namespace):
    """The store of a namespace, read once."""
    found = Store(api, Places(api), namespace)
    found.read()
    return found


def objects(api, namespace):
    """Every object of Istio's in a namespace, without what the server sets."""
    found = {}
    for plural in ROUTING:
        items = api.get(f"/apis/networking.istio.io/v1/namespaces/{namespace}/{plural}")["items"]
        found |= {(plural, item["metadata"]["name"]): json.dumps(stripped(item), sort_keys=True) for item in items}
    return found


def leases(api, namespace):
    items = api.get(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases")["items"]
    return [item for item in items if item["metadata"]["name"] == LEASE]


@contextlib.contextmanager
def made(api, path, body):
    """An object for a moment."""
    api.call("POST", path, None, body)
    try:
        yield
    finally:
        api.call("DELETE", f"{path}/{body['metadata']['name']}")


def absent(api, path):
    try:
        api.get(path)
    except StatusError as error:
        return error.not_found
    return False


def eventually(ask, seconds):
    deadline = time.monotonic() + seconds
    while not (found := ask()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.1)
    return found
