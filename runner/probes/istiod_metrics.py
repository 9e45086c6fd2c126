"""Istiod's own metrics between two readings: what it pushed, what was rejected, how long proxies took to have it.

They are of all proxies that an istiod serves, whatever their namespace; of several istiods they are added up. A rejection here is
therefore a hint, not a proof: what this experiment's proxies hold is proven by the proxies themselves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.results.document.evidence import ControlPlane

if TYPE_CHECKING:
    from collections.abc import Mapping

PATH = "/metrics"

_LINE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})? ([0-9.eE+-]+|NaN)(?: -?[0-9]+)?\s*")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_REJECTS = re.compile(r"pilot_(?:total_xds_rejects|xds_(?:cds|lds|rds|eds)_reject)")
_ERRORS = ("pilot_total_xds_internal_errors", "pilot_xds_write_timeout", "pilot_xds_push_context_errors")
_PUSHES = "pilot_xds_pushes"
_FAILED = "_senderr"
"""How `type` of a push that could not be sent ends."""
_TOTAL = "pilot_total_xds_rejects"
_CONVERGENCE = "pilot_proxy_convergence_time"


@dataclass(frozen=True, slots=True)
class IstiodReading:
    """One istiod's counters at one moment.

    Attributes:
        pushes: by xDS type (`cds`, `eds`, `lds`, `rds`).
        rejects: `pilot_total_xds_rejects`, all its types together.
        errors: pushes that failed for other reasons.
        converged: pushes that reached their proxy.
        convergence: seconds that all of those took together.
    """

    pushes: dict[str, float] = field(default_factory=dict)
    rejects: float = 0.0
    errors: float = 0.0
    converged: float = 0.0
    convergence: float = 0.0


def parse(text: str) -> IstiodReading:
    """One istiod's counters from its metrics text; what it has not counted yet is zero, as it leaves such metrics out."""
    pushes: dict[str, float] = {}
    rejects: dict[str, float] = {}
    sums: dict[str, float] = {}
    for line in text.split("\n"):
        match = _LINE.fullmatch(line) if line.startswith("pilot_") else None
        if match is None:
            continue
        name, labels, value = match[1], dict(_LABEL.findall(match[2] or "")), float(match[3])
        if name == _PUSHES and labels.get("type", "").endswith(_FAILED):
            sums[_FAILED] = sums.get(_FAILED, 0.0) + value
        elif name == _PUSHES:
            kind = labels.get("type", "")
            pushes[kind] = pushes.get(kind, 0.0) + value
        elif _REJECTS.fullmatch(name):
            rejects[name] = rejects.get(name, 0.0) + value
        else:
            sums[name] = sums.get(name, 0.0) + value
    return IstiodReading(
        pushes=pushes,
        rejects=rejects.get(_TOTAL, sum(rejects.values())),
        errors=sum(sums.get(name, 0.0) for name in (*_ERRORS, _FAILED)),
        converged=sums.get(f"{_CONVERGENCE}_count", 0.0),
        convergence=sums.get(f"{_CONVERGENCE}_sum", 0.0),
    )


def between(before: Mapping[str, IstiodReading], after: Mapping[str, IstiodReading]) -> ControlPlane:
    """What all istiods together counted between two readings, each by pod; one that was started in between counts whole."""
    total = ControlPlane(pushes={}, rejects=0, errors=0, converged=0, convergence_ms=None)
    spent = 0.0
    for pod, now in after.items():
        then = before.get(pod, IstiodReading())
        if now.converged < then.converged or sum(now.pushes.values()) < sum(then.pushes.values()):
            then = IstiodReading()
        for kind, value in now.pushes.items():
            grown = round(value - then.pushes.get(kind, 0.0))
            if grown:
                total.pushes[kind] = total.pushes.get(kind, 0) + grown
        # in older versions the counters by type are gauges of what is rejected now, which can fall
        total.rejects += max(0, round(now.rejects - then.rejects))
        total.errors += max(0, round(now.errors - then.errors))
        total.converged += round(now.converged - then.converged)
        spent += now.convergence - then.convergence
    total.convergence_ms = 1000 * spent / total.converged if total.converged else None
    return total
