"""The app of an experiment where a mesh lacks it: brought along for the run, journalled like any change, and taken away after it."""

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

    from runner.conduct.progress import Progress
    from runner.mesh.base import Mesh


@contextlib.contextmanager
def provided_app(mesh: Mesh, progress: Progress) -> Iterator[None]:
    """Have the app of an experiment in its mesh for as long as the context lasts.

    It has a journal of its own, from before the first object is made until the last one is gone.

    Raises:
        MeshError: it could not be deployed, or not be taken away (the journal is kept then).
        StorageError: the journal could not be written; nothing was deployed.
    """
    missing = mesh.missing_app()
    if not missing:
        yield
        return
    description = mesh.describe()
    address = MeshAddress(description.kind, description.identity)
    journal = Journal.begin(journal_home(), address, mesh.applied(), Path("the app that a run brought along"))
    keys = [item.key for item in missing]
    try:
        progress.message(f"the mesh lacks the app: deploying {len(missing)} objects, which are removed after the run")
        journal.intend(missing, ())
        mesh.apply(missing, ())
        yield
    finally:
        try:
            held = {item.key for item in mesh.applied()}
            mesh.give_back((), [key for key in keys if key in held])
            verify(mesh, (), keys)
        except OutsideError as error:
            journal.abandon()
            raise MeshError(
                f"the app could not be removed: {error}", advice="Run `meshtrial recover`; the journal was kept"
            ) from error
        journal.restored()
