"""The three outcomes of a check, decided from a value with its interval and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from runner.analysis.intervals import clopper_pearson
from runner.analysis.words import quantity, spread
from runner.spec.checks import Operator, Unit

if TYPE_CHECKING:
    from runner.analysis.measure import Measured

Outcome = Literal["held", "failed", "inconclusive"]

EQUAL_CONFIDENCE = 0.999
"""A share is equal to a value that lies in its exact interval of this confidence (a 50/50 split, as seen) ..."""
EQUAL_WIDTH = 0.20
"""... if that interval is narrower than ten points to either side, so that few requests prove nothing."""
EQUAL_RELATIVE = 0.10
"""A duration or a rate is equal to a value in its interval if that is narrower than this to either side."""
_TOLERANCE = 1e-9
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


def _by_interval(measured: Measured, operator: Operator, limit: float) -> Decision:
    """An estimate against a limit, by the whole of its interval."""
    shown = quantity(limit, measured.unit)
    outcome = side(measured.low, measured.high, operator, limit)
    span = spread(measured.low, measured.high, measured.unit, measured.value or 0.0)
    below = operator in {Operator.LESS, Operator.AT_MOST}
    if outcome == "inconclusive":
        if measured.low is None or measured.high is None:
            return Decision(
                "inconclusive",
                f"The requests are too few to tell on which side of {shown} it lies: {span}; "
                "measure longer or more blocks.",
            )
        return Decision(
            "inconclusive",
            f"It may lie on either side of {shown}: the interval is {span}; "
            "more blocks or longer trials would narrow it.",
        )
    where = "below" if below == (outcome == "held") else "above"
    return Decision(outcome, f"The whole interval, {span}, lies {where} {shown}.")


def _equal_share(measured: Measured, limit: float) -> Decision:
    """A share against a value it should have, by the exact binomial interval of all requests."""
    low, high = (float(end) for end in clopper_pearson(measured.successes, measured.total, EQUAL_CONFIDENCE))
    span = spread(low, high, Unit.SHARE, measured.value or 0.0)
    of = f"{measured.successes} of {measured.total}"
    shown = quantity(limit, Unit.SHARE)
    chance = f"its {EQUAL_CONFIDENCE * 100:g} % interval is {span}"
    if not low <= limit <= high:
        return Decision("failed", f"{of} does not agree with {shown}: {chance}.")
    if high - low >= EQUAL_WIDTH:
        return Decision("inconclusive", f"{of} agrees with {shown}, but are too few requests to prove it: {chance}.")
    return Decision("held", f"{of} agrees with {shown}: {chance}.")


def _equal(measured: Measured, limit: float) -> Decision:
    """A duration or a rate against a value it should have."""
    span = spread(measured.low, measured.high, measured.unit, measured.value or 0.0)
    shown = quantity(limit, measured.unit)
    if (measured.low is not None and measured.low > limit) or (measured.high is not None and measured.high < limit):
        return Decision("failed", f"{shown} lies outside the interval, {span}.")
    if measured.low is None or measured.high is None or measured.high - measured.low > 2 * EQUAL_RELATIVE * abs(limit):
        return Decision("inconclusive", f"{shown} is possible, but the interval, {span}, is too wide to call it equal.")
    return Decision("held", f"{shown} lies in the interval, {span}.")


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
        return Decision("inconclusive", f"The intervals overlap: {both}.")
    wants_above = {Operator.MORE: True, Operator.AT_LEAST: True, Operator.LESS: False, Operator.AT_MOST: False}
    held = wants_above.get(operator) is above
    where = "above" if above else "below"
    return Decision(
        "held" if held else "failed", f"The whole interval of the first lies {where} that of the second: {both}."
    )


def _over(upper: Measured, lower: Measured) -> bool:
    return upper.low is not None and lower.high is not None and upper.low > lower.high
