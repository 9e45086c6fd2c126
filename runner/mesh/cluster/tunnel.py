"""Ways into a pod: a connection to one of its ports (port-forward), or a command in one of its containers (exec).

Both are websockets through the API server. A connection to a port stays open, and costs the pod nothing; a command starts a
process in the pod for each question.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import websocket
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import ws_client

from runner.mesh.cluster.api import segment
from runner.mesh.cluster.errors import AwayError, StatusError, status_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.errors import MeshError
    from runner.mesh.cluster.api import Api

_CLOSING = 5.0
"""Seconds: the other side has three to answer that it closes too."""

EXEC_LIMIT = 20.0
"""The longest wait, in seconds, for a command in a container."""

# the client package opens websockets without a limit of their own: an API server that hangs would hang the run
websocket.setdefaulttimeout(15.0)


class _Forward(ws_client.PortForward):  # type: ignore[misc]
    """The client package's port-forward, whose thread does not die of the other side having gone while there was more to send.

    Attributes:
        broken: why it ended early.
    """

    broken = ""

    def _proxy(self) -> None:
        try:
            super()._proxy()
        except (OSError, websocket.WebSocketException) as error:
            self.broken = str(error) or type(error).__name__
            for port in self.local_ports.values():
                port.python.close()


class PodConnection:
    """One connection to a port of a pod.

    Attributes:
        socket: like a connected TCP socket.
    """

    def __init__(self, api: Api, namespace: str, pod: str, port: int) -> None:
        self._port = port
        path = f"/api/v1/namespaces/{segment(namespace)}/pods/{segment(pod)}/portforward"
        try:
            way = ws_client.create_websocket(
                api.configuration,
                ws_client.get_websocket_url(api.url(path), [("ports", str(port))]),
                {**api.headers(), "sec-websocket-protocol": ws_client.V4_CHANNEL_PROTOCOL},
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, as the client package's own call has it
            raise _refusal(f"port-forward to {namespace}/{pod}:{port}", ApiException(0, str(error))) from None
        self._forward: Any = _Forward(way, [port])
        self.socket: socket.socket = self._forward.socket(port)
        self._thread = _carrier(self._forward)

    @property
    def error(self) -> str:
        """What the node said when it could not connect, or how the connection broke; empty when there is nothing to say."""
        return str(self._forward.error(self._port) or "").strip() or str(self._forward.broken)

    def close(self) -> None:
        """Close it, and wait until its thread has told the other side.

        The client package leaves the websocket itself open where the other side was the first to close.
        """
        with contextlib.suppress(OSError):  # an answer that nobody read to its end keeps the socket open
            self.socket.shutdown(socket.SHUT_RDWR)
        self._forward.close()
        if self._thread is not None:
            self._thread.join(_CLOSING)
        if self._thread is None or not self._thread.is_alive():
            self._forward.websocket.shutdown()
            for port in self._forward.local_ports.values():
                port.python.close()

    def __del__(self) -> None:
        """Whoever forgets a connection leaves no socket open: the thread that carries it ends with our side."""
        with contextlib.suppress(AttributeError, OSError):
            self._forward.close()


def _carrier(forward: Any) -> threading.Thread | None:
    """The thread that carries a port-forward's data; the client package keeps no hold of it."""
    for thread in threading.enumerate():
        if getattr(getattr(thread, "_target", None), "__self__", None) is forward:
            return thread
    return None


def run_in(api: Api, namespace: str, pod: str, container: str, command: Sequence[str]) -> str:
    """The standard output of a command in a container.

    Raises:
        MeshError: we may not, the container is not there, or the command failed.
    """
    what = f"exec of {command[0]} in {namespace}/{pod}"
    client = _exec(api, namespace, pod, container, command)
    try:
        client.run_forever(timeout=EXEC_LIMIT)
        if client.is_open():
            raise AwayError(f"{what}: no answer within {EXEC_LIMIT:.0f} s")
        out, err = client.read_stdout(timeout=0), client.read_stderr(timeout=0)
        code = client.returncode
    except (OSError, websocket.WebSocketException, KeyError, IndexError, TypeError, ValueError) as error:
        raise AwayError(f"{what}: {str(error) or type(error).__name__}") from None
    finally:
        client.close()
        client.sock.shutdown()
    if code:
        raise StatusError(500, "", (err or out).strip().splitlines()[-1][:300] if err or out else f"exit {code}", what)
    return str(out)


def open_exec(api: Api, namespace: str, pod: str, container: str, command: Sequence[str]) -> Any:
    """A command in a container, running: the client package's websocket client in bytes, with standard input.

    Raises:
        MeshError: we may not, or the container is not there.
    """
    return _exec(api, namespace, pod, container, command, stdin="true")


def _exec(api: Api, namespace: str, pod: str, container: str, command: Sequence[str], stdin: str = "false") -> Any:
    path = f"/api/v1/namespaces/{segment(namespace)}/pods/{segment(pod)}/exec"
    query = [("command", word) for word in command]
    query += [("container", container), ("stdin", stdin), ("stdout", "true"), ("stderr", "true")]
    try:
        return ws_client.websocket_call(
            api.configuration,
            "GET",
            f"{api.url(path)}?{urlencode(query)}",
            headers={**api.headers(), "sec-websocket-protocol": ws_client.V4_CHANNEL_PROTOCOL},
            _preload_content=False,
            binary=stdin == "true",
        )
    except ApiException as error:
        raise _refusal(f"exec of {command[0]} in {namespace}/{pod}", error) from None


def _refusal(what: str, error: ApiException) -> MeshError:
    """What a failed handshake means: an HTTP status with a body, or no answer."""
    text = str(error.reason)
    match = re.search(r"Handshake status (\d+)", text)
    if not match:
        return AwayError(f"{what}: {text or 'no answer'}")
    body = text.rpartition("-+-+- ")[2]
    found = re.search(r"\{.*\}", body, re.DOTALL)
    raw = (found[0] if found else body).encode().decode("unicode_escape", "replace")
    try:
        json.loads(raw)
    except ValueError:
        raw = re.sub(r".*?-\+-\+- ", "", text)
    return status_error(int(match[1]), raw.encode(), what)
