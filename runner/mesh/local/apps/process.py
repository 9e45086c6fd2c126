"""What every shipped app needs to be one process of the mesh: settings from its environment, a server, a clean end.

Start-up must stay cheap, because a mesh starts one of these per workload: nothing here imports more than aiohttp.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import signal
import sys
from dataclasses import dataclass
from os import environ
from typing import TYPE_CHECKING, Any, NoReturn

from aiohttp import web

from runner.errors import InputError, MeshError, MeshtrialError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

log = logging.getLogger("app")

HIGHEST_PORT = 65535
BACKLOG = 1024
"""A burst of new connections (productpage does not pool) must queue in the kernel, never be refused."""

KEEPALIVE = 3630.0
"""Seconds that an idle connection stays open: longer than Envoy's own hour, so that it is never the app that closes
a connection which Envoy is about to use (a 503 `UC` that no fault explains)."""

SHUTDOWN = 0.3
"""Seconds that requests under way get at the end; a fault experiment leaves slow ones behind, nobody waits for them."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the mesh tells an app through its environment.

    Attributes:
        bind_address: where to listen (`BIND_ADDRESS`).
        port: the container port (`PORT`).
        proxy: the sidecar's HTTP proxy, `http://IP:15002` (`HTTP_PROXY`); None calls other services directly.
        version: the pod's `version` label (`SERVICE_VERSION`).
        pod_name: `POD_NAME`, or `HOSTNAME` as in a container; `null` is what Bookinfo prints for an unknown one.
        cluster_name: `CLUSTER_NAME`.
    """

    bind_address: str = "127.0.0.1"
    port: int = 9080
    proxy: str | None = None
    version: str = "v1"
    pod_name: str = "null"
    cluster_name: str = "null"

    @classmethod
    def from_environment(cls, variables: Mapping[str, str], *, port: int = 9080) -> Settings:
        """Settings from environment variables; `port` is the app's usual one.

        Raises:
            InputError: `PORT` is no port.
        """
        text = variables.get("PORT") or str(port)
        if not text.isdecimal() or not 0 < int(text) <= HIGHEST_PORT:
            raise InputError(Problem(f'PORT is "{text}"', expected=f"a number from 1 to {HIGHEST_PORT}"))
        plain = cls()
        return cls(
            bind_address=variables.get("BIND_ADDRESS") or plain.bind_address,
            port=int(text),
            proxy=variables.get("HTTP_PROXY") or variables.get("http_proxy") or None,
            version=variables.get("SERVICE_VERSION") or plain.version,
            pod_name=variables.get("POD_NAME") or variables.get("HOSTNAME") or plain.pod_name,
            cluster_name=variables.get("CLUSTER_NAME") or plain.cluster_name,
        )


def json_response(data: Any, status: int = 200) -> web.Response:
    """A compact JSON answer."""
    body = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
    return web.Response(body=body, status=status, content_type="application/json")


async def serve(app: web.Application, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    A handler is cancelled when its client goes away, and with it the calls that it waits for: after a timeout
    somewhere above, no abandoned work lingers into the next measurement.

    Raises:
        MeshError: the address can't be listened on.
    """
    runner = web.AppRunner(
        app, access_log=None, handler_cancellation=True, keepalive_timeout=KEEPALIVE, shutdown_timeout=SHUTDOWN
    )
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, settings.bind_address, settings.port, backlog=BACKLOG).start()
        except OSError as error:
            what = f"cannot listen on {settings.bind_address}:{settings.port}: {error.strerror or error}"
            raise MeshError(what, advice="End what holds that port, or choose another") from error
        gc.freeze()  # what was imported stays: no collection walks it again, and none shows up as latency
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        log.info("%s %s listens on %s:%s", settings.pod_name, settings.version, settings.bind_address, settings.port)
        await stop.wait()
    finally:
        await runner.cleanup()


def run(make_app: Callable[[Settings], web.Application], *, port: int = 9080) -> NoReturn:
    """Be the app's process: read the environment, serve, and leave with the project's exit codes."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        settings = Settings.from_environment(environ, port=port)
        asyncio.run(serve(make_app(settings), settings))
    except MeshtrialError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    sys.exit(0)
