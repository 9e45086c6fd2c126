"""The three outcomes of a check, decided from a value with its interval and nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from runner.analysis.advice import blocks_to_clear, blocks_to_tell_apart, more_blocks
from runner.analysis.intervals import CONFIDENCE, clopper_pearson
from runner.analysis.words import quantity, spread
from runner.spec.metrics import Operator, Unit

if TYPE_CHECKING:
    from runner.analysis.measured import Measured

Outcome = Literal["held", "failed", "inconclusive"]

EQUAL_CONFIDENCE = 0.999
"""A share is equal to a value that lies in its exact interval of this confidence (a 50/50 split, as seen) ..."""
EQUAL_WIDTH = 0.20
"""... if that interval is narrower than ten points to either side, so that few requests prove nothing, and than the value itself
(for 1 %: one point to either side; for 99 % the same), so that none of sixty does not prove 1 %."""
EQUAL_RELATIVE = 0.10
"""A duration or a rate is equal to a value in its interval if that is narrower than this to either side."""
_TOLERANCE = 1e-9
_SURE = f"with {CONFIDENCE:.0%} confidence".replace("%", " %")
_WORDS = {
    Operator.LESS: "less than",
    Operator.AT_MOST: "at most",
    Operator.MORE: "more than",
    Operator.AT_LEAST: "at least",
    Operator.EQUAL: "equal to",
    Operator.WITHIN: "within",
}


@dataclass(frozen=True, slots=True)
class Decision:
    """An outcome and why, as a plain sentence."""

    outcome: Outcome
    reason: str


def exactly(value: float, operator: Operator, operand: float) -> bool:
    """Whether `value OPERATOR operand` is true of two exact numbers (equal to nine digits is equal)."""
    equal = abs(value - operand) <= _TOLERANCE * max(abs(value), abs(operand), 1.0)
    return {
        Operator.LESS: value < operand and not equal,
        Operator.AT_MOST: value <= operand or equal,
        Operator.MORE: value > operand and not equal,
        Operator.AT_LEAST: value >= operand or equal,
        Operator.EQUAL: equal,
        Operator.WITHIN: equal,
    }[operator]


def side(low: float | None, high: float | None, operator: Operator, limit: float) -> Outcome:
    """Whether an interval lies wholly on the right side of a limit (held), on the wrong side (failed), or on both."""
    right = {
        Operator.LESS: high is not None and high < limit,
        Operator.AT_MOST: high is not None and high <= limit,
        Operator.MORE: low is not None and low > limit,
        Operator.AT_LEAST: low is not None and low >= limit,
    }
    wrong = {
        Operator.LESS: low is not None and low >= limit,
        Operator.AT_MOST: low is not None and low > limit,
        Operator.MORE: high is not None and high <= limit,
        Operator.AT_LEAST: high is not None and high < limit,
    }
    return "held" if right[operator] else "failed" if wrong[operator] else "inconclusive"


def against_value(measured: Measured, operator: Operator, limit: float) -> Decision:
    """Decide `METRIC OP VALUE` for one variant; the value is in the metric's own unit."""
    if measured.never:
        return _never(measured, operator, limit)
    if measured.value is None:
        return Decision("inconclusive", f"There is nothing to decide by: {measured.missing}.")
    shown = quantity(limit, measured.unit)
    if measured.exact:
        held = exactly(measured.value, operator, limit)
        return Decision(
            "held" if held else "failed",
            f"{quantity(measured.value, measured.unit)} {'is' if held else 'is not'} {_WORDS[operator]} {shown}.",
        )
    if operator is Operator.EQUAL:
        return _equal_share(measured, limit) if measured.total else _equal(measured, limit)
    return _by_interval(measured, operator, limit)


def _never(measured: Measured, operator: Operator, limit: float) -> Decision:
    """Something that did not happen took longer than it was looked for, so it is on one side of a limit, or on none."""
    shown = quantity(limit, measured.unit)
    sentence = f"That was {measured.never}"
    if operator in {Operator.MORE, Operator.AT_LEAST}:
        if (measured.low or 0.0) >= limit:
            return Decision("held", f"{sentence}, which is {_WORDS[operator]} {shown}.")
        return Decision("inconclusive", f"{sentence}; whether it takes {_WORDS[operator]} {shown} was not seen.")
    return Decision("failed", f"{sentence}, which is not {_WORDS[operator]} {shown}.")


def _by_interval(measured: Measured, operator: Operator, limit: float) -> Decision:
    """An estimate against a limit, by the whole of its interval."""
    shown = quantity(limit, measured.unit)
    outcome = side(measured.low, measured.high, operator, limit)
    span = spread(measured.low, measured.high, measured.unit, measured.value or 0.0)
    below = operator in {Operator.LESS, Operator.AT_MOST}
    if outcome == "inconclusive":
        end = measured.high if (measured.value or 0.0) < limit else measured.low
        if end is None:
            return Decision(
                "inconclusive",
                f"On which side of {shown} it lies can't be told: {_SURE} it is {span}; "
                f"{more_blocks(measured.trials, measured.settles, 'would bound it')}.",
            )
        advice = more_blocks(measured.trials, blocks_to_clear(measured, limit))
        return Decision(
            "inconclusive", f"{_SURE.capitalize()} it is {span}, which reaches to both sides of {shown}; {advice}."
        )
    where = "below" if below == (outcome == "held") else "above"
    return Decision(outcome, f"{_SURE.capitalize()} it is {span}: all of it is {where} {shown}.")


def _equal_share(measured: Measured, limit: float) -> Decision:
    """A share against a value it should have, by the exact binomial interval of all requests."""
    low, high = (float(end) for end in clopper_pearson(measured.successes, measured.total, EQUAL_CONFIDENCE))
    span = spread(low, high, Unit.SHARE, measured.value or 0.0)
    of = f"{measured.successes} of {measured.total}"
    shown = quantity(limit, Unit.SHARE)
    chance = f"with {EQUAL_CONFIDENCE * 100:g} % confidence the share is {span}"
    if not low <= limit <= high:
        return Decision("failed", f"{of} does not fit {shown}: {chance}.")
    widest = min(EQUAL_WIDTH, 2 * limit or EQUAL_WIDTH, 2 * (1 - limit) or EQUAL_WIDTH)
    if high - low >= widest:
        needed = math.ceil(measured.trials * ((high - low) / widest) ** 2)
        return Decision(
            "inconclusive",
            f"{of} fits {shown}, but {measured.total} are too few to prove it: {chance}; "
            f"{more_blocks(measured.trials, needed)}.",
        )
    return Decision("held", f"{of} fits {shown}: {chance}.")


def _equal(measured: Measured, limit: float) -> Decision:
    """A duration or a rate against a value it should have."""
    span = spread(measured.low, measured.high, measured.unit, measured.value or 0.0)
    shown = quantity(limit, measured.unit)
    if (measured.low is not None and measured.low > limit) or (measured.high is not None and measured.high < limit):
        return Decision("failed", f"{_SURE.capitalize()} it is {span}, which leaves out {shown}.")
    widest = 2 * EQUAL_RELATIVE * abs(limit)
    if measured.low is None or measured.high is None:
        advice = more_blocks(measured.trials, measured.settles, "would bound it")
        return Decision("inconclusive", f"It may be {shown}, but {_SURE} it is only known to be {span}; {advice}.")
    width = measured.high - measured.low
    if width > widest:
        needed = math.ceil(measured.trials * (width / widest) ** 2) if widest else None
        return Decision(
            "inconclusive",
            f"It may be {shown}, but {_SURE} it is {span}, too wide to call it equal; "
            f"{more_blocks(measured.trials, needed)}.",
        )
    return Decision("held", f"{_SURE.capitalize()} it is {span}, {shown} among it.")


def against_metric(ours: Measured, operator: Operator, theirs: Measured) -> Decision:
    """Decide `METRIC OP METRIC`: counts exactly, everything else by intervals that don't overlap."""
    for measured in (ours, theirs):
        if measured.value is None:
            return Decision("inconclusive", f"There is nothing to decide by: {measured.missing}.")
    if ours.unit is not theirs.unit:
        return Decision(
            "inconclusive", f"A {ours.unit.name.lower()} can't be compared with a {theirs.unit.name.lower()}."
        )
    if ours.exact and theirs.exact:
        values = ours.value or 0.0, theirs.value or 0.0
        held = exactly(values[0], operator, values[1])
        texts = [quantity(value, ours.unit) for value in values]
        reason = f"{texts[0]} {'is' if held else 'is not'} {_WORDS[operator]} {texts[1]}."
        return Decision("held" if held else "failed", reason)
    return _by_intervals(ours, operator, theirs)


def _by_intervals(ours: Measured, operator: Operator, theirs: Measured) -> Decision:
    """Two estimates of one variant, told apart only where their intervals do not overlap."""
    both = f"{ours.text} and {theirs.text}"
    above, below = _over(ours, theirs), _over(theirs, ours)
    if not above and not below:
        if operator is Operator.EQUAL:
            return Decision("inconclusive", f"Two estimates can be shown to differ, never to be equal: {both}.")
        advice = more_blocks(max(ours.trials, theirs.trials), blocks_to_tell_apart(ours, theirs))
        return Decision("inconclusive", f"Their intervals overlap, so either may be the larger: {both}; {advice}.")
    wants_above = {Operator.MORE: True, Operator.AT_LEAST: True, Operator.LESS: False, Operator.AT_MOST: False}
    held = wants_above.get(operator) is above
    where = "above" if above else "below"
    return Decision(
        "held" if held else "failed", f"All that the first may be is {where} all that the second may be: {both}."
    )


def _over(upper: Measured, lower: Measured) -> bool:
    return upper.low is not None and lower.high is not None and upper.low > lower.high
