"""Undoing what dead runs left in a mesh, from their journals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.conduct.journal import undo, unfinished
from runner.errors import MeshError
from runner.mesh.cluster.identity import Identity
from runner.mesh.kinds import KINDS_BY_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from runner.conduct.journal import JournalRecord, MeshAddress
    from runner.istio.resource import Resource, ResourceKey
    from runner.mesh.base import Mesh


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was done about one dead run.

    Attributes:
        run: its run folder.
        put: resources put back as they were.
        deleted: resources that the run had added.
        foreign: resources that somebody changed after the run died; left alone.
        gone: the mesh does not run any more, so there was nothing to put back.
    """

    run: str
    put: tuple[ResourceKey, ...] = ()
    deleted: tuple[ResourceKey, ...] = ()
    foreign: tuple[ResourceKey, ...] = ()
    gone: bool = False

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
        return f"{self.run}: {'; '.join(parts) or 'the mesh was already as before'}"


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
    """Restore one mesh, held by the caller, from one journal; the journal goes when that is verified.

    Raises:
        MeshError: the mesh can't be restored, or does not hold what it should afterwards.
    """
    mesh.reach(record.written)
    work = undo(record, mesh.applied())
    mesh.apply(work.put, work.delete)
    verify(mesh, [record.snapshot[item.key] for item in work.put], work.delete)
    record.path.unlink(missing_ok=True)
    return Recovery(record.run, tuple(item.key for item in work.put), tuple(work.delete), tuple(work.foreign))


def verify(mesh: Mesh, present: Sequence[Resource], absent: Sequence[ResourceKey]) -> None:
    """Check that a mesh holds resources exactly, and others not at all.

    Raises:
        MeshError: it does not; says which differ.
    """
    now = {resource.key: resource.canonical() for resource in mesh.applied()}
    wrong = [str(item.key) for item in present if now.get(item.key) != item.canonical()]
    wrong += [str(key) for key in absent if key in now]
    if wrong:
        raise MeshError(
            f"not restored: {', '.join(wrong)}", advice="Run `meshtrial recover` again; the journal was kept"
        )
