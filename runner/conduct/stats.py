"""More of Envoy's counters for the time of a run: asked for by `--add-stats`, journalled like any change, and taken back after it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from runner.conduct.journal import Journal, MeshAddress
from runner.conduct.restoring import verify
from runner.errors import MeshError, OutsideError
from runner.state import journal_home

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.conduct.plan import Plan
    from runner.conduct.progress import Progress
    from runner.mesh.base import Mesh


@contextlib.contextmanager
def added_stats(mesh: Mesh, plan: Plan, progress: Progress, *, wanted: bool) -> Iterator[None]:
    """Have a mesh's proxies keep the counters that an experiment reads for as long as the context lasts, if that is wanted.

    It has a journal of its own, from before the first workload is changed until all are as they were and their pods run again.

    Raises:
        MeshError: a workload could not be changed, or not be put back (the journal is kept then).
        StorageError: the journal could not be written; nothing was changed.
    """
    if not wanted:
        yield
        return
    from runner.conduct.doctor import demands_of  # noqa: PLC0415 - only when it is asked for

    changed, notes = mesh.more_stats(demands_of(plan))
    for note in notes:
        progress.message(f"warning: {note}")
    if not changed:
        yield
        return
    description = mesh.describe()
    before = mesh.applied()
    keys = {item.key for item in changed}
    originals = [item for item in before if item.key in keys]
    journal = Journal.begin(
        journal_home(),
        MeshAddress(description.kind, description.identity),
        before,
        Path("the stats that a run had proxies keep"),
    )
    names = ", ".join(item.key.name for item in changed)
    try:
        progress.message(f"restarts the pods of {names}, so that their sidecars keep the counters that are read")
        journal.intend(changed, ())
        mesh.apply(changed, ())
        yield
    finally:
        try:
            progress.message(f"restarts the pods of {names} as they were")
            mesh.give_back(originals, ())
            verify(mesh, originals, ())
        except OutsideError as error:
            journal.abandon()
            raise MeshError(
                f"the stats that were added could not be taken back: {error}",
                advice="Run `meshtrial recover`; the journal was kept",
            ) from error
        journal.restored()
