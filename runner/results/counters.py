"""Increases of counters between two readings, because a raw one tells a proxy's age, not what a window did."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

Readings = dict[str, dict[str, int]]
"""By proxy (or workload), then by full stat name."""


def increase(before: int | None, after: int) -> int:
    """How much a counter rose.

    One that is smaller after than before was made anew (Envoy drops a cluster's counters when it is replaced) and
    counts from zero, as a new one does; this is also Prometheus' rule for resets.
    """
    return after if before is None or after < before else after - before


def increases(before: Mapping[str, Mapping[str, int]], after: Mapping[str, Mapping[str, int]]) -> Readings:
    """The counters that moved between two readings, by proxy.

    A proxy that was read is here even when nothing moved: that is a finding, a missing proxy is none.

    Args:
        before: by proxy and full stat name, at the window's first edge.
        after: the same at its last edge. A counter that is gone by then says nothing and is left out.
    """
    moved: Readings = {}
    for proxy, counters in after.items():
        earlier = before.get(proxy, {})
        moved[proxy] = {
            name: rise for name, value in sorted(counters.items()) if (rise := increase(earlier.get(name), value)) > 0
        }
    return moved


def summed(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Counts added up by name, in the order in which the names come first."""
    total: dict[str, int] = {}
    for part in parts:
        for name, number in part.items():
            total[name] = total.get(name, 0) + number
    return total


def added(parts: list[Readings]) -> Readings:
    """Several windows' increases added up."""
    proxies = dict.fromkeys(proxy for part in parts for proxy in part)
    return {proxy: summed(part[proxy] for part in parts if proxy in part) for proxy in proxies}


def by_workload(per_proxy: Mapping[str, Mapping[str, int]], workload_of: Callable[[str], str]) -> Readings:
    """Readings added up over the proxies of one workload (`reviews-v1-0` and `reviews-v1-1` are `reviews-v1`)."""
    return added([{workload_of(proxy): dict(counters)} for proxy, counters in per_proxy.items()])
