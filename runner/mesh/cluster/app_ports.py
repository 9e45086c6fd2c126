"""Whether an application listens: asked at its own port, past the sidecar, which accepts connections whoever is behind it.

A pod without a readinessProbe is ready as soon as its containers run. The way in is a port-forward, which needs nothing in the
image, and which says whether the connection was refused. Where it is not allowed, the sidecar's `pilot-agent request` asks, for
HTTP alone.
"""

from __future__ import annotations

import contextlib
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.errors import MeshError
from runner.mesh.cluster.errors import StatusError
from runner.mesh.cluster.pods import PROXY
from runner.mesh.cluster.tunnel import PodConnection, run_in

if TYPE_CHECKING:
    from runner.mesh.cluster.api import Api
    from runner.mesh.cluster.pods import Pod

HTTP = frozenset({"http", "http2", "grpc", "grpc-web", "https"})
"""Words of a service port (`appProtocol`, or what its name begins with) of which a request may be sent: whatever comes back, a
refusal to talk so too, shows that somebody listens."""

SILENCE = 2.0
"""Seconds after which a connection counts as accepted that nobody refused, where the client speaks first or we may not: a refusal
comes at once, from within the pod."""
_ANSWER = 10.0
"""Seconds for an answer to a request."""
_CHUNK = 65536


@dataclass(frozen=True, slots=True)
class AppPort:
    """One port of a pod that a Service leads to.

    Attributes:
        pod: whose.
        number: where the application should listen.
        protocol: the service port's word for what is spoken there; empty when nothing says so.
    """

    pod: Pod
    number: int
    protocol: str

    def __str__(self) -> str:
        return f"port {self.number} of {self.pod.name}"


def why_silent(api: Api, port: AppPort) -> str:
    """Why nothing answers at a port; empty when something does."""
    try:
        way = PodConnection(api, port.pod.namespace, port.pod.name, port.number)
    except StatusError as error:
        return _asked_by_agent(api, port) if error.forbidden else str(error)
    except MeshError as error:
        return str(error)
    try:
        return _tried(way, port)
    finally:
        with contextlib.suppress(OSError):
            _hang_up(way)
        way.close()


def _tried(way: PodConnection, port: AppPort) -> str:
    answered = _heard(way, SILENCE) if port.protocol not in HTTP else None
    if answered is None and (port.protocol in HTTP or not port.protocol):
        request = f"HEAD / HTTP/1.1\r\nHost: localhost:{port.number}\r\nConnection: close\r\n\r\n"
        try:
            way.socket.sendall(request.encode())
        except OSError:  # closed already: what was said about it follows
            answered = False
        else:
            answered = _heard(way, _ANSWER)
        if answered is None:
            return f"no answer within {_ANSWER:.0f} s"
    if way.error:
        return "connection refused" if "refused" in way.error else way.error
    # who closes without a word was there; of plain HTTP that is no answer
    return "closed without an answer" if answered is False and port.protocol == "http" else ""


def _heard(way: PodConnection, seconds: float) -> bool | None:
    """Whether something was said (True), the connection was closed (False), or neither in that time (None)."""
    deadline = time.monotonic() + seconds
    way.socket.settimeout(max(0.01, deadline - time.monotonic()))
    try:
        return bool(way.socket.recv(1))
    except TimeoutError:
        return None
    except OSError:
        return False


def _hang_up(way: PodConnection) -> None:
    """End what we say, and hear the rest: the client package's thread dies of a socket that nobody reads any more."""
    way.socket.shutdown(socket.SHUT_WR)
    way.socket.settimeout(SILENCE)
    while way.socket.recv(_CHUNK):
        pass


def _asked_by_agent(api: Api, port: AppPort) -> str:
    if port.protocol not in HTTP:
        return ""  # no way to ask
    command = ("pilot-agent", "request", "HEAD", "/", "--debug-port", str(port.number))
    try:
        run_in(api, port.pod.namespace, port.pod.name, PROXY, command)
    except MeshError as error:  # another status than 200 is an answer
        return "connection refused" if "refused" in str(error) else ""
    return ""
