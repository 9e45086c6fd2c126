"""What a part of a workload used at one moment: what meshes read, and probes take the difference of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """What one part of a workload's instance used, as its source measured it.

    Attributes:
        workload: whose.
        instance: the pod, or the process.
        part: `proxy` or `app`.
        at: when the source measured, in seconds since the epoch.
        cpu: seconds of CPU time since it started; None where the source does not count so.
        cores: mean cores over the `over` seconds before `at`, of a source that says only this; None else.
        over: seconds.
        memory: bytes in use (working set); None where the source does not know.
    """

    workload: str
    instance: str
    part: str
    at: float
    cpu: float | None = None
    cores: float | None = None
    over: float = 0.0
    memory: int | None = None
