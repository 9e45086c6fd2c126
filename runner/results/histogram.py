"""Latencies as a log-linear histogram, because quantiles of merged windows need every request.

Buckets are at most 1/128 (0.8 %) wide from 128 µs up and 1 µs wide below, the scheme of HdrHistogram; a quantile is the
midpoint of its bucket, so it is off by at most 0.4 %. Histograms merge exactly. No imports: the driver's child uses
this too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SIGNIFICANT_BITS = 8


def bucket_of(microseconds: int) -> int:
    """The lower edge, in µs, of the bucket that holds a duration of `microseconds` (0 or more)."""
    shift = microseconds.bit_length() - _SIGNIFICANT_BITS
    return microseconds >> shift << shift if shift > 0 else microseconds


def bucket_width(lower: int) -> int:
    """The width, in µs, of the bucket whose lower edge is `lower`."""
    return 1 << max(0, lower.bit_length() - _SIGNIFICANT_BITS)


class Histogram:
    """Counts of durations by bucket, with their exact number, sum, least and greatest (all in µs)."""

    __slots__ = ("count", "counts", "greatest", "least", "total")

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.count = 0
        self.total = 0
        self.least = 0
        self.greatest = 0

    def __repr__(self) -> str:
        return f"Histogram(count={self.count}, least={self.least}, greatest={self.greatest})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        return self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]  # mutable

    def record(self, microseconds: int) -> None:
        """Add one duration; a negative one (a clock that stepped back) counts as 0."""
        microseconds = max(0, microseconds)
        lower = bucket_of(microseconds)
        self.counts[lower] = self.counts.get(lower, 0) + 1
        if not self.count or microseconds < self.least:
            self.least = microseconds
        self.greatest = max(self.greatest, microseconds)
        self.count += 1
        self.total += microseconds

    def add(self, other: Histogram) -> None:
        """Add all of `other` to this one."""
        if not other.count:
            return
        for lower, number in other.counts.items():
            self.counts[lower] = self.counts.get(lower, 0) + number
        self.least = min(self.least, other.least) if self.count else other.least
        self.greatest = max(self.greatest, other.greatest)
        self.count += other.count
        self.total += other.total

    @classmethod
    def merged(cls, parts: Iterable[Histogram]) -> Histogram:
        """One histogram with all of `parts`."""
        whole = cls()
        for part in parts:
            whole.add(part)
        return whole

    def quantile(self, share: float) -> float | None:
        """The duration, in µs, that a share of the requests (0 to 1) did not exceed; None without requests.

        The smallest recorded value with at least `share` of all at or below it (the inverted distribution function),
        given as its bucket's midpoint and kept within the least and the greatest seen.
        """
        if not self.count:
            return None
        exact = self.count * share * (1 - 1e-12)  # 0.07 x 100 is a little over 7 in floating point
        return self.at_rank(max(1, int(-(-exact // 1))))

    def at_rank(self, rank: int) -> float:
        """The duration, in µs, of the `rank`-th smallest request (1 to `count`), as its bucket's midpoint."""
        seen = 0
        for lower in sorted(self.counts):
            seen += self.counts[lower]
            if seen >= rank:
                middle = lower + (bucket_width(lower) - 1) / 2
                return min(max(middle, self.least), self.greatest)
        return float(self.greatest)

    def share_at_or_below(self, microseconds: float) -> float | None:
        """The share of requests at or below a duration; the bucket that holds it counts in proportion."""
        if not self.count:
            return None
        return self.count_at_or_below(microseconds) / self.count

    def count_at_or_below(self, microseconds: float) -> float:
        """How many requests took at most `microseconds`; the bucket that holds it counts in proportion."""
        if microseconds >= self.greatest:
            return float(self.count)
        if microseconds < self.least:
            return 0.0
        number = 0.0
        for lower, inside in self.counts.items():
            width = bucket_width(lower)
            if lower + width - 1 <= microseconds:
                number += inside
            elif lower <= microseconds:
                number += inside * (microseconds - lower + 1) / width
        return number

    @property
    def mean(self) -> float | None:
        """The mean in µs (exact, not from buckets); None without requests."""
        return self.total / self.count if self.count else None

    def to_json(self) -> dict[str, object]:
        """Plain data: number, sum, least, greatest, and pairs of bucket and count in order."""
        return {
            "n": self.count,
            "sum": self.total,
            "min": self.least,
            "max": self.greatest,
            "buckets": [[lower, self.counts[lower]] for lower in sorted(self.counts)],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Histogram:
        """The histogram that `to_json` gave."""
        self = cls()
        self.count, self.total, self.least, self.greatest = (int(str(data[key])) for key in ("n", "sum", "min", "max"))
        buckets = data["buckets"]
        if not isinstance(buckets, list):
            raise TypeError("buckets: expected a list of pairs")
        self.counts = {int(lower): int(number) for lower, number in buckets}
        return self
