"""Files that are whole or not there, names that any file system takes, and what to tell a user when a disk won't."""

from __future__ import annotations

import contextlib
import errno
import gc
import hashlib
import os
import re
from typing import TYPE_CHECKING

from runner.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LONGEST_NAME = 80
"""Of one part of a file name, so that the whole stays under the 255 bytes that file systems allow."""


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that it is whole or not there, even after a power cut.

    Raises:
        StorageError: the disk is full or the folder can't be written; what was there before is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise storage_error(path, error) from None


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """No cycle collection meanwhile: for parsing large JSON, which has no cycles and is walked again and again by it.

    With it the parsing of a long run's trials took three times as long (measured: `python -m bench report`).
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def storage_error(path: Path, error: OSError) -> StorageError:
    """What went wrong with a file, and what the user can do about it."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StorageError(
            f"the disk is full: {path} could not be written",
            advice="Free some space there, or name another folder with --results",
        )
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return StorageError(
            f"{path} could not be written: {error.strerror}", advice="Name a folder that you may write with --results"
        )
    if error.errno in {errno.EEXIST, errno.ENOTDIR}:
        return StorageError(
            f"{path} could not be written: a file is in the way ({error.strerror})",
            advice="Move it away, or name another folder with --results",
        )
    return StorageError(f"{path} could not be written: {error.strerror or error}", advice="Check the disk")


def safe_name(name: str) -> str:
    """`name` as one part of a path on any file system; the same for the same name, different for different ones.

    A name of lower-case letters, digits and `._=+,@-` stays as it is; any other gets a short hash after a `~`.
    """
    clean = re.sub(r"[^A-Za-z0-9._=+,@-]+", "-", name).lstrip(".")[:_LONGEST_NAME] or "unnamed"
    if clean == name and name == name.lower():
        return clean
    return f"{clean}~{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
