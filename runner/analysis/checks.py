"""Whether what the user expected held: one of three outcomes, with what was observed and a plain reason.

One variant: all its trials together, with an interval that the spread between trials widens. Two variants: by the
comparison that is paired by block, except for counts, which are compared as they are. How several comparisons share a
run's risk is in `gating`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from runner.analysis.advice import more_blocks
from runner.analysis.compare import Pairs, confident
from runner.analysis.decide import Decision, against_metric, against_value, side
from runner.analysis.evidence import counting, latest, lost_blocks, paired
from runner.analysis.gating import ComparisonKey, gating_comparisons, key_of, scale_for, step_down
from runner.analysis.measure import measure
from runner.analysis.measured import Measured
from runner.analysis.signed_rank import blocks_for
from runner.analysis.words import Scale, change, change_spread, counted, listing, margin_words, quantity, signed
from runner.results.document.checks import CheckRecord
from runner.spec.metrics import Metric, Operator, Quantity, Unit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.analysis.evidence import TrialEvidence
    from runner.results.document.checks import ComparisonRecord
    from runner.spec.checks import Check

UNANSWERED = 0.01
"""The share of a trial's requests that may be without an answer where latencies are compared: the compared quantiles' tail."""

__all__ = ["ComparisonKey", "deciding_comparisons", "evaluate", "gating_comparisons", "key_of", "no_trial"]


def deciding_comparisons(
    checks: Sequence[Check], trials: Sequence[TrialEvidence], known: Mapping[ComparisonKey, ComparisonRecord]
) -> dict[ComparisonKey, ComparisonRecord]:
    """What `evaluate` decides a run's checks by: the gating comparisons after Holm's steps (see `gating`)."""
    return step_down(checks, trials, known, lambda check, record: _compared(check, record)[1].outcome != "inconclusive")


def evaluate(
    check: Check,
    trials: Sequence[TrialEvidence],
    comparisons: Mapping[ComparisonKey, ComparisonRecord] | None = None,
) -> CheckRecord:
    """Decide one check.

    Args:
        check: what was expected.
        trials: all trials of the run; those that don't count are left out here.
        comparisons: from `gating_comparisons` or `deciding_comparisons` over all checks of the run; when None the check
            is taken to be the run's only one.
    """
    if check.baseline is None:
        observed, decision = _alone(check, trials)
    elif (key := key_of(check)) is None:
        observed, decision = _two_counts(check, check.baseline, trials)
    else:
        known = (comparisons or {}).get(key) or gating_comparisons([check], trials)[key]
        observed, decision = _compared(check, known)
    if decision.outcome == "held" and check.baseline is not None:
        decision = _needs_a_difference(check, check.baseline, trials, decision)
    if decision.outcome != "inconclusive":
        decision = _needs_its_trials(check, trials, decision)
    return CheckRecord(
        check=str(check),
        outcome=decision.outcome,
        observed=observed,
        reason=decision.reason,
        variant=check.variant,
        baseline=check.baseline,
    )


def _needs_a_difference(check: Check, baseline: str, trials: Sequence[TrialEvidence], decision: Decision) -> Decision:
    """What is compared must differ, and every request of a latency must have been answered."""
    both = paired(trials, check.variant, baseline)
    if both and all(ours.setting and ours.setting == theirs.setting for ours, theirs in both):
        return Decision(
            "inconclusive",
            f"{check.variant} and {baseline} had the same load, and every proxy held the same config: nothing was compared "
            "(`--aa` runs the baseline against itself on purpose).",
        )
    if not check.metric.is_latency:
        return decision
    for trial in (part for pair in both for trial in pair if (part := trial.of(check.metric)) is not None):
        tally = trial.tally(check.metric.request)
        if tally.unanswered > UNANSWERED * tally.requests:
            return Decision(
                "inconclusive",
                f"{tally.unanswered} of {counted(tally.requests, 'request')} of {trial.variant} in block {trial.block} "
                "got no answer, and the latencies of the others do not stand for them.",
            )
    return decision


def _needs_its_trials(check: Check, trials: Sequence[TrialEvidence], decision: Decision) -> Decision:
    """A check stays undecided when a trial it needs is invalid: what is left is no fair sample."""
    for variant in dict.fromkeys((check.variant, check.baseline or check.variant)):
        lost = lost_blocks(trials, variant)
        if lost:
            blocks = f"block{'s' * (len(lost) > 1)} {listing([str(block) for block in lost])}"
            return Decision(
                "inconclusive",
                f"The valid trials alone would say {decision.outcome}, but {variant} has no valid trial in {blocks}.",
            )
    return decision


def no_trial(variant: str, trials: Sequence[TrialEvidence]) -> str:
    """Why a variant has no trial that counts."""
    ran = [trial for trial in latest(trials) if trial.variant == variant]
    if not ran:
        return f"{variant} was not measured"
    codes = sorted({code for trial in ran for code in trial.invalid_because})
    why = f" ({', '.join(codes)})" if codes else ""
    return f"none of the {counted(len(ran), 'trial')} of {variant} is valid{why}"


def _measured(metric: Metric, variant: str, trials: Sequence[TrialEvidence], *, as_share: bool) -> Measured:
    mine = counting(trials, variant)
    found = measure(metric, mine, as_share=as_share)
    return found if mine else Measured(found.unit, missing=no_trial(variant, trials))


def _observed(metric: Metric, measured: Measured) -> str:
    text = f"{metric} {measured.text}"
    if measured.unit is Unit.SHARE and measured.total:
        text += f", {measured.successes} of {measured.total}"
    return text


def _with_notes(decision: Decision, *measured: Measured) -> Decision:
    notes = list(dict.fromkeys(part.note for part in measured if part.note))
    return Decision(decision.outcome, " ".join([decision.reason, *(f"Note: {note}." for note in notes)]))


def _alone(check: Check, trials: Sequence[TrialEvidence]) -> tuple[str, Decision]:
    """A check of one variant."""
    metric, operand = check.metric, check.operand
    if isinstance(operand, Metric):
        shares = "error_rate" in {metric.name, operand.name}
        ours = _measured(metric, check.variant, trials, as_share=shares)
        theirs = _measured(operand, check.variant, trials, as_share=shares)
        if metric.name == "promql":
            ours = replace(ours, unit=theirs.unit)
        elif operand.name == "promql":
            theirs = replace(theirs, unit=ours.unit)
        observed = f"{_observed(metric, ours)}; {_observed(operand, theirs)}"
        return observed, _with_notes(against_metric(ours, check.operator, theirs), ours, theirs)
    measured = _measured(metric, check.variant, trials, as_share=operand.unit is Unit.SHARE)
    if metric.name == "promql":
        measured = replace(measured, unit=operand.unit)
    if measured.unit is not operand.unit:
        written = operand.text or quantity(operand.value, operand.unit)
        reason = f"{metric} is a {measured.unit.name.lower()} and can't be compared with {written}."
        return _observed(metric, measured), Decision("inconclusive", reason)
    return _observed(metric, measured), _with_notes(against_value(measured, check.operator, operand.value), measured)


def _two_counts(check: Check, baseline: str, trials: Sequence[TrialEvidence]) -> tuple[str, Decision]:
    """`requests == requests` of two variants: the counts over the blocks in which both have a valid trial."""
    assert isinstance(check.operand, Metric)  # noqa: S101 - for the type checker: `key_of` sends only these here
    both = paired(trials, check.variant, baseline)
    missing = f"no block has a valid trial of both {check.variant} and {baseline}"
    sides = []
    for metric, side_trials in ((check.metric, [a for a, _ in both]), (check.operand, [b for _, b in both])):
        found = measure(metric, side_trials)
        sides.append(found if both else Measured(found.unit, missing=missing))
    ours, theirs = sides
    observed = f"{check.variant} {_observed(check.metric, ours)}; {baseline} {_observed(check.operand, theirs)}"
    return observed, _with_notes(against_metric(ours, check.operator, theirs), ours, theirs)


def _compared(check: Check, record: ComparisonRecord) -> tuple[str, Decision]:
    """A check of two variants by their paired comparison."""
    scale = scale_for(check)
    if record.estimate is None:
        return f"{check.metric} not compared", Decision("inconclusive", record.sentence)
    observed = f"{check.metric} {change(record.estimate, scale)}"
    if record.low is None or record.high is None:
        return f"{observed} in {counted(record.blocks, 'block')}", Decision("inconclusive", record.sentence)
    observed += f" ({change_spread(record.low, record.high, scale)})"
    span = change_spread(record.low, record.high, scale, directed=True)
    known = f"{confident(record)} the change is {span}"
    limit = 0.0
    if isinstance(check.operand, Quantity):
        if check.operand.unit is not Unit.SHARE and scale is not Scale.MILLISECONDS:
            reason = f"A comparison takes a percentage such as +10%, not {check.operand.text or check.operand.value}."
            return observed, Decision("inconclusive", reason)
        limit = check.operand.value
    if check.operator in {Operator.WITHIN, Operator.EQUAL}:
        return observed, _within(check, record, limit, known)
    outcome = side(record.low, record.high, check.operator, limit)
    shown = signed(limit, scale)
    if outcome == "inconclusive":
        return observed, Decision(
            outcome, f"{known}, which reaches to both sides of {shown}; {_advice(check, record, limit)}."
        )
    where = "right" if outcome == "held" else "wrong"
    return observed, Decision(outcome, f"{known}: all of it is on the {where} side of {shown}.")


def _within(check: Check, record: ComparisonRecord, limit: float, known: str) -> Decision:
    """Equivalence: the whole interval within a margin to either side."""
    low, high = record.low or 0.0, record.high or 0.0
    margin = abs(limit)
    shown = f"{margin_words(margin, scale_for(check))} to either side"
    if check.operator is Operator.EQUAL:
        if low > limit or high < limit:
            return Decision("failed", f"{known}, which leaves out {signed(limit, scale_for(check))}.")
        return Decision(
            "inconclusive", "Two estimates can be shown to differ, never to be equal; give a margin with `within`."
        )
    if -margin <= low and high <= margin:
        return Decision("held", f"{known}: all of it is within {shown}.")
    if low > margin or high < -margin:
        return Decision("failed", f"{known}: all of it is outside {shown}.")
    return Decision("inconclusive", f"{known}, which may be within {shown} or not; {_advice(check, record, limit)}.")


def _advice(check: Check, record: ComparisonRecord, limit: float) -> str:
    """How many blocks would tell the estimate from the limit."""
    pairs = Pairs(scale=scale_for(check))
    differences = [pairs.inner(value) for value in record.differences]
    estimate = pairs.inner(record.estimate or 0.0)
    limits = (limit, -limit) if check.operator is Operator.WITHIN else (limit,)
    distance = min(abs(estimate - pairs.inner(value)) for value in limits)
    # an interval within a margin must keep off both its ends
    power = 0.9 if check.operator is Operator.WITHIN else 0.8
    needed = blocks_for(differences, distance, record.blocks + 1, 1 - record.confidence, power)
    return more_blocks(record.blocks, needed)
