"""Proof that every process of a starting mesh is ready, or the words of the one that is not."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from typing import TYPE_CHECKING

from runner.errors import MeshError
from runner.mesh.local.admin import AdminClient, AdminError
from runner.mesh.local.xds import envoy_words, read_held

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path
    from threading import Event

    from runner.mesh.local.appfile import AppFile
    from runner.mesh.local.instance import Instance
    from runner.mesh.local.topology import Pod
    from runner.mesh.local.xds import Wanted

READY_LIMIT = 30.0
"""The longest wait, in seconds, for all processes to be ready: a bound for failure, never a delay."""

_POLL = 0.005


def wait_ready(
    instance: Instance,
    app: AppFile,
    wants: dict[str, Wanted],
    supervisor: subprocess.Popen[bytes],
    stop: Event | None,
) -> None:
    """Return once every proxy holds its first config and every app answers.

    Args:
        instance: the mesh.
        app: its app.
        wants: what each proxy was given.
        supervisor: the mesh's.
        stop: ends the wait when set.

    Raises:
        MeshError: something ended, was too slow, or `stop` was set.
    """
    deadline = time.monotonic() + READY_LIMIT
    waiting_proxies = {pod.name: AdminClient(pod) for pod in instance.topology.proxied}
    waiting_apps = {pod.name: pod for pod in instance.topology.pods if pod.called in app.commands}
    while waiting_proxies or waiting_apps:
        for name, client in list(waiting_proxies.items()):
            with contextlib.suppress(AdminError):
                if read_held(client).holds(wants[name]):
                    client.close()
                    del waiting_proxies[name]
        for name, pod in list(waiting_apps.items()):
            if _app_ready(pod, app.commands[pod.called].ready):
                del waiting_apps[name]
        if not (waiting_proxies or waiting_apps):
            return
        if stop is not None and stop.is_set():
            raise MeshError("stopped before the mesh was ready")
        _still_going(instance, supervisor)
        if time.monotonic() > deadline:
            raise _late(instance, list(waiting_proxies.values()), list(waiting_apps))
        time.sleep(_POLL)


def _still_going(instance: Instance, supervisor: subprocess.Popen[bytes]) -> None:
    """Whether every process of a mesh that starts still runs.

    Raises:
        MeshError: one ended; its last words.
    """
    if supervisor.poll() is not None:
        log = (instance.folder / "supervisor.log").read_text(encoding="utf-8", errors="replace")
        raise MeshError(
            f"the mesh's supervisor ended: {log.strip().splitlines()[-1] if log.strip() else 'no reason given'}"
        )
    for death in instance.deaths():
        pod_name, _, part = death.name.rpartition(" ")
        log_file = instance.folder / f"{pod_name}.{'envoy' if part == 'proxy' else 'app'}.log"
        raise MeshError(f"{death.name} {death.how}: {_last_words(log_file)}")


def _late(instance: Instance, proxies: list[AdminClient], apps: list[str]) -> MeshError:
    """The error for what was not ready in time, each with its own words."""
    late = [
        f"{client.pod.name} proxy ({envoy_words(instance.folder / f'{client.pod.name}.envoy.log')})"
        for client in proxies
    ]
    late += [f"{name} app (last words: {_last_words(instance.folder / f'{name}.app.log')})" for name in apps]
    return MeshError(
        f"not ready after {READY_LIMIT:.0f} s: {', '.join(late)}",
        advice="An app must listen at $BIND_ADDRESS:$PORT and answer `ready` of the app file" if apps else None,
    )


def _app_ready(pod: Pod, path: str | None) -> bool:
    port = pod.ports[0]
    try:
        if path is None:
            socket.create_connection((pod.app, port), timeout=1).close()
            return True
        connection = http.client.HTTPConnection(pod.app, port, timeout=2)
        try:
            connection.request("GET", path)
            return connection.getresponse().status < 400  # noqa: PLR2004 - HTTP's own border
        finally:
            connection.close()
    except (OSError, http.client.HTTPException):
        return False


def _last_words(log: Path) -> str:
    """What a process said last: Envoy's failed assertion before the backtrace that follows it, else the last line."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        lines = []
    for line in lines:
        if "assert failure" in line:
            words = line.partition("assert failure")[2]
            if "inotify" in words:
                return (
                    "this user has no inotify instances left, of which each Envoy takes about four; end other meshes and "
                    "file watchers, or raise the limit: sysctl fs.inotify.max_user_instances=1024"
                )
            return f"assert failure{words}"
    return lines[-1] if lines else f"it said nothing ({log.name})"
