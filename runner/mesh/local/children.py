"""Processes that never outlive their supervisor, whatever kills it.

Three nets, one under the other: the supervisor ends its children itself; each child asked the kernel to be killed when the
supervisor dies; and a keeper, forked before anything else, ends whole process groups and removes the mesh's folder once the
supervisor is gone, which also catches what a child started.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PR_SET_PDEATHSIG = 1
_MOST_FILES = 65536
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(signal_number: int = signal.SIGKILL) -> None:
    """Ask the kernel to send this process a signal when the thread that started it ends (Linux, prctl(2))."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Started:
    """A process by pid and start time, so that a reused pid is never mistaken for it."""

    pid: int
    birth: str

    @classmethod
    def of(cls, pid: int) -> Started:
        """The process that has `pid` now."""
        return cls(pid, _birth(pid))

    def lives(self) -> bool:
        """Whether this very process still runs."""
        return bool(self.birth) and _birth(self.pid) == self.birth

    def kill_group(self, signal_number: int) -> None:
        """Send a signal to the process group that this process leads, if it is still this process or its orphans."""
        if _birth(self.pid) in {self.birth, ""}:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal_number)


def _birth(pid: int) -> str:
    """The start time of a process in clock ticks since boot (field 22 of /proc/PID/stat); empty when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] in {"Z", "X"} else fields[19]


def spawn(command: Sequence[str], environment: Mapping[str, str], log: Path, folder: Path) -> subprocess.Popen[bytes]:
    """Start a child as the leader of its own process group; it dies with this process.

    Args:
        command: what to run.
        environment: the child's whole environment.
        log: where its standard output and error go.
        folder: its working directory.

    Raises:
        OSError: it could not be started.
    """
    parent = os.getpid()

    def before_exec() -> None:
        die_with_parent()
        if os.getppid() != parent:
            os._exit(1)

    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            start_new_session=True,
            preexec_fn=before_exec,  # noqa: PLW1509 - the supervisor has one thread
        )


def fork_keeper(folder: Path, pids: Path) -> None:
    """Fork the keeper of `folder`; must be called while this process has one thread.

    The keeper waits until this process is gone. If `pids` is still there then (one `pid birth` line for each process
    started), it kills those process groups and removes `folder`.
    """
    read_end, write_end = os.pipe()
    if os.fork():
        os.close(read_end)
        os.set_inheritable(write_end, False)  # noqa: FBT003 - the standard library takes it by position only
        return
    try:
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        os.dup2(read_end, 3)
        os.closerange(4, min(os.sysconf("SC_OPEN_MAX"), _MOST_FILES))
        os.read(3, 1)
        if pids.exists():
            for line in pids.read_text(encoding="utf-8").splitlines():
                pid, _, birth = line.partition(" ")
                Started(int(pid), birth).kill_group(signal.SIGKILL)
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os._exit(0)
