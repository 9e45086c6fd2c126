"""CPU time and memory of the embedded mesh's processes, as the kernel counts them: two small files of /proc for each."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import MeshError
from runner.mesh.local.supervisor import PIDS, PROCESSES
from runner.mesh.telemetry import NoTelemetry
from runner.results.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Callable

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PROXY = " proxy"


class LocalTelemetry(NoTelemetry):
    """What an embedded mesh can tell: what its processes use. It hands config to its proxies itself, without an istiod.

    Args:
        folder: the mesh's.
        workload_of: the workload of a pod.
    """

    def __init__(self, folder: Path, workload_of: Callable[[str], str]) -> None:
        super().__init__("the embedded mesh has no Prometheus; proxy[...] reads the same counters from the proxies")
        self._folder, self._workload_of = folder, workload_of

    def usage(self) -> list[Usage]:
        """CPU time and resident memory of every process now; one that ended is missing.

        Raises:
            MeshError: the mesh's records can't be read.
        """
        try:
            names = [item["name"] for item in json.loads((self._folder / PROCESSES).read_text(encoding="utf-8"))]
            pids = [int(line.split()[0]) for line in (self._folder / PIDS).read_text(encoding="ascii").splitlines()]
        except (OSError, ValueError) as error:
            raise MeshError(f"the mesh's list of processes can't be read: {error}") from None
        if len(names) != len(pids):
            raise MeshError("not every process of the mesh was started")
        return [usage for name, pid in zip(names, pids, strict=True) if (usage := self._of(name, pid)) is not None]

    def _of(self, name: str, pid: int) -> Usage | None:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
        except OSError:
            return None
        pod = name.rpartition(" ")[0]
        part = "proxy" if name.endswith(_PROXY) else "app"
        cpu = (int(fields[11]) + int(fields[12])) * _TICK
        return Usage(self._workload_of(pod), pod, part, time.time(), cpu=cpu, memory=int(pages) * _PAGE)
