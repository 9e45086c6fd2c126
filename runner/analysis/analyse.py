"""From all trials of a run to everything the document says about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.analysis.checks import ComparisonKey, deciding_comparisons, evaluate, gating_comparisons, no_trial
from runner.analysis.compare import compare
from runner.analysis.evidence import counting
from runner.analysis.figures import QUANTILES, figures_of
from runner.analysis.frames import counters_frame
from runner.analysis.intervals import LatencyBand, mean_interval, share_interval, t_interval
from runner.analysis.measure import measure
from runner.analysis.phase_words import detected_words, recovered_words
from runner.analysis.signed_rank import holm
from runner.analysis.tally import Tally
from runner.analysis.verdict import headline, unproven, verdict
from runner.analysis.words import Scale, scale_of
from runner.results.document.figures import Interval
from runner.results.document.phases import PhaseRecord, PhasesRecord
from runner.results.document.run import Verdict
from runner.results.document.variant import VariantRecord
from runner.spec.metrics import PHASES, Metric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.analysis.evidence import TrialEvidence
    from runner.analysis.measured import Measured
    from runner.results.document.checks import CheckRecord, ComparisonRecord
    from runner.spec.checks import Check

DESCRIBED = ("p50", "p95", "p99", "mean", "error_rate")
"""Metrics of every variant that are compared with the baseline's whether a check asks or not."""


@dataclass(slots=True)
class Analysis:
    """What analysis adds to the run document.

    Attributes:
        variants: in the order given, without their trials, manifests, edges and load.
        comparisons: those that checks decide by first, then the descriptive ones.
        checks: in the order given.
        verdict: of the run.
        reason: for the verdict, in one sentence.
        headline: the answer in one sentence with its numbers.
        resolution: of a variant against itself (`itself`): by metric, the smallest difference that can be seen.
    """

    variants: list[VariantRecord] = field(default_factory=list)
    comparisons: list[ComparisonRecord] = field(default_factory=list)
    checks: list[CheckRecord] = field(default_factory=list)
    verdict: Verdict = Verdict.INCONCLUSIVE
    reason: str = ""
    headline: str = ""
    resolution: dict[str, float] = field(default_factory=dict)


def variant_record(name: str, trials: Sequence[TrialEvidence], *, baseline: bool = False) -> VariantRecord:
    """A variant's merged figures, their intervals and its proxies' counters, over the trials that count."""
    mine = counting(trials, name)
    return VariantRecord(
        **figures_of(Tally.merged(trial.tally() for trial in mine)).model_dump(),
        name=name,
        baseline=baseline,
        closed_loop=any(not trial.window.open_loop for trial in trials if trial.variant == name),
        by_name={
            request: figures_of(Tally.merged(trial.tally(request) for trial in mine))
            for request in sorted({request for trial in mine for request in trial.names})
        },
        intervals=intervals(mine),
        proxy=_moved(mine),
        phases=phases_record(mine) if any(trial.switches for trial in mine) else None,
    )


def _moved(trials: Sequence[TrialEvidence]) -> dict[str, dict[str, int]]:
    """The counters that moved, by workload and full stat name, summed over trials."""
    moved = counters_frame(trials).groupby(["workload", "stat"], sort=True)["increase"].sum()
    proxy: dict[str, dict[str, int]] = {}
    for key, increase in moved.to_dict().items():
        workload, stat = key if isinstance(key, tuple) else (str(key), "")
        proxy.setdefault(workload, {})[stat] = int(increase)
    return proxy


def phases_record(trials: Sequence[TrialEvidence]) -> PhasesRecord:
    """The phases of a variant over the trials that count; how long they were to be, and what was switched, is the plan's to say."""
    parts = []
    for name in PHASES:
        mine = [part for trial in trials if (part := trial.of(Metric("requests", phase=name))) is not None]
        if mine:
            parts.append(
                PhaseRecord.model_validate(
                    {
                        **figures_of(Tally.merged(part.tally() for part in mine)).model_dump(),
                        "name": name,
                        "seconds": sum(len(part.window.seconds) for part in mine),
                        "intervals": intervals(mine),
                        "proxy": _moved(mine),
                    }
                )
            )
    record = PhasesRecord(before_s=0.0, during_s=0.0, after_s=0.0, parts=parts)
    if any(trial.objective for trial in trials):
        detect, recover = (measure(Metric(name), trials) for name in ("time_to_detect", "time_to_recover"))
        record.time_to_detect_s, record.time_to_recover_s = _in_seconds(detect), _in_seconds(recover)
        record.detected, record.recovered = detected_words(detect), recovered_words(recover)
    return record


def _in_seconds(measured: Measured) -> Interval | None:
    if measured.value is None:
        return None
    ends = (None if end is None else end / 1000 for end in (measured.value, measured.low, measured.high))
    estimate, low, high = ends
    return Interval(estimate=estimate, low=low, high=high)


def intervals(trials: Sequence[TrialEvidence]) -> dict[str, Interval]:
    """The 95 % intervals of one variant: latency in ms, `rate`, shares (`error_rate`, `status[..]`, `outcome[..]`)."""
    tallies = [trial.tally() for trial in trials]
    answered = [tally.response for tally in tallies if tally.response.count]
    found: dict[str, Interval] = {}
    band = LatencyBand.of(answered)
    if band:
        found.update({name: _milliseconds(band.quantile(share)) for name, share in QUANTILES.items()})
        found["mean"] = _milliseconds(mean_interval(answered))
    totals = [tally.requests for tally in tallies]
    if not any(totals):
        return found
    found["rate"] = t_interval([tally.requests / tally.length for tally in tallies if tally.length])
    found["error_rate"] = share_interval([tally.errors for tally in tallies], totals)
    for status in sorted({status for tally in tallies for status in tally.status}):
        found[f"status[{status}]"] = share_interval([tally.status.get(status, 0) for tally in tallies], totals)
    for label in sorted({label for tally in tallies for label in tally.outcomes}):
        found[f"outcome[{label}]"] = share_interval([tally.outcomes.get(label, 0) for tally in tallies], totals)
    return found


def _milliseconds(interval: Interval) -> Interval:
    low, estimate, high = (None if x is None else x / 1000 for x in (interval.low, interval.estimate, interval.high))
    return Interval(estimate=estimate, low=low, high=high)


def compare_all(
    names: Sequence[str], trials: Sequence[TrialEvidence], gating: dict[ComparisonKey, ComparisonRecord]
) -> list[ComparisonRecord]:
    """Every variant against the first for the described metrics, after the gating ones with Holm's adjusted p."""
    tested = [record for record in gating.values() if record.p_value is not None]
    for record, adjusted in zip(tested, holm([record.p_value or 0.0 for record in tested]), strict=True):
        record.p_adjusted = adjusted
    # the document's comparisons are relative or of shares; one in milliseconds only decides its check
    records = [record for key, record in gating.items() if key.scale is not Scale.MILLISECONDS]
    for variant in names[1:]:
        wanted = [
            metric
            for metric in map(Metric, DESCRIBED)
            if ComparisonKey(metric, variant, names[0], scale_of(metric)) not in gating
        ]
        records += [compare(metric, variant, names[0], trials) for metric in wanted]
    return records


def analyse(
    names: Sequence[str],
    trials: Sequence[TrialEvidence],
    checks: Sequence[Check] = (),
    *,
    error: str | None = None,
    aborted: str | None = None,
) -> Analysis:
    """Analyse a run.

    Args:
        names: the variants in order, the baseline first; one without trials gets empty figures.
        trials: every trial, invalid and repeated ones too: which of them count is decided here.
        checks: the experiment's.
        error: what failed from outside, when that ended the run.
        aborted: the guardrail that stopped the run, when one did.
    """
    variants = [variant_record(name, trials, baseline=place == 0) for place, name in enumerate(names)]
    gating = gating_comparisons(checks, trials)
    comparisons = compare_all(names, trials, gating)
    deciding = deciding_comparisons(checks, trials, gating)
    decided = [evaluate(check, trials, deciding) for check in checks]
    invalid = {name: no_trial(name, trials) for name in names if not counting(trials, name)}
    word, reason = verdict(decided, error=error, aborted=aborted, unproven=unproven(variants, checks, invalid))
    return Analysis(
        variants=variants,
        comparisons=comparisons,
        checks=decided,
        verdict=word,
        reason=reason,
        headline=headline(variants, comparisons, checks),
    )
