"""Numbers as a person reads them: one unit per interval, no more digits than they are worth."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING

from runner.spec.metrics import Unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.spec.metrics import Metric


class Scale(StrEnum):
    """In what a difference between two variants is given."""

    RELATIVE = "%"
    POINTS = "points"
    """Of a share, as a difference of shares: 0.01 is one point."""
    MILLISECONDS = "ms"


_NAMES = {
    "p50": "median response",
    "mean": "mean response",
    "max": "longest response",
    "error_rate": "error rate",
    "rate": "request rate",
    "requests": "number of requests",
    "errors": "number of errors",
    "dropped": "number of dropped arrivals",
    "time_to_detect": "time to detect",
    "time_to_recover": "time to recover",
}


def scale_of(metric: Metric) -> Scale:
    """In what two variants differ by a metric: shares of requests by points, all else relatively."""
    return Scale.POINTS if metric.name in {"error_rate", "status", "outcome"} else Scale.RELATIVE


def number(value: float) -> str:
    """Three significant digits, never in powers of ten: `1.04`, `98.3`, `1235`."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _scaled(unit: Unit, like: float) -> tuple[float, str]:
    """The factor and the suffix in which values of the size of `like` are written."""
    if unit is Unit.MILLISECONDS:
        return (1e-3, " s") if abs(like) >= 1000 else (1.0, " ms")  # noqa: PLR2004 - a second
    return {Unit.SHARE: (100.0, " %"), Unit.RATE: (1.0, "/s")}.get(unit, (1.0, ""))


def _text(value: float, unit: Unit, factor: float) -> str:
    """A scaled value; a share that is nearly all keeps the digits that tell it from all: `99.97`."""
    scaled = value * factor
    if unit is Unit.SHARE and 99 < scaled < 100:  # noqa: PLR2004 - percent
        text = f"{scaled:.{min(5, 1 - math.floor(math.log10(100 - scaled)))}f}"
        return text.rstrip("0").rstrip(".")
    return number(scaled)


def quantity(value: float, unit: Unit) -> str:
    """One value with its unit: `1.04 s`, `340 ms`, `34 %`, `99.97 %`, `20/s`, `124`."""
    factor, suffix = _scaled(unit, value)
    return _text(value, unit, factor) + suffix


def spread(low: float | None, high: float | None, unit: Unit, like: float) -> str:
    """An interval: `0.98 to 1.09 s`, `at least 0.98 s`, or that nothing bounds it."""
    factor, suffix = _scaled(unit, like)
    if low is None and high is None:
        return "not bounded"
    if low is None or high is None:
        word, end = ("at most", high) if low is None else ("at least", low)
        return f"{word} {_text(end or 0.0, unit, factor)}{suffix}"
    return f"{_text(low, unit, factor)} to {_text(high, unit, factor)}{suffix}"


def _size(size: float, scale: Scale) -> str:
    """A difference without its sign and unit; whole percents from 10 on."""
    if scale is Scale.MILLISECONDS:
        return number(size)
    size *= 100
    digits = 0 if size >= 9.5 else 1 if size >= 0.95 else 2  # noqa: PLR2004 - as many as two figures need
    return number(round(size, digits))


def change(value: float, scale: Scale = Scale.RELATIVE) -> str:
    """A difference in words: `49 % lower`, `2 points higher`, `unchanged`."""
    size = _size(abs(value), scale)
    return "unchanged" if size == "0" else f"{_united(size, scale)} {'lower' if value < 0 else 'higher'}"


def _united(size: str, scale: Scale) -> str:
    return f"{size} point" if scale is Scale.POINTS and size == "1" else f"{size} {scale}"


def change_spread(low: float, high: float, scale: Scale = Scale.RELATIVE, *, directed: bool = False) -> str:
    """The interval of a difference: `47 to 51 %` (`directed`: `47 to 51 % lower`), `2 % lower to 3 % higher`."""
    near, far = sorted((_size(abs(low), scale), _size(abs(high), scale)), key=float)
    if far == "0":
        return f"0 {scale}"
    if low < 0 < high or near == "0":
        return f"{change(low, scale)} to {change(high, scale)}"
    return f"{near} to {far} {scale}" + (" lower" if high < 0 else " higher") * directed


def signed(limit: float, scale: Scale) -> str:
    """A limit of a change as a check writes it: `+10 %`, `-40 %`, `+1 point`, `zero`."""
    size = _size(abs(limit), scale)
    return "zero" if size == "0" else f"{'-' if limit < 0 else '+'}{_united(size, scale)}"


def margin_words(size: float, scale: Scale) -> str:
    """A size without a direction: `10 %`, `1 point`, `0.5 ms`."""
    return _united(number(size if scale is Scale.MILLISECONDS else size * 100), scale)


def metric_words(metric: Metric) -> str:
    """What a metric is called in a sentence: `median response`, `p95 of {index}`, `share of status 503`."""
    if metric.name == "status":
        text = f"share of status {metric.argument}"
    elif metric.name == "outcome":
        text = f"share of `{metric.argument}`"
    else:
        bracket = f"[{metric.argument}]" if metric.argument is not None else ""
        text = _NAMES.get(metric.name) or f"{metric.name}{bracket}"
    if metric.request is not None:
        text = f"{text} of {{{metric.request}}}"
    return f"{text} ({metric.phase})" if metric.phase is not None else text


def listing(parts: Sequence[str], most: int = 6) -> str:
    """Up to `most` names with commas, and how many more there are."""
    text = ", ".join(parts[:most])
    return f"{text} and {len(parts) - most} more" if len(parts) > most else text


def counted(many: int, one: str, more: str | None = None) -> str:
    """`1 block`, `6 blocks`."""
    return f"{many} {one if many == 1 else more or one + 's'}"
