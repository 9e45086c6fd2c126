"""What a trial with phases leaves: its phases as the run document, the trial file and the judge of its validity want them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.analysis.figures import figures
from runner.analysis.phase_validity import PhaseSeen
from runner.analysis.phases import time_to_detect, time_to_recover
from runner.probes import istio_metrics, proxy_stats
from runner.results.counters import by_workload, increases
from runner.results.document.attestation import Attestation, ProxyVersions
from runner.results.document.manifest import ManifestRecord
from runner.results.document.phases import PhasesRecord, Switches, TrialPhase, TrialPhases
from runner.results.phases import part_of, spans

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runner.analysis.evidence import TrialEvidence
    from runner.conduct.phases import Switcher
    from runner.conduct.plan import PhasePlan, VariantPlan
    from runner.conduct.proxy_reading import ProxyReading, ProxyTexts
    from runner.results.store import RunFolder
    from runner.results.window import Window


@dataclass(frozen=True, slots=True)
class PhasesSeen:
    """What the phases of one trial showed.

    Attributes:
        switches: when the switches were made, and what counters did between them.
        seen: by phase that was reached: config, counters and faults.
        remarks: what a reader should know.
    """

    switches: Switches
    seen: dict[str, PhaseSeen]
    remarks: list[str]


def phases_seen(
    switcher: Switcher[ProxyTexts],
    window: Window,
    edges: tuple[ProxyReading, ProxyReading],
    proxies: Sequence[str],
    workload_of: Callable[[str], str],
) -> PhasesSeen | None:
    """The phases of a window that is over; None when it ended before the first switch.

    Args:
        switcher: that made the switches.
        window: drained.
        edges: what the proxies showed before and after the window.
        proxies: every proxy of the mesh.
        workload_of: the workload of a proxy.
    """
    made = switcher.switches(window.started)
    if made is None or switcher.on is None:
        return None
    start, end = edges
    on, off = switcher.on, switcher.off
    switched = on.after.parsed()
    readings = {"before": (start, start.versions, on.before.parsed())}
    readings["during"] = (switched, {**switched.versions, **on.versions}, off.before.parsed() if off else end)
    if off:
        back = off.after.parsed()
        readings["after"] = (back, {**back.versions, **off.versions}, end)
    seen: dict[str, PhaseSeen] = {}
    for name, (first, held, last) in readings.items():
        moved = by_workload(increases(first.counters, last.counters), workload_of)
        seen[name] = PhaseSeen(
            attestation=Attestation(
                proxies={
                    proxy: ProxyVersions(start=held.get(proxy, ""), end=last.versions.get(proxy, ""))
                    for proxy in proxies
                },
                faults=proxy_stats.fault_counters(moved),
            ),
            increases=moved,
            edges=istio_metrics.edges(first.requests, last.requests),
            faults=switcher.phases.faults if name == "during" else frozenset(),
        )
    switches = Switches(on=made[0], off=made[1], increases={name: dict(part.increases) for name, part in seen.items()})
    return PhasesSeen(switches, seen, _remarks(switches))


def _remarks(switches: Switches) -> list[str]:
    found = []
    for which, switch in (("on", switches.on), ("off", switches.off)):
        if switch is not None and switch.confirmed - switch.requested > 1:
            found.append(
                f"the switch {which} took {switch.confirmed - switch.requested:.1f} s until every proxy held it; "
                "those seconds belong to no phase"
            )
    return found


def trial_phases(evidence: TrialEvidence, seen: Mapping[str, PhaseSeen]) -> TrialPhases | None:
    """A trial's phases for the run document; None when it has none."""
    switches, window = evidence.switches, evidence.window
    if switches is None:
        return None
    parts = [
        TrialPhase.model_validate(
            {
                **figures([part_of(window, seconds)]).model_dump(),
                "name": name,
                "start": seconds.start,
                "seconds": len(seconds),
                "attestation": seen[name].attestation if name in seen else Attestation(),
            }
        )
        for name, seconds in spans(switches, window.length).items()
    ]
    found = TrialPhases(on=switches.on, off=switches.off, parts=parts)
    if evidence.objective:
        detected = time_to_detect(evidence.objective, window, switches)
        recovered = time_to_recover(evidence.objective, window, switches)
        found.time_to_detect_s, found.detected = detected.seconds, detected.text
        found.time_to_recover_s, found.recovered = recovered.seconds, recovered.text
    return found


def planned_phases(variant: VariantPlan, folder: RunFolder) -> PhasesRecord | None:
    """A variant's phases as they are planned, their manifests copied into the run folder; None when it has none."""
    phases = variant.phases
    if phases is None:
        return None
    return PhasesRecord(
        before_s=phases.before,
        during_s=phases.during,
        after_s=phases.after,
        objective=" and ".join(condition.text for condition in phases.objective),
        manifests=[
            ManifestRecord(
                name=manifest.name,
                file=folder.add_manifest(f"{variant.name} phases", manifest.name, manifest.content),
                resources=[str(resource.key) for resource in manifest.resources],
            )
            for manifest in phases.manifests
        ],
    )


def measured_phases(planned: PhasesRecord | None, found: PhasesRecord | None) -> PhasesRecord | None:
    """Phases as they were planned, with what was measured in them."""
    if planned is None or found is None:
        return planned
    lengths = {name: getattr(planned, name) for name in ("before_s", "during_s", "after_s", "objective", "manifests")}
    return found.model_copy(update=lengths)


def phases_in_words(phases: PhasePlan) -> str:
    """`10 s before, 10 s with istio/ratings-delay-2s.yaml, 10 s after`."""
    names = ", ".join(manifest.name for manifest in phases.manifests)
    return f"{phases.before:g} s before, {phases.during:g} s with {names}, {phases.after:g} s after"
