"""Processes of the rig: started in the background with their output in a file, found again and ended by process id."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_PATIENCE = 20.0
_POLL = 0.05


class RigError(Exception):
    """A part of the rig did not do what it should; its words are for a person."""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock against other processes; the file stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _birth(pid: int) -> str | None:
    """What tells a process from a later one with its id: its start, in clock ticks since boot (proc(5), field 22)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19]
    except OSError:
        return None


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of one rig, noted in a folder.

    Attributes:
        folder: takes `<name>.json` (process id and start) and `<name>.log`.
        enter: the command that runs a command in other namespaces, as nsenter does, in a child of its own; none runs it here.
    """

    folder: Path
    enter: tuple[str, ...] = ()

    def start(self, name: str, command: Sequence[str], environ: Mapping[str, str] | None = None) -> None:
        """Start a process of its own session; it outlives this one.

        Raises:
            RigError: it can't be started.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{name}.log").open("ab") as log:
            try:
                process = subprocess.Popen(
                    [*self.enter, *command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **(environ or {})},
                    start_new_session=True,
                )
            except OSError as error:
                raise RigError(f"{name} can't be started: {error}") from error
        pid = self._entered(name, process.pid) if self.enter else process.pid
        note = {"pid": pid, "birth": _birth(pid)}
        (self.folder / f"{name}.json").write_text(json.dumps(note), encoding="utf-8")
        process.returncode = 0  # nobody here waits for it: it belongs to the rig, not to this command

    def _entered(self, name: str, parent: int) -> int:
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            try:
                children = psutil.Process(parent).children()
            except psutil.NoSuchProcess:
                break
            if children:
                return children[0].pid
            time.sleep(_POLL)
        raise RigError(f"{name} did not start: {self.tail(name)}")

    def call(self, command: Sequence[str], *, data: bytes | None = None) -> str:
        """Run a command in these processes' namespaces to its end; what it printed.

        Raises:
            RigError: it failed; with what it said.
        """
        return call([*self.enter, *command], data=data)

    def pid(self, name: str) -> int:
        """The process id, as this machine's init sees it.

        Raises:
            RigError: no such process runs.
        """
        pid = self._pid(name)
        if pid is None:
            raise RigError(f"no {name} of the rig runs")
        return pid

    def alive(self, name: str) -> bool:
        """Whether the process that was started under a name still runs."""
        pid = self._pid(name)
        return pid is not None and not self._is_zombie(pid)

    def wait(self, name: str, ready: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait until a process is ready.

        Raises:
            RigError: it ended, or is not ready in time; with the end of its output.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.alive(name):
                raise RigError(f"{name} ended; the last that it said:\n{self.tail(name)}")
            if time.monotonic() > deadline:
                raise RigError(f"{name} is not ready after {seconds:.0f} s; the last that it said:\n{self.tail(name)}")
            time.sleep(_POLL)

    def tail(self, name: str) -> str:
        """The last lines of a process's output."""
        try:
            lines = (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(lines[-15:])

    def names(self) -> list[str]:
        """Every name under which a process was started."""
        return sorted(path.stem for path in self.folder.glob("*.json"))

    def stop(self, name: str) -> None:
        """End a process: asked first, killed when it does not go."""
        pid = self._pid(name)
        if pid is not None:
            for number in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    break
                deadline = time.monotonic() + _PATIENCE
                while self._pid(name) is not None and not self._is_zombie(pid) and time.monotonic() < deadline:
                    time.sleep(_POLL)
                if self._pid(name) is None or self._is_zombie(pid):
                    break
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        (self.folder / f"{name}.json").unlink(missing_ok=True)

    def kill(self, name: str) -> None:
        """Kill a process, and wait until it is gone with all that the kernel takes along.

        Raises:
            RigError: it does not go.
        """
        pid = self._pid(name)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            deadline = time.monotonic() + _PATIENCE
            while self.alive(name):
                if time.monotonic() > deadline:
                    raise RigError(f"process {pid} ({name}) was killed and is still there")
                time.sleep(_POLL)
        (self.folder / f"{name}.json").unlink(missing_ok=True)

    def _pid(self, name: str) -> int | None:
        try:
            note = json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        pid = int(note["pid"])
        return pid if note["birth"] is not None and _birth(pid) == note["birth"] else None

    @staticmethod
    def _is_zombie(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True


def call(command: Sequence[str], *, data: bytes | None = None, environ: Mapping[str, str] | None = None) -> str:
    """Run a command to its end and return what it printed.

    Raises:
        RigError: it failed; with what it said.
    """
    try:
        done = subprocess.run(
            command, input=data, capture_output=True, check=False, env={**os.environ, **(environ or {})}
        )
    except OSError as error:
        raise RigError(f"{command[0]}: {error}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise RigError(f"`{' '.join(map(str, command))}` failed with exit code {done.returncode}: {said[-2000:]}")
    return done.stdout.decode(errors="replace")
