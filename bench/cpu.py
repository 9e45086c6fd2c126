"""CPU time of running processes, exact to the microsecond (Linux's /proc/PID/schedstat; `cpu_times` has ticks of 10 ms)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psutil


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """Seconds that all threads of the processes have run so far."""
    files = (file for process in processes for file in Path(f"/proc/{process.pid}/task").glob("*/schedstat"))
    return sum(int(file.read_text(encoding="ascii").split()[0]) for file in files) / 1e9
