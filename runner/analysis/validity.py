"""Whether a trial may count: load reached, generator no bottleneck, config in force throughout, response steady.

The limits are those of open-loop practice. Where a limit is on a share or a trend seen in few data, a test decides,
so that chance alone (2 late sends of 120) does not throw a trial away; what is too short to judge is a remark, never
a silent pass.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from runner.analysis.faults import why_not_fired
from runner.analysis.frames import response_of
from runner.analysis.phase_validity import PhaseSeen, outside
from runner.analysis.refusals import refusing
from runner.analysis.tally import tally_window
from runner.analysis.words import counted, listing, number
from runner.results.document import Invalid, ValidityNote
from runner.results.histogram import Histogram
from runner.results.phases import part_of, spans

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from runner.analysis.tally import Tally
    from runner.istio.faults import ExpectedFault
    from runner.results.document import Edge, Switches
    from runner.results.window import Window

SENT = 0.99
"""The least share of scheduled arrivals that must be sent."""
LAG_SHARE = 0.01
"""The greatest share of arrivals sent late ..."""
LAG_ALPHA = 0.05
"""Of the test that decides whether more than that share is late."""
LAG_MS = 5.0
"""... by more than this, or by LAG_OF_MEDIAN of the trial's median response where that is longer."""
LAG_OF_MEDIAN = 0.05
CPU = 0.8
"""Of a core, or of all that one process can use (fortio): above, a generator delays its own sends."""
BEHIND = 0.05
"""The share of waits that may be over before they begin; from there on fortio itself warns of it."""
CHANGE = 0.10
"""A drift, or an unsteady start, matters from this relative change on ..."""
CHANGE_MS = 0.5
"""... and from this many milliseconds on."""
SECONDS_FOR_DRIFT = 10
SECONDS_FOR_STEADY = 20
_TAIL = 5
"""Points at the end where MSER's variance rests on too few points to be trusted (White 1997)."""


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


@dataclass(slots=True)
class Validity:
    """The finding.

    Attributes:
        notes: why the trial does not count; empty when it does.
        remarks: what could not be judged, and why.
    """

    notes: list[ValidityNote] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

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


def judge(trial: ValidityInput) -> Validity:
    """Judge one trial by all rules."""
    found = Validity()
    whole, _ = tally_window(trial.window)
    _traffic(trial, whole, found)
    _arrivals(trial.window, whole, found)
    _pace(trial.window, whole, found)
    _generator(trial.window, found)
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
        _trend(steady, found)
    return found


def _generator(window: Window, found: Validity) -> None:
    if window.generator_cpu <= CPU * window.generator_cores:
        return
    used, of = number(window.generator_cpu), window.generator_cores
    share = f"{used} of a core" if of == 1 else f"{used} of the {of} cores that it has"
    found.add(
        Invalid.GENERATOR_CPU,
        f"the busiest generator process used {share}; above {number(CPU * of)} it delays its own requests",
    )


def _traffic(trial: ValidityInput, whole: Tally, found: Validity) -> None:
    if not whole.requests:
        found.add(Invalid.NO_TRAFFIC, "no request was sent")
    elif not whole.response.count:
        kinds = listing([f"{name} ({n})" for name, n in sorted(whole.exceptions.items())])
        silence = f"none of {counted(whole.requests, 'request')} got a response{': ' + kinds if kinds else ''}"
        refused = refusing(whole.requests, trial.increases)
        if refused:
            by = listing([f"{counted(n, 'connection')} by {proxy}" for proxy, n in refused.items()])
            found.remarks.append(f"{silence}. They did arrive: refused were {by} (no filter chain for them)")
        else:
            found.add(Invalid.UNREACHABLE, silence)


def _arrivals(window: Window, whole: Tally, found: Validity) -> None:
    """Rate, dropped arrivals and lag: promises of an open loop only."""
    if not window.open_loop:
        return
    sent = whole.due - whole.dropped
    if window.scheduled and sent < SENT * window.scheduled and not window.stopped:
        share = 100 * sent / window.scheduled
        found.add(
            Invalid.RATE_MISSED,
            f"{sent} of {window.scheduled} scheduled arrivals were sent ({share:.1f} %; {SENT:.0%} are needed)",
        )
    elif 0 < whole.requests < SENT * sent and not window.stopped:
        # a task that returned, or raised, before it asked for anything: the service was never under the load that was asked for
        found.add(
            Invalid.RATE_MISSED,
            f"{counted(sent, 'arrival')} made only {counted(whole.requests, 'request')}: the loadfile's tasks ended "
            f"without one ({SENT:.0%} must make one)",
        )
    if whole.dropped:
        found.add(
            Invalid.DROPPED, f"{counted(whole.dropped, 'arrival')} found max_in_flight reached and never went out"
        )
    lag = Histogram.merged(second.lag for second in window.seconds)
    if not lag.count:
        return
    limit = max(LAG_MS * 1000, LAG_OF_MEDIAN * (whole.response.quantile(0.5) or 0.0))
    late = lag.count - round(lag.count_at_or_below(limit))
    # one-sided exact binomial test of "at most 1 % are late"
    if (
        late > LAG_SHARE * lag.count
        and stats.binomtest(late, lag.count, LAG_SHARE, alternative="greater").pvalue < LAG_ALPHA
    ):
        found.add(
            Invalid.LAG,
            f"{late} of {lag.count} arrivals went out more than {number(limit / 1000)} ms late ({LAG_SHARE:.0%} may)",
        )


def _pace(window: Window, whole: Tally, found: Validity) -> None:
    """What a paced or counted closed loop (fortio) set out to do. A stall shows here, and in no latency."""
    pace = window.pace
    if pace is None:
        return
    if pace.behind > BEHIND:
        found.add(
            Invalid.LAG,
            f"{pace.behind:.1%} of fortio's waits should have been over before they began ({BEHIND:.0%} may): "
            "requests went out late, and their latencies do not show it",
        )
    if window.stopped or not whole.requests:
        return
    # the last answer is waited for beyond the time in which requests are sent
    sending = window.length - whole.response.greatest / 1e6
    if whole.requests < SENT * pace.requests:
        found.add(
            Invalid.RATE_MISSED,
            f"{whole.requests} of {pace.requests} requests were sent ({100 * whole.requests / pace.requests:.1f} %; "
            f"{SENT:.0%} are needed)" + (f": the connections could not keep to {pace.qps:g}/s" if pace.qps else ""),
        )
    elif pace.qps and not pace.seconds and whole.requests < SENT * pace.qps * sending:
        found.add(
            Invalid.RATE_MISSED,
            f"{whole.requests / sending:.4g} requests per second were sent of {pace.qps:g} ({SENT:.0%} are needed)",
        )
    elif window.length < SENT * pace.seconds:
        found.add(
            Invalid.RATE_MISSED, f"fortio ended after {number(window.length)} s of {number(pace.seconds)} s of load"
        )


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
    fired = [why_not_fired(fault, increases, edges) for fault in sorted(trial.faults)]
    for name, seen in trial.phases.items():
        reasons = [why_not_fired(fault, seen.increases, seen.edges) for fault in sorted(seen.faults)]
        fired += [f"{reason} ({name})" for reason in reasons if reason]
    for reason in fired:
        if reason:
            found.add(Invalid.FAULT_NOT_FIRED, reason)


def second_medians(window: Window) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Offsets (s) and median responses (ms) of the seconds with answers."""
    medians = [(second.offset, response_of(second).quantile(0.5)) for second in window.seconds]
    kept = [(offset, median / 1000) for offset, median in medians if median is not None]
    table = np.array(kept, dtype=float).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _trend(window: Window, found: Validity) -> None:
    offsets, medians = second_medians(window)
    if len(medians) < SECONDS_FOR_DRIFT:
        found.remarks.append(
            f"drift was not judged: it takes {SECONDS_FOR_DRIFT} seconds with answers, and there were {len(medians)}"
        )
    else:
        _drift(offsets, medians, found)
    if len(medians) < SECONDS_FOR_STEADY:
        found.remarks.append(
            f"steadiness was not judged: it takes {SECONDS_FOR_STEADY} seconds with answers, "
            f"and there were {len(medians)}"
        )
    else:
        _steady(medians, found)


def _matters(change: float, level: float) -> bool:
    return abs(change) >= CHANGE_MS and abs(change) > CHANGE * level


def _drift(offsets: NDArray[np.float64], medians: NDArray[np.float64], found: Validity) -> None:
    """A trend over the whole trial: Theil-Sen slope (Sen 1968) of the per-second medians."""
    slope, _, low, high = stats.theilslopes(medians, offsets, alpha=0.95)
    change, level = float(slope) * float(offsets[-1] - offsets[0] + 1), float(np.median(medians))
    if _matters(change, level) and (low > 0 or high < 0):
        found.add(
            Invalid.DRIFT,
            f"the median response drifted by {number(change)} ms over the trial "
            f"({100 * change / level:+.0f} % of {number(level)} ms; {CHANGE:.0%} may)",
        )


def mser_cut(values: NDArray[np.float64]) -> int:
    """How many first values to cut so that the mean of the rest is known best (White 1997).

    The d that makes sum (y_i - mean)² / (n - d)² over i > d least. The last five are never judged alone: a handful of
    close values would look steadier than they are.
    """
    n = len(values)
    spreads = [
        float(np.sum((values[d:] - values[d:].mean()) ** 2)) / (n - d) ** 2 for d in range(max(1, n - _TAIL + 1))
    ]
    return int(np.argmin(spreads))


def _steady(medians: NDArray[np.float64], found: Validity) -> None:
    cut = mser_cut(medians)
    if cut <= len(medians) / 2:
        return
    before, after = float(medians[:cut].mean()), float(medians[cut:].mean())
    if _matters(before - after, after):
        detail = (
            f"the response settled only after {cut} of {len(medians)} seconds, "
            f"from {number(before)} ms to {number(after)} ms: a longer warmup is needed"
        )
        found.add(Invalid.NOT_STEADY, detail)
