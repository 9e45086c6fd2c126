"""Metrics and quantities read from a line of the check language, with the column of what is wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.errors import InputError, Position, Problem
from runner.spec.metrics import DIMENSIONS, METRIC_NAMES, PHASES, Metric, Quantity, Unit
from runner.units import parse_duration, parse_rate
from runner.yamlfile.problems import suggest

if TYPE_CHECKING:
    from collections.abc import Collection


_PHASES_SAID_OTHERWISE = {
    **dict.fromkeys(("pre", "start", "baseline"), "before"),
    **dict.fromkeys(("fault", "mid", "while", "outage"), "during"),
    **dict.fromkeys(("post", "end", "recovery"), "after"),
}
_WITHOUT_PHASE = {
    "promql": "is a query over the whole window",
    "capacity": "is found by a search",
    **dict.fromkeys(("time_to_detect", "time_to_recover"), "says itself when it is measured"),
}
_ARGUMENTS = {
    "status": "a status in brackets, such as status[503]; status[0] counts requests without an answer",
    "outcome": "a label of the loadfile in brackets, such as outcome[reviews unavailable]",
    "proxy": "a workload or service and a stat in brackets, such as proxy[productpage-v1 upstream_rq_timeout]",
    "promql": "an entry of collect.promql in brackets, such as promql[reviews_5xx]",
}
_WITHOUT_REQUEST = {"dropped", "proxy", "promql", "capacity", "time_to_detect", "time_to_recover"}
_SAID_OTHERWISE = {
    **dict.fromkeys(("avg", "average"), "mean"),
    **dict.fromkeys(("rps", "qps", "throughput"), "rate"),
    **dict.fromkeys(("count", "total"), "requests"),
    **dict.fromkeys(("fail_ratio", "failure_rate"), "error_rate"),
    **dict.fromkeys(("stat", "stats", "envoy"), "proxy"),
    "median": "p50",
    "latency": "p95",
    "p999": "p99.9",
    "p100": "max",
    "failures": "errors",
    "code": "status",
    "label": "outcome",
    "prometheus": "promql",
    **dict.fromkeys(("ttd", "mttd", "detect", "detection_time"), "time_to_detect"),
    **dict.fromkeys(("ttr", "mttr", "recover", "recovery_time"), "time_to_recover"),
}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.\d+)?")
_QUANTITY = re.compile(r"([+-])?\s*((?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?)\s*(%)?")
_AFTER_METRIC = r"\s*(?:$|[<>=!≤≥≠]|\b(?:within|for|and)\b)"
_AT_PHASE = rf"@\w*{_AFTER_METRIC}"
_CLOSING = {
    "]": re.compile(rf"\](?={_AFTER_METRIC}|\s*\{{|{_AT_PHASE})"),
    "}": re.compile(rf"\}}(?={_AFTER_METRIC}|{_AT_PHASE})"),
}


@dataclass(slots=True)
class Reader:
    """A cursor over one line of the check language.

    Attributes:
        text: the line.
        position: where its first character stands in the user's file.
        inside: whether columns of the text are columns of the file too (not for a text that a template made).
        at: index of the next character to read.
    """

    text: str
    position: Position | None = None
    inside: bool = True
    at: int = 0

    def error(
        self, message: str, at: int | None = None, *, expected: str | None = None, suggestion: str | None = None
    ) -> InputError:
        """An `InputError` that points at index `at` (the cursor by default)."""
        where = self.position
        if where and self.inside:
            where = Position(where.file, where.line, where.column + (self.at if at is None else at))
        return InputError(Problem(f'"{self.text}": {message}', where, expected, suggestion))

    def space(self) -> None:
        """Go past blanks."""
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """What `pattern` matches at the cursor, which goes past it."""
        match = pattern.match(self.text, self.at)
        if match:
            self.at = match.end()
        return match

    def rest(self) -> str:
        """Everything from the cursor on."""
        return self.text[self.at :]

    def until(self, closing: str) -> str:
        """The text between the bracket or brace at the cursor and its `closing` one; the cursor goes past it."""
        opened = self.at
        end = _CLOSING[closing].search(self.text, opened)
        if end is None:
            raise self.error(
                f'"{self.text[opened]}" is never closed', opened, expected=f'"{closing}" before the operator'
            )
        self.at = end.end()
        return self.text[opened + 1 : end.start()]


def read_metric(reader: Reader, promql: Collection[str] | None = None) -> Metric:
    """The metric at the cursor.

    Args:
        reader: the line.
        promql: names of `collect.promql`; None leaves them unchecked.

    Raises:
        InputError: there is none, or its argument is wrong.
    """
    reader.space()
    start = reader.at
    found = reader.take(_NAME)
    if not found:
        raise reader.error("a metric is missing", expected="METRIC OP VALUE, such as p95 < 250ms")
    name = found[0]
    if name not in DIMENSIONS:
        better = _SAID_OTHERWISE.get(name.lower())
        hint = f'Did you mean "{better}"?' if better else suggest(name.lower(), METRIC_NAMES)
        raise reader.error(
            f'"{name}" is no metric', start, expected="one of " + ", ".join(METRIC_NAMES), suggestion=hint
        )
    argument = request = None
    if reader.rest().startswith("["):
        if name not in _ARGUMENTS:
            raise reader.error(
                f"{name} takes nothing in brackets",
                suggestion=f"Write {name}{{request name}} for one request name only",
            )
        start = reader.at + 1
        argument = _argument(reader, name, reader.until("]"), start, promql)
    elif name in _ARGUMENTS:
        raise reader.error(f"{name} needs an argument", expected=_ARGUMENTS[name])
    if reader.rest().startswith("{"):
        if name in _WITHOUT_REQUEST:
            raise reader.error(f"{name} is not counted by request name", suggestion="Leave the braces out")
        start = reader.at
        request = reader.until("}").strip()
        if not request:
            raise reader.error("the braces are empty", start, expected="a request name, such as p95{GET /productpage}")
    phase = _phase(reader, name) if reader.rest().startswith("@") else None
    return Metric(name, argument, request, phase)


def _phase(reader: Reader, metric: str) -> str:
    """The phase after the `@` at the cursor."""
    start = reader.at
    if metric in _WITHOUT_PHASE:
        raise reader.error(f"{metric} {_WITHOUT_PHASE[metric]}, so it takes no phase", suggestion="Leave the @ out")
    reader.at += 1
    found = reader.take(_NAME)
    phase = found[0] if found else ""
    expected = f"one of {', '.join(f'@{name}' for name in PHASES)}"
    if phase not in PHASES:
        better = _PHASES_SAID_OTHERWISE.get(phase.lower())
        hint = f'Did you mean "{better}"?' if better else suggest(phase.lower(), PHASES)
        raise reader.error(
            f'"{phase}" is no phase' if phase else "a phase is missing", start, expected=expected, suggestion=hint
        )
    if reader.rest()[:1] in {"[", "{"}:
        raise reader.error("the phase stands last", start, suggestion=f"Write {metric}{reader.rest()[:1]}...@{phase}")
    return phase


def _argument(reader: Reader, name: str, raw: str, start: int, promql: Collection[str] | None) -> str:
    argument = raw.strip()
    start += len(raw) - len(raw.lstrip())
    if not argument:
        raise reader.error("the brackets are empty", start, expected=_ARGUMENTS[name])
    if name == "status" and not re.fullmatch(r"0|[1-5]\d\d", argument):
        raise reader.error(f'"{argument}" is no HTTP status', start, expected=_ARGUMENTS[name])
    if name == "promql" and promql is not None and argument not in promql:
        known = ", ".join(promql)
        expected = f"one of {known}" if known else "an entry there (collect.promql is empty)"
        raise reader.error(
            f'"{argument}" is not in collect.promql', start, expected=expected, suggestion=suggest(argument, promql)
        )
    if name == "proxy":
        parts = argument.split(None, 1)
        if len(parts) == 1:
            raise reader.error("proxy needs a stat after the workload", start, expected=_ARGUMENTS[name])
        workload, stat = parts
        at = start + argument.index(stat, len(workload))
        if stat.startswith("/"):
            _check_regex(reader, stat, at)
        elif re.search(r"\s", stat):
            raise reader.error(
                "a stat's name has no blanks",
                at,
                expected=_ARGUMENTS[name],
                suggestion="Write a regular expression as /.../",
            )
        return f"{workload} {stat}"
    return argument


def _check_regex(reader: Reader, stat: str, at: int) -> None:
    if len(stat) < 3 or not stat.endswith("/"):  # noqa: PLR2004 - two slashes and something between them
        raise reader.error(f"{stat} is no regular expression", at, expected="/.../ with something between the slashes")
    try:
        re.compile(stat[1:-1])
    except re.error as error:
        raise reader.error(f"{stat} is no regular expression: {error.msg}", at + 1 + (error.pos or 0)) from None
    except (OverflowError, RecursionError):
        raise reader.error(f"{stat} is no regular expression: too large", at) from None


def read_quantity(reader: Reader, text: str, at: int, expected: str) -> Quantity:
    """The quantity that `text`, which begins at index `at` of the line, names.

    Args:
        reader: the line, for the error.
        text: the quantity, blanks stripped.
        at: where it begins.
        expected: what would fit here, for the error.

    Raises:
        InputError: it is none.
    """
    number = _QUANTITY.fullmatch(text)
    if number:
        value = float(f"{number[1] or ''}{number[2]}")
        if value in {float("inf"), float("-inf")}:
            raise reader.error(f'"{text}" is too large', at, expected=expected)
        unit = Unit.SHARE if number[3] else Unit.COUNT
        return Quantity(value / 100 if number[3] else value, unit, signed=number[1] is not None, text=text)
    for parse, unit, scale in ((parse_duration, Unit.MILLISECONDS, 1000.0), (parse_rate, Unit.RATE, 1.0)):
        try:
            value = parse(text)
        except ValueError:
            continue
        if value == float("inf"):
            raise reader.error(f'"{text}" is too large', at, expected=expected)
        return Quantity(round(value * scale, 9), unit, text=text)
    raise reader.error(f'"{text}" is no value' if text else "a value is missing", at, expected=expected)
