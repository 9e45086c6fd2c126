"""Whether load did what it promised: traffic that arrived, the rate, no late sends, a generator that was no bottleneck.

The limits are those of open-loop practice. Where a limit is on a share seen in few data, a test decides, so that chance
alone (2 late sends of 120) does not throw a trial away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scipy import stats

from runner.analysis.refusals import refusing
from runner.analysis.tally import tally_window
from runner.analysis.words import counted, listing, number
from runner.results.document.trial import Invalid
from runner.results.histogram import Histogram

if TYPE_CHECKING:
    from runner.analysis.foreign import Traffic
    from runner.analysis.tally import Tally
    from runner.analysis.validity_types import Validity, ValidityInput
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


def judge_generator(window: Window, found: Validity) -> None:
    """The generator must leave itself time: one that is short of CPU delays its own sends."""
    if window.generator_cpu <= CPU * window.generator_cores:
        return
    used, of = number(window.generator_cpu), window.generator_cores
    share = f"{used} of a core" if of == 1 else f"{used} of the {of} cores that it has"
    found.add(
        Invalid.GENERATOR_CPU,
        f"the busiest generator process used {share}; above {number(CPU * of)} it delays its own requests",
    )


def judge_traffic(trial: ValidityInput, whole: Tally, found: Validity) -> None:
    """There must have been requests, and answers to them (or refusals that proxies counted)."""
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


def sent_exactly(trial: ValidityInput) -> int | None:
    """How many requests proxies should have counted where the load comes in; None where that can't be told to the request.

    A window that was cut short has stragglers, and over a switch of config proxies begin counters anew.
    """
    window = trial.window
    if window.stopped or not window.drained or trial.phases or not trial.whole:
        return None
    whole, _ = tally_window(window)
    return whole.requests + window.unmeasured


def judge_strangers(trial: ValidityInput, traffic: Traffic, found: Validity) -> None:
    """Others' requests do not make a trial invalid; but what they were, and whose counters hold them, must be known."""
    whole, _ = tally_window(trial.window)
    for one in traffic.clear(whole.requests + trial.window.unmeasured):
        found.remarks.append(
            f"not all traffic was this load's: {one.words}. Latencies are those of a mesh that others use too, and the "
            f"counters of {listing(sorted(one.passed))} hold what they did, so checks on these are inconclusive"
        )
        for workload in one.passed:
            found.foreign.setdefault(workload, f"somebody else's requests are counted too: {one.words}")


def judge_arrivals(window: Window, whole: Tally, found: Validity) -> None:
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


def judge_pace(window: Window, whole: Tally, found: Validity) -> None:
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
