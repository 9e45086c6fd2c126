"""Facts of this machine for `runner.mesh.local.doctor`; each that can't be read is None, none raises."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from runner.errors import MeshError, StorageError
from runner.mesh.local.doctor import MachineFacts, MeshUp
from runner.mesh.local.instance import living_instances
from runner.mesh.local.launch import envoy_binary
from runner.mesh.local.network import claim_network
from runner.state import state_home

_ANSWER = 10.0
_CGROUP = Path("/sys/fs/cgroup")


def read_machine() -> MachineFacts:
    """Look at this machine; nothing is changed but for one file that is written and removed in the state folder."""
    envoy, says, runs = _envoy()
    state, state_error, disk = _state()
    return MachineFacts(
        system=platform.system(),
        machine=platform.machine(),
        glibc=_glibc(),
        envoy=envoy,
        envoy_says=says,
        envoy_runs=runs,
        loopback=_loopback(),
        inotify_limit=_number(Path("/proc/sys/fs/inotify/max_user_instances")),
        inotify_used=_inotify_used(),
        files=_files(),
        ports=_ports(),
        cores=_cores(),
        load=_load(),
        memory=_memory(),
        state=state,
        state_error=state_error,
        disk=disk,
        meshes=tuple(
            MeshUp(
                name=instance.identity,
                app=instance.topology.app,
                proxies=len(instance.topology.proxied),
                deaths=tuple(f"{death.name} {death.how}" for death in instance.deaths()),
                standing=not instance.owned,
            )
            for instance in living_instances()
        ),
    )


def _glibc() -> tuple[int, int] | None:
    with contextlib.suppress(ValueError, OSError, AttributeError):
        text = os.confstr("CS_GNU_LIBC_VERSION") or ""
        found = re.fullmatch(r"glibc (\d+)\.(\d+).*", text)
        if found:
            return int(found[1]), int(found[2])
    return None


def _envoy() -> tuple[str | None, str, bool]:
    """Path, what it says, whether it runs."""
    try:
        path = envoy_binary()
    except MeshError as error:
        return None, error.what, False
    try:
        done = subprocess.run([path, "--version"], capture_output=True, check=False, timeout=_ANSWER, text=True)
    except OSError as error:
        return path, error.strerror or str(error), False
    except subprocess.TimeoutExpired:
        return path, f"no answer in {_ANSWER:.0f} s", False
    lines = (done.stdout + done.stderr).strip().splitlines() or [f"exit code {done.returncode}"]
    if done.returncode:
        return path, lines[0], False
    # ENVOY version: <commit>/1.40.0/Clean/RELEASE/BoringSSL
    found = re.search(r"version: *[0-9a-f]*/(\d+\.\d+\.\d+[^/]*)/", " ".join(lines))
    return path, f"Envoy {found[1]}" if found else lines[-1], True


def _loopback() -> str:
    try:
        claim_network().guard.close()
    except MeshError as error:
        return error.what
    return ""


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _inotify_used() -> int | None:
    """Instances of this user's processes: links to `anon_inode:inotify` among their open files."""
    if not Path("/proc/self/fd").is_dir():
        return None
    mine, count = os.getuid(), 0
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if process.stat().st_uid != mine:
                continue
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    count += "inotify" in os.readlink(descriptor)  # noqa: PTH115 - it is no path
    return count


def _files() -> tuple[int, int] | None:
    try:
        import resource  # noqa: PLC0415 - only where there is such a thing
    except ImportError:
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft, hard


def _ports() -> tuple[int, int] | None:
    with contextlib.suppress(OSError, ValueError):
        first, last = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="utf-8").split()
        return int(first), int(last)
    return None


def _cores() -> float:
    """Processors of this process, and not more than its control group may use (cgroup v2's cpu.max, v1's cfs quota)."""
    cores = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    with contextlib.suppress(OSError, ValueError):
        quota, period = (_CGROUP / "cpu.max").read_text(encoding="utf-8").split()
        return min(cores, int(quota) / int(period))
    quota_us = _number(_CGROUP / "cpu" / "cpu.cfs_quota_us")
    period_us = _number(_CGROUP / "cpu" / "cpu.cfs_period_us")
    return min(cores, quota_us / period_us) if quota_us and period_us and quota_us > 0 else cores


def _load() -> float | None:
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def _memory() -> int | None:
    import psutil  # noqa: PLC0415 - for this fact alone

    free = int(psutil.virtual_memory().available)
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        most, now = _number(_CGROUP / limit), _number(_CGROUP / used)
        if most is not None and now is not None:
            free = min(free, max(0, most - now))
    return free


def _state() -> tuple[str, str, int | None]:
    """The state folder, why it can't be written, bytes free."""
    try:
        home = state_home()
    except StorageError as error:
        return "the state folder", error.what, None
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home) as file:
            file.write(b"meshtrial doctor\n")
            file.flush()
            os.fsync(file.fileno())
        return str(home), "", shutil.disk_usage(home).free
    except OSError as error:
        return str(home), error.strerror or str(error), None
