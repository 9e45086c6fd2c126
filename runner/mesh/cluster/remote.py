"""A command in a container as a program of this machine: `python -m runner.mesh.cluster.remote ... -- COMMAND`, as `kubectl exec -i`.

A driver puts it before its generator's command line, and the load leaves from that pod's sidecar. Its standard streams are the
command's; when its own standard input ends (the driver closed it, or died of anything), the connection goes, and with it the
command's standard input, by which the driver's guard over there ends the generator.

With `--port` the command's standard streams are besides the two ends of a connection to that port of this machine: it is made when the
command first says something, so that a Locust worker over there can talk to the master here, which it could not reach.
"""

from __future__ import annotations

import argparse
import os
import selectors
import socket
import ssl
import sys
import time
from typing import TYPE_CHECKING, Any

from runner.errors import MeshtrialError
from runner.mesh.cluster.connect import connect
from runner.mesh.cluster.job_pods import how_a_pod_ended
from runner.mesh.cluster.tunnel import open_exec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.mesh.cluster.api import Api

_CHUNK = 1 << 16
_LOOK = 1.0
_STDIN, _STDOUT, _STDERR = 0, 1, 2
CUT = 125
"""Exit code when the command's own is not known: the connection was cut."""
_KILLED = frozenset({CUT, 137, 143})
"""Exit codes after which the pod itself is asked what became of it."""
_PATIENCE = 2.0
"""Seconds: a node tells what happened a moment after it has happened."""
PORT = "{port}"
"""Stands for a port of this machine in what `tunnel_line` gives."""


def command_line(context: str, namespace: str, pod: str, container: str) -> tuple[str, ...]:
    """What stands before a command line to have it run in a container."""
    here = (sys.executable, "-m", "runner.mesh.cluster.remote")
    return (*here, f"--context={context}", f"--namespace={namespace}", f"--pod={pod}", f"--container={container}", "--")


def tunnel_line(context: str, namespace: str, pod: str, container: str) -> tuple[str, ...]:
    """The same, for a command whose connection goes to a port of this machine: `{port}` is to be replaced by it."""
    line = command_line(context, namespace, pod, container)
    return (*line[:-1], f"--port={PORT}", line[-1])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code, or `CUT`."""
    parser = argparse.ArgumentParser(prog="python -m runner.mesh.cluster.remote", description=__doc__)
    for name in ("context", "namespace", "pod", "container"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--port", type=int)
    parser.add_argument("command", nargs="+")
    given = parser.parse_args(arguments)
    try:
        api = connect(given.context)
        client = open_exec(api, given.namespace, given.pod, given.container, given.command)
    except MeshtrialError as error:
        sys.stderr.write(f"{error}\n")
        return CUT
    streams = _Streams(client, given.port)
    code = streams.carry()
    if code in _KILLED and not streams.left:
        _tell_why(api, given.namespace, given.pod)
    return code


def _tell_why(api: Api, namespace: str, pod: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not (why := how_a_pod_ended(api, namespace, pod)) and time.monotonic() < deadline:
        time.sleep(0.1)
    if why:
        sys.stderr.write(f"{why}\n")


class _Streams:
    """The command's streams, ours, and the connection that they may be the ends of.

    Attributes:
        left: whether it was our side that went.
    """

    def __init__(self, client: Any, port: int | None) -> None:
        self._client = client
        self._port = port
        self._connection: socket.socket | None = None
        self._selector = selectors.PollSelector()  # unlike epoll it takes files and /dev/null
        self._selector.register(_STDIN, selectors.EVENT_READ)
        self._selector.register(client.sock.sock, selectors.EVENT_READ)
        self.left = False

    def carry(self) -> int:
        """Carry until the command ends, or our own standard input does; its exit code, or `CUT`."""
        client = self._client
        try:
            while client.is_open():
                if not self._step():
                    self.left = True
                    return CUT
            self._show()
            code = client.returncode
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            sys.stderr.write(f"the connection to the container was cut: {str(error) or type(error).__name__}\n")
            return CUT
        finally:
            client.close()
            if self._connection is not None:
                self._connection.close()
        return CUT if code is None else int(code)

    def _step(self) -> bool:
        """Wait for bytes and carry them; false when our side is gone."""
        ready = {key.fd for key, _ in self._selector.select(0 if self._pending() else _LOOK)}
        self._client.update(timeout=0)
        self._show()
        if _STDIN in ready and not self._send(os.read(_STDIN, _CHUNK)):
            return False
        connection = self._connection
        return connection is None or connection.fileno() not in ready or self._send(connection.recv(_CHUNK))

    def _pending(self) -> bool:
        """Whether bytes wait that the kernel does not know of: TLS decrypts whole records."""
        wire = self._client.sock.sock
        return isinstance(wire, ssl.SSLSocket) and wire.pending() > 0

    def _send(self, data: bytes) -> bool:
        if data:
            self._client.write_channel(_STDIN, data)
        return bool(data)

    def _show(self) -> None:
        for channel in (_STDOUT, _STDERR):
            data = self._client.read_channel(channel, timeout=0)
            if data and channel == _STDOUT and self._port is not None:
                self._connect(self._port).sendall(data)
                continue
            while data:
                data = data[os.write(channel, data) :]

    def _connect(self, port: int) -> socket.socket:
        if self._connection is None:
            self._connection = socket.create_connection(("127.0.0.1", port))
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(self._connection, selectors.EVENT_READ)
        return self._connection


if __name__ == "__main__":
    sys.exit(main())
