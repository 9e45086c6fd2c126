"""What runs in a pod: a program that holds the place, and one that takes a Locust worker aboard and carries its words.

`hold` is the container's own command. It ends when nobody has been aboard for a while, so that a run that died without a word leaves
nothing in the cluster for long. `board` is run by exec, and all that a worker needs comes over its standard input: a header line, an
archive with the load file and what lies beside it, then the bytes of the worker's connection to its master. Nothing is stored in the
cluster, secrets least of all, no port of the pod is opened, and when the run ends, the connection does, and with it the worker.

Neither Locust nor anything that is not in the standard library is imported.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import io
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from runner import __version__

OTHER_VERSION = 78
"""Exit code of `board` in an image that holds another version of this program (sysexits' EX_CONFIG)."""
CUT = 70
"""Exit code of `board` when the run is gone; nobody is left to read it."""
HOLD = ("python3", "-m", "runner.load.aboard", "hold")
"""The container's command; the longest idle time in whole seconds follows it."""
BOARD = ("python3", "-m", "runner.load.aboard", "board")
SIDECAR_VARIABLE = "MESHTRIAL_SIDECAR"
"""Environment variable that tells `hold` to end the sidecar too, where it is an ordinary container that would outlive it."""

_LOCK = Path("/tmp/meshtrial-aboard.lock")  # noqa: S108 - the pod is ours alone
_PLUGIN = Path(__file__).with_name("locust_plugin.py")
_CHUNK = 1 << 16
_LOOK = 1.0
_LONGEST_HEADER = 1 << 20
_QUIT = ("127.0.0.1", 15020, "/quitquitquit")


@dataclass(frozen=True, slots=True)
class Boarding:
    """The header: what to start.

    Attributes:
        version: of the run's Meshtrial, which must be this one.
        root: the folder below which files lie as they do on the run's machine.
        file: the load file, as it is named there.
        cwd: the working directory, likewise.
        arguments: for Locust besides.
        environ: what the worker's environment has besides the container's.
        size: of the archive that follows, in bytes.
    """

    version: str
    root: str
    file: str
    cwd: str
    arguments: list[str]
    environ: dict[str, str]
    size: int

    def line(self) -> bytes:
        """As it is sent."""
        return json.dumps(asdict(self)).encode() + b"\n"


def there(root: str, path: Path) -> str:
    """Where a file of the run's machine lies in a pod."""
    return root + str(path)


# hold


def hold(idle: float, lock: Path = _LOCK) -> int:
    """Return when nobody has been aboard for `idle` seconds, or upon SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with lock.open("w") as file:
        since = time.monotonic()
        while time.monotonic() - since < idle:
            with contextlib.suppress(ChildProcessError):  # what a dead exec left has this process for a parent
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fcntl.flock(file, fcntl.LOCK_UN)
            except BlockingIOError:
                since = time.monotonic()
            time.sleep(_LOOK)
    sys.stderr.write(f"no run has been here for {idle:.0f} s\n")
    if os.environ.get(SIDECAR_VARIABLE):
        _end_sidecar()
    return 0


def _end_sidecar() -> None:
    host, port, path = _QUIT
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection(host, port, timeout=2)
        connection.request("POST", path)
        connection.getresponse().read()


# board


def board(lock: Path = _LOCK) -> int:
    """Start a worker as the header on standard input says, carry its connection, and return its exit code."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        os.set_inheritable(file.fileno(), False)  # noqa: FBT003 - the function's own form
        head = _header()
        if head is None:
            return CUT
        if head.version != __version__:
            sys.stderr.write(f"this image holds Meshtrial {__version__}, and the run is of {head.version}\n")
            return OTHER_VERSION
        root = Path(head.root)
        try:
            cargo = _exactly(head.size)
            if cargo is None:
                return CUT
            root.mkdir(parents=True, mode=0o700, exist_ok=True)
            with tarfile.open(fileobj=io.BytesIO(cargo)) as archive:
                _unpack(archive, root)
            Path(there(head.root, Path(head.cwd))).mkdir(parents=True, exist_ok=True)
            return _run(head)
        finally:
            shutil.rmtree(root, ignore_errors=True)


def _unpack(archive: tarfile.TarFile, root: Path) -> None:
    if hasattr(tarfile, "data_filter"):  # Debian's Python 3.11.2 has none; what is unpacked is the run's own
        archive.extractall(root, filter="data")
    else:
        archive.extractall(root)  # noqa: S202


def _header() -> Boarding | None:
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte or len(line) > _LONGEST_HEADER:
            return None
        line += byte
    return Boarding(**json.loads(line))


def _exactly(size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        chunk = os.read(0, min(_CHUNK, size - len(data)))
        if not chunk:
            return None
        data += chunk
    return bytes(data)


def _run(head: Boarding) -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        command = [sys.executable, "-P", "-m", "locust", "--worker", "--master-host", "127.0.0.1"]
        command += ["--master-port", str(port), "-f", f"{_PLUGIN},{there(head.root, Path(head.file))}"]
        worker = subprocess.Popen(
            [*command, *head.arguments],
            stdin=subprocess.DEVNULL,
            stdout=2,
            stderr=2,
            env={**os.environ, **head.environ, "PYTHONUNBUFFERED": "1"},
            cwd=there(head.root, Path(head.cwd)),
            start_new_session=True,
        )
        try:
            return _carry(listener, worker)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()


def _carry(listener: socket.socket, worker: subprocess.Popen[bytes]) -> int:
    """Carry bytes between the worker's one connection and the standard streams until either side ends."""
    with _Carrier(listener) as carrier:
        try:
            while worker.poll() is None:
                if not carrier.step():
                    return CUT
        except OSError:
            return CUT
    code = worker.wait()
    return 128 - code if code < 0 else code


class _Carrier:
    """The worker's connection, once there is one, and the standard streams."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._connection: socket.socket | None = None
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        self._selector.register(0, selectors.EVENT_READ, self._inward)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        if self._connection is not None:
            self._connection.close()

    def step(self) -> bool:
        """Wait a moment for bytes and carry them; false when the run is gone."""
        return all([key.data() for key, _ in self._selector.select(_LOOK)])  # noqa: C419 - every one of them has its turn

    def _accept(self) -> bool:
        self._connection, _ = self._listener.accept()
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.unregister(self._listener)
        self._selector.register(self._connection, selectors.EVENT_READ, self._outward)
        return True

    def _outward(self) -> bool:
        if self._connection is None:
            return True
        data = self._connection.recv(_CHUNK)
        if not data:
            self._selector.unregister(self._connection)
        while data:
            data = data[os.write(1, data) :]
        return True

    def _inward(self) -> bool:
        data = os.read(0, _CHUNK)
        if data and self._connection is not None:
            self._connection.sendall(data)
        return bool(data)


def main(arguments: list[str]) -> int:
    """`hold SECONDS` or `board`."""
    if arguments[:1] == ["hold"]:
        return hold(float(arguments[1]))
    if arguments == ["board"]:
        return board()
    sys.stderr.write("usage: python -m runner.load.aboard hold SECONDS | board\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
