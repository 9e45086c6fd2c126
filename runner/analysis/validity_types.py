"""What is known of a trial when it has ended, and the finding whether it may count."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.results.document.trial import Invalid, ValidityNote

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from runner.analysis.phase_validity import PhaseSeen
    from runner.istio.faults import ExpectedFault
    from runner.results.document.evidence import Edge
    from runner.results.document.phases import Switches
    from runner.results.window import Window


@dataclass(frozen=True, slots=True)
class ValidityInput:
    """What is known of a trial when it has ended.

    Attributes:
        window: the measured window, drained.
        increases: by proxy, by full stat name, how much a counter grew over the window.
        start: config version by proxy at the window's first edge; a proxy that did not answer is missing.
        end: the same at its last edge.
        proxies: every proxy that should answer; those of either edge are expected in any case.
        faults: what the variant's config injects, and must be seen to.
        edges: requests between workloads in Istio's metrics, which say whose requests a fault hit.
        rate_varies: whether the load has stages, so that the response is meant to change.
        phases: by phase that was reached, what it showed; empty without phases.
        switches: when the mesh was changed within the window, on purpose; None without phases.
        entry: the workloads where the load comes in: the gateways, or the one that it leaves from; empty where it is not known, and
            all traffic is taken for the load's own.
        services: by service, the workloads behind it.
        known: by workload, the names of all its proxy's counters, moved or not.
        bare: by workload, the pods without a sidecar behind a Service of its own.
        whole: whether the window holds all requests that the proxies counted; False where its beginning was cut off.
    """

    window: Window
    increases: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    start: Mapping[str, str] = field(default_factory=dict)
    end: Mapping[str, str] = field(default_factory=dict)
    proxies: Collection[str] = ()
    faults: Collection[ExpectedFault] = ()
    edges: Collection[Edge] = ()
    rate_varies: bool = False
    phases: Mapping[str, PhaseSeen] = field(default_factory=dict)
    switches: Switches | None = None
    entry: Sequence[str] = ()
    services: Mapping[str, Sequence[str]] = field(default_factory=dict)
    known: Mapping[str, Collection[str]] = field(default_factory=dict)
    bare: Mapping[str, Sequence[str]] = field(default_factory=dict)
    whole: bool = True


@dataclass(slots=True)
class Validity:
    """The finding.

    Attributes:
        notes: why the trial does not count; empty when it does.
        remarks: what could not be judged, and why.
        foreign: by workload whose counters hold somebody else's requests too, why that is clear.
    """

    notes: list[ValidityNote] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    foreign: dict[str, str] = field(default_factory=dict)

    @property
    def valid(self) -> bool:
        """Whether the trial may count."""
        return not self.notes

    @property
    def codes(self) -> list[Invalid]:
        """The codes for `invalid_because`."""
        return list(dict.fromkeys(note.code for note in self.notes))

    def add(self, code: Invalid, detail: str) -> None:
        """Add a reason why the trial does not count."""
        self.notes.append(ValidityNote(code=code, detail=detail))
