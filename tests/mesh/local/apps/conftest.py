"""Stand-ins for what surrounds an app: a sidecar's HTTP proxy, and real processes on addresses of their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientSession, DummyCookieJar, web
from aiohttp.test_utils import TestServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from runner.mesh.local.apps.process import Settings

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Call:
    """One request as the sidecar saw it."""

    host: str
    target: str
    headers: dict[str, str]


@dataclass
class Sidecar:
    """A forward proxy that answers for other services, and remembers what was asked of it."""

    answers: dict[str, Handler] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    arrived: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    ended: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    url: str = ""

    def to(self, service: str) -> list[Call]:
        return [call for call in self.calls if call.host == f"{service}:9080"]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        host = request.headers["Host"]
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.calls.append(Call(host, str(request._message.url), headers))
        self.arrived.put_nowait(host)
        answer = self.answers.get(host.partition(":")[0])
        try:
            return await answer(request) if answer else web.Response(status=503, text="no healthy upstream")
        finally:
            self.ended.put_nowait(host)


def says(body, status: int = 200) -> Handler:
    """A service that always answers the same JSON (or text)."""

    async def handler(_request: web.Request) -> web.Response:
        if isinstance(body, str):
            return web.Response(text=body, status=status)
        return web.json_response(body, status=status)

    return handler


def never() -> Handler:
    """A service that takes a request and does not answer it."""

    async def handler(_request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    return handler


def leads_to(address: str) -> Handler:
    """A service that really runs, at another address."""

    async def handler(request: web.Request) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name != "Connection"}
        async with (
            ClientSession(cookie_jar=DummyCookieJar()) as session,
            session.request(request.method, f"http://{address}{request.path_qs}", headers=headers) as answer,
        ):
            kind = answer.headers.get("Content-Type", "text/plain")
            return web.Response(status=answer.status, body=await answer.read(), headers={"Content-Type": kind})

    return handler


@contextlib.asynccontextmanager
async def sidecar_with(**answers: Handler) -> AsyncIterator[Sidecar]:
    sidecar = Sidecar(answers)
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", sidecar.handle)
    async with TestServer(app) as server:
        # Handlers end with their client's connection, so that a caller's giving up can be seen.
        sidecar.url = str(server.make_url("")).rstrip("/")
        yield sidecar


@contextlib.asynccontextmanager
async def app_at(make_app, settings: Settings, **options) -> AsyncIterator[Browser]:
    async with (
        TestServer(make_app(settings, **options)) as server,
        ClientSession(cookie_jar=DummyCookieJar()) as session,
    ):
        yield Browser(session, str(server.make_url("")).rstrip("/"))


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    text: str


@dataclass
class Browser:
    """A client of one app that follows nothing by itself."""

    session: ClientSession
    base: str

    async def ask(self, path: str, method: str = "GET", **options) -> Reply:
        async with self.session.request(method, self.base + path, allow_redirects=False, **options) as answer:
            return Reply(answer.status, dict(answer.headers), await answer.text())

    async def get_json(self, path: str, **options):
        async with self.session.get(self.base + path, **options) as answer:
            assert answer.content_type == "application/json"
            return answer.status, await answer.json()


@dataclass
class Process:
    """An app as the mesh runs it: `python -m MODULE` with its settings in the environment."""

    module: str
    environment: dict[str, str]
    port: int
    running: subprocess.Popen[str]

    @property
    def address(self) -> str:
        return f"{self.environment['BIND_ADDRESS']}:{self.port}"

    def wait_until_ready(self, path: str) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self.running.poll() is None, self.running.stderr.read()
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{self.address}{path}", timeout=5):
                return
            time.sleep(0.02)
        pytest.fail(f"{self.module} was not ready in time")

    def end(self) -> int:
        self.running.terminate()
        return self.running.wait(30)


def free_address(port: int) -> str:
    """A loopback address on which nobody listens at `port`."""
    for _ in range(100):
        address = ".".join(["127", *(str(1 + byte % 250) for byte in os.urandom(3))])
        with contextlib.suppress(OSError), socket.create_server((address, port)):
            return address
    raise AssertionError("no free loopback address")


@pytest.fixture
def start_app():
    """Start an app's process; ended after the test."""
    started: list[Process] = []

    def start(module: str, *, port: int = 9080, ready: str | None = "/health", **environment: str) -> Process:
        plain = {name: value for name, value in os.environ.items() if name.lower() != "http_proxy"}
        given = {"BIND_ADDRESS": free_address(port), "PORT": str(port), **environment}
        command = [sys.executable, "-m", f"runner.mesh.local.apps.{module}"]
        running = subprocess.Popen(command, env=plain | given, stderr=subprocess.PIPE, text=True)
        process = Process(module, given, port, running)
        started.append(process)
        if ready:
            process.wait_until_ready(ready)
        return process

    yield start
    for process in started:
        if process.running.poll() is None:
            process.running.kill()
            process.running.wait()
        process.running.stderr.close()


@pytest.fixture
def around():
    """The stand-ins by name (a conftest cannot be imported)."""
    return SimpleNamespace(
        sidecar_with=sidecar_with, app_at=app_at, says=says, never=never, leads_to=leads_to, free_address=free_address
    )
