"""The plain figures of a trial or a variant: counts, rate, latency quantiles, from merged histograms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.analysis.tally import Tally, tally_window
from runner.results.document.figures import Figures, Latency

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runner.results.histogram import Histogram
    from runner.results.window import Window

QUANTILES = {"p50": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}
"""The quantiles that every document holds, and the share of requests each names."""


def latency(histogram: Histogram) -> Latency:
    """Quantiles, mean and greatest of a histogram (µs) in milliseconds; all None when it is empty."""
    if not histogram.count:
        return Latency()
    values = {name: (histogram.quantile(share) or 0.0) / 1000 for name, share in QUANTILES.items()}
    return Latency.model_validate({**values, "mean": (histogram.mean or 0.0) / 1000, "max": histogram.greatest / 1000})


def figures_of(tally: Tally) -> Figures:
    """The figures of sums that were already made."""
    requests = tally.requests
    return Figures(
        requests=requests,
        errors=tally.errors,
        error_rate=tally.errors / requests if requests else 0.0,
        dropped=tally.dropped,
        status=dict(sorted(tally.status.items())),
        exceptions=dict(sorted(tally.exceptions.items())),
        outcomes=dict(sorted(tally.outcomes.items())),
        rate=requests / tally.length if tally.length else 0.0,
        latency_ms=latency(tally.response),
        service_ms=latency(tally.service),
    )


def figures(windows: Iterable[Window], request: str | None = None) -> Figures:
    """The figures of several windows merged.

    Args:
        windows: measured windows; none gives figures of zero.
        request: one request name only; all names when None. Dropped arrivals and exceptions have no name, so they are
            0 and empty then.
    """
    whole = Tally()
    for window in windows:
        everything, by_name = tally_window(window)
        whole.add(everything if request is None else by_name.get(request, Tally(length=window.length)))
    return figures_of(whole)


def by_name(windows: Sequence[Window]) -> dict[str, Figures]:
    """The figures of several windows merged, by request name; a name's rate is over all measured seconds."""
    merged: dict[str, Tally] = {}
    for window in windows:
        for name, part in tally_window(window)[1].items():
            merged.setdefault(name, Tally()).add(part)
    length = sum(window.length for window in windows)
    for part in merged.values():
        part.length = length
    return {name: figures_of(part) for name, part in sorted(merged.items())}
