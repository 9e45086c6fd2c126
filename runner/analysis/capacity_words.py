"""What a capacity search came to, in a sentence with its evidence and, where it found nothing, with what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.analysis.capacity_types import Ending, Outcome
from runner.analysis.words import change, change_spread, number
from runner.results.document.trial import Invalid
from runner.units import format_duration, format_rate, format_share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.analysis.capacity_types import Found, Goal
    from runner.results.document.capacity import CapacityStep
    from runner.results.document.checks import ComparisonRecord
    from runner.results.document.variant import VariantRecord

_GENERATOR = {Invalid.GENERATOR_CPU, Invalid.LAG, Invalid.RATE_MISSED, Invalid.NO_TRAFFIC}


def rates(low: float, high: float) -> str:
    """Two bounds in one unit: `402 to 421/s`."""
    return f"{number(low)} to {number(high)}/s"


def capacity_phrases(
    variant: VariantRecord, variants: Sequence[VariantRecord], comparisons: Sequence[ComparisonRecord]
) -> list[str]:
    """What one variant keeps, and how that is to the baseline: `up to 371/s (362 to 380/s)`, `10 % lower than v1 (8 to 12 %)`.

    Args:
        variant: one of the run's.
        variants: all of them, the baseline first.
        comparisons: of the run.
    """
    found, base = variant.capacity, variants[0]
    if not found:
        return ["no capacity found"]
    texts = [f"up to {number(found['rate'])}/s ({rates(found['low'], found['high'])})"]
    if variant.name != base.name and base.capacity:
        texts.append(_against(variant, base, comparisons))
    return texts


def _against(variant: VariantRecord, base: VariantRecord, comparisons: Sequence[ComparisonRecord]) -> str:
    record = next((r for r in comparisons if (r.variant, r.baseline) == (variant.name, base.name)), None)
    if record is None or record.estimate is None:
        return f"not compared with {base.name}"
    than = "the same as" if change(record.estimate) == "unchanged" else f"{change(record.estimate)} than"
    if record.low is None or record.high is None:
        return f"{than} {base.name} in so few searches, not decided"
    undecided = ", not decided" if record.outcome == "inconclusive" else ""
    return f"{than} {base.name} ({change_spread(record.low, record.high)}{undecided})"


def search_sentence(found: Found, goal: Goal, objective: str, steps: Sequence[CapacityStep]) -> str:
    """What a search came to.

    Args:
        found: its result.
        goal: what was searched for.
        objective: as the experiment file has it.
        steps: all of its trials, for the evidence.
    """
    kept = f"`{objective}`"
    if found.rate is not None and found.low is not None and found.high is not None:
        text = f"It keeps {kept} up to {number(found.rate)}/s (bounds {rates(found.low, found.high)})"
        if found.ending is Ending.WIDE:
            text += (
                f"; the bounds are {format_share(found.high / found.low - 1)} apart, because the "
                f"{format_duration(goal.most_load)} of load that a search may make were used up"
            )
        return f"{text}."
    if found.ending is Ending.LOWER_END_FAILS:
        return (
            f"It does not keep {kept} even at {format_rate(goal.start)}, the lower end of the range "
            f"({_evidence(steps, goal.start, Outcome.FAILED)}): lower capacity.from, or the objective asks too much."
        )
    if found.ending is Ending.UPPER_END_HOLDS:
        return (
            f"It still keeps {kept} at {format_rate(goal.to)}, the upper end of the range "
            f"({_evidence(steps, goal.to, Outcome.HELD)}): raise capacity.to."
        )
    least = "its capacity is not known" if found.low is None else f"its capacity is at least {number(found.low)}/s"
    if found.ending is Ending.SPOILED:
        return f"{least.capitalize()}, and higher rates could not be judged: {_spoiled(steps)}."
    top = "" if found.high is None else f" and less than {number(found.high)}/s"
    return (
        f"{least.capitalize()}{top}: the {format_duration(goal.most_load)} of load that a search may make were used up "
        "before both bounds were confirmed; bring capacity.from and capacity.to closer together."
    )


def _evidence(steps: Sequence[CapacityStep], rate: float, outcome: Outcome) -> str:
    mine = [step for step in steps if step.rate == rate and step.outcome == outcome.value]
    return (
        f"{mine[-1].because}, {len(mine)} of {sum(step.rate == rate for step in steps)} trials" if mine else "no trial"
    )


def _spoiled(steps: Sequence[CapacityStep]) -> str:
    """Why the last spoiled trial says nothing, and what would help."""
    spoiled = [step for step in steps if step.outcome == Outcome.SPOILED.value]
    if not spoiled:
        return "no trial could be judged"
    last = spoiled[-1]
    why = f"at {number(last.rate)}/s {last.because}"
    if _GENERATOR.isdisjoint(last.invalid_because):
        return why
    return (
        f"the load generator, not the service, was the limit: {why}; "
        "give it more processes (load.locust.processes) or a machine of its own"
    )
