"""An embedded mesh, from nothing to ready.

`LocalMesh.start` of Bookinfo (eight Envoys with their sidecar configs, six Python apps, a supervisor, and the proof that
every proxy holds its config and every app answers), and the command `meshtrial mesh up`, which adds Python's start-up,
against eight bare Envoys with one listener each that are started together and waited for at `/ready`: nothing that runs
eight Envoys can be quicker than those. The CPU time until then, divided by the machine's cores, is what no start can go
below.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from time import perf_counter, process_time

import psutil

from bench.bare import BareEnvoys
from bench.command import meshtrial
from bench.cpu import cpu_seconds
from bench.measure import Result, Sample, ratio, series, side_by_side
from runner.mesh.local import launch
from runner.mesh.local.instance import living_instances
from runner.mesh.local.mesh import LocalMesh

_PROXIES = 8
_TIME, _CPU = "to ready", "CPU of all processes"


def _bare() -> Sample:
    with tempfile.TemporaryDirectory(prefix="meshtrial-bench-") as folder:
        began = perf_counter()
        with BareEnvoys(Path(folder), _PROXIES) as bare:
            took = perf_counter() - began
            spent = cpu_seconds(psutil.Process(envoy.process.pid) for envoy in bare.envoys)
    return {_TIME: took, _CPU: spent}


def _start() -> Sample:
    began, own = perf_counter(), process_time()
    mesh = LocalMesh.start("bookinfo")
    took, own = perf_counter() - began, process_time() - own
    supervisor = psutil.Process(int((mesh.instance.folder / "supervisor.pid").read_text(encoding="ascii")))
    spent = own + cpu_seconds([supervisor, *supervisor.children()])
    proxies = len(mesh.describe().proxies)
    mesh.close()
    if proxies != _PROXIES:
        raise RuntimeError(f"Bookinfo has {proxies} proxies, the bare side {_PROXIES}")
    return {_TIME: took, _CPU: spent}


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
            series(found, "LocalMesh.start", _CPU, "s"),
            command.aimed("<= 2.5"),
            bare,
            series(found, "eight bare Envoys", _CPU, "s"),
            ratio("LocalMesh.start to bare Envoys", start, bare),
            ratio("meshtrial mesh up to bare Envoys", command, bare),
        ]
    )
