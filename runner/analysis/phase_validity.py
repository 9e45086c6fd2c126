"""What is known of one phase of a trial when it is judged: a switch within the window is meant, a change within a phase is not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.results.counters import added

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from runner.istio.faults import ExpectedFault
    from runner.results.document.attestation import Attestation
    from runner.results.document.evidence import Edge


@dataclass(frozen=True, slots=True)
class PhaseSeen:
    """What one phase showed.

    Attributes:
        attestation: the version that every proxy confirmed at its start, and held at its end.
        increases: by workload, by full stat name, how much a counter grew in it.
        edges: requests between workloads in it.
        faults: what must be seen to fire in it.
    """

    attestation: Attestation
    increases: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    edges: Collection[Edge] = ()
    faults: Collection[ExpectedFault] = ()


def outside(phases: Mapping[str, PhaseSeen]) -> PhaseSeen | None:
    """What was seen before and after together, when the variant's own config was in force; None when neither was reached."""
    parts = [seen for name, seen in phases.items() if name != "during"]
    if not parts:
        return None
    return PhaseSeen(
        attestation=parts[0].attestation,
        increases=added([{workload: dict(stats) for workload, stats in part.increases.items()} for part in parts]),
        edges=[edge for part in parts for edge in part.edges],
    )
