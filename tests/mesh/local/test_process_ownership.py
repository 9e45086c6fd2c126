"""However the owner of an embedded mesh dies, no process, port or file of it stays."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runner.mesh.local.children import Started
from runner.mesh.local.instance import living_instances
from runner.mesh.local.mesh import LocalMesh

OWNER = """
import sys
from runner.mesh.local.mesh import LocalMesh
mesh = LocalMesh.start("httpbin")
print(mesh.instance.folder, mesh.gateway_url(), flush=True)
sys.stdin.read()
"""

LIMIT = 20.0


def started_processes(folder: Path) -> list[Started]:
    lines = (folder / "pids").read_text().splitlines()
    return [Started(int(line.split()[0]), line.split()[1]) for line in lines]


def wait_until(condition):
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def assert_nothing_left(folder, processes, url):
    wait_until(lambda: not any(process.lives() for process in processes))
    wait_until(lambda: not folder.exists())
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.socket() as probe:
        probe.bind((host, int(port)))


@pytest.fixture
def owner(own_state):
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    folder, url = process.stdout.readline().split()
    yield process, Path(folder), url
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_mesh_goes_with_its_owner(owner, number):
    process, folder, url = owner
    processes = started_processes(folder)
    assert len(processes) == 6
    assert all(item.lives() for item in processes)
    process.send_signal(number)
    process.wait()
    assert_nothing_left(folder, processes, url)


def test_the_mesh_goes_when_its_supervisor_is_killed(owner):
    _, folder, url = owner
    processes = started_processes(folder)
    os.kill(int((folder / "supervisor.pid").read_text()), signal.SIGKILL)
    assert_nothing_left(folder, processes, url)


def test_what_a_child_started_goes_too(tmp_path, own_state):
    server = (
        "import http.server as h, os; address = os.environ['BIND_ADDRESS'], int(os.environ['PORT']); "
        "h.HTTPServer(address, h.SimpleHTTPRequestHandler).serve_forever()"
    )
    (tmp_path / "shop.yaml").write_text(
        """
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{port: 8000, name: http}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop-v1}
spec:
  replicas: 2
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop, version: v1}}
    spec: {containers: [{name: shop, ports: [{containerPort: 8000}]}]}
"""
    )
    (tmp_path / "app.yaml").write_text(
        json.dumps(
            {
                "app": "shop",
                "manifests": ["shop.yaml"],
                "front": "shop:8000",
                "commands": {"shop-v1": {"run": ["sh", "-c", f'sleep 1000 & exec {sys.executable} -c "{server}"']}},
            }
        )
    )
    mesh = LocalMesh.start(str(tmp_path / "app.yaml"), owned=False)
    folder = mesh.instance.folder
    processes = started_processes(folder)
    groups = {process.pid for process in processes}
    try:
        assert [pod.name for pod in mesh.instance.topology.pods] == ["istio-ingressgateway", "shop-v1-0", "shop-v1-1"]
        assert mesh.describe().workloads["shop"] == ["shop-v1"]
        assert [item.identity for item in living_instances()] == [folder.name]
    finally:
        mesh.leave_running()
        os.kill(int((folder / "supervisor.pid").read_text()), signal.SIGKILL)

    def members():
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if int(fields[2]) in groups and fields[0] != "Z":
                    found.append(entry.name)
        return found

    wait_until(lambda: not members())
    wait_until(lambda: not folder.exists())


def test_a_child_that_dies_is_noted_and_named(own_state):
    mesh = LocalMesh.start("httpbin")
    try:
        assert mesh.deaths() == []
        proxy = next(item for item in started_processes(mesh.instance.folder))
        os.kill(proxy.pid, signal.SIGKILL)
        wait_until(mesh.deaths)
        assert mesh.deaths() == ["istio-ingressgateway proxy ended with signal SIGKILL"]
        assert "istio-ingressgateway" not in mesh.versions()
    finally:
        mesh.close()
