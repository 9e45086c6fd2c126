"""Undoing in a mesh what a run wrote, whoever does it: a trial, the end of the run, or `recover`; and saying what was left, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.conduct.undo import judge
from runner.errors import MeshError
from runner.mesh.base import ChangedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.conduct.undo import Undo, Written
    from runner.istio.resource import Resource, ResourceKey
    from runner.mesh.base import Mesh

ADVICE = "Keep others (Flagger, Argo, a colleague) off this namespace during a run"

_TRIES = 3
"""How often somebody may change something between the look at it and the write before it is given up."""


def put_back(mesh: Mesh, before: Mapping[ResourceKey, Resource], written: Written) -> Undo:
    """Undo what was written, except where it is somebody else's by now, and verify that.

    Args:
        mesh: the mesh, held by the caller.
        before: what it held before.
        written: what may have been left there.

    Returns:
        What was done, and what was left alone.

    Raises:
        MeshError: it could not be done, or the mesh does not hold what it should afterwards; says what was put back.
    """
    for left in reversed(range(_TRIES)):
        work = judge(before, written, mesh.applied())
        try:
            mesh.give_back(work.put, work.delete)
            break
        except ChangedError:
            if not left:
                raise
    verify(mesh, work.put, work.delete)
    return work


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


def by_whom(mesh: Mesh, key: ResourceKey) -> str:
    """A resource that somebody changed, with who wrote it last where that is known."""
    who = mesh.last_writer(key)
    return f"{key} was changed by somebody else" + (f" ({who})" if who else "")


def disturbed(mesh: Mesh, work: Undo, before: Mapping[ResourceKey, Resource]) -> list[str]:
    """What somebody did to objects while a run had them applied, a clause each; a change of metadata alone is no matter."""
    said = [by_whom(mesh, key) for key in work.foreign]
    said += [f"{key} was deleted by somebody else" for key in work.missing]
    for key in work.as_before:
        if key not in before:
            said.append(f"{key} was deleted by somebody else")
            continue
        who = mesh.last_writer(key)
        said.append(f"{key} was put back by somebody else" + (f" ({who})" if who else ""))
    return said


def kept_metadata(work: Undo) -> list[str]:
    """What became of labels and annotations that somebody changed meanwhile, a sentence each."""
    said = []
    if work.merged:
        said.append(f"{_names(work.merged)}: put back, with the metadata that somebody changed meanwhile")
    if work.lost:
        said.append(f"{_names(work.lost)}: removed, and with it the metadata that somebody had changed meanwhile")
    return said


def left_as_it_is(foreign: Sequence[ResourceKey], missing: Sequence[ResourceKey]) -> list[str]:
    """What was not put back, because somebody else changed or deleted it, and what to do; a sentence each."""
    said = []
    if foreign:
        said.append(
            f"{_names(foreign)} was left as somebody else changed it, and may still say some of what the run wrote: "
            "put it back or delete it (kubectl), then run `meshtrial recover`"
        )
    if missing:
        said.append(
            f"{_names(missing)} was there before the run, somebody else deleted it, and it was left deleted: "
            "apply it again if that was not meant"
        )
    return said


def _names(keys: Sequence[ResourceKey]) -> str:
    return ", ".join(map(str, keys))
