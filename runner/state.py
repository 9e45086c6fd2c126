"""Where Meshtrial keeps what must outlive a command: meshes that stay up, journals, working folders.

All of it lies under `$XDG_STATE_HOME/meshtrial` (XDG base directories; `~/.local/state` without the variable), so that every
shell of a user finds the same, whatever the working directory.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator


def state_home() -> Path:
    """Meshtrial's own folder.

    Raises:
        StorageError: there is no home folder to put it into.
    """
    base = os.environ.get("XDG_STATE_HOME") or ""
    try:
        return (Path(base) if base.startswith("/") else Path.home() / ".local" / "state") / "meshtrial"
    except RuntimeError:
        raise StorageError("this user has no home folder", advice="Set XDG_STATE_HOME to a writable place") from None


def journal_home() -> Path:
    """Where the journals of runs are."""
    return state_home() / "journal"


def meshes_home() -> Path:
    """Where the folders of embedded meshes are."""
    return state_home() / "meshes"


@contextlib.contextmanager
def work_directory() -> Iterator[Path]:
    """A folder for one command's own files; what commands that died left is removed.

    Raises:
        StorageError: it can't be made.
    """
    home = state_home() / "work"
    path = home / f"{os.getpid()}-{secrets.token_hex(4)}"
    try:
        path.mkdir(parents=True, mode=0o700)
    except OSError as error:
        raise StorageError(
            f"{path} can't be made: {error.strerror}", advice="Free space, or set XDG_STATE_HOME to a writable place"
        ) from None
    for other in home.iterdir():
        pid = other.name.partition("-")[0]
        if pid.isdigit() and not _is_alive(int(pid)):
            shutil.rmtree(other, ignore_errors=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
