"""The language of checks, `METRIC[{request name}] OP VALUE|METRIC`, and guardrails, `METRIC OP VALUE [for DURATION]`.

What a value may be depends on the metric and on whether two variants are compared: a latency is held against a duration
(`p95 < 1.3s`), and in a comparison against a change (`p95 <= +10%`). A number without its unit is an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.spec.fit import changes_for, fit_change, fit_margin, fit_value, margins_for, values_for
from runner.spec.metric_reading import Reader, read_metric, read_quantity
from runner.spec.metrics import Dimension, Metric, Operator, Quantity, Unit
from runner.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from runner.errors import Position


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation of one variant, or of one variant against another (`baseline` given)."""

    text: str
    variant: str
    baseline: str | None
    metric: Metric
    operator: Operator
    operand: Quantity | Metric
    position: Position | None = None

    def __str__(self) -> str:
        who = f"{self.variant} vs {self.baseline}" if self.baseline else self.variant
        return f"{who}: {self.text}"


@dataclass(frozen=True, slots=True)
class Guardrail:
    """A limit watched live; `seconds` is how long it must be crossed without a break (0: once is enough)."""

    text: str
    metric: Metric
    operator: Operator
    limit: Quantity
    seconds: float
    position: Position | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """One part of a capacity search's objective: `p99 < 250ms`."""

    text: str
    metric: Metric
    operator: Operator
    limit: Quantity


_OPERATOR = re.compile(r"<=|>=|==|<(?![<>])|>(?![<>])|within\b")
_WRONG_OPERATOR = re.compile(r"[<>=!≤≥≠~]+|[A-Za-z]+")
_MEANT = {
    **dict.fromkeys(("=", "===", "is", "equals"), "=="),
    **dict.fromkeys(("below", "under"), "<"),
    **dict.fromkeys(("above", "over"), ">"),
    "=<": "<=",
    "≤": "<=",
    "=>": ">=",
    "≥": ">=",
}
_OPERATORS = "one of " + ", ".join(Operator)
_END = re.compile(r"$")
_FOR = re.compile(r"\s+for\b|$")
_AND = re.compile(r"\s+and\b|$")
_NOT_LIVE = {
    "promql": "is read after the window",
    "capacity": "is found by a search",
    **dict.fromkeys(("time_to_detect", "time_to_recover"), "is known after the window"),
}
_NOT_IN_A_SECOND = {**_NOT_LIVE, "proxy": "is not read every second"}


def parse_check(
    text: str,
    variant: str,
    baseline: str | None,
    position: Position | None,
    *,
    promql: Collection[str] | None = None,
    inside: bool = True,
) -> Check:
    """One check.

    Args:
        text: `METRIC[{request name}] OP VALUE|METRIC`.
        variant: the variant it is about.
        baseline: the variant that this one is compared with, None for an absolute check.
        position: where the text's first character stands.
        promql: names of `collect.promql`; None leaves them unchecked.
        inside: whether columns of the text are columns of the file.

    Raises:
        InputError: with the column of what is wrong, and what was expected there.
    """
    reader = Reader(text.rstrip(), position, inside)
    metric = read_metric(reader, promql)
    operator = _read_operator(reader)
    operand = _read_operand(reader, metric, operator, promql, comparison=baseline is not None)
    return Check(text.strip(), variant, baseline, metric, operator, operand, position)


def parse_guardrail(text: str, position: Position | None, *, inside: bool = True) -> Guardrail:
    """One guardrail: `METRIC OP VALUE [for DURATION]`; without `for`, crossing it once is enough.

    Args:
        text: such as `error_rate > 50% for 5s`.
        position: where the text's first character stands.
        inside: whether columns of the text are columns of the file.

    Raises:
        InputError: with the column of what is wrong, and what was expected there.
    """
    reader = Reader(text.rstrip(), position, inside)
    start = reader.at
    metric = read_metric(reader)
    if metric.name in _NOT_LIVE:
        raise reader.error(f"{metric.name} {_NOT_LIVE[metric.name]}, so no guardrail can watch it", start)
    _refuse_phase(reader, metric, start, "a guardrail watches the whole load")
    operator, limit = _read_limit(reader, metric, _FOR)
    seconds = 0.0
    if reader.take(re.compile(r"\s+for\b\s*")):
        try:
            seconds = parse_duration(reader.rest())
        except ValueError as error:
            raise reader.error(str(error), expected="a duration such as 5s") from None
    return Guardrail(text.strip(), metric, operator, limit, seconds, position)


def parse_objective(
    text: str, position: Position | None, *, inside: bool = True, seconds: bool = False
) -> tuple[Condition, ...]:
    """An objective, of a capacity search or of phases: conditions joined by `and`.

    Args:
        text: such as `p99 < 250ms and error_rate < 0.1%`.
        position: where the text's first character stands.
        inside: whether columns of the text are columns of the file.
        seconds: whether it is asked of single seconds, in which only the load generator's figures are known.

    Raises:
        InputError: with the column of what is wrong, and what was expected there.
    """
    reader = Reader(text.rstrip(), position, inside)
    conditions = []
    while True:
        reader.space()
        start = reader.at
        metric = read_metric(reader)
        refused = _NOT_IN_A_SECOND if seconds else _NOT_LIVE
        if metric.name in refused:
            raise reader.error(f"{metric.name} {refused[metric.name]}, so no objective can hold it", start)
        _refuse_phase(reader, metric, start, "an objective is the same in all of them")
        operator, limit = _read_limit(reader, metric, _AND)
        conditions.append(Condition(reader.text[start : reader.at].strip(), metric, operator, limit))
        if not reader.take(re.compile(r"\s+and\b")):
            return tuple(conditions)


def count_tests(checks: Iterable[Check]) -> int:
    """How many paired tests a run's checks decide by.

    Counts that are compared with counts are compared as they are, and two checks of one comparison share its test.
    """
    tests = set()
    for check in checks:
        as_they_are = isinstance(check.operand, Metric) and (
            check.operand != check.metric or check.metric.dimension is Dimension.COUNT
        )
        if check.baseline is not None and not as_they_are:
            in_ms = isinstance(check.operand, Quantity) and check.operand.unit is Unit.MILLISECONDS
            tests.add((check.metric, check.variant, check.baseline, in_ms))
    return len(tests)


def blocks_needed(comparisons: int, alpha: float = 0.05) -> int:
    """The least number of blocks with which Holm over `comparisons` tests can decide all of them.

    The smallest p-value of a paired test over B blocks is 2^(1-B), so B must be 1 + log2(m/alpha) or more
    (sign-flip and Wilcoxon tests alike: Wilcoxon 1945 for the null distribution, Holm 1979 for the level alpha/m).
    """
    tests = max(1, comparisons)
    blocks = 1
    while 2.0 ** (1 - blocks) > alpha / tests:
        blocks += 1
    return blocks


def _refuse_phase(reader: Reader, metric: Metric, start: int, why: str) -> None:
    if metric.phase is not None:
        raise reader.error(f"{metric} names a phase, and {why}", start, suggestion=f"Leave @{metric.phase} out")


def _read_operator(reader: Reader) -> Operator:
    reader.space()
    found = reader.take(_OPERATOR)
    if found:
        return Operator(found[0])
    wrong = _WRONG_OPERATOR.match(reader.text, reader.at)
    if not wrong:
        raise reader.error("an operator is missing", expected=_OPERATORS)
    meant = _MEANT.get(wrong[0].lower())
    raise reader.error(
        f'"{wrong[0]}" is no operator', expected=_OPERATORS, suggestion=f'Did you mean "{meant}"?' if meant else None
    )


def _read_limit(reader: Reader, metric: Metric, stop: re.Pattern[str]) -> tuple[Operator, Quantity]:
    operator = _read_operator(reader)
    _refuse_lone_within(reader, operator)
    reader.space()
    if reader.rest()[:1].isalpha():
        raise reader.error("a limit is a value, not another metric", expected=values_for(metric))
    return operator, _read_value(reader, metric, operator, stop, comparison=False)


def _read_operand(
    reader: Reader, metric: Metric, operator: Operator, promql: Collection[str] | None, *, comparison: bool
) -> Quantity | Metric:
    if not comparison:
        _refuse_lone_within(reader, operator)
    reader.space()
    if not reader.rest()[:1].isalpha():
        return _read_value(reader, metric, operator, _END, comparison=comparison)
    if operator is Operator.WITHIN:
        raise reader.error("within needs a margin", expected=margins_for(metric))
    start = reader.at
    other = read_metric(reader, promql)
    if reader.rest().strip():
        raise reader.error(f'"{reader.rest().strip()}" is too much', expected="nothing after the second metric")
    kinds = {metric.dimension, other.dimension} - {Dimension.UNKNOWN}
    if len(kinds) > 1:
        message = f"{metric} is a {metric.dimension} and {other} a {other.dimension}"
        raise reader.error(message, start, expected=f"another {metric.dimension}")
    return other


def _refuse_lone_within(reader: Reader, operator: Operator) -> None:
    if operator is Operator.WITHIN:
        raise reader.error(
            "within compares two variants",
            reader.at - len(operator),
            expected=_OPERATORS.removesuffix(", within"),
            suggestion='Put it under "VARIANT vs BASELINE"',
        )


def _read_value(
    reader: Reader, metric: Metric, operator: Operator, stop: re.Pattern[str], *, comparison: bool
) -> Quantity:
    """The quantity at the cursor, which fits the metric and the operator."""
    start = reader.at
    end = stop.search(reader.text, start)
    text = reader.text[start : end.start() if end else None].strip()
    if operator is Operator.WITHIN:
        expected, fit = margins_for(metric), fit_margin
    elif comparison:
        expected, fit = changes_for(metric), fit_change
    else:
        expected, fit = values_for(metric), fit_value
    quantity = read_quantity(reader, text, start, expected)
    fit(reader, metric, quantity, start, expected)
    reader.at = start + len(text)
    return quantity
