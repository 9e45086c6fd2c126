"""Whether a trial may count: load reached, generator no bottleneck, config in force throughout, response steady.

`load_validity` has the rules for load, `steadiness` those for the response; what is too short to judge is a remark,
never a silent pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.analysis.faults import why_not_fired
from runner.analysis.foreign import Flows, whose
from runner.analysis.load_validity import (
    judge_arrivals,
    judge_generator,
    judge_pace,
    judge_strangers,
    judge_traffic,
    sent_exactly,
)
from runner.analysis.phase_validity import outside
from runner.analysis.steadiness import judge_trend
from runner.analysis.tally import tally_window
from runner.analysis.validity_types import Validity, ValidityInput
from runner.analysis.words import counted, listing
from runner.results.document.trial import Invalid
from runner.results.phases import part_of, spans

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from runner.analysis.foreign import Traffic
    from runner.results.document.evidence import Edge


def judge(trial: ValidityInput) -> Validity:
    """Judge one trial by all rules."""
    found = Validity()
    whole, _ = tally_window(trial.window)
    judge_traffic(trial, whole, found)
    judge_arrivals(trial.window, whole, found)
    judge_pace(trial.window, whole, found)
    judge_generator(trial.window, found)
    _config(trial, found)
    _faults(trial, found)
    if not trial.window.drained:
        found.remarks.append(
            "some requests were still under way when the wait for them ended, "
            "so proxies may have counted more than the generator"
        )
    if trial.window.unmeasured:
        found.remarks.append(
            f"{counted(trial.window.unmeasured, 'request')} outside any arrival or task "
            f"({'the first on each connection' if trial.window.pace else 'on_start, background'}) "
            "were not measured, but the proxies counted them"
        )
    for error, times in sorted(trial.window.user_errors.items()):
        found.remarks.append(f"the loadfile raised {error} ({counted(times, 'time')})")
    found.remarks += trial.window.remarks
    if trial.window.stopped:
        found.remarks.append("the window was cut short; drift and steadiness were not judged")
    elif trial.rate_varies:
        found.remarks.append("the rate changes within the window by design, so drift and steadiness were not judged")
    elif not trial.window.series:
        found.remarks.append("drift and steadiness were not judged: without its access log fortio gives no time series")
    elif whole.response.count:
        steady = trial.window
        if trial.switches is not None:  # what comes after is meant to change
            steady = part_of(steady, spans(trial.switches, steady.length)["before"])
        judge_trend(steady, found)
    return found


def _config(trial: ValidityInput, found: Validity) -> None:
    expected = sorted({*trial.proxies, *trial.start, *trial.end})
    _held(expected, trial.start, trial.end, found, switched=bool(trial.phases))
    for name, seen in trial.phases.items():
        held = seen.attestation.proxies.items()
        start = {proxy: versions.start for proxy, versions in held if versions.start}
        end = {proxy: versions.end for proxy, versions in held if versions.end}
        _held(expected, start, end, found, phase=name)


def _held(
    expected: Sequence[str],
    start: Mapping[str, str],
    end: Mapping[str, str],
    found: Validity,
    *,
    phase: str = "",
    switched: bool = False,
) -> None:
    """Whether every proxy held one config from edge to edge (answered at both, where a switch lay between them)."""
    of = f" of {phase}" if phase else ""
    gone = [name for name in expected if name not in start or name not in end]
    if gone:
        edges = [f"{name} ({'at the start' if name not in start else 'at the end'}{of})" for name in gone]
        found.add(Invalid.PROXY_DIED, f"no answer from {listing(edges)}")
    changed = [name for name in expected if name not in gone and start[name] != end[name]]
    if changed and not switched:
        detail = listing([f"{name} ({start[name]} became {end[name]})" for name in changed])
        where = f"in the phase {phase}" if phase else "during the window"
        found.add(Invalid.CONFIG_LOST, f"the config changed {where}: {detail}")


def _faults(trial: ValidityInput, found: Validity) -> None:
    own = outside(trial.phases)
    increases, edges = (own.increases, own.edges) if own else (trial.increases, trial.edges)
    traffic = _traffic(trial, increases, edges)
    if traffic is not None:
        judge_strangers(trial, traffic, found)
    fired = [why_not_fired(fault, increases, edges, traffic, trial.bare) for fault in sorted(trial.faults)]
    for name, seen in trial.phases.items():
        theirs = _traffic(trial, seen.increases, seen.edges)
        reasons = [
            why_not_fired(fault, seen.increases, seen.edges, theirs, trial.bare) for fault in sorted(seen.faults)
        ]
        fired += [f"{reason} ({name})" for reason in reasons if reason]
    for reason in fired:
        if reason:
            found.add(Invalid.FAULT_NOT_FIRED, reason)


def _traffic(
    trial: ValidityInput, increases: Mapping[str, Mapping[str, int]], edges: Collection[Edge]
) -> Traffic | None:
    """Whose requests the proxies counted; None where the entry is not known, or is not looked at."""
    if not trial.entry:
        return None
    flows = Flows(increases, list(edges), trial.services, trial.known, tuple(trial.entry))
    return whose(flows, sent_exactly(trial))
