"""The meshes of one run, or of the runs of a suite: a mesh that the next experiment needs too is kept open, which saves its start.

Only a mesh that was verified to hold what it held before, and in which nothing died, is used again.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from runner.errors import MeshtrialError
from runner.mesh.kinds import mesh_kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from threading import Event
    from types import TracebackType

    from runner.mesh.base import Mesh
    from runner.spec.mesh import MeshChoice


@dataclass(slots=True)
class Loan:
    """A mesh in the hands of one run.

    Attributes:
        mesh: the mesh.
        sound: whether it was verified to hold what it held before the run; only then it can serve again.
        failed: whether the run ended early, so that `keep` leaves its mesh up.
        kept: whether it was left up for that reason; known afterwards.
        again: whether an earlier run had it.
    """

    mesh: Mesh
    sound: bool = False
    failed: bool = False
    kept: bool = False
    again: bool = False


@dataclass(slots=True)
class Meshes:
    """Opens meshes, keeps them while they are needed, ends what it started.

    Attributes:
        fresh: start meshes of one's own even when one is up.
        keep: leave a mesh of one's own up after a run that ended early.
        later: what the runs still to come will ask for.
    """

    fresh: bool = False
    keep: bool = False
    later: Sequence[MeshChoice] = ()
    _open: list[tuple[MeshChoice, Mesh]] = field(default_factory=list)
    _lent: list[Mesh] = field(default_factory=list)

    def open(self, choice: MeshChoice, stop: Event | None = None) -> Mesh:
        """A mesh kept from an earlier run when it is still whole, else one that is joined, or started unless `stop` is set.

        Raises:
            InputError: the choice can't be used.
            MeshError: the mesh could not be started.
        """
        for index, (kept_choice, mesh) in enumerate(self._open):
            if kept_choice == choice:
                if not mesh.deaths():
                    return mesh
                del self._open[index]
                mesh.close()
                break
        mesh = mesh_kind(choice).open(choice, self.fresh, stop)
        self._open.append((choice, mesh))
        return mesh

    @contextlib.contextmanager
    def lend(self, mesh: Mesh) -> Iterator[Loan]:
        """The mesh for one run; afterwards it is kept for a later one, left up, or closed."""
        loan = Loan(mesh, again=any(mesh is earlier for earlier in self._lent))
        self._lent.append(mesh)
        try:
            yield loan
        finally:
            self._take_back(loan)

    def _take_back(self, loan: Loan) -> None:
        mesh = loan.mesh
        choice = next(choice for choice, opened in self._open if opened is mesh)
        if self.keep and loan.failed and not mesh.describe().joined:
            self._forget(mesh)
            loan.kept = self.fresh = True  # runs to come must not join what is left for a person to look at
            mesh.leave_running()
        elif not (loan.sound and choice in self.later):
            self._forget(mesh)
            mesh.close()

    def _forget(self, mesh: Mesh) -> None:
        self._open = [entry for entry in self._open if entry[1] is not mesh]

    def close(self) -> None:
        """End every mesh that is still kept and was started here."""
        while self._open:
            with contextlib.suppress(MeshtrialError):
                self._open.pop()[1].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
