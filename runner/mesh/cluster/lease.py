"""The right to change a namespace: a Lease in it, so that two machines never run experiments there at once.

Where Leases are not allowed, a lock on this machine stands in, which keeps out only who works from here.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import socket
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import MeshError, StorageError
from runner.mesh.cluster.api import segment
from runner.mesh.cluster.connect import IN_CLUSTER
from runner.mesh.cluster.errors import AwayError, StatusError
from runner.state import state_home

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.mesh.cluster.api import Api

NAME = "meshtrial"
DURATION = 60
RENEW = 15.0
"""Seconds: a holder that died elsewhere is passed over after `DURATION`."""

_ANNOTATION = "meshtrial.dev/holder"
_POD = "meshtrial.dev/pod"
_POLL = 1.0
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class _Fate(Enum):
    """Of a holder's pod."""

    UNKNOWN = auto()
    """It lives, or nothing can be told."""
    GONE = auto()
    """The API server has forgotten it; its node may not have, yet."""
    ENDED = auto()
    """Its containers have ended."""


def _me() -> str:
    return f"{socket.gethostname()}/{os.getpid()}"


@dataclass(slots=True)
class NamespaceLease:
    """The Lease of one namespace.

    Attributes:
        lost: why it is not held any more, when somebody took it.
        inherited: whether it was taken over from a holder that died.
    """

    api: Api
    namespace: str
    lost: str = ""
    inherited: bool = False
    _pod: str = ""
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def held(self, who: str) -> Iterator[None]:
        """Hold it for as long as the context lasts.

        A holder whose pod was deleted, which may still be restoring, is waited for: it ends, or its Lease runs out. One whose pod
        has ended is passed over at once.

        Raises:
            MeshError: another command has it.
        """
        with self._local():
            try:
                self._pod = _own_pod(self.api)
                self._take(who)
            except StatusError as error:
                if not error.forbidden:
                    raise
                yield  # the lock of this machine must do
                return
            self._stop.clear()
            renewing = threading.Thread(target=self._renew, args=(who,), name="lease", daemon=True)
            renewing.start()
            try:
                yield
            finally:
                self._stop.set()
                renewing.join()
                with contextlib.suppress(MeshError):
                    self._give_back()

    @contextlib.contextmanager
    def _local(self) -> Iterator[None]:
        home = state_home() / "clusters"
        name = hashlib.sha256(f"{self.api.server} {self.namespace}".encode()).hexdigest()[:16]
        try:
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(home / name, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StorageError(f"{home} can't be written: {error.strerror}", advice="Set XDG_STATE_HOME") from None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise MeshError(
                    f"the namespace {self.namespace} is in use by another meshtrial command on this machine",
                    advice="Wait for it to end",
                ) from None
            yield
        finally:
            os.close(descriptor)

    def _path(self, name: str | None = None) -> str:
        root = f"/apis/coordination.k8s.io/v1/namespaces/{segment(self.namespace)}/leases"
        return f"{root}/{name}" if name else root

    def _body(self, who: str) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": NAME,
                "namespace": self.namespace,
                "annotations": {_ANNOTATION: who, **({_POD: self._pod} if self._pod else {})},
            },
            "spec": {"holderIdentity": _me(), "leaseDurationSeconds": DURATION, "acquireTime": now, "renewTime": now},
        }

    def _take(self, who: str) -> None:
        give_up = time.monotonic() + 3 * DURATION
        tries = 3
        while tries:
            now = self._look()
            if now is not None and (ends := _living_until(now)):
                fate = self._fate(now)
                if fate is _Fate.UNKNOWN or time.monotonic() > give_up:
                    raise self._taken(now, ends)
                if fate is _Fate.GONE:
                    time.sleep(_POLL)
                    continue
            tries -= 1
            body = self._body(who)
            try:
                if now is None:
                    self.api.call("POST", self._path(), None, body)
                    return
                self.inherited = True
                body["metadata"]["resourceVersion"] = now["metadata"]["resourceVersion"]
                self.api.call("PUT", self._path(NAME), None, body)
            except StatusError as error:
                if not error.conflict:
                    raise
            else:
                return
        raise MeshError(f"the Lease {self.namespace}/{NAME} changes all the time", advice="Wait for others to end")

    def _look(self) -> dict[str, Any] | None:
        try:
            return dict(self.api.get(self._path(NAME)))
        except StatusError as error:
            if error.not_found:
                return None
            raise

    def _fate(self, lease: dict[str, Any]) -> _Fate:
        """What became of the pod that the holder noted, if it noted one."""
        noted = str((lease["metadata"].get("annotations") or {}).get(_POD) or "")
        namespace, _, rest = noted.partition("/")
        name, _, uid = rest.partition("/")
        if not uid:
            return _Fate.UNKNOWN
        try:
            pod = self.api.get(f"/api/v1/namespaces/{segment(namespace)}/pods/{segment(name)}")
        except StatusError as error:
            return _Fate.GONE if error.not_found else _Fate.UNKNOWN
        if pod["metadata"]["uid"] != uid:
            return _Fate.GONE
        ended = (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}
        return _Fate.ENDED if ended else _Fate.UNKNOWN

    def _taken(self, lease: dict[str, Any], ends: datetime) -> MeshError:
        what = (lease["metadata"].get("annotations") or {}).get(_ANNOTATION) or "another meshtrial command"
        return MeshError(
            f"the namespace {self.namespace} is in use by {what} ({lease['spec']['holderIdentity']})",
            advice=f"Wait for it to end; should it be dead, its Lease {self.namespace}/{NAME} runs out at {ends:%H:%M:%S} UTC",
        )

    def _renew(self, who: str) -> None:
        while not self._stop.wait(RENEW):
            try:
                now = self._look()
                if now is None or (now.get("spec") or {}).get("holderIdentity") != _me():
                    self.lost = f"the Lease {self.namespace}/{NAME} was taken by somebody else during the run"
                    return
                body = self._body(who)
                body["spec"]["acquireTime"] = now["spec"].get("acquireTime")
                body["metadata"]["resourceVersion"] = now["metadata"]["resourceVersion"]
                self.api.call("PUT", self._path(NAME), None, body)
            except (AwayError, StatusError):
                continue  # the next one may go through; the run itself finds out when the server stays away

    def _give_back(self) -> None:
        now = self._look()
        if now is not None and (now.get("spec") or {}).get("holderIdentity") == _me():
            options = {"preconditions": {"uid": now["metadata"]["uid"]}}
            self.api.call("DELETE", self._path(NAME), None, options)


def _living_until(lease: dict[str, Any]) -> datetime | None:
    """When a Lease that somebody holds runs out; None when nobody does."""
    spec = lease.get("spec") or {}
    holder, renewed = str(spec.get("holderIdentity") or ""), str(spec.get("renewTime") or "")
    if not holder or not renewed or _died_here(holder):
        return None
    ends = datetime.fromisoformat(renewed) + timedelta(seconds=int(spec.get("leaseDurationSeconds") or DURATION))
    return ends if ends >= datetime.now(UTC) else None


def _own_pod(api: Api) -> str:
    """`NAMESPACE/NAME/UID` of the pod that this process runs in; empty elsewhere, and where that can't be told for certain."""
    if api.context != IN_CLUSTER:
        return ""
    try:
        namespace, name = _NAMESPACE_FILE.read_text(encoding="utf-8").strip(), socket.gethostname()
        pod = api.get(f"/api/v1/namespaces/{segment(namespace)}/pods/{segment(name)}")
    except (OSError, StatusError):
        return ""  # a pod on its node's network has another host name, and pods may not be ours to look at
    return f"{namespace}/{name}/{pod['metadata']['uid']}"


def _died_here(holder: str) -> bool:
    host, _, pid = holder.rpartition("/")
    return (
        host == socket.gethostname() and pid.isdigit() and not Path(f"/proc/{pid}").exists() and Path("/proc").is_dir()
    )
