"""Envoys with next to nothing in them, started as the embedded mesh starts its own: what the mesh is measured against."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from runner.mesh.local.children import spawn
from runner.mesh.local.launch import ENVOY_WORKERS, envoy_binary
from runner.mesh.local.network import claim_network

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

ADMIN_PORT = 15000
PORT = 8080
ROUTE = "bare"
_LIMIT = 30.0
_POLL = 0.005


def answer(text: str, version: str = "1") -> dict[str, Any]:
    """A route configuration, as an xDS answer, in which Envoy itself answers every request with `text`."""
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": text}}}
    return {
        "version_info": version,
        "resources": [
            {
                "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
                "name": ROUTE,
                "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}],
            }
        ],
    }


def fault(delay: float, delayed: int, aborted: int, status: int = 503) -> dict[str, Any]:
    """Envoy's fault filter: `delayed` percent of requests wait `delay` seconds, `aborted` percent are answered with `status`."""
    config: dict[str, Any] = {"@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"}
    if delayed:
        config["delay"] = {"fixed_delay": f"{delay}s", "percentage": {"numerator": delayed, "denominator": "HUNDRED"}}
    if aborted:
        config["abort"] = {"http_status": status, "percentage": {"numerator": aborted, "denominator": "HUNDRED"}}
    return {"name": "envoy.filters.http.fault", "typed_config": config}


def _bootstrap(address: str, routes: Path, filters: Sequence[dict[str, Any]]) -> dict[str, Any]:
    types = "type.googleapis.com/envoy.extensions.filters"
    source = {"path_config_source": {"path": str(routes)}, "resource_api_version": "V3"}
    manager = {
        "@type": f"{types}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bare",
        "rds": {"route_config_name": ROUTE, "config_source": source},
        "http_filters": [
            *filters,
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{types}.http.router.v3.Router"}},
        ],
    }
    chain = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    return {
        "node": {"id": "bare", "cluster": "bare"},
        "admin": {"address": _address(address, ADMIN_PORT)},
        "static_resources": {
            "listeners": [{"name": "bare", "address": _address(address, PORT), "filter_chains": [{"filters": chain}]}]
        },
    }


def _address(address: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": address, "port_value": port}}


@dataclass(frozen=True, slots=True)
class Envoy:
    """One bare Envoy that answers every request itself.

    Attributes:
        address: where it listens: requests at `PORT`, its admin interface at `ADMIN_PORT`.
        routes: its route configuration, watched for renames.
        process: the process.
    """

    address: str
    routes: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """Where requests go."""
        return f"http://{self.address}:{PORT}"

    def counter(self, name: str) -> int:
        """One of its counters, by its full name; 0 while it does not exist."""
        connection = http.client.HTTPConnection(self.address, ADMIN_PORT, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", f"/stats?filter=^{name.replace('.', '%5C.')}$")
            return int(connection.getresponse().read().decode().rpartition(": ")[2] or 0)

    def is_ready(self) -> bool:
        """Whether `/ready` says so now."""
        connection = http.client.HTTPConnection(self.address, ADMIN_PORT, timeout=5)
        try:
            connection.request("GET", "/ready")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


class BareEnvoys:
    """Context with some bare Envoys, all started before any of them is waited for; ready when entered."""

    def __init__(
        self, folder: Path, number: int = 1, workers: int = ENVOY_WORKERS, filters: Sequence[dict[str, Any]] = ()
    ) -> None:
        self._folder = folder
        self._number = number
        self._workers = workers
        self._filters = filters
        self._stack = contextlib.ExitStack()
        self.envoys: list[Envoy] = []

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            claim = claim_network()
            stack.callback(claim.guard.close)
            for index in range(self._number):
                self.envoys.append(_start(self._folder, f"{claim.prefix}.{10 + index}", self._workers, self._filters))
                stack.callback(_end, self.envoys[-1].process)
            _await(self.envoys)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def _start(folder: Path, address: str, workers: int, filters: Sequence[dict[str, Any]]) -> Envoy:
    folder = folder / address
    folder.mkdir(parents=True, exist_ok=True)
    routes, config = folder / "routes.json", folder / "bootstrap.json"
    routes.write_text(json.dumps(answer("first")), encoding="utf-8")
    config.write_text(json.dumps(_bootstrap(address, routes, filters)), encoding="utf-8")
    command = [envoy_binary(), "-c", str(config), "--concurrency", str(workers), "--log-level", "warning"]
    return Envoy(address, routes, spawn([*command, "--disable-hot-restart"], {}, folder / "envoy.log", folder))


def _await(envoys: Sequence[Envoy]) -> None:
    waiting = list(envoys)
    deadline = time.monotonic() + _LIMIT
    while waiting:
        waiting = [envoy for envoy in waiting if not envoy.is_ready()]
        if waiting and time.monotonic() > deadline:
            raise RuntimeError(f"{len(waiting)} bare Envoys were not ready after {_LIMIT:.0f} s")
        if waiting:
            time.sleep(_POLL)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
