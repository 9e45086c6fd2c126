"""How the report writes numbers: one place, so that the page, the tables and the terminal agree.

Digits follow from what a number can bear: three significant ones for durations, and for shares as many as it takes to
tell 99.97 % from all.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runner.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.results.document.figures import Interval

NONE = "\N{EN DASH}"
"""What stands where there is no number."""

MINUS = "\N{MINUS SIGN}"
_SECOND_MS = 1000.0
_MINUTE_MS = 60_000.0
_NEARLY_ALL = 0.99
_SMALLEST_PERCENT = 0.001
_SHARE_METRICS = frozenset({"error_rate", "status", "outcome"})


def metric_name(metric: str) -> str:
    """The name of a metric without brackets and phase: `outcome` of `outcome[reviews unavailable]@during`."""
    return metric.split("[", 1)[0].split("{", 1)[0].split("@", 1)[0]


def is_share(metric: str) -> bool:
    """Whether changes of this metric are absolute differences of shares (all others are relative)."""
    return metric_name(metric) in _SHARE_METRICS


def digits(number: float, significant: int = 3) -> str:
    """A number with so many significant digits, never in scientific notation."""
    if number == 0:
        return "0"
    places = max(0, significant - len(str(int(abs(number)))))
    if abs(number) < 1:
        lead = 0
        rest = abs(number)
        while rest < 0.1 and lead < 9:  # noqa: PLR2004 - digits after the point
            rest *= 10
            lead += 1
        places = significant + lead
    text = f"{number:,.{places}f}"
    return MINUS + text[1:] if text.startswith("-") else text


def latency(milliseconds: float | None) -> str:
    """A duration given in milliseconds: `0.742 ms`, `12.3 ms`, `1.02 s`, `2 min 5 s`."""
    if milliseconds is None:
        return NONE
    if milliseconds >= _MINUTE_MS:
        return format_duration(milliseconds / 1000)
    return f"{_in_unit(milliseconds, _unit(milliseconds))} {_unit(milliseconds)}"


def latency_interval(interval: Interval) -> str:
    """Both ends of an interval of durations in one unit: `1.98 to 2.03 s`; empty where neither end is known."""
    if interval.low is None and interval.high is None:
        return ""
    largest = max(value for value in (interval.low, interval.high, interval.estimate) if value is not None)
    unit = _unit(largest)
    factor = 1 / _SECOND_MS if unit == "s" else 1.0
    places = len(digits(largest * factor).partition(".")[2])
    return _range(interval, lambda value: f"{value * factor:.{places}f}", f" {unit}")


def share(value: float | None) -> str:
    """A share as a percentage: `0 %`, `0.02 %`, `49.2 %`, `99.97 %`; never rounded to all or nothing."""
    return NONE if value is None else f"{_percent(value)} %"


def share_interval(interval: Interval) -> str:
    """Both ends of an interval of shares: `97.1 to 99.4 %`."""
    return _range(interval, _percent, " %")


def rate(per_second: float | None) -> str:
    """Requests per second: `20.0/s`."""
    return NONE if per_second is None else f"{digits(per_second)}/s"


def count(number: float | None) -> str:
    """A count with its thousands apart: `12,345`."""
    if number is None:
        return NONE
    return f"{number:,.0f}" if float(number).is_integer() else f"{number:,.2f}"


def change(metric: str, value: float | None) -> str:
    """A difference between two variants: `-50.1 %` (relative), `+98.3 points` (of shares)."""
    if value is None:
        return NONE
    sign = "+" if value > 0 else MINUS if value < 0 else ""
    return f"{sign}{digits(abs(value) * 100)} {_change_unit(metric)}"


def change_interval(metric: str, low: float | None, high: float | None) -> str:
    """The interval of a difference: `-51.3 to -49.0 %`, `at least +3 %`; empty where neither end is known."""
    if low is None and high is None:
        return ""
    if low is None:
        return f"at most {change(metric, high)}"
    if high is None:
        return f"at least {change(metric, low)}"
    unit = _change_unit(metric)
    return f"{change(metric, low).removesuffix(f' {unit}')} to {change(metric, high)}"


def moment(text: str) -> str:
    """An RFC 3339 time as a person reads it, in UTC: `24 Nov 2026, 06:12:09 UTC`; other texts as they are."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return text or NONE
    return f"{when.astimezone(UTC):%-d %b %Y, %H:%M:%S} UTC"


def clock(text: str) -> str:
    """The time of day of an RFC 3339 time, in UTC: `06:12:09`; other texts as they are."""
    try:
        return f"{datetime.fromisoformat(text).astimezone(UTC):%H:%M:%S}"
    except ValueError:
        return text or NONE


def elapsed(started: str, ended: str) -> float | None:
    """Seconds between two RFC 3339 times; None when one of them is missing."""
    try:
        return (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds()
    except (ValueError, TypeError):
        return None


def took(seconds: float) -> str:
    """How long something took: `4.2 s`, `2 min 5 s`; nothing below zero, as a clock that was set back would have it."""
    return format_duration(max(0.0, seconds))


def plural(number: int, word: str, words: str | None = None) -> str:
    """`1 block`, `6 blocks`, `2 retries`."""
    return f"{count(number)} {word if number == 1 else words or word + 's'}"


def listing(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else "".join(words)


def _unit(milliseconds: float) -> str:
    return "s" if milliseconds >= _SECOND_MS else "ms"


def _in_unit(milliseconds: float, unit: str) -> str:
    return digits(milliseconds / _SECOND_MS if unit == "s" else milliseconds)


def _percent(value: float) -> str:
    percent = value * 100
    if _NEARLY_ALL < value < 1:
        missing = 100 - percent
        if missing < _SMALLEST_PERCENT:
            return f">{100 - _SMALLEST_PERCENT}"
        return f"{percent:.{len(digits(missing, 2).partition('.')[2])}f}".rstrip("0").rstrip(".")
    if percent == 100:  # noqa: PLR2004 - all of it
        return "100"
    if 0 < percent < _SMALLEST_PERCENT:
        return f"<{_SMALLEST_PERCENT}"
    text = digits(percent)
    return text.rstrip("0").rstrip(".") if 0 < percent < 1 else text


def _change_unit(metric: str) -> str:
    return "points" if is_share(metric) else "%"


def _range(interval: Interval, text: Callable[[float], str], unit: str) -> str:
    if interval.low is None:
        return "" if interval.high is None else f"at most {text(interval.high)}{unit}"
    if interval.high is None:
        return f"at least {text(interval.low)}{unit}"
    return f"{text(interval.low)} to {text(interval.high)}{unit}"
