"""Evidence beside the proxies' own counters, read around every window: PromQL, istiod's metrics, CPU and memory.

None of it may end a run: what can't be had is absent with its reason, and checks on it are inconclusive.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.errors import InputError, MeshError, Problem
from runner.probes import istiod_metrics
from runner.probes.prometheus import PromqlReader
from runner.probes.usage import over_window

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runner.conduct.plan import Plan
    from runner.mesh.base import Mesh
    from runner.mesh.telemetry import Telemetry
    from runner.probes.prometheus import Edge
    from runner.results.document.evidence import ControlPlane, PartUsage
    from runner.results.usage import Usage
    from runner.results.window import Window

CONTROL_PLANE = "istiod's metrics"
USAGE = "CPU and memory"

Istiods = dict[str, istiod_metrics.IstiodReading]


def refuse_wrong_queries(plan: Plan, mesh: Mesh) -> None:
    """Have Prometheus parse every query before anything is touched; without one nothing is said here.

    Raises:
        InputError: it can't parse some.
    """
    experiment = plan.experiment
    entries = experiment.experiment.collect.promql
    if not entries:
        return
    wrong = PromqlReader(entries, mesh.telemetry().prometheus).wrong()
    if wrong:
        raise InputError(
            [
                Problem(f"promql[{name}]: {words}", experiment.document.position(("collect", "promql", name)))
                for name, words in wrong.items()
            ]
        )


@dataclass(frozen=True, slots=True)
class TelemetryEdge:
    """What was read before a window.

    Attributes:
        prometheus: when Prometheus had read everything.
        istiods: by pod; None where they could not be asked.
        usage: of every part; empty where it is not known.
        absent: by name of the evidence, why it is missing.
    """

    prometheus: Edge
    istiods: Istiods | None
    usage: list[Usage]
    absent: dict[str, str]


@dataclass(slots=True)
class TelemetrySeen:
    """What one window showed.

    Attributes:
        promql: by entry, the value; None where there is none.
        applying: what istiod counted from before the variant was applied until the window.
        control_plane: what it counted over the window.
        usage: CPU and memory.
        absent: by name of the evidence, why it is missing.
        remarks: what a reader of the trial should know.
    """

    promql: dict[str, float | None] = field(default_factory=dict)
    applying: ControlPlane | None = None
    control_plane: ControlPlane | None = None
    usage: list[PartUsage] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


class TelemetryReader:
    """Reads it around the windows of a run's trials.

    Args:
        mesh: whose.
        entries: of `collect.promql`.
    """

    def __init__(self, mesh: Mesh, entries: Mapping[str, str]) -> None:
        self._mesh = mesh
        self._promql = PromqlReader(entries, self._ask, lambda: self._telemetry.prometheus_name)
        self._before_apply: Istiods | None = None

    @property
    def _telemetry(self) -> Telemetry:
        return self._mesh.telemetry()  # of the pods that are there now

    def _ask(self, path: str) -> str:
        return self._telemetry.prometheus(path)

    @property
    def waits(self) -> bool:
        """Whether Prometheus is waited for at both edges of a window."""
        return self._promql.waits

    def applying(self) -> None:
        """A variant is about to be applied."""
        self._before_apply = self._istiods({})

    def before(self, check: Callable[[], None]) -> TelemetryEdge:
        """A window is about to begin, and the mesh is at rest.

        Args:
            check: called while Prometheus is waited for; what it raises ends the wait.
        """
        absent: dict[str, str] = {}
        prometheus = self._promql.edge(check)
        return TelemetryEdge(prometheus, self._istiods(absent), self._usage(absent), absent)

    def after(self, edge: TelemetryEdge, window: Window, check: Callable[[], None]) -> TelemetrySeen:
        """A window has ended, and the mesh is at rest again.

        Args:
            edge: what was read before it.
            window: it.
            check: as of `before`.
        """
        absent = dict(edge.absent)
        usage, istiods = self._usage(absent), self._istiods(absent)
        values = self._promql.read(edge.prometheus, window.started, window.started + window.length, check)
        seen = TelemetrySeen(values.values, absent=absent)
        absent.update({f"promql[{name}]": reason for name, reason in values.absent.items()})
        if usage:
            seen.usage, why = over_window(edge.usage, usage, window.started, window.started + window.length)
            if why:
                absent[USAGE] = f"CPU is missing: {self._telemetry.usage_note or why}"
        if istiods and edge.istiods:
            seen.control_plane = istiod_metrics.between(edge.istiods, istiods)
            if self._before_apply:
                seen.applying = istiod_metrics.between(self._before_apply, edge.istiods)
            seen.remarks += _remarks(seen.control_plane)
        return seen

    def _istiods(self, absent: dict[str, str]) -> Istiods | None:
        try:
            return {pod: istiod_metrics.parse(text) for pod, text in self._telemetry.control_plane().items()} or None
        except MeshError as error:
            absent[CONTROL_PLANE] = error.what
            return None

    def _usage(self, absent: dict[str, str]) -> list[Usage]:
        try:
            return self._telemetry.usage()
        except MeshError as error:
            absent[USAGE] = error.what
            return []


def _remarks(counted: ControlPlane) -> list[str]:
    found = []
    if counted.rejects:
        found.append(
            f"istiod counted {counted.rejects} {'push' if counted.rejects == 1 else 'pushes'} that some proxy of the cluster rejected "
            "within the window (pilot_total_xds_rejects); what this experiment's proxies held is attested for each of them"
        )
    if counted.errors:
        found.append(
            f"istiod counted {counted.errors} failed {'push' if counted.errors == 1 else 'pushes'} in the window"
        )
    return found
