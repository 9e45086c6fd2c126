"""Asking many Envoys' admin interfaces at once, over connections that stay open."""

from __future__ import annotations

import http.client
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from runner.mesh.local.topology import ADMIN_PORT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from runner.mesh.local.topology import Pod

Result = TypeVar("Result")

_TIMEOUT = 30.0


class AdminError(Exception):
    """A proxy's admin interface gave no answer."""


class AdminClient:
    """One proxy's admin interface; safe for use by several threads."""

    def __init__(self, pod: Pod) -> None:
        self.pod = pod
        self._lock = threading.Lock()
        self._connection: http.client.HTTPConnection | None = None

    def get(self, path: str) -> str:
        """The body of `GET path`.

        Raises:
            AdminError: the proxy did not answer, or not with 200.
        """
        return self._ask("GET", path)

    def post(self, path: str) -> str:
        """The body of `POST path` (Envoy's admin changes things by POST).

        Raises:
            AdminError: as `get`.
        """
        return self._ask("POST", path)

    def _ask(self, method: str, path: str) -> str:
        with self._lock:
            for attempt in (1, 2):
                connection = self._connection or self._connect()
                try:
                    connection.request(method, path)
                    response = connection.getresponse()
                    body = response.read().decode("utf-8", "replace")
                except (OSError, http.client.HTTPException) as error:
                    connection.close()
                    self._connection = None
                    if attempt == 2 or isinstance(error, TimeoutError):  # noqa: PLR2004 - the second and last
                        raise AdminError(f"{self.pod.name}: {str(error) or type(error).__name__}") from None
                    continue
                if response.will_close:
                    connection.close()
                    self._connection = None
                if response.status != http.client.OK:
                    raise AdminError(f"{self.pod.name}: {method} {path} answered {response.status}: {body.strip()}")
                return body
        raise AdminError(self.pod.name)

    def _connect(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(self.pod.outbound, ADMIN_PORT, timeout=_TIMEOUT)
        try:
            connection.connect()
        except OSError as error:
            raise AdminError(f"{self.pod.name}: {error.strerror or error}") from None
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        return connection

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._connection:
                self._connection.close()
                self._connection = None


class AdminFleet:
    """The admin interfaces of all pods of a mesh, asked in parallel."""

    def __init__(self, pods: Iterable[Pod]) -> None:
        self.clients: dict[str, AdminClient] = {pod.name: AdminClient(pod) for pod in pods}
        self._threads = ThreadPoolExecutor(max_workers=min(16, max(1, len(self.clients))), thread_name_prefix="admin")

    def each(self, ask: Callable[[AdminClient], Result], names: Iterable[str] | None = None) -> dict[str, Result]:
        """What `ask` gives for every pod (or for `names`); a pod that does not answer is left out."""
        futures = {name: self._threads.submit(ask, self.clients[name]) for name in names or self.clients}
        answers: dict[str, Result] = {}
        for name, future in futures.items():
            try:
                answers[name] = future.result()
            except AdminError:
                continue
        return answers

    def get(self, path: str) -> Mapping[str, str]:
        """`GET path` of every pod that answers, by pod."""
        return self.each(lambda client: client.get(path))

    def close(self) -> None:
        """Close all connections and end the threads."""
        for client in self.clients.values():
            client.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
