"""Undoing what dead runs left in a mesh, from their journals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.conduct.journal import unfinished
from runner.conduct.restoring import by_whom, kept_metadata, left_as_it_is, put_back
from runner.errors import MeshError
from runner.mesh.cluster.identity import Identity
from runner.mesh.kinds import KINDS_BY_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from runner.conduct.journal import JournalRecord, MeshAddress
    from runner.istio.resource import ResourceKey
    from runner.mesh.base import Mesh


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was done about one dead run.

    Attributes:
        run: its run folder.
        put: resources put back as they were.
        deleted: resources that the run had added.
        foreign: resources that somebody changed since; left alone, though some of what the run wrote may remain in them.
        gone: the mesh does not run any more, so there was nothing to put back.
        changes: who changed those, a clause each.
        notes: what else there is to say, a sentence each.
        journal: the run's journal, when it was kept because of what was left alone.
        mesh: which mesh; None when it is gone.
    """

    run: str
    put: tuple[ResourceKey, ...] = ()
    deleted: tuple[ResourceKey, ...] = ()
    foreign: tuple[ResourceKey, ...] = ()
    gone: bool = False
    changes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    journal: Path | None = None
    mesh: MeshAddress | None = None

    def __str__(self) -> str:
        if self.gone:
            return f"{self.run}: its mesh is gone, nothing to restore"
        parts = []
        if self.put:
            parts.append("put back " + ", ".join(map(str, self.put)))
        if self.deleted:
            parts.append("removed " + ", ".join(map(str, self.deleted)))
        if self.foreign:
            parts.append("left alone, because changed by somebody since: " + ", ".join(map(str, self.foreign)))
        parts += self.notes
        return f"{self.run}: {'; '.join(parts) or 'the mesh was already as before'}"


def refuse_left(recoveries: Sequence[Recovery]) -> None:
    """Say what dead runs may have left in objects that somebody changed since; nothing where there is no such object.

    Raises:
        MeshError: there is; says which, who changed them, and what to do.
    """
    changes = [change for recovery in recoveries for change in recovery.changes]
    journals = [str(recovery.journal) for recovery in recoveries if recovery.journal]
    if changes:
        raise MeshError(
            f"{'; '.join(changes)} after a run wrote it, so it was left alone, and may still say some of what that run wrote",
            restored="Everything else is as it was before the run",
            advice="Put it back or delete it, then run `meshtrial recover` again. To keep it as it is, remove the journal: "
            f"rm {' '.join(journals)}",
        )


def reopen(address: MeshAddress) -> Mesh | None:
    """The mesh that a journal is about; None when it is gone."""
    kind = KINDS_BY_NAME.get(address.kind)
    return kind.reopen(address.identity) if kind else None


def recover(
    home: Path,
    open_mesh: Callable[[MeshAddress], Mesh | None],
    *,
    wanted: str | None = None,
    context: str | None = None,
    namespace: str | None = None,
) -> list[Recovery]:
    """Restore what every dead run left.

    Args:
        home: the journals' folder.
        open_mesh: opens the mesh of a journal (not held yet); None when it is gone.
        wanted: only journals about this kind of mesh.
        context: of clusters, only those that this kubeconfig context led to.
        namespace: of clusters, only this namespace.

    Raises:
        MeshError: a mesh could not be restored; its journal stays, so that it can be tried again.
    """
    done = []
    for record in unfinished(home):
        if not _is_meant(record.mesh, wanted, context, namespace):
            continue
        mesh = open_mesh(record.mesh)
        if mesh is None:
            record.path.unlink(missing_ok=True)
            done.append(Recovery(record.run, gone=True))
            continue
        try:
            with mesh.hold("meshtrial recover"):
                done.append(undo_in(mesh, record))
        finally:
            mesh.close()
    return done


def died_in(home: Path, address: MeshAddress) -> bool:
    """Whether a dead run left anything in this very mesh."""
    return any(
        (record.mesh.kind, record.mesh.identity) == (address.kind, address.identity) for record in unfinished(home)
    )


def _is_meant(mesh: MeshAddress, wanted: str | None, context: str | None, namespace: str | None) -> bool:
    if wanted is not None and mesh.kind != wanted:
        return False
    if context is None and namespace is None:
        return True
    if mesh.kind != "cluster":
        return False
    identity = Identity.parse(mesh.identity)
    return (context is None or identity.context == context) and (namespace is None or identity.namespace == namespace)


def undo_in(mesh: Mesh, record: JournalRecord) -> Recovery:
    """Restore one mesh, held by the caller, from one journal; the journal goes when that is verified, and nothing may be left.

    Raises:
        MeshError: the mesh can't be restored, or does not hold what it should afterwards.
    """
    mesh.reach(record.written)
    work = put_back(mesh, record.snapshot, record.written)
    if not work.foreign:
        record.path.unlink(missing_ok=True)
    return Recovery(
        record.run,
        tuple(item.key for item in work.put),
        tuple(work.delete),
        tuple(work.foreign),
        changes=tuple(by_whom(mesh, key) for key in work.foreign),
        notes=(*kept_metadata(work), *left_as_it_is((), work.missing)),
        journal=record.path if work.foreign else None,
        mesh=record.mesh,
    )
