"""A trial's own file: all that was read in one trial, so that any figure can be computed again from the run folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from runner.results.document.evidence import AccessLogEntry, ControlPlane, Edge, PartUsage
from runner.results.document.phases import Switches
from runner.results.window import Window


@dataclass(slots=True)
class TrialFile:
    """What one trial left.

    Attributes:
        variant: the variant's name.
        block: from 1.
        attempt: 1, or 2 when the block ran again.
        window: the measured window, per second.
        warmup: the warm-up before it, per second; None without one.
        stats_before: counters of every proxy at the window's first edge: proxy, full stat name, value.
        stats_after: the same at its last edge.
        edges: requests from workload to workload in the window.
        access_log: a sample of the proxies' access logs, the lines with response flags first.
        promql: by name, what a query gave for the window; None where it gave nothing.
        switches: when the mesh was changed within the window, and what counters did in each phase; None without phases.
        applying: what istiod counted from before the variant was applied until the window began; None without an istiod to ask.
        control_plane: what it counted from then until the window's end.
        usage: CPU and memory of proxies and applications in the window; empty where they are not known.
    """

    variant: str
    block: int
    attempt: int
    window: Window
    warmup: Window | None = None
    stats_before: dict[str, dict[str, int]] = field(default_factory=dict)
    stats_after: dict[str, dict[str, int]] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    access_log: list[AccessLogEntry] = field(default_factory=list)
    promql: dict[str, float | None] = field(default_factory=dict)
    switches: Switches | None = None
    applying: ControlPlane | None = None
    control_plane: ControlPlane | None = None
    usage: list[PartUsage] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "variant": self.variant,
            "block": self.block,
            "attempt": self.attempt,
            "window": self.window.to_json(),
            "warmup": self.warmup.to_json() if self.warmup else None,
            "stats_before": self.stats_before,
            "stats_after": self.stats_after,
            "edges": [edge.model_dump() for edge in self.edges],
            "access_log": [entry.model_dump() for entry in self.access_log],
            "promql": self.promql,
            "switches": self.switches.model_dump() if self.switches else None,
            "applying": self.applying.model_dump() if self.applying else None,
            "control_plane": self.control_plane.model_dump() if self.control_plane else None,
            "usage": [part.model_dump() for part in self.usage],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TrialFile:
        """The trial file that `to_json` gave."""
        return cls(
            variant=data["variant"],
            block=data["block"],
            attempt=data["attempt"],
            window=Window.from_json(data["window"]),
            warmup=Window.from_json(data["warmup"]) if data["warmup"] else None,
            stats_before=data["stats_before"],
            stats_after=data["stats_after"],
            edges=[Edge.model_validate(edge) for edge in data["edges"]],
            access_log=[AccessLogEntry.model_validate(entry) for entry in data["access_log"]],
            promql=data["promql"],
            switches=Switches.model_validate(switches) if (switches := data.get("switches")) else None,
            applying=ControlPlane.model_validate(counted) if (counted := data.get("applying")) else None,
            control_plane=ControlPlane.model_validate(counted) if (counted := data.get("control_plane")) else None,
            usage=[PartUsage.model_validate(part) for part in data.get("usage") or []],
        )
