"""CPU time of running processes, exact to the microsecond (Linux's schedstat; `cpu_times` has ticks of 10 ms); priority."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psutil


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """Seconds that all threads of the processes have run so far."""
    files = (file for process in processes for file in Path(f"/proc/{process.pid}/task").glob("*/schedstat"))
    return sum(int(file.read_text(encoding="ascii").split()[0]) for file in files) / 1e9


def ordinary(process: psutil.Process) -> None:
    """Take back what priority the driver gave its child: on a busy machine it would win by that alone.

    Linux shares cores out between sessions first (autogroup), so raw Locust has a session of its own too.
    """
    with contextlib.suppress(OSError):
        process.nice(0)
        Path(f"/proc/{process.pid}/autogroup").write_text("0", encoding="ascii")
