"""Going on after something of the mesh died in the middle of a run: only once it is whole again, and never without a word."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from runner.errors import MeshError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.mesh.base import Mesh
    from runner.results.window import Window

TOLD_WITHIN = 3.0
"""Seconds within which Kubernetes tells of a container's end: its kubelet looks every second, and then writes it down."""

_POLL = 0.5
_LOST = frozenset({"0", "503"})
"""Statuses of requests that nobody was there to answer."""


def died_during(mesh: Mesh, window: Window) -> list[str]:
    """What died in a mesh while a window was measured, in words.

    Where the window's last seconds look as if somebody had, a cluster is asked until it would have told.
    """
    told_by = window.ended + TOLD_WITHIN
    lost = any(
        _LOST & by_status.keys()
        for second in window.seconds[-int(TOLD_WITHIN) :]
        for by_status in second.cells.values()
    )
    waits = lost and mesh.describe().kind == "cluster"
    while not (deaths := mesh.deaths()) and waits and time.time() < told_by:
        time.sleep(_POLL)
    return deaths


def mended(mesh: Mesh, deaths: Sequence[str], when: str) -> None:
    """Return once a mesh is as it was opened.

    Args:
        mesh: the mesh.
        deaths: what died, in words.
        when: in which trial, "during a, block 1".

    Raises:
        MeshError: it is not, and will not be; says what died, and what is missing.
    """
    why = ""
    try:
        whole = mesh.mend()
    except MeshError as error:
        whole, why = False, f"; {error}"
    if not whole:
        raise MeshError(f"{'; '.join(deaths)} {when}{why}", advice="What was measured before is in the run folder")
