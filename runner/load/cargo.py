"""The files that a worker in a pod needs, as one archive: the load file's folder, the experiment's, and those of its TLS settings.

They are sent, not stored: a ConfigMap ends at 1 MiB, and would hold what is secret.
"""

from __future__ import annotations

import io
import os
import tarfile
from typing import TYPE_CHECKING

from runner.errors import InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

MOST = 64 << 20
"""Bytes of all files: they go to every worker through the API server, and lie in its memory."""
_MOST_FILES = 5000
_NOT_OURS = frozenset({"__pycache__", "node_modules", "site-packages"})
_MARKS = ("pyvenv.cfg", "run.json", "suite.json")
"""Files that show a folder to be no source of data: a virtual environment, or results."""


def pack(folders: Iterable[Path], files: Iterable[Path] = ()) -> bytes:
    """A compressed tar of folders with all below them, and of single files, each under its absolute path.

    Hidden files, caches, virtual environments and results are left out, and so is what is no regular file.

    Args:
        folders: absolute.
        files: absolute; taken even where they are hidden.

    Raises:
        InputError: there is more than `MOST` bytes, or a file can't be read.
    """
    found: dict[Path, int] = {}
    for path in [*files, *(path for folder in folders for path in _below(folder))]:
        if path in found:
            continue
        try:
            found[path] = path.stat().st_size
        except OSError:
            continue  # a dangling link
        if sum(found.values()) > MOST or len(found) > _MOST_FILES:
            raise _too_much(found)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=6, dereference=True) as archive:
        for path in sorted(found):
            try:
                archive.add(path, str(path).lstrip("/"), recursive=False)
            except OSError as error:
                raise InputError(
                    Problem(f"{path} lies beside the load file and can't be sent to its workers: {error.strerror}")
                ) from error
    return buffer.getvalue()


def _below(folder: Path) -> Iterator[Path]:
    for where, names, files in os.walk(folder):
        here = folder / where
        if here != folder and any(mark in files for mark in _MARKS):
            names.clear()
            continue
        names[:] = sorted(name for name in names if not name.startswith(".") and name not in _NOT_OURS)
        yield from (path for name in files if not name.startswith(".") and (path := here / name).is_file())


def _too_much(found: dict[Path, int]) -> InputError:
    largest = max(found, key=lambda path: found[path])
    return InputError(
        Problem(
            f"what lies beside the load file is too much to send to its workers: {len(found)} files and more, "
            f"over {sum(found.values()) >> 20} MiB (the largest is {largest})",
            expected=f"at most {MOST >> 20} MiB in {_MOST_FILES} files, in the folders of the load file and of the experiment",
            suggestion="Keep both in folders of their own, with the data that they read",
        )
    )
