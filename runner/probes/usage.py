"""CPU and memory over a window, from what was read at its edges, with the honest limits of each source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.results.document.evidence import PartUsage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.results.usage import Usage

LEAST_SHARE = 0.5
"""A mean that a source took over its own period counts when at least this share of that period lies in the window."""


def over_window(
    before: Sequence[Usage], after: Sequence[Usage], started: float, ended: float
) -> tuple[list[PartUsage], str]:
    """What each part of each workload used in a window.

    CPU time that is counted from a start is the difference between the two readings, over the time between the moments at which the
    source measured; a source's own mean counts when it is of this window. Instances of a workload are added up, memory is that at
    the end.

    Args:
        before: read at the first edge.
        after: read at the last one.
        started: of the window, seconds since the epoch.
        ended: of the window.

    Returns:
        One entry for each workload and part, and why CPU is missing where it is (empty when nothing is).
    """
    earlier = {(usage.workload, usage.instance, usage.part): usage for usage in before}
    cores: dict[tuple[str, str], list[float | None]] = {}
    memory: dict[tuple[str, str], list[int]] = {}
    why = ""
    for usage in after:
        found, reason = _cores(earlier.get((usage.workload, usage.instance, usage.part)), usage, started, ended)
        why = why or reason
        key = (usage.workload, usage.part)
        cores.setdefault(key, []).append(found)
        if usage.memory is not None:
            memory.setdefault(key, []).append(usage.memory)
    parts = [
        PartUsage(
            workload=workload,
            part="proxy" if part == "proxy" else "app",
            cores=sum(value for value in values if value is not None) if None not in values else None,
            memory_mb=sum(memory[workload, part]) / 1e6 if (workload, part) in memory else None,
        )
        for (workload, part), values in sorted(cores.items())
    ]
    return parts, why


def _cores(before: Usage | None, after: Usage, started: float, ended: float) -> tuple[float | None, str]:
    if after.cores is not None:
        inside = min(ended, after.at) - max(started, after.at - after.over)
        if after.over > 0 and inside >= LEAST_SHARE * after.over:
            return after.cores, ""
        return None, (
            f"the last measurement ended {max(0.0, ended - after.at):.0f} s before the window did and is a mean over "
            f"{after.over:.0f} s, so less than half of it is of this window"
        )
    if after.cpu is None:
        return None, "the source knows memory alone"
    if before is None or before.cpu is None or after.cpu < before.cpu:
        return None, f"{after.instance} was not there, or was started anew"
    seconds = after.at - before.at
    if seconds < LEAST_SHARE * (ended - started) or seconds <= 0:
        return None, (
            f"its source measured only {max(0.0, seconds):.0f} s apart, in a window of {ended - started:.0f} s: "
            "too short for it"
        )
    return (after.cpu - before.cpu) / seconds, ""
