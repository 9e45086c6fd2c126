"""Asking the admin interfaces of many proxies at once, over connections that stay open.

The way in is a port-forward to Envoy's port 15000, which starts no process in the pod that is being measured. Where that is not
allowed, `pilot-agent request GET` is run in the sidecar's container, as one would by hand.
"""

from __future__ import annotations

import contextlib
import http.client
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from runner.errors import MeshError
from runner.mesh.cluster.errors import AwayError, StatusError
from runner.mesh.cluster.pods import PROXY
from runner.mesh.cluster.tunnel import PodConnection, run_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from runner.mesh.cluster.api import Api
    from runner.mesh.cluster.pods import Pod

ADMIN_PORT = 15000
_TIMEOUT = 20.0
_THREADS = 32

Result = TypeVar("Result")


class HttpOverPod:
    """An HTTP connection to a port of a pod, opened when it is needed and again when it breaks; safe for use by several threads."""

    def __init__(self, api: Api, namespace: str, pod: str, port: int) -> None:
        self._api, self._namespace, self._pod, self._port = api, namespace, pod, port
        self._lock = threading.Lock()
        self._way: PodConnection | None = None
        self._http: http.client.HTTPConnection | None = None

    def get(self, path: str) -> str:
        """The body of `GET path`.

        Raises:
            StatusError: the port-forward is not allowed, or the answer was not 200.
            AwayError: nothing answers there.
        """
        with self._lock:
            for attempt in (1, 2):
                fresh = self._http is None
                connection = self._http or self._connect()
                try:
                    connection.request("GET", path)
                    response = connection.getresponse()
                    body = response.read().decode("utf-8", "replace")
                except (OSError, http.client.HTTPException) as error:
                    said = self._way.error if self._way else ""
                    self._drop()
                    if fresh or attempt == 2 or isinstance(error, TimeoutError):  # noqa: PLR2004 - the second and last
                        raise AwayError(f"{self._what()}: {said or str(error) or type(error).__name__}") from None
                    continue
                if response.will_close:
                    self._drop()
                if response.status != http.client.OK:
                    raise StatusError(response.status, "", body.strip()[:300] or "no body", f"{self._what()}{path}")
                return body
        raise AwayError(self._what())

    def _what(self) -> str:
        return f"{self._namespace}/{self._pod}:{self._port}"

    def _connect(self) -> http.client.HTTPConnection:
        self._way = PodConnection(self._api, self._namespace, self._pod, self._port)
        self._way.socket.settimeout(_TIMEOUT)
        self._http = http.client.HTTPConnection("localhost", self._port)
        self._http.sock = self._way.socket
        self._http.auto_open = 0
        return self._http

    def _drop(self) -> None:
        if self._http is not None:
            self._http.close()  # with an answer that was not read to its end, which keeps the socket open
        if self._way is not None:
            with contextlib.suppress(OSError):
                self._way.close()
        self._way = self._http = None

    def close(self) -> None:
        """Close it."""
        with self._lock:
            self._drop()


class ProxyAdmin:
    """One proxy's admin interface."""

    def __init__(self, api: Api, pod: Pod) -> None:
        self.pod = pod
        self._api = api
        self._http = HttpOverPod(api, pod.namespace, pod.name, ADMIN_PORT)
        self.by_exec = False

    def get(self, path: str) -> str:
        """The body of `GET path`.

        Raises:
            MeshError: the proxy does not answer, or neither way in is allowed.
        """
        if not self.by_exec:
            try:
                return self._http.get(path)
            except StatusError as error:
                if not error.forbidden:
                    raise
                self.by_exec = True
        command = ("pilot-agent", "request", "GET", path.removeprefix("/"))
        return run_in(self._api, self.pod.namespace, self.pod.name, PROXY, command)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()


class Fleet:
    """The admin interfaces of all proxies, asked in parallel."""

    def __init__(self, api: Api, pods: Mapping[str, Pod]) -> None:
        self.clients = {name: ProxyAdmin(api, pod) for name, pod in pods.items()}
        workers = min(_THREADS, max(1, len(self.clients)))
        self._threads = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="proxies")
        self.silent: dict[str, str] = {}

    def each(self, ask: Callable[[ProxyAdmin], Result], names: Iterable[str] | None = None) -> dict[str, Result]:
        """What `ask` gives for every proxy (or for `names`); one that does not answer is left out, and `silent` says why."""
        futures = {name: self._threads.submit(ask, self.clients[name]) for name in names or self.clients}
        answers: dict[str, Result] = {}
        for name, future in futures.items():
            try:
                answers[name] = future.result()
            except MeshError as error:
                self.silent[name] = str(error)
            else:
                self.silent.pop(name, None)
        return answers

    def get(self, path: str) -> dict[str, str]:
        """`GET path` of every proxy that answers, by proxy."""
        return self.each(lambda client: client.get(path))

    def close(self) -> None:
        """Close all connections and end the threads."""
        list(self._threads.map(ProxyAdmin.close, self.clients.values()))
        self._threads.shutdown(wait=False, cancel_futures=True)
