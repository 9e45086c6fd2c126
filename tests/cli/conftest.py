"""The command line in a folder of its own."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SHOP = """
app: shop
manifests: [shop.yaml]
base: [gateway.yaml]
front: shop:8000
commands:
  shop-v1: {run: ["{python}", "-um", "http.server", "--bind", "{address}", "{port}"], ready: /}
clients: [client]
"""
SHOP_MANIFESTS = """
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{port: 8000, name: http}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop-v1}
spec:
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop, version: v1}}
    spec: {containers: [{name: app, image: shop, ports: [{containerPort: 8000}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: client}
spec:
  selector: {matchLabels: {app: client}}
  template: {metadata: {labels: {app: client}}, spec: {containers: [{name: app, image: client}]}}
"""
SHOP_GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: shop}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec: {hosts: ["*"], gateways: [shop], http: [{route: [{destination: {host: shop}}]}]}
"""
LOAD = """
from locust import FastHttpUser, task

class Visitor(FastHttpUser):
    @task
    def look(self):
        self.client.get("/")
"""
EXPERIMENT = """
mesh: {app: shop/app.yaml}
variants: {as-it-is: {}, again: {}}
load:
  locust: {file: load.py}
  arrivals: {rate: 20/s}
  warmup: 0s
  duration: 500ms
blocks: 1
checks: {as-it-is: ["requests == 10"], again vs as-it-is: ["p50 <= +10%"]}
"""


@dataclass
class Desk:
    """A folder with a small app and an experiment, and the command line in it."""

    folder: Path
    state: Path
    environment: dict = field(default_factory=dict)

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def command(self, *arguments):
        return [sys.executable, "-m", "runner.cli.main", *map(str, arguments)]

    def run(self, *arguments, cwd=None, timeout=120):
        found = subprocess.run(
            self.command(*arguments),
            cwd=cwd or self.folder,
            env={**os.environ, "XDG_STATE_HOME": str(self.state), "COLUMNS": "200", **self.environment},
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
            timeout=timeout,
            capture_output=True,
        )
        assert "Traceback" not in (found.stderr or ""), found.stderr
        return found


@pytest.fixture
def desk(tmp_path):
    """A desk; the meshes that a test leaves up are ended after it."""
    folder = tmp_path / "desk"
    folder.mkdir()
    found = Desk(folder, tmp_path / "state")
    found.write("shop/app.yaml", SHOP)
    found.write("shop/shop.yaml", SHOP_MANIFESTS)
    found.write("shop/gateway.yaml", SHOP_GATEWAY)
    found.write("load.py", LOAD)
    found.write("look.yaml", EXPERIMENT)
    yield found
    if list(found.state.glob("meshtrial/meshes/*")):
        found.run("mesh", "down")
