"""One run of fortio as the driver sees it: started, read as it prints, interrupted, never left behind.

A few lines of shell stand between: they read a pipe whose other end this process holds. A line on it interrupts fortio,
and its end (this process closed it, or died of anything) kills it. That works wherever there is a POSIX shell, and needs no
code between fork and exec, which a program with threads must not run.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import subprocess
from time import monotonic
from typing import TYPE_CHECKING, Self

from runner.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

_GUARD = """
exec 3<&0
"$@" 3<&- </dev/null &
fortio=$!
(while read -r _; do kill -INT "$fortio"; done; kill -KILL "$fortio") <&3 >/dev/null 2>&1 &
guard=$!
exec 3<&-
wait "$fortio"
code=$?
kill "$guard" 2>/dev/null
times >&2
exit "$code"
"""
_TIMES = re.compile(r"(\d+)m([\d.]+)s (\d+)m([\d.]+)s")
"""A line of the shell's `times`: user and system time, of itself and then of what it started (POSIX)."""
_CHUNK = 1 << 16
_TAIL = 16 << 10
_SHORTEST = 1e-3


class FortioProcess:
    """fortio, running; a context manager that ends it in any case.

    Attributes:
        output: what it printed on standard output so far.
        tail: the end of what it printed on standard error.
        cpu: how many processors it kept busy, from its start to its end; known once it has ended.
        exit_code: known once it has ended; minus the signal when one killed it.
    """

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        line: Callable[[str], bool],
        before: Sequence[str] = (),
    ) -> None:
        """Start it.

        Args:
            command: fortio's command line.
            environ: its environment.
            line: called with each line of standard error; true for one that is data, not words.
            before: what stands before the command line to have it run elsewhere; empty for here.

        Raises:
            DriverError: it could not be started.
        """
        self.output = bytearray()
        self.tail = ""
        self.cpu = 0.0
        self.exit_code: int | None = None
        self._line = line
        self._rest = b""
        self._used: list[float] = []
        self._started = monotonic()
        try:
            self._process = subprocess.Popen(
                [*before, "/bin/sh", "-c", _GUARD, "fortio", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(environ),
                bufsize=0,
                start_new_session=True,  # Ctrl-C is for the runner, which lets the load drain
            )
        except OSError as error:
            raise DriverError(f"fortio could not be started: {error}") from error
        self._selector = selectors.DefaultSelector()
        for pipe, take in ((self._process.stdout, self.output.extend), (self._process.stderr, self._take_lines)):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                self._selector.register(pipe, selectors.EVENT_READ, take)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()

    def read(self, timeout: float) -> bool:
        """Take in what it prints, waiting at most `timeout` seconds for any of it; False once it has ended."""
        for key, _ in self._selector.select(timeout):
            data = os.read(key.fd, _CHUNK)
            if data:
                key.data(data)
            else:
                self._selector.unregister(key.fileobj)
        if self._selector.get_map():
            return True
        self._take_lines(b"\n" if self._rest else b"")
        self._reap()
        return False

    def interrupt(self) -> None:
        """Ask it to end: requests under way are waited for, and results printed."""
        self._tell(b"stop\n")

    def kill(self) -> None:
        """End it at once; nothing when it has ended."""
        if self._process.stdin and not self._process.stdin.closed:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        self._reap()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe:
                pipe.close()
        self._selector.close()

    def how_it_ended(self) -> str:
        """`exit code 1` or `killed by SIGKILL`."""
        code = self.exit_code or 0
        code = 128 - code if code > 128 else code  # noqa: PLR2004 - a shell's word for a signal
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def _tell(self, line: bytes) -> None:
        if self._process.stdin:
            with contextlib.suppress(OSError):
                self._process.stdin.write(line)

    def _take_lines(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for one in lines:
            text = one.decode(errors="replace")
            if found := _TIMES.fullmatch(text):
                minutes, seconds, more, rest = map(float, found.groups())
                self._used.append(60 * (minutes + more) + seconds + rest)
            elif not self._line(text):
                self.tail = f"{self.tail}{text}\n"[-_TAIL:]

    def _reap(self) -> None:
        """Wait for the shell, which waits for fortio, and see what both used."""
        if self.exit_code is not None:
            return
        try:
            _, status, usage = os.wait4(self._process.pid, 0)
        except ChildProcessError:
            self.exit_code = self._process.returncode = 0
            return
        self.exit_code = self._process.returncode = os.waitstatus_to_exitcode(status)
        used = self._used[-1] if self._used else usage.ru_utime + usage.ru_stime
        self.cpu = used / max(monotonic() - self._started, _SHORTEST)
