"""Which whole seconds of a window belong to which phase: those in which a switch was under way belong to none."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, floor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runner.results.document.phases import Switches
    from runner.results.window import Window

_HAIR = 1e-6
"""Seconds by which a clock's rounding may miss a whole second."""


def spans(switches: Switches, length: float) -> dict[str, range]:
    """By phase that was reached, its whole seconds, counted from the window's start; a range may be empty.

    Args:
        switches: when the mesh was changed.
        length: of the window, in seconds.
    """
    end = floor(length + _HAIR)
    on, off = switches.on, switches.off
    found = {"before": range(min(floor(on.requested + _HAIR), end))}
    start, stop = ceil(on.confirmed - _HAIR), end if off is None else min(floor(off.requested + _HAIR), end)
    found["during"] = range(start, max(start, stop))
    if off is not None:
        start = ceil(off.confirmed - _HAIR)
        found["after"] = range(start, max(start, end))
    return found


def part_of(window: Window, seconds: range) -> Window:
    """Some whole seconds of a window as a window of their own, its seconds counted from 0.

    Args:
        window: drained, with a time series.
        seconds: which; those beyond its end are left out.
    """
    kept = [
        replace(second, offset=second.offset - seconds.start) for second in window.seconds if second.offset in seconds
    ]
    return replace(
        window,
        seconds=kept,
        length=float(len(kept)),
        scheduled=sum(second.due for second in kept) if window.open_loop else 0,
        started=window.started + seconds.start,
        native=None,
        pace=None,
    )
