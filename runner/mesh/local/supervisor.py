"""The one process that owns all processes of an embedded mesh: `python -m runner.mesh.local.supervisor FOLDER`.

It starts what `processes.json` in the mesh's folder lists, writes down which child died and how, and ends everything when
it is told to (SIGTERM), or when its owner's pipe closes. Without an owner (`mesh up`), or once its owner let it go (a byte on the
pipe), it is the mesh. It never restarts a child: a proxy that died is evidence.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from runner.mesh.local.children import Started, fork_keeper, spawn

LOCK = "alive.lock"
PIDS = "pids"
DEATHS = "deaths.jsonl"
PROCESSES = "processes.json"
LET_GO = b"."

_GRACE = 2.0


def supervise(folder: Path, owner: int | None) -> int:
    """Run the processes of the mesh in `folder` until told to end; `owner` is the pipe that closes with the owner."""
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    pids = folder / PIDS
    pids.write_text("", encoding="utf-8")
    fork_keeper(folder, pids)

    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    ending: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: ending.append(received))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda *_: None)

    children = _start(folder, pids)
    with selectors.DefaultSelector() as waiting:
        waiting.register(wake_read, selectors.EVENT_READ)
        if owner is not None:
            waiting.register(owner, selectors.EVENT_READ)
        while not ending:
            for key, _ in waiting.select():
                if key.fd == owner:
                    if os.read(owner, 1) == LET_GO:
                        waiting.unregister(owner)
                    else:
                        ending.append(0)
                elif key.fd == wake_read:
                    with contextlib.suppress(BlockingIOError):
                        os.read(wake_read, 4096)
            if not ending:
                _note_deaths(folder, children)

    _end(children)
    pids.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def _start(folder: Path, pids: Path) -> dict[str, subprocess.Popen[bytes]]:
    children: dict[str, subprocess.Popen[bytes]] = {}
    for process in json.loads((folder / PROCESSES).read_text(encoding="utf-8")):
        log = folder / process["log"]
        try:
            child = spawn(process["command"], process["environment"], log, Path(process["folder"]))
        except OSError as error:
            _note_death(folder, process["name"], f"could not start {process['command'][0]}: {error.strerror}")
            continue
        children[process["name"]] = child
        with pids.open("a", encoding="utf-8") as record:
            record.write(f"{child.pid} {Started.of(child.pid).birth}\n")
    return children


def _note_deaths(folder: Path, children: dict[str, subprocess.Popen[bytes]]) -> None:
    for name, child in list(children.items()):
        code = child.poll()
        if code is not None:
            _note_death(folder, name, f"ended with {_how(code)}")
            del children[name]


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _note_death(folder: Path, name: str, how: str) -> None:
    with (folder / DEATHS).open("a", encoding="utf-8") as record:
        record.write(json.dumps({"name": name, "how": how, "time": time.time()}) + "\n")


def _end(children: dict[str, subprocess.Popen[bytes]]) -> None:
    for child in children.values():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE
    for child in children.values():
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(max(0.0, deadline - time.monotonic()))
    for child in children.values():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


if __name__ == "__main__":
    sys.exit(supervise(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None))  # noqa: PLR2004
