"""An embedded mesh, from nothing to ready.

`LocalMesh.start` of Bookinfo (eight Envoys with their sidecar configs, six Python apps, a supervisor, and the proof that
every proxy holds its config and every app answers), and the command `meshtrial mesh up`, which adds Python's start-up,
against eight bare Envoys with one listener each that are started together and waited for at `/ready`: nothing that runs
eight Envoys can be quicker than those.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from time import perf_counter

from bench.bare import BareEnvoys
from bench.command import meshtrial
from bench.measure import Result, Sample, ratio, series, side_by_side
from runner.mesh.local import launch
from runner.mesh.local.instance import living_instances
from runner.mesh.local.mesh import LocalMesh

_PROXIES = 8
_TIME = "to ready"


def _bare() -> Sample:
    with tempfile.TemporaryDirectory(prefix="meshtrial-bench-") as folder:
        began = perf_counter()
        with BareEnvoys(Path(folder), _PROXIES):
            took = perf_counter() - began
    return {_TIME: took}


def _start() -> Sample:
    began = perf_counter()
    mesh = LocalMesh.start("bookinfo")
    took = perf_counter() - began
    proxies = len(mesh.describe().proxies)
    mesh.close()
    if proxies != _PROXIES:
        raise RuntimeError(f"Bookinfo has {proxies} proxies, the bare side {_PROXIES}")
    return {_TIME: took}


def _command() -> Sample:
    began = perf_counter()
    meshtrial("mesh", "up")
    took = perf_counter() - began
    for instance in living_instances():  # of this benchmark's own state folder
        launch.end(instance)
    return {_TIME: took}


def measure(*, quick: bool) -> Result:
    """Run the benchmark."""
    arms = {"LocalMesh.start": _start, "meshtrial mesh up": _command, "eight bare Envoys": _bare}
    found = side_by_side(arms, 2 if quick else 7)
    start, command, bare = (series(found, name, _TIME, "s") for name in arms)
    return Result(
        [
            start,
            command.aimed("<= 2.5"),
            bare,
            ratio("LocalMesh.start to bare Envoys", start, bare),
            ratio("meshtrial mesh up to bare Envoys", command, bare),
        ]
    )
