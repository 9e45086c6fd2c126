r"""What a PromQL query asks for, as far as a measured window needs to know it: which series it counts, over which ranges.

Prometheus parses queries; this only finds selectors and ranges in them. `increase(X[$window])` and `rate(X[$window])` are written
as the difference between the two edges of a window, at each of which every series was read after the load had drained:

    increase(X[$window])  ->  (X - (X offset R or X * 0))
    rate(X[$window])      ->  ((X - (X offset R or X * 0)) / seconds of the window)

with R the time from one edge to the other. That is what both functions estimate from whatever readings fall into a range: they
extrapolate to the range's ends (by up to one reading's period on either side), and lose what a series began with when its first
reading lies inside (a first 503, say). Between two edges nothing has to be estimated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

WINDOW = "$window"

_STRING = r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|`[^`]*`"
_BRACES = rf"\{{(?:[^{{}}\"'`]|{_STRING})*\}}"
_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_SELECTOR = rf"(?:{_NAME}(?:\s*{_BRACES})?|{_BRACES})"
_COMMENT = re.compile(rf"({_STRING})|#[^\n]*")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)", re.IGNORECASE)
_COUNTED = re.compile(rf"\b(increase|rate)\s*\(\s*({_SELECTOR})\s*\[\s*\$window\s*\]\s*\)")
_TOKEN = re.compile(
    rf"(?P<string>{_STRING})|(?P<number>\d[\w.]*)|(?P<range>\[[^\]]*\])"
    rf"|(?P<selector>{_SELECTOR})(?P<over>\s*\[[^\]]*\])?(?P<call>\s*\()?"
)
_WORDS = frozenset(
    (
        "and",
        "or",
        "unless",
        "bool",
        "offset",
        "inf",
        "nan",
        "start",
        "end",
        "atan2",
        "by",
        "without",
        "on",
        "ignoring",
        "group_left",
        "group_right",
    )
)
_MATCHER = re.compile(rf"\s*({_NAME})\s*(=~|!~|!=|=)\s*({_STRING})\s*,?")
_DURATION = re.compile(r"(\d+)(ms|s|m|h|d|w|y)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}

_OF_REQUESTS = frozenset(
    (
        "response_code",
        "response_flags",
        "response_code_details",
        "response_code_class",
        "grpc_response_status",
        "request_protocol",
        "envoy_response_code",
        "envoy_response_code_class",
        "le",
        "quantile",
        "code",
        "status",
        "status_code",
        "method",
        "path",
    )
)
"""Labels that tell requests apart, not who was read: a series with a new value of one appears when the first such request ends."""


@dataclass(frozen=True, slots=True)
class Selector:
    """Series that a query names.

    Attributes:
        text: `istio_requests_total{reporter="source"}`.
        over: the range behind it, without brackets (`$window`, `5m`, `$window:1s`); None for an instant.
    """

    text: str
    over: str | None = None

    @property
    def name(self) -> str:
        """The metric's name; the whole selector where it has none."""
        return self.text.partition("{")[0].strip() or self.text

    @property
    def readers(self) -> str:
        """The same without labels of single requests: all series that are read together with these."""
        name, brace, inner = self.text.partition("{")
        if not brace:
            return self.text
        kept = [f"{m[1]}{m[2]}{m[3]}" for m in _MATCHER.finditer(inner) if m[1] not in _OF_REQUESTS]
        return f"{name.strip()}{{{','.join(kept)}}}" if kept else name.strip() or self.text


@dataclass(frozen=True)
class Query:
    """One entry of `collect.promql`.

    Attributes:
        name: its key.
        text: as the experiment has it.
    """

    name: str
    text: str

    @cached_property
    def _plain(self) -> str:
        return _COMMENT.sub(lambda found: found[1] or "", self.text)

    @cached_property
    def selectors(self) -> list[Selector]:
        """Every selector, each once, in order."""
        found: dict[Selector, None] = {}
        for token in _TOKEN.finditer(_GROUPING.sub(" ", self._plain)):
            text = token["selector"]
            if text is None or token["call"] is not None or text.lower() in _WORDS:
                continue
            over = token["over"]
            found[Selector(" ".join(text.split()), over.strip()[1:-1].strip() if over else None)] = None
        return list(found)

    @cached_property
    def ranges(self) -> list[str]:
        """Every range and subquery, without brackets."""
        tokens = _TOKEN.finditer(_GROUPING.sub(" ", self._plain))
        texts = [token["range"] or token["over"] for token in tokens if token["range"] or token["over"]]
        return [text.strip()[1:-1].strip() for text in texts]

    @property
    def subqueries(self) -> bool:
        """Whether it evaluates something at many moments."""
        return any(":" in text for text in self.ranges)

    @cached_property
    def counted(self) -> list[Selector]:
        """What it takes the increase or the rate of over the window: read at both edges."""
        if self.subqueries:
            return []
        return list(dict.fromkeys(Selector(" ".join(m[2].split()), WINDOW) for m in _COUNTED.finditer(self._plain)))

    @cached_property
    def sampled(self) -> list[Selector]:
        """What other functions look at over the window: the readings that lie in it."""
        rest = _COUNTED.sub(" ", self._plain) if self.counted else self._plain
        return [one for one in Query(self.name, rest).selectors if one.over == WINDOW]

    @property
    def instants(self) -> list[Selector]:
        """What it looks at at one moment."""
        return [one for one in self.selectors if one.over is None]

    def longest(self) -> tuple[str, float]:
        """The longest range that does not depend on the window, as it is written, and its seconds; 0 without one."""
        longest = ("", 0.0)
        for text in self.ranges:
            seconds = seconds_of(text.partition(":")[0])
            if seconds > longest[1]:
                longest = (text, seconds)
        return longest

    def over_window(self, seconds: float, ended: float) -> str:
        """The query for a window of which readings inside are looked at.

        Args:
            seconds: the window's length.
            ended: its end, by Prometheus' clock; only for queries that also count from edge to edge.
        """
        return self._with_window(self._plain, seconds, f" @ {ended:.3f}" if self.counted else "")

    def from_edge_to_edge(self, apart: float, seconds: float, ended: float) -> str:
        """The query with what it counts written as a difference, to be asked at the later edge.

        Args:
            apart: seconds from the earlier edge to the later one, which must be whole milliseconds.
            seconds: the window's length, that a rate is per.
            ended: the window's end by Prometheus' clock, for readings inside it.
        """

        def difference(found: re.Match[str]) -> str:
            series = " ".join(found[2].split())
            grown = f"({series} - ({series} offset {round(apart * 1000)}ms or {series} * 0))"
            return grown if found[1] == "increase" else f"({grown} / {seconds:.3f})"

        return self._with_window(_COUNTED.sub(difference, self._plain), seconds, f" @ {ended:.3f}")

    def tried(self) -> str:
        """The query as Prometheus can parse it, for a window of a minute."""
        return self._with_window(self._plain, 60.0, "")

    @staticmethod
    def _with_window(text: str, seconds: float, at: str) -> str:
        length = f"{max(1, round(seconds * 1000))}ms"
        text = re.sub(r"(\[\s*)\$window(\s*(?::[^\]]*)?\])", lambda m: f"{m[1]}{length}{m[2]}{at}", text)
        return text.replace(WINDOW, length)


def seconds_of(text: str) -> float:
    """Seconds of one of PromQL's durations (`1h30m`, `90s`); 0 of anything else, such as `$window`."""
    text = text.strip()
    if not text or re.fullmatch(rf"(?:{_DURATION.pattern})+", text) is None:
        return 0.0
    return sum(int(number) * _SECONDS[unit] for number, unit in _DURATION.findall(text))
