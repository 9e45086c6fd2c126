"""Where Meshtrial keeps what must outlive a command: meshes that stay up, journals, working folders.

All of it lies under `$XDG_STATE_HOME/meshtrial` (XDG base directories; `~/.local/state` without the variable), so that every
shell of a user finds the same, whatever the working directory.
"""

from __future__ import annotations

import contextlib
import fcntl
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

    A living command holds a lock on its folder's `.lock`. Process ids would not do: in pods that share a volume each is the first.

    Raises:
        StorageError: it can't be made.
    """
    home = state_home() / "work"
    name = f"{os.getpid()}-{secrets.token_hex(4)}"
    path, unlocked = home / name, home / f".{name}"
    try:
        unlocked.mkdir(parents=True, mode=0o700)
        lock = os.open(unlocked / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unlocked.rename(
            path
        )  # under its own name only once it is locked: others take an unlocked one for a dead command's
    except OSError as error:
        raise StorageError(
            f"{path} can't be made: {error.strerror}", advice="Free space, or set XDG_STATE_HOME to a writable place"
        ) from None
    try:
        for other in home.iterdir():
            if other != path and not other.name.startswith(".") and not is_locked(other / ".lock"):
                shutil.rmtree(other, ignore_errors=True)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def is_locked(path: Path) -> bool:
    """Whether some living process holds a lock on a file; a file that is not there is not locked."""
    try:
        lock = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False
