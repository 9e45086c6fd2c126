"""Durations, rates and shares as people write them, so that no bare number hides its unit.

Durations become seconds, rates requests per second, shares a number from 0 to 1.
Istio's own durations (`0.5s`, `1h2m`) are Go's, which this grammar contains.
"""

from __future__ import annotations

import re

_DURATION_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "\N{MICRO SIGN}s": 1e-6,
    "\N{GREEK SMALL LETTER MU}s": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_NUMBER = r"[0-9]{1,15}(?:\.[0-9]+)?|\.[0-9]+"
_UNIT = "|".join(_DURATION_UNITS)
_DURATION_PART = re.compile(rf"({_NUMBER})({_UNIT})")
_DURATION = re.compile(rf"(?:(?:{_NUMBER})(?:{_UNIT}))+")
_RATE = re.compile(rf"({_NUMBER})\s*/\s*(s|m|h)")
_SHARE = re.compile(rf"({_NUMBER})\s*%")


def parse_duration(text: str) -> float:
    """Seconds of a duration such as `500ms`, `2s`, `3m` or `1m30s`.

    Raises:
        ValueError: the text is no duration; the message says what one looks like.
    """
    text = text.strip()
    if not _DURATION.fullmatch(text):
        below = ": it is less than zero" if text.startswith("-") and _DURATION.fullmatch(text[1:]) else ""
        raise ValueError(f"{text!r} is not a duration such as 500ms, 2s or 3m{below}")
    return sum(float(number) * _DURATION_UNITS[unit] for number, unit in _DURATION_PART.findall(text))


def parse_rate(text: str) -> float:
    """Requests per second of a rate such as `20/s` or `600/m`.

    Raises:
        ValueError: the text is no rate.
    """
    match = _RATE.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a rate such as 20/s or 600/m")
    return float(match[1]) / _DURATION_UNITS[match[2]]


def parse_share(text: str) -> float:
    """A share from 0 to 1 of a percentage such as `5%` or `0.1%`.

    Raises:
        ValueError: the text is no percentage, or over 100%.
    """
    match = _SHARE.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a share such as 5%")
    share = float(match[1]) / 100
    if share > 1:
        raise ValueError(f"{text!r} is more than 100%")
    return share


def format_duration(seconds: float) -> str:
    """A duration as a person reads it: `6.02 s`, `340 ms`, `0.74 ms`, `2 min 5 s`, `1 h 30 min`, `7 d`."""
    if seconds < 0:
        return f"-{format_duration(-seconds)}"
    if seconds >= 3599.5:  # noqa: PLR2004 - what would be rounded to 60 min
        return _long(round(seconds / 60))
    if seconds >= 59.95:  # noqa: PLR2004 - what would be rounded to 60.0 s
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    if seconds >= 0.9995:  # noqa: PLR2004 - what would be rounded to 1000 ms
        return f"{seconds:.3g} s"
    if seconds >= 0.01:  # noqa: PLR2004 - under ten milliseconds fractions matter
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds * 1000:.2g} ms"


def _long(minutes: int) -> str:
    """An hour or more, in its two greatest units."""
    (large, small), units = divmod(minutes, 60), ("h", "min")
    if minutes >= 24 * 60:
        (large, small), units = divmod(round(minutes / 60), 24), ("d", "h")
    return f"{large} {units[0]} {small} {units[1]}" if small else f"{large} {units[0]}"


def format_rate(per_second: float) -> str:
    """A rate as it is written in an experiment file, with four digits or all before the point: `20/s`, `12345/s`."""
    if per_second >= 1000:  # noqa: PLR2004 - four digits before the point are enough
        return f"{per_second:.0f}/s"
    text = f"{per_second:.4g}"
    return f"{per_second:.10f}".rstrip("0").rstrip(".") + "/s" if "e" in text else f"{text}/s"


def format_share(share: float) -> str:
    """A share as a percentage with as many digits as it needs: `0.1 %`, `49.2 %`, `99.97 %` (100 % is all of them)."""
    percent = share * 100
    text = f"{percent:.3g}"
    if text == "100" and share != 1:
        digits = next((digits for digits in range(4, 16) if float(f"{percent:.{digits}g}") != 100), 17)  # noqa: PLR2004
        text = f"{percent:.{digits}g}"
    return f"{text} %"
