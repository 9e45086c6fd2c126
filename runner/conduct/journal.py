"""The write-ahead record of every change to a mesh, from which any death of a run can be undone.

One file for each run under `$XDG_STATE_HOME/meshtrial/journal`, JSON lines, each synced to disk before the change it announces is made:

    {"begin": {...mesh..., "snapshot": [...]}}   what the mesh held
    {"intend": {"put": [...], "delete": [...]}}  what is about to change
    {"restored": ...}                            everything is back and was verified

A run holds a lock on its file as long as it lives, so a file without a lock and without `restored` is a dead run's. A torn last
line announces a change that was never made, and is ignored.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.conduct.undo import judge, note
from runner.errors import StorageError
from runner.istio.record import record_of, resource_from_record
from runner.istio.resource import Resource, ResourceKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from runner.conduct.undo import Undo, Written


@dataclass(frozen=True, slots=True)
class MeshAddress:
    """Which mesh a journal is about.

    Attributes:
        kind: local or cluster.
        identity: the mesh's own identity (`MeshDescription.identity`).
        context: kubeconfig context (cluster).
        namespace: namespace (cluster).
    """

    kind: str
    identity: str
    context: str | None = None
    namespace: str | None = None


@dataclass(slots=True)
class JournalRecord:
    """What a journal file says.

    Attributes:
        path: the file.
        mesh: which mesh.
        run: the run folder, for messages.
        pid: the run's process.
        snapshot: what the mesh held before the run, by key.
        written: for every key that the run announced to change, the bodies (canonical text) it may have left there;
            None stands for "deleted".
        restored: whether everything was put back and verified.
    """

    path: Path
    mesh: MeshAddress
    run: str
    pid: int
    snapshot: dict[ResourceKey, Resource]
    written: Written = field(default_factory=dict)
    restored: bool = False


class Journal:
    """The journal of the run that is going on."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.written: Written = {}
        """What was announced so far, by key."""
        self._descriptor = descriptor

    @classmethod
    def begin(cls, home: Path, mesh: MeshAddress, snapshot: Sequence[Resource], run: Path) -> Journal:
        """Start a journal: what the mesh holds now is on disk when this returns.

        Raises:
            StorageError: it could not be written; the mesh must not be touched then.
        """
        name = secrets.token_hex(6)
        path, unfinished_path = home / f"{name}.jsonl", home / f".{name}.new"
        try:
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
            # under its own name only once it is locked and has its first line: others take an unlocked journal for a dead run's
            descriptor = os.open(unfinished_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        except OSError as error:
            raise _storage(home, error) from None
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        journal = cls(path, descriptor)
        try:
            journal._write(
                {
                    "begin": {
                        "kind": mesh.kind,
                        "identity": mesh.identity,
                        "context": mesh.context,
                        "namespace": mesh.namespace,
                        "run": str(run),
                        "pid": os.getpid(),
                        "snapshot": [record_of(resource) for resource in snapshot],
                    }
                }
            )
            unfinished_path.rename(path)
            _sync_folder(home)
        except BaseException:
            journal.abandon()
            unfinished_path.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            raise
        return journal

    def intend(self, put: Iterable[Resource], delete: Iterable[ResourceKey]) -> None:
        """Announce a change; only after this returned may it be made.

        Raises:
            StorageError: the announcement is not on disk; the change must not be made.
        """
        put, delete = list(put), list(delete)
        self._write(
            {
                "intend": {
                    "put": [record_of(resource) for resource in put],
                    "delete": [[key.kind, key.namespace, key.name] for key in delete],
                }
            }
        )
        note(self.written, put, delete)

    def restored(self) -> None:
        """Everything is back and was verified: the journal has done its work and goes."""
        with contextlib.suppress(StorageError):
            self._write({"restored": True})
        self.path.unlink(missing_ok=True)
        self.abandon()

    def abandon(self) -> None:
        """Let go of the journal without a word, as a death would (the file stays for `recover`)."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write(self, entry: dict[str, Any]) -> None:
        data = (json.dumps(entry, ensure_ascii=False) + "\n").encode()
        whole = os.fstat(self._descriptor).st_size
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
            os.fsync(self._descriptor)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, whole)
            raise _storage(self.path, error) from None


class NoJournal:
    """In place of a journal where nothing can be applied (a plain URL): there is nothing to announce, nothing to undo."""

    def intend(self, put: Iterable[Resource], delete: Iterable[ResourceKey]) -> None:
        """Nothing to note."""

    def restored(self) -> None:
        """Nothing to note."""

    def abandon(self) -> None:
        """Nothing to note."""


def read_journal(path: Path) -> JournalRecord | None:
    """What a journal file says, up to its last whole line; None when not even its first line is whole.

    Without a whole first line nothing was changed yet.

    Raises:
        StorageError: it says something that no version of this program wrote.
    """
    try:
        return _read(path)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StorageError(
            f"the journal {path} can't be understood ({type(error).__name__}: {error})",
            advice="What its run left can't be undone from it: look at the mesh yourself, then remove that file",
        ) from None


def _read(path: Path) -> JournalRecord | None:
    entries = []
    for line in path.read_bytes().split(b"\n")[:-1]:
        try:
            entries.append(json.loads(line))
        except ValueError:
            break
    if not entries or "begin" not in entries[0]:
        return None
    begin = entries[0]["begin"]
    address = MeshAddress(begin["kind"], begin["identity"], begin["context"], begin["namespace"])
    snapshot = [resource_from_record(record) for record in begin["snapshot"]]
    record = JournalRecord(path, address, begin["run"], begin["pid"], {item.key: item for item in snapshot})
    for entry in entries[1:]:
        if "restored" in entry:
            record.restored = True
        if "intend" in entry:
            put = [resource_from_record(item) for item in entry["intend"]["put"]]
            delete = [ResourceKey(kind, namespace, name) for kind, namespace, name in entry["intend"]["delete"]]
            note(record.written, put, delete)
    return record


def unfinished(home: Path) -> list[JournalRecord]:
    """The journals of dead runs: not restored, and no living process holds them."""
    found = []
    for path in sorted(home.glob("*.jsonl")):
        try:
            descriptor = os.open(path, os.O_RDWR)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            record = read_journal(path)
            if record is None or record.restored:
                path.unlink(missing_ok=True)
            else:
                found.append(record)
        except BlockingIOError:
            continue
        finally:
            os.close(descriptor)
    return found


def undo(record: JournalRecord, now: Sequence[Resource]) -> Undo:
    """What puts a mesh back to the journal's snapshot.

    Only keys that the run announced are touched, and of those only the ones that say what the run left there: what somebody
    else changed since is theirs (`runner.conduct.undo`).

    Args:
        record: the dead run's journal.
        now: what the mesh holds now.
    """
    return judge(record.snapshot, record.written, now)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _storage(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"the journal {path} can't be written: {error.strerror or error}",
        advice="Without it a change could not be undone, so none is made. Free space, or set XDG_STATE_HOME to a writable place",
    )
