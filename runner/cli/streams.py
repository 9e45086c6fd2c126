"""Standard streams that never end a run: closed ones are opened on nothing, and a reader that goes away is no error.

A run that changes a mesh must not die, nor change its exit code, because somebody piped its progress into `head`, closed the
terminal, or started it without standard input (the next file opened would then become descriptor 0).
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_OUT, _ERR = 1, 2
_NOBODY_READS = frozenset({errno.EPIPE, errno.EIO, errno.ECONNRESET})
"""A pipe without a reader, a terminal that hung up, a socket that was reset."""


class _Unbreakable(io.FileIO):
    """A descriptor that swallows what nobody can receive any more."""

    def write(self, data: ReadableBuffer) -> int:
        """Write, or pretend to once there is nobody left to read.

        Raises:
            OSError: standard output can't be written for another reason, such as a full disk.
        """
        try:
            return super().write(data) or 0
        except OSError as error:
            # what comes after this, and what the interpreter flushes at its end, goes nowhere
            with contextlib.suppress(OSError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, self.fileno())
                os.close(null)
            if error.errno not in _NOBODY_READS and self.fileno() != _ERR:
                raise OSError(error.errno, error.strerror, "standard output") from None
        return memoryview(data).nbytes


def make_unbreakable() -> None:
    """Put this process's standard streams in order; for the start of a command, before it opens anything."""
    for descriptor in (0, _OUT, _ERR):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003 - by position only
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - a descriptor that stays open
    sys.stdout = _text(_OUT, sys.stdout)
    sys.stderr = _text(_ERR, sys.stderr)


def _text(descriptor: int, before: TextIO | None) -> TextIO:
    """The stream of a descriptor; signs that its encoding lacks are escaped, since no message is worth a crash."""
    if before is not None:
        before.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Unbreakable(descriptor, "wb", closefd=False)),
        encoding=before.encoding if before is not None else "utf-8",
        errors="backslashreplace",
        line_buffering=descriptor == _ERR or os.isatty(descriptor),
    )
